"""A clip made of single pictures, for senders that have frames and no file.

The pictures are decoded in a child with limits, like every foreign file; the first one's size is the clip's.
"""

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image, UnidentifiedImageError

from tempo_core.errors import InputError, VideoError
from tempo_core.sandbox import run_child
from tempo_core.video import DEFAULT_LIMITS

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MAX_PIXELS = 4096 * 4096
"""Of one picture."""
LONG_SIDE_PX = 1024
CLOCK = Fraction(1, 90_000)
CLIP_BYTES = 512 * 2**20


def clip_of_pictures(pictures: Sequence[bytes], fps: float) -> bytes:
    """An MP4 in which picture k is shown at k / fps seconds. Raises VideoError for what is no picture, InputError for
    none at all."""
    if not pictures:
        raise InputError("A clip needs at least one picture. Send one or more.")
    with tempfile.TemporaryDirectory(prefix="tempo-pictures-") as folder:
        joined, out = Path(folder) / "pictures", Path(folder) / "clip.mp4"
        joined.write_bytes(b"".join(pictures))
        out.touch()  # the child may write files that are there
        fd = os.open(joined, os.O_RDONLY | os.O_CLOEXEC)
        try:
            answer = run_child(
                "tempo_core.picture_clip:write_task",
                {"sizes": [len(picture) for picture in pictures], "fps": fps, "out": str(out)},
                name="the pictures",
                file=fd,
                limits=replace(DEFAULT_LIMITS.child, output_bytes=CLIP_BYTES),
            )
        finally:
            os.close(fd)
        os.close(answer.output)
        return out.read_bytes()


def write_task(job: dict[str, Any], on_progress: Callable[[float], None]) -> dict[str, Any]:
    """Write the clip to `job["out"]`. Runs in the sandbox's child."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    ticks = Fraction(job["fps"]).limit_denominator(1000)
    with open(job["file"], "rb") as file, av.open(job["out"], "w", format="mp4") as out:
        stream: Any = None
        for number, size in enumerate(job["sizes"]):
            picture = _open_picture(file.read(size), number)
            if stream is None:
                scale = min(1.0, LONG_SIDE_PX / max(picture.size))
                width, height = (max(2, round(side * scale / 2) * 2) for side in picture.size)
                stream = out.add_stream(
                    "libx264", rate=ticks, options={"crf": "12", "preset": "veryfast", "bf": "0"}
                )
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.time_base = stream.codec_context.time_base = CLOCK
            frame = av.VideoFrame.from_image(picture.resize((width, height), Image.Resampling.BICUBIC))
            frame.pts, frame.time_base = round(number / ticks / CLOCK), CLOCK
            frame.duration = round(1 / ticks / CLOCK)
            out.mux(stream.encode(frame))
            on_progress((number + 1) / len(job["sizes"]))
        out.mux(stream.encode(None))
    return {}


def _open_picture(content: bytes, number: int) -> Image.Image:
    """A picture in RGB. Raises VideoError."""
    with contextlib.suppress(
        UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError
    ):
        return Image.open(io.BytesIO(content), formats=FORMATS).convert("RGB")
    raise VideoError(
        f"Picture {number + 1} cannot be read, or is larger than {MAX_PIXELS} pixels. Send JPEG, PNG, WebP or BMP "
        "files."
    )
