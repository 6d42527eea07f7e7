"""Clips for the rows about decoding: a drifting texture, encoded as cameras and sites do."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.videos import usual_priority

ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "H.264": ("libx264", {"preset": "superfast", "bf": "2", "g": "250"}),
    "HEVC": ("libx265", {"preset": "ultrafast", "x265-params": "bframes=3:keyint=250:log-level=none"}),
    "AV1": ("libsvtav1", {"preset": "12"}),
    "VP9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
}
"""By codec: PyAV's encoder and its options, with B-frames where the codec has them."""
PART_FRAMES = 750
"""A clip that is a multiple of these repeats them: three groups of pictures, coded once."""


def make_clip(path: Path, codec: str, *, seconds: int, height: int, rate: int = 30) -> None:
    """A clip of 16:9 at a constant rate. The texture drifts by whole pixels, so that motion is found as in film."""
    width = height * 16 // 9 // 2 * 2
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    texture = np.kron(coarse, np.ones((8, 8, 1), dtype=np.uint8))[:height, :width]
    encoder, options = ENCODERS[codec]
    frames = seconds * rate
    part_frames = frames if frames % PART_FRAMES else PART_FRAMES
    packets: list[Any] = []
    with usual_priority(), av.open(str(path), "w") as container:
        stream: Any = container.add_stream(encoder, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, rate)
        for idx in range(part_frames):
            pixels = np.roll(texture, (idx, 2 * idx), axis=(0, 1))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = idx
            packets += stream.encode(frame)
        packets += stream.encode()
        for start in range(0, frames, part_frames):
            for packet in packets:
                container.mux(_moved(packet, start))


def _moved(packet: Any, ticks: int) -> Any:
    """The same coded picture, shown so much later."""
    copy = av.Packet(bytes(packet))
    copy.stream, copy.time_base, copy.is_keyframe = packet.stream, packet.time_base, packet.is_keyframe
    copy.pts, copy.dts, copy.duration = packet.pts + ticks, packet.dts + ticks, packet.duration
    return copy
