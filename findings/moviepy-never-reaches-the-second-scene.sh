#!/usr/bin/env bash
# moviepy plays the first half of a clip of variable rate as if it were the whole.
#
# Version: moviepy 2.2.1 with imageio-ffmpeg 0.8.1; an MP4 of 8.0 s whose picture changes at 6.0 s, written by PyAV 18.1.0.
# Guess: get_frame(7.9) is the picture at 7.9 s; `duration` is right (8.0), and so should be what is shown.
# Seen: the picture of 7.9 s is still the one from before the cut at 6.0 s. moviepy takes the mean rate (14.75) as the rate of
# the pictures, but the ffmpeg program that it reads from fills the clip up to 30 a second: frame 116 of 242 is asked for.
# No time in the clip gives the second scene. A cut made with it from 6 to 8 s shows 3 to 4 s.
# A copy at constant frame rate first, and the times agree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet moviepy==2.2.1 imageio-ffmpeg==0.8.1 av==18.1.0 numpy==2.4.6
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

from moviepy import VideoFileClip

clip = VideoFileClip("clip.mp4")
brightness = {time_s: round(float(clip.get_frame(time_s).mean())) for time_s in (5.9, 6.1, 7.0, 7.9)}
print("duration", clip.duration, "fps", clip.fps, "brightness by second:", brightness)
assert clip.duration == 8.0 and clip.fps == 14.75, (clip.duration, clip.fps)
assert set(brightness.values()) == {39}, brightness  # the second scene is 200
PYTHON
