#!/usr/bin/env bash
# ffmpeg: pictures of `fps=1` show what happens half a second after their times, those of `-r 1` a second before.
#
# Version: FFmpeg 9.0.2 as imageio-ffmpeg 0.8.1 brings it, on ten seconds of 25 pictures a second.
# Guess: picture k of one a second (img_0000.png, img_0001.png, ...) is the one that is shown at k seconds.
# Seen: `-vf fps=1` rounds times to the nearest second and keeps the last picture of each: picture k shows k + 0.48 s.
# `-r 1` gives twelve pictures, of 0, 0.04, 0.88, 1.88, ... s: picture k shows k - 1.12 s. `fps=1:round=up` gives the one
# of k seconds. Boundaries that were learnt or marked on such pictures are half a second off, and two datasets that
# were prepared by the two options are 1.6 s apart.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet imageio-ffmpeg==0.8.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import subprocess

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

RAW = ["-f", "rawvideo", "-pix_fmt", "gray"]
# The shade of a picture is its number, coded without loss.
pictures = np.repeat(np.arange(250, dtype=np.uint8), 64 * 48)
subprocess.run(
    [get_ffmpeg_exe(), "-v", "error", *RAW, "-s", "64x48", "-r", "25", "-i", "-", "-c:v", "ffv1", "clip.mkv"],
    input=pictures.tobytes(),
    check=True,
)


def shown_s(*options):
    command = [get_ffmpeg_exe(), "-v", "error", "-i", "clip.mkv", *options, *RAW, "-"]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return [int(number) / 25 for number in np.frombuffer(output, np.uint8).reshape(-1, 64 * 48)[:, 0]]


nearest, rate, up = shown_s("-vf", "fps=1"), shown_s("-r", "1"), shown_s("-vf", "fps=1:round=up")
print("-vf fps=1:", nearest)
print("-r 1:", rate)
print("-vf fps=1:round=up:", up)
assert len(nearest) == 10, nearest
assert all(0.44 <= time_s - k <= 0.56 for k, time_s in enumerate(nearest)), nearest
assert len(rate) == 12, rate
assert all(-1.16 <= time_s - k <= -1.08 for k, time_s in enumerate(rate) if k > 1), rate
assert all(-0.04 <= time_s - k <= 0 for k, time_s in enumerate(up)), up
PYTHON
