"""Probe a video and sample its frames with their true presentation times, in a child process with limits.

The clock is the player's: zero is the container's start (the earlier of picture and sound), edit lists,
rotation and variable rates are honoured. Nothing is decoded in this process and no decoder is imported here.
"""

import mmap
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tempo_core.errors import VideoError
from tempo_core.sampling import check_request, check_size, round_step_s
from tempo_core.sandbox import ChildAnswer, ChildDied, ChildLimits, open_regular, run_child
from tempo_core.timestamps import RESOLUTION_S, distinct_idx

__all__ = ["DEFAULT_LIMITS", "SampledVideo", "VideoInfo", "VideoLimits", "probe", "round_step_s", "sample"]

HEAD_BYTES = 4096
LEAST_BYTES = 16
"""Less is no video. A browser's recording of half a second may come as its first byte alone."""
KNOWN = (
    "MP4/MOV, WebM/Matroska, AVI, MPEG-TS, MPEG-PS, MXF, WMV, FLV, DV, Ogg, GIF, or an animated WebP or PNG"
)
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")  # the header object's GUID
MXF = bytes.fromhex("060e2b34020501010d0102010102")  # a header partition pack (SMPTE ST 377-1)
DV = (b"\x1f\x07\x00\x3f", b"\x1f\x07\x00\xbf")  # header DIF block of 60 and of 50 fields (IEC 61834-2)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoLimits:
    """How large a foreign video may be, and what reading it may cost."""

    max_bytes: int = 8 * 2**30
    """Size of the file."""
    max_pixels: int = 40_000_000
    """Width times height of one picture (8K is 33 million)."""
    max_side_px: int = 8192
    """Longest side of a picture."""
    max_duration_s: float = 6 * 3600.0
    """Length in seconds; sampling a long video decodes only the stretches that it needs."""
    child: ChildLimits = field(default_factory=ChildLimits)
    """Memory, processor seconds, wall seconds and bytes handed back."""
    threads: int = 2
    """Decoder threads; each costs memory for large pictures."""
    follow_links: bool = True
    """Whether a symbolic link to a regular file is read: right for a person's own folders, not for uploads."""

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_side_px", "max_duration_s", "threads"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}.")


DEFAULT_LIMITS = VideoLimits()


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """What a video file is, measured from its packets rather than believed from its header."""

    path: Path
    duration_s: float
    """Length on the player's clock: the later end of picture and sound."""
    zero_s: float
    """Where the player's zero lies on the file's own clock: more than 0 where nothing is there before."""
    start_s: float
    """When the first picture is shown; more than 0 where the sound starts earlier."""
    end_s: float
    """Where the last picture ends."""
    width: int
    """As shown: turned upright, square samples."""
    height: int
    frame_rate: Fraction | None
    """Pictures per second (the average where the rate varies); None for a single picture."""
    frame_count: int
    """Pictures that are shown."""
    codec: str
    pixel_format: str
    container: str
    """The demuxer's name, as libavformat gives it."""
    as_coded: bool
    """Whether pictures are shown as they are coded: neither turned, nor mirrored, nor stretched."""
    plain_colour: bool
    """Whether the file states its colours as a normal copy does, so that no player guesses (`tempo_core.colour`)."""
    audio_codec: str | None
    """None without sound."""
    variable_rate: bool
    edit_list: bool
    """Whether an edit list cuts pictures away."""
    key_gap_s: float
    """Longest stretch between pictures at which decoding can start."""
    index_first: bool
    """Whether an MP4's index stands before its data."""
    states_length: bool
    """Whether the file says how long it is, as one that was written while it was sent does not, nor one whose header
    ends before its pictures do."""
    size_bytes: int
    sha256: str
    reader: str
    """Which library reads its pictures: "decord" for our own normal copy, else "pyav"."""
    notes: tuple[str, ...]
    """What is odd about the file, in sentences."""
    timecode: str | None = None
    """Of the first picture, where the file has a timecode track: 01:00:00:00, with a ; where numbers are dropped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledVideo:
    """Frames of a video with their true times."""

    times_s: np.ndarray
    """float64[T]: presentation times on the player's clock, strictly increasing."""
    frames: np.ndarray
    """uint8[T, H, W, 3], RGB, as shown."""
    end_s: float
    """Where the last picture of the video ends on the same clock; after the last of `times_s`."""
    reader: str
    """"decord" or "pyav"."""
    notes: tuple[str, ...]
    """What is odd about the file or was lost on the way, in sentences."""
    sha256: str
    """Of the file."""


def without_twins(video: SampledVideo) -> SampledVideo:
    """The video without frames whose stamp the next frame has too; a note says how many they were."""
    idx = distinct_idx(video.times_s.tolist())
    if len(idx) == len(video.times_s):
        return video
    note = f"{len(video.times_s) - len(idx)} sampled frames less than {RESOLUTION_S} s before the next are left out."
    return replace(video, times_s=video.times_s[idx], frames=video.frames[idx], notes=(*video.notes, note))


def probe(
    video_path: str | os.PathLike[str],
    *,
    limits: VideoLimits = DEFAULT_LIMITS,
    cancel: threading.Event | None = None,
    force_reader: str | None = None,
) -> VideoInfo:
    """Measure a video file.

    Raises VideoError for everything that is not a readable, datable video within `limits`; Cancelled when
    `cancel` is set on the way. `force_reader="pyav"` keeps Decord out.
    """
    answer, size = read_file("probe_task", video_path, {"force": force_reader}, limits=limits, cancel=cancel)
    os.close(answer.output)
    facts = answer.result
    rate = facts.pop("frame_rate")
    return VideoInfo(
        path=Path(video_path),
        size_bytes=size,
        frame_rate=None if rate is None else Fraction(*rate),
        notes=tuple(facts.pop("notes")),
        **facts,
    )


