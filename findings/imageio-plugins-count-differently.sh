#!/usr/bin/env bash
# imageio: picture 60 of one file is another picture with the other plugin, and there are twice as many.
#
# Version: imageio 2.38.1, its FFMPEG plugin (imageio-ffmpeg 0.8.1) and its pyav plugin (PyAV 18.1.0).
# Guess: imread(path, index=60) names one picture of a file; a plugin is a way to it.
# Seen: on an MP4 of variable rate with 120 pictures the pyav plugin gives 120, and picture 60 is the first after the cut. The
# FFMPEG plugin gives 242 (the program repeats pictures up to a constant rate), and picture 60 is one from 2 s before the
# cut. Which plugin is used without being named depends on what is installed. The rates told differ too: 30 and 14.75.
# Indices from one machine are of no use on another; keep times.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet imageio==2.38.1 imageio-ffmpeg==0.8.1 av==18.1.0 numpy==2.4.6
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

import imageio.v3 as iio

seen = {}
for plugin in ("FFMPEG", "pyav"):
    brightness = [round(float(picture.mean())) for picture in iio.imiter("clip.mp4", plugin=plugin)]
    rate = iio.immeta("clip.mp4", plugin=plugin)["fps"]
    seen[plugin] = len(brightness), brightness[60], brightness.index(200), float(rate)
print("pictures, brightness of number 60, first after the cut, rate:", seen)
assert seen == {"FFMPEG": (242, 39, 180, 14.75), "pyav": (120, 200, 60, 30.0)}, seen
PYTHON
