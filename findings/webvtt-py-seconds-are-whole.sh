#!/usr/bin/env bash
# webvtt-py gives a cue's seconds without their fraction.
#
# Version: webvtt-py 0.6.0.
# Guess: `start_in_seconds` of a cue at 00:01.900 is 1.9, as a player's `startTime` is.
# Seen: it is 1, and `end_in_seconds` of 00:02.100 is 2: a moment of 0.2 s becomes one of a whole second, and one of
# 00:01.200 --> 00:01.900 has no length. `start` and `end` still hold the text with its milliseconds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet webvtt-py==0.6.0
cd "$folder"
venv/bin/python - <<'PYTHON'
import webvtt

text = "WEBVTT\n\n00:01.900 --> 00:02.100\na dog appears\n\n00:01.200 --> 00:01.900\nit runs\n"
cues = webvtt.from_string(text)
for cue in cues:
    print(cue.start, cue.end, "->", cue.start_in_seconds, cue.end_in_seconds)
seconds = [(cue.start_in_seconds, cue.end_in_seconds) for cue in cues]
assert [(cue.start, cue.end) for cue in cues] == [
    ("00:00:01.900", "00:00:02.100"),
    ("00:00:01.200", "00:00:01.900"),
]
assert seconds == [(1, 2), (1, 1)], seconds
PYTHON
