#!/usr/bin/env bash
# PySceneDetect's two readers count different pictures in one clip of variable rate, and one halves its length.
#
# Version: scenedetect 0.7.2 with opencv-python-headless 5.0.0.93 and PyAV 18.1.0; an MP4 of 120 pictures and 8.0 s.
# Guess: the backend is a matter of speed; frame numbers and lengths are the file's.
# Seen: both put the cut at 6.0 s, where it is (picture 60). But its frame number is 89 with the OpenCV reader and 180
# with the PyAV one: numbers are times multiplied by a nominal rate, not pictures counted. The OpenCV reader ends the last
# scene at 8.133 s, after the end of the file; the PyAV reader ends it rightly, and says that the clip lasts 4.0 s.
# Keep seconds from it, never frame numbers, and cut the last end at the container's duration.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scenedetect==0.7.2 opencv-python-headless==5.0.0.93 av==18.1.0 numpy==2.4.6
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

from scenedetect import ContentDetector, SceneManager, open_video

seen = {}
for backend in ("opencv", "pyav"):
    video = open_video("clip.mp4", backend=backend)
    manager = SceneManager()
    manager.add_detector(ContentDetector())
    manager.detect_scenes(video)
    (_, cut), (_, end) = manager.get_scene_list()
    seen[backend] = cut.seconds, cut.frame_num, round(end.seconds, 3), round(video.duration.seconds, 3)
print("cut s, cut frame, end s, length s:", seen)
assert seen == {"opencv": (6.0, 89, 8.133, 8.133), "pyav": (6.0, 180, 8.0, 4.0)}, seen
PYTHON
