#!/usr/bin/env bash
# libx264, one thread: the same frames with the same options give other bytes from one encoding to the next.
#
# Version: av 18.1.0 (the libx264 of its Linux wheel), numpy 2.4.6.
# Guess: with one thread and fixed options x264 is deterministic, so that a rendered clip can be named by its hash.
# Seen: with crf, B-frames, adaptive quantisation and macroblock trees (all on by default), sixty encodings of the same
# sixty pictures of 192 x 112 give several files, whose decoded pictures differ by a few grey values. What lay in the
# process's memory before decides: the numbers change from run to run. With any one of mbtree=0, aq-mode=0 or bframes=0
# all sixty are one file. The differences are largest without scene cuts, which is what is shown here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
cat > "$folder/encode.py" <<'PYTHON'
import hashlib
import io
import sys

import av
import numpy as np

rng = np.random.default_rng(1)
still = 0.3 * rng.integers(0, 255, (112, 192, 3)) + 80
frames = []
for idx in range(60):
    wave = 20 * np.sin(np.arange(192) / 9 + idx)[None, :, None]
    frames.append(np.clip(still + wave + rng.normal(0, 4, still.shape), 0, 255).astype(np.uint8))

memory = np.random.default_rng()  # not seeded: what other parts of a program leave behind
for _ in range(15):
    for name, params in {"default": "scenecut=0", "no tree": "scenecut=0:mbtree=0", "no B": "scenecut=0:bframes=0"}.items():
        file = io.BytesIO()
        with av.open(file, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=8)
            stream.width, stream.height, stream.pix_fmt = 192, 112, "yuv420p"
            stream.options = {"preset": "veryfast", "crf": "26", "threads": "1", "x264-params": params}
            for frame in frames:
                for _ in range(3):
                    memory.integers(0, 255, memory.integers(1000, 200_000), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        print(name, hashlib.sha256(file.getvalue()).hexdigest()[:12], sep="\t")
PYTHON
for _ in 1 2 3 4; do "$folder/venv/bin/python" "$folder/encode.py"; done > "$folder/digests"
for name in default "no tree" "no B"; do
    printf '%s: %s files of 60 encodings\n' "$name" "$(grep "^$name	" "$folder/digests" | sort -u | wc -l)"
done | tee "$folder/counts"
grep -q "^no tree: 1 " "$folder/counts"
grep -q "^no B: 1 " "$folder/counts"
! grep -q "^default: 1 " "$folder/counts"
