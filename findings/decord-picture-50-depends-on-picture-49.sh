#!/usr/bin/env bash
# decord: in a clip that was cut without encoding, picture 50 is another picture if picture 49 was not read before it.
#
# Versions: decord 0.6.0 and decord2 3.4.0, on an MP4 that FFmpeg 9.0.2 (imageio-ffmpeg 0.8.1) cut with -ss 3.2 -c copy.
# Guess: the clip begins where the cut says, as players and PyAV show it: 170 pictures, and a number names one of them.
# Seen: a cut without encoding keeps the pictures since the last keyframe and hides them by an edit list. decord's index
# counts the hidden ones, its decoder does not return them: len is 211. Read one after the other, 170 pictures are right
# and the last is repeated 41 times. Sampled by number, as models are fed, every picture from 50 on is 1.6 s too early:
# picture 50 is picture 9 again. The stamps begin at -1.64 s. No warning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 decord==0.6.0 imageio-ffmpeg==0.8.1 numpy==2.4.6
"$folder/venv/bin/pip" install --quiet --no-deps --target "$folder/two" decord2==3.4.0
cd "$folder"
cat > read.py <<'PYTHON'
import json

import decord

reader = decord.VideoReader("cut.mp4")
# The shade of a picture is its number in the clip before the cut.
in_turn = [round(float(reader[index].asnumpy().mean())) for index in range(len(reader))]
sampled = [round(float(decord.VideoReader("cut.mp4")[index].asnumpy().mean())) for index in range(0, 170, 10)]
print(json.dumps([decord.__file__, in_turn, sampled, float(reader.get_frame_timestamp(0)[0])]))
PYTHON
venv/bin/python - <<'PYTHON'
import json
import os
import subprocess

import av
import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

with av.open("whole.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"g": "50", "bf": "2", "threads": "1"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(250):
        picture = np.full((48, 64, 3), number, np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(stream.encode())
command = [get_ffmpeg_exe(), "-v", "error", "-ss", "3.2", "-i", "whole.mp4", "-c", "copy", "cut.mp4"]
subprocess.run(command, check=True)
with av.open("cut.mp4") as container:
    by_pyav = [round(float(frame.to_ndarray(format="rgb24").mean())) for frame in container.decode(video=0)]
print("PyAV:", len(by_pyav), "pictures, every tenth:", by_pyav[::10])
assert len(by_pyav) == 170
assert max(abs(shade - number) for shade, number in zip(by_pyav, range(80, 250))) <= 1, by_pyav

for folder in ("", "two"):
    run = subprocess.run(
        ["venv/bin/python", "read.py"],
        env={**os.environ, "PYTHONPATH": folder},
        stdout=subprocess.PIPE,
        check=True,
    )
    path, in_turn, sampled, first_s = json.loads(run.stdout)
    assert ("/two/" in path) == (folder == "two"), path
    print("decord2" if folder else "decord", f"{len(in_turn)} pictures, from {first_s:.2f} s, every tenth alone:", sampled)
    assert len(in_turn) == 211, len(in_turn)
    assert in_turn[:170] == by_pyav, in_turn
    assert set(in_turn[170:]) == {by_pyav[-1]}, in_turn
    assert sampled[:5] == by_pyav[0:50:10], sampled
    early = [true - shade for true, shade in zip(by_pyav[50::10], sampled[5:])]
    assert all(40 <= pictures <= 42 for pictures in early), early
    assert round(first_s, 2) == -1.64, first_s
PYTHON
