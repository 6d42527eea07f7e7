#!/usr/bin/env bash
# Two readers of SRT disagree by half a second on `00:00:01,5`, and by a second on four digits.
#
# Versions: srt 3.5.3, pysubs2 1.8.1.
# Guess: a fraction with fewer or more than three digits is refused, or read as a decimal fraction, by whichever library.
# Seen: `00:00:01,5` is 1.5 s for pysubs2 and 1.005 s for srt (the digits are a count of milliseconds there).
# `00:00:03,1234` is 3.123 s for pysubs2 and 4.234 s for srt: 1,234 ms are added to three seconds. Neither warns.
# Hand-written and converted subtitle files have both; a moment moves by more than a clip's step without an error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet srt==3.5.3 pysubs2==1.8.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import pysubs2
import srt

TEXT = "1\n00:00:01,5 --> 00:00:03,1234\na dog appears\n"
by_srt = [(cue.start.total_seconds(), cue.end.total_seconds()) for cue in srt.parse(TEXT)]
by_pysubs2 = [(cue.start / 1000, cue.end / 1000) for cue in pysubs2.SSAFile.from_string(TEXT, format_="srt")]
print("srt", by_srt, "pysubs2", by_pysubs2)
assert by_srt == [(1.005, 4.234)], by_srt
assert by_pysubs2 == [(1.5, 3.123)], by_pysubs2
PYTHON
