"""Animated WebP as a video that FFmpeg reads: FFmpeg 8, which PyAV brings, has no demuxer for it. Runs in the child."""

import os
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from tempo_core.errors import VideoError
from tempo_core.picture_index import VideoFile

LEAST_STAY_MS = 10
BROWSERS_STAY_MS = 100  # what Chromium and Firefox make of a picture that states LEAST_STAY_MS or less


def as_matroska(video_file: VideoFile) -> VideoFile:
    """The same pictures and times, lossless, in a file without a name that lasts as long as the child.

    Raises VideoError for pictures over the limits and for damaged files.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with Image.open(video_file.path, formats=["WEBP"]) as animation:
            width, height = animation.size
            if width * height > video_file.max_pixels:
                raise VideoError(
                    f"'{video_file.name}' has pictures of {width}x{height}; the limit is {video_file.max_pixels}"
                    " pixels. Scale it down and try again."
                )
            _write(animation, file)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise VideoError(
            f"'{video_file.name}' begins like an animated WebP but cannot be read: it is cut short or damaged."
            " Give an undamaged copy."
        ) from error
    folder = "/proc/self/fd" if Path("/proc/self/fd").is_dir() else "/dev/fd"
    return replace(video_file, path=f"{folder}/{os.dup(file.fileno())}", demuxer="matroska")


def _write(animation: Any, file: Any) -> None:
    with av.open(file, "w", format="matroska") as out:
        stream: Any = out.add_stream("ffv1", rate=25)
        stream.width, stream.height = animation.size
        is_transparent = animation.mode == "RGBA"
        stream.pix_fmt = "bgra" if is_transparent else "bgr0"
        stream.codec_context.thread_count = 1
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        start_ms = 0
        for number in range(getattr(animation, "n_frames", 1)):
            animation.seek(number)
            image = np.asarray(animation.convert("RGBA" if is_transparent else "RGB"))
            frame = av.VideoFrame.from_ndarray(image, format="rgba" if is_transparent else "rgb24")
            frame = frame.reformat(format=stream.pix_fmt)
            stay_ms = int(animation.info.get("duration", 0))
            stay_ms = BROWSERS_STAY_MS if stay_ms <= LEAST_STAY_MS else stay_ms
            frame.pts, frame.time_base = start_ms, Fraction(1, 1000)
            for packet in stream.encode(frame):  # one, at once: every picture stands alone
                packet.duration = stay_ms
                out.mux(packet)
            start_ms += stay_ms
        out.mux(stream.encode(None))
