#!/usr/bin/env bash
# timecode: one second from the start is the 24th frame of a 25-fps clip, not the 25th.
#
# Version: timecode 1.5.1.
# Guess: Timecode("25", start_seconds=1.0) is 00:00:01:00.
# Seen: it is 00:00:00:24. Seconds are taken as a count of frames, and the first frame is frame 1, so every time is one frame
# early; there is no time of zero (start_seconds of less than a frame raises ValueError, though a clip begins there), and
# adding two times of a second gives 00:00:01:24. An EDL made from moments by this constructor is a frame early on each edge.
# `frame_number` is the zero-based index; Timecode(rate, frames=index + 1) is exact.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet timecode==1.5.1
cd "$folder"
venv/bin/python - <<'PYTHON'
from timecode import Timecode

second = Timecode("25", start_seconds=1.0)
total = second + Timecode("25", start_seconds=1.0)
exact = Timecode("25", frames=25 + 1)
print(second, second.frames, second.frame_number, "sum", total, "exact", exact)
assert (str(second), second.frames, second.frame_number) == ("00:00:00:24", 25, 24)
assert (str(total), str(exact)) == ("00:00:01:24", "00:00:01:00")
try:
    Timecode("25", start_seconds=0.02)
    raise SystemExit("less than a frame is a time now")
except ValueError as error:
    print("ValueError:", error)
PYTHON
