#!/usr/bin/env bash
# transformers: Qwen3-VL is told times by the mean frame rate, 1.9 s away from the pixels on a clip of variable rate.
#
# Version: transformers 5.23.0 (its PyAV reader and Qwen3VLProcessor, no torch), on an MP4 of variable frame rate written
# by PyAV 18.1.0; Qwen3-VL is trained to copy these times into its answers.
# Guess: the text "<4.1 seconds>" before two frames is the mean of the times at which these two frames are shown.
# Seen: it is the mean of their numbers over the clip's mean rate (14.75 a second). Of the two frames of numbers 60 and 61,
# shown at 6.000 and 6.033 s, the model is told 4.1 s. No warning: metadata hold a rate and numbers, but no times.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.23.0 av==18.1.0 numpy==2.4.6 pillow==13.0.0
cd "$folder"
venv/bin/python - <<'PYTHON' 2>errors.txt || { cat errors.txt; exit 1; }
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
from transformers import Qwen3VLProcessor
from transformers.video_utils import load_video

# 8 seconds: six at 10 pictures a second, then two at 30; 120 pictures
TIMES_MS = [n * 100 for n in range(60)] + [6000 + round(n * 1000 / 30) for n in range(60)]
with av.open("clip.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=30)
    stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
    stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
    for number, time_ms in enumerate(TIMES_MS):
        picture = np.full((96, 128, 3), 2 * number, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))

numbers = [0, 1, 60, 61, 118, 119]
video, metadata = load_video("clip.mp4", backend="pyav", sample_indices_fn=lambda **_: np.array(numbers))
shown = [int(np.abs(2 * np.arange(120) - picture.mean()).argmin()) for picture in video]
# The pictures are the right ones (to the coder's rounding); only their times are not.
assert max(abs(a - b) for a, b in zip(shown, numbers)) <= 1, shown

processor = SimpleNamespace(
    video_processor=SimpleNamespace(merge_size=2, temporal_patch_size=2),
    vision_start_token="",
    vision_end_token="",
    video_token="",
)
processor._calculate_timestamps = lambda *given: Qwen3VLProcessor._calculate_timestamps(processor, *given)
inputs = {"video_grid_thw": [np.array([3, 2, 2])], "video_metadata": [metadata]}
told = Qwen3VLProcessor.replace_video_token(processor, inputs, 0)
true = [(TIMES_MS[a] + TIMES_MS[b]) / 2000 for a, b in zip(numbers[::2], numbers[1::2])]
print("told:", told, "true:", true, "mean rate:", metadata.fps)
assert told == "<0.0 seconds><4.1 seconds><8.0 seconds>", told
assert [round(time_s, 2) for time_s in true] == [0.05, 6.02, 7.95], true
PYTHON
