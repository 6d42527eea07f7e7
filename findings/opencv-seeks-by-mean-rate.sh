#!/usr/bin/env bash
# OpenCV seeks to a second by the mean frame rate: on a clip of variable rate it lands seconds away.
#
# Version: opencv-python-headless 5.0.0.93 (FFmpeg backend), on an MP4 of variable frame rate written by PyAV 18.1.0.
# Guess: set(CAP_PROP_POS_MSEC, 3000) and read() give the picture that is shown at 3.0 s, as the property's name says.
# Seen: the milliseconds are turned into a frame number with the clip's mean rate (14.75 a second), and the 45th picture
# is read: the one at 4.4 s. Asked for 7.0 s it gives 7.433 s. No error, and the same property then tells the true time.
# Seeking by CAP_PROP_POS_FRAMES is exact on the same file, and so are the times told while reading straight through.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet opencv-python-headless==5.0.0.93 av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np

# 8 seconds: six at 10 pictures a second (dark), then two at 30 (bright); 120 pictures, the cut at 6.0 s is picture 60
TIMES_MS = [n * 100 for n in range(60)] + [6000 + round(n * 1000 / 30) for n in range(60)]
with av.open("clip.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=30)
    stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
    stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
    for number, time_ms in enumerate(TIMES_MS):
        picture = np.full((96, 128, 3), 40 if number < 60 else 200, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))

import cv2

capture = cv2.VideoCapture("clip.mp4")
landed = {}
for wish_ms in (3000, 7000):
    capture.set(cv2.CAP_PROP_POS_MSEC, wish_ms)
    assert capture.read()[0]
    landed[wish_ms] = round(capture.get(cv2.CAP_PROP_POS_MSEC))
capture.set(cv2.CAP_PROP_POS_FRAMES, 60)
ok, picture = capture.read()
by_number = round(capture.get(cv2.CAP_PROP_POS_MSEC)), round(float(picture.mean()))
print(cv2.__version__, "seconds asked and reached:", landed, "picture 60:", by_number)
assert landed == {3000: 4400, 7000: 7433}, landed
assert by_number == (6000, 200), by_number
PYTHON
