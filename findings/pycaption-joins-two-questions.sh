#!/usr/bin/env bash
# pycaption: two questions with the same moment become one cue in SRT, but stay two in WebVTT.
#
# Version: pycaption 2.3.14.
# Guess: each cue that was read is a cue that is written, whatever the format; cue ids come along.
# Seen: two cues with equal times ("a dog" and "a cat" at 1 to 2 s, which happens when two queries of a clip have one answer) are
# two in the WebVTT that it writes, and one cue of two lines in the SRT. Ids of WebVTT cues are dropped in both, so that
# nothing says any more which line belonged to which query. A voice tag `<v Bob>` becomes the text "Bob:" for good.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pycaption==2.3.14
cd "$folder"
venv/bin/python - <<'PYTHON'
import pycaption

SOURCE = """WEBVTT

q1-1
00:01.000 --> 00:02.000
a dog

q2-1
00:01.000 --> 00:02.000
<v Bob>a cat
"""
captions = pycaption.WebVTTReader().read(SOURCE)
as_srt = pycaption.SRTWriter().write(captions)
as_vtt = pycaption.WebVTTWriter().write(captions)
print(repr(as_srt), repr(as_vtt))
assert as_srt.count("-->") == 1 and "a dog\nBob: a cat" in as_srt, as_srt
assert as_vtt.count("-->") == 2 and "Bob: a cat" in as_vtt, as_vtt
assert "q1-1" not in as_vtt and "q2-1" not in as_vtt, as_vtt
PYTHON
