#!/usr/bin/env bash
# PyAV/FFmpeg: in an MP4 of sparse pictures with B-frames, every duration is a gap between decodings, and the clip ends early.
#
# Version: av 18.1.0 (FFmpeg of its Linux wheel), libx264 with two B-frames, MP4, pictures from 0 to 9.5 s.
# Guess: a packet's duration is how long its picture is shown, and stream.duration is where the last picture ends.
# Seen: packet.duration is the time to the next packet in decoding order. The picture at 3.4 s is shown for 2.6 s and says
# 2.4; the one at 9.0 s is shown for .5 s and says .2. stream.duration and container.duration both say 6.44 s, although a
# picture is shown at 9.5 s: a reader that trusts them cuts the last third off.
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

TIMES_S = [0, 0.2, 0.4, 0.6, 3, 3.2, 3.4, 6, 9, 9.5]
still = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
with av.open("sparse.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"bf": "2", "g": "50", "threads": "1"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
    for time_s in TIMES_S:
        frame = av.VideoFrame.from_ndarray(np.roll(still, int(time_s * 10), 1), format="rgb24")
        frame.pts, frame.time_base = int(time_s * 1000), Fraction(1, 1000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())

with av.open("sparse.mp4") as container:
    stream = container.streams.video[0]
    packets = sorted(
        (float(packet.pts * packet.time_base), float(packet.duration * packet.time_base))
        for packet in container.demux(stream)
        if packet.pts is not None
    )
    stated_s, whole_s = float(stream.duration * stream.time_base), container.duration / 1e6
durations = dict(packets)
print(av.__version__, f"stream {stated_s:.2f} s, container {whole_s:.2f} s, last picture at {packets[-1][0]} s", packets)
assert [time_s for time_s, _ in packets] == TIMES_S
assert round(durations[3.4], 3) == 2.4, durations
assert round(durations[9.0], 3) == 0.2, durations
assert stated_s < 7 < packets[-1][0]
assert whole_s < 7
PYTHON
