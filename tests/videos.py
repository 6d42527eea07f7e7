"""Clips rendered on the fly whose pictures carry their own number, in every container and codec that PyAV
writes.

A picture is a 4x4 grid of black and white cells: bit k of its number is cell k, row by row. A picture read
back tells which frame it is, whatever its size, codec or orientation did to it.
"""

import base64
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

TICKS = 12_800
"""Ticks a second of every clip unless said otherwise: 25, 30 and 50 divide it well enough."""


def picture(number: int, height: int = 96, width: int = 128) -> np.ndarray:
    """uint8[height, width, 3] with `number` (0 to 65,535) written in it."""
    bits = (number >> np.arange(16)) & 1
    grid = np.where(bits.reshape(4, 4), 215, 40).astype(np.uint8)
    rows = np.arange(height) * 4 // height
    columns = np.arange(width) * 4 // width
    return np.repeat(grid[rows][:, columns][..., None], 3, axis=2)


def number_of(image: np.ndarray) -> int:
    """The number written in uint8[H, W, 3], read from the cells' middles."""
    height, width = image.shape[:2]
    grey = image.astype(np.float64).mean(axis=2)
    bits = 0
    for cell in range(16):
        y, x = (2 * (cell // 4) + 1) * height // 8, (2 * (cell % 4) + 1) * width // 8
        dy, dx = max(1, height // 24), max(1, width // 24)
        bits |= int(grey[max(0, y - dy) : y + dy, max(0, x - dx) : x + dx].mean() > 127) << cell
    return bits


def numbers_of(frames: np.ndarray) -> list[int]:
    """The numbers written in uint8[T, H, W, 3]."""
    return [number_of(frame) for frame in frames]


def constant(count: int, fps: float = 25, start_s: float = 0.0) -> list[float]:
    """Presentation times in seconds of `count` frames at a constant rate."""
    return [start_s + k / fps for k in range(count)]


@contextmanager
def usual_priority() -> Iterator[None]:
    """For root, libsvtav1 puts the calling thread above everything else on the machine, and leaves it there."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def write_clip(
    path: Path,
    times_s: Sequence[float],
    *,
    codec: str = "libx264",
    container: str | None = None,
    size: tuple[int, int] = (96, 128),
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    ticks: int = TICKS,
    rate: int = 25,
    gop: int = 25,
    audio_s: float | None = None,
    audio_codec: str = "aac",
    numbers: Sequence[int] | None = None,
    draw: Callable[[int], np.ndarray | av.VideoFrame] | None = None,
    prepare: Callable[[Any], None] | None = None,
) -> Path:
    """Write frames 0, 1, 2, ... shown at `times_s`; `size` is (height, width).

    `audio_s` adds that many seconds of a tone from time 0. `draw` replaces the pictures (a frame is written as it
    is), `numbers` what they carry, `prepare` may change the stream before the first frame.
    """
    with (
        usual_priority(),
        av.open(str(path), "w", format=container, options=container_options or {}) as out,
    ):
        stream: Any = out.add_stream(codec, rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        stream.gop_size = gop
        stream.codec_context.thread_count = 1  # libvpx's helpers spin, which stalls a busy machine
        stream.time_base = stream.codec_context.time_base = Fraction(1, ticks)
        stream.options = options or {}
        if prepare is not None:
            prepare(stream)
        sound: Any = out.add_stream(audio_codec, rate=48_000) if audio_s else None
        for number, time_s in zip(numbers or range(len(times_s)), times_s, strict=True):
            image = picture(number, *size) if draw is None else draw(number)
            if isinstance(image, np.ndarray):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame = frame.reformat(format=pixels)
            else:
                frame = image
            frame.pts, frame.time_base = round(time_s * ticks), Fraction(1, ticks)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            for part in tone(audio_s or 0.0):
                out.mux(sound.encode(part))
            out.mux(sound.encode(None))
    return path


def state_plain_colours(stream: Any) -> None:
    """State BT.709 colours with BT.601's matrix in limited range, as a normal copy does."""
    context = stream.codec_context
    context.colorspace, context.color_primaries, context.color_trc, context.color_range = 5, 1, 1, 1


def tone(length_s: float) -> list[av.AudioFrame]:
    """A quiet 440 Hz tone in frames of 960 samples at 48 kHz."""
    frames = []
    for first in range(0, int(length_s * 48_000), 960):
        wave = 0.1 * np.sin(2 * np.pi * 440 * (first + np.arange(960)) / 48_000)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, first, Fraction(1, 48_000)
        frames.append(frame)
    return frames


def write_webp(path: Path, stays_ms: Sequence[int]) -> Path:
    """An animated WebP of frames 0, 1, 2, ..., each as long on screen as said."""
    pictures = [Image.fromarray(picture(number)) for number in range(len(stays_ms))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=list(stays_ms), lossless=True)
    return path


def trimmed(source: Path, path: Path, cut_s: float) -> Path:
    """A copy of an MP4's packets that starts at `cut_s` by an edit list, as `-ss -c copy` leaves behind."""
    with av.open(str(source)) as original, av.open(str(path), "w", format="mp4") as out:
        stream: Any = original.streams.video[0]
        copy: Any = out.add_stream_from_template(stream)
        cut = round(cut_s / stream.time_base)
        packets: list[Any] = [p for p in original.demux(stream) if p.size]
        first = max(k for k, p in enumerate(packets) if p.is_keyframe and p.pts <= cut)
        for packet in packets[first:]:
            packet.pts, packet.dts, packet.stream = packet.pts - cut, packet.dts - cut, copy
            out.mux(packet)
    return path


def two_videos(path: Path) -> Path:
    """A small first track of number 9 and a larger second one of 0, 1, 2, ...: a player shows the larger."""
    with av.open(str(path), "w") as out:
        streams: list[Any] = []
        for size in ((16, 16), (96, 128)):
            stream: Any = out.add_stream("libx264", rate=25)
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            stream.disposition = av.stream.Disposition.default if streams else av.stream.Disposition(0)
            streams.append(stream)
        for number in range(50):
            for stream, number_shown in zip(streams, (9, number), strict=True):
                image = picture(number_shown, stream.height, stream.width)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    return path


def joined(path: Path, copies: int, *, audio_s: float | None = None) -> Path:
    """Transport streams of 50 pictures one after the other, each with its own clock from zero."""
    part = write_clip(path.with_suffix(".part.ts"), constant(50), container="mpegts", audio_s=audio_s)
    path.write_bytes(part.read_bytes() * copies)
    return path


def flipped_bits(source: Path, path: Path, *, every: int, seed: int = 7) -> Path:
    """A copy with one random bit in about `every` bytes changed in its middle half."""
    data = bytearray(source.read_bytes())
    random = np.random.default_rng(seed)
    low, high = len(data) // 4, len(data) * 3 // 4
    for position in random.integers(low, high, max(1, (high - low) // every)):
        data[position] ^= 1 << int(random.integers(8))
    path.write_bytes(bytes(data))
    return path


def shortened(source: Path, path: Path, share: float) -> Path:
    """The first `share` of a file."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def canvas_picture(data_url: str) -> np.ndarray:
    """uint8[H, W, 3]: what a canvas's toDataURL("image/png") holds. Lists of its numbers leave a browser slowly."""
    png = base64.b64decode(data_url.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