def sample(
    video_path: str | os.PathLike[str],
    *,
    step_s: float | None = None,
    fps: float | None = None,
    at: Sequence[float] | None = None,
    max_frames: int | None = None,
    max_pixels: int | None = None,
    size: tuple[int, int] | None = None,
    limits: VideoLimits = DEFAULT_LIMITS,
    cancel: threading.Event | None = None,
    on_progress: Callable[[float], None] | None = None,
    force_reader: str | None = None,
) -> SampledVideo:
    """The frames shown every `step_s` seconds, `fps` times a second, or at the times `at`, with their own times.

    With none of the three the step is `round_step_s` for `max_frames`, or 1 s. A wanted time gets the frame on screen
    then (before the first frame, the first); its own presentation time is returned, and a frame wanted twice comes
    once. `size` is (height, width); `max_pixels` scales down and keeps the shape. `on_progress` gets a share in [0,
    1]. Raises InputError for senseless or outside requests, VideoError for files that cannot be read truthfully,
    Cancelled.
    """
    check_request(step_s, fps, at, max_frames)
    check_size(size, max_pixels)
    request = {
        "step_s": step_s,
        "fps": fps,
        "at": None if at is None else [float(t) for t in at],
        "max_frames": max_frames,
    }
    job = {"request": request, "size": size, "max_pixels": max_pixels, "force": force_reader}
    answer, _ = read_file(
        "sample_task", video_path, job, limits=limits, cancel=cancel, on_progress=on_progress
    )
    result = answer.result
    shape = (len(result["times_s"]), *result["size"], 3)
    try:  # a private array on the child's bulk data: no copy is made, and it lives as long as its frames
        memory = mmap.mmap(answer.output, int(np.prod(shape)), access=mmap.ACCESS_COPY)
    finally:
        os.close(answer.output)
    return SampledVideo(
        times_s=np.array(result["times_s"], dtype=np.float64),
        frames=np.frombuffer(memory, dtype=np.uint8).reshape(shape),
        end_s=result["end_s"],
        reader=result["reader"],
        notes=tuple(result["notes"]),
        sha256=result["sha256"],
    )


def read_file(
    task: str,
    video_path: str | os.PathLike[str],
    job: dict[str, Any],
    *,
    module: str = "tempo_core.video_tasks",
    limits: VideoLimits,
    cancel: threading.Event | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[ChildAnswer, int]:
    """Pass a checked file to a task in the child; the answer and the file's size in bytes.

    A decoder that crashes gets a second try without Decord. The caller closes `answer.output`.
    """
    name = Path(video_path).name
    fd = open_regular(video_path, follow_links=limits.follow_links)
    try:
        size, demuxer = check_head(fd, name, limits)
        job |= {
            "video_file": {
                "name": name,
                "demuxer": demuxer,
                "max_pixels": limits.max_pixels,
                "max_side_px": limits.max_side_px,
                "threads": limits.threads,
            },
            "max_duration_s": limits.max_duration_s,
        }
        settings: dict[str, Any] = {"name": name, "file": fd, "limits": limits.child, "cancel": cancel}
        try:
            return run_child(f"{module}:{task}", job, on_progress=on_progress, **settings), size
        except ChildDied as death:
            if death.cause != "crash" or job.get("force") == "pyav":
                raise
            job |= {"force": "pyav"}
            return run_child(f"{module}:{task}", job, on_progress=on_progress, **settings), size
    finally:
        os.close(fd)


def check_head(fd: int, name: str, limits: VideoLimits) -> tuple[int, str]:
    """Size in bytes and the demuxer that the first bytes call for. Raises VideoError for anything but a known video."""
    size = os.fstat(fd).st_size
    if size < LEAST_BYTES:
        raise VideoError(f"'{name}' is empty ({size} B). Copy, upload or record it again.")
    if size > limits.max_bytes:
        raise VideoError(
            f"'{name}' has {size / 2**30:.1f} GiB; the limit is {limits.max_bytes / 2**30:.1f}. Give a"
            " smaller file."
        )
    demuxer = demuxer_for(os.pread(fd, HEAD_BYTES, 0))
    if demuxer is None:
        raise VideoError(
            f"'{name}' is not a video file that is read here: {KNOWN}. Convert it to MP4 and try again."
        )
    return size, demuxer


def demuxer_for(head: bytes) -> str | None:
    """libavformat's name of the container that the first bytes of a file show, whatever it is called.

    Or "webp", which `tempo_core.animated_webp` reads.
    """
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & 2:  # animated
        return "webp"
    if head[:4] == b"OggS":
        return "ogg"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[:4] == b"\x00\x00\x01\xba":
        return "mpeg"
    if head.startswith(ASF):
        return "asf"
    if head.startswith(MXF):
        return "mxf"
    if head[:4] == b"FLV\x01":
        return "flv"
    if head.startswith(DV):
        return "dv"
    if head[:8] == b"\x89PNG\r\n\x1a\n" and b"acTL" in head:  # a PNG that is not animated is no video
        return "apng"
    for first, packet in ((0, 188), (4, 192)):
        syncs = head[first : first + 5 * packet : packet]
        if len(syncs) > 1 and set(syncs) == {0x47}:
            return "mpegts"
    return None
