#!/usr/bin/env bash
# pysubs2 writes MicroDVD subtitles that it cannot read.
#
# Version: pysubs2 1.8.1.
# Guess: text written with an explicit frame rate carries the rate, and the same library reads it back without being told.
# Seen: the writer puts the rate on a first line `{0}{0}23.976`; the reader wants `{1}{1}` there, says "Frame mismatch" and
# then UnknownFPSError. With fps= given again it reads, and takes the rate's line for an event of no length.
# Moments written this way need the frame rate kept beside the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pysubs2==1.8.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import pysubs2

subtitles = pysubs2.SSAFile()
subtitles.append(pysubs2.SSAEvent(start=1000, end=2000, text="a dog appears"))
text = subtitles.to_string("microdvd", fps=23.976)
print(repr(text))
assert text.splitlines()[0] == "{0}{0}23.976", text
try:
    pysubs2.SSAFile.from_string(text, format_="microdvd")
    raise SystemExit("it reads its own header now")
except pysubs2.exceptions.UnknownFPSError as error:
    print(type(error).__name__, "from", repr(error.__context__))
again = pysubs2.SSAFile.from_string(text, format_="microdvd", fps=23.976)
print([(event.start, event.end, event.text) for event in again])
assert again[-1].text == "a dog appears"
PYTHON
