#!/usr/bin/env bash
# Matroska rounds times to milliseconds: int(time * rate) names the frame before for half of a 29.97-fps clip.
#
# Version: PyAV 18.1.0 (FFmpeg 8.1.2 libraries); 300 pictures at 30000/1001 in .mkv and .mp4, frame times as PyAV tells them.
# Guess: int(frame.time * rate) is the index of the frame that one just decoded, in every container.
# Seen: in Matroska (WebM, FLV and WMV share its time base of 1/1000 s) frame 1 is at .033 s instead of .0333667, so that
# the product is .989 and the index 0: 144 of 300 frames are named one too low. In MP4 the times are exact fractions, but
# the product with a float time still falls short for 39 of them. round() is right in both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np

RATE = Fraction(30000, 1001)
wrong = {}
for name in ("clip.mkv", "clip.mp4"):
    with av.open(name, "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(300):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, 1 / RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(name) as container:
        times_s = [frame.time for frame in container.decode(video=0)]
    floored = sum(int(time_s * RATE) != number for number, time_s in enumerate(times_s))
    rounded = sum(round(time_s * RATE) != number for number, time_s in enumerate(times_s))
    wrong[name] = floored, rounded
print("frames named wrongly by int() and by round():", wrong)
assert wrong == {"clip.mkv": (144, 0), "clip.mp4": (39, 0)}, wrong
PYTHON
