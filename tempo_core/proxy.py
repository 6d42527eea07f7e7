"""The normal copy of an uploaded video, which the player and the model share.

H.264 at a constant rate with a key picture at least every half second; rotation, edit list, start offset,
mirror and sample shape are baked in, so that frame k is shown at k / rate for everyone. Its colours are stated
(BT.709 with BT.601's matrix, limited range), so that nobody guesses them. A file that is like
that already needs no copy.
"""

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tempo_core.errors import InputError
from tempo_core.files import move
from tempo_core.video import DEFAULT_LIMITS, VideoInfo, VideoLimits, probe, read_file

SHORT_SIDE_PX = 448
KEY_GAP_S = 0.5
MAX_RATE = 60
COPY_BYTES = 8 * 2**30
"""Largest copy that may be written."""
BROWSER_SOUND = ("aac", "mp3")
BROWSER_FORMATS = {
    "mov": (("h264", "vp9", "av1"), (*BROWSER_SOUND, "opus", "flac")),
    "matroska": (("vp8", "vp9", "av1"), ("opus", "vorbis")),
}
"""Codecs of picture and sound by the demuxer's name, as Chromium, Firefox and Safari have them in common."""


def conforms(info: VideoInfo, *, short_side_px: int = SHORT_SIDE_PX) -> bool:
    """Whether a file can be given to player and model as it is: everything that `normalise` would bake in holds."""
    return (
        info.codec == "h264"
        and info.container.startswith("mov")
        and info.index_first
        and info.pixel_format == "yuv420p"
        and info.as_coded
        and info.plain_colour
        and not (info.variable_rate or info.edit_list or info.notes)
        and info.zero_s == info.start_s == 0  # a player shows the file's own clock
        and info.frame_rate is not None
        and info.frame_rate <= MAX_RATE
        and info.key_gap_s <= KEY_GAP_S + 1 / info.frame_rate
        and min(info.width, info.height) <= short_side_px
        and info.audio_codec in (None, *BROWSER_SOUND)
        and info.duration_s <= info.end_s + 0.1
    )


def plays_as_is(info: VideoInfo) -> bool:
    """Whether browsers show a file as it is, every picture at the time that the model is told.

    H.264, VP9 or AV1 in MP4, VP8, VP9 or AV1 in WebM, with 8-bit 4:2:0 pictures and sound that browsers decode. The
    file's clock begins at zero, because a player shows that clock; it says how long it is; no edit list cuts
    pictures away, and nothing about the file is odd. Pictures are stored upright with square samples: a turned one is
    left to the copy, since browsers differ in mirrors and shapes. A variable rate is no hindrance, for both
    sides read the pictures' own times.
    """
    codecs, sounds = next(
        (sets for container, sets in BROWSER_FORMATS.items() if info.container.startswith(container)),
        ((), ()),
    )
    return (
        info.codec in codecs
        and info.audio_codec in (None, *sounds)
        and info.pixel_format == "yuv420p"
        and info.as_coded
        and info.zero_s == 0
        and info.states_length
        and not (info.edit_list or info.notes)
    )


def normalise(
    video_path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    *,
    short_side_px: int = SHORT_SIDE_PX,
    stretch_s: tuple[float, float] | None = None,
    limits: VideoLimits = DEFAULT_LIMITS,
    cancel: threading.Event | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> VideoInfo:
    """Write the normal copy of a video to `out_path` and return its facts, with notes on what was changed or lost.

    The short side is at most `short_side_px` (never scaled up); sound is kept as AAC where it can be decoded and ends
    with the pictures. Of `stretch_s` (start, end) alone where it is given: frame k is then the one shown at start + k /
    rate. `out_path` appears whole or not at all. Decoding and encoding happen in the child. Raises
    VideoError, InputError when the copy cannot be written, Cancelled.
    """
    out = Path(out_path)
    try:
        fd, part_name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.stem}.", suffix=".part")
    except OSError as error:
        raise InputError(
            f"The copy of '{Path(video_path).name}' cannot be written ({error.strerror}). Give a folder that"
            " exists and can be written."
        ) from None
    os.close(fd)
    part = Path(part_name)
    try:
        answer, _ = read_file(
            "normalise_task",
            video_path,
            {
                "out": str(part),
                "short_side_px": short_side_px,
                "stretch_s": stretch_s,
                "force": "pyav",
            },
            module="tempo_core.transcode",
            limits=replace(limits, child=replace(limits.child, output_bytes=COPY_BYTES)),
            cancel=cancel,
            on_progress=on_progress,
        )
        os.close(answer.output)
        info = probe(part, limits=limits, cancel=cancel)
        move(part, out)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    return replace(info, path=out, notes=(*answer.result["notes"], *info.notes))
