"""What the sandbox's child does with a video: describe it, or hand back the pictures shown at given times."""

import hashlib
import mmap
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from tempo_core.decoders import DecordFailed, Picture, PyavReader, decord_pictures
from tempo_core.demux import read_index
from tempo_core.errors import VideoError
from tempo_core.picture_index import UPRIGHT, PictureIndex, VideoFile
from tempo_core.proxy import conforms
from tempo_core.sampling import fit_size, requested_times
from tempo_core.video import VideoInfo

OnProgress = Callable[[float], None]


def open_video(job: dict[str, Any]) -> tuple[VideoFile, PictureIndex]:
    """The file that a job is about, and its index. Raises VideoError, also when it lasts too long."""
    video_file = VideoFile(path=job["file"], **job["video_file"])
    container = video_file.demuxer
    if container == "webp":
        from tempo_core.animated_webp import as_matroska  # Pillow, which other files never need

        video_file = as_matroska(video_file)
    index = read_index(video_file)
    if container == "webp":
        index.container = container
    if index.end_s > job["max_duration_s"]:
        raise VideoError(
            f"'{video_file.name}' lasts {index.end_s / 3600:.1f} hours; the limit is "
            f"{job['max_duration_s'] / 3600:g}. Cut it and try again."
        )
    return video_file, index


def probe_task(job: dict[str, Any], on_progress: OnProgress) -> dict[str, Any]:
    """Facts of the file as JSON values, as `VideoInfo` holds them (without path and size in bytes)."""
    digest = _sha256(job["file"])
    _, index = open_video(job)
    info = describe(index)
    if is_normal_copy(index, info) and job["force"] != "pyav":
        info = replace(info, reader="decord")
    facts = asdict(info) | {"sha256": digest.result()}
    if info.frame_rate is not None:
        facts["frame_rate"] = [info.frame_rate.numerator, info.frame_rate.denominator]
    del facts["path"], facts["size_bytes"]
    return facts


def sample_task(job: dict[str, Any], on_progress: OnProgress) -> dict[str, Any]:
    """Fill the output with uint8[T, H, W, 3] and say which times it holds."""
    digest = _sha256(job["file"])
    video_file, index = open_video(job)
    times_s = requested_times(index.end_s, video_file.name, **job["request"])
    size = fit_size(index.shown_size, job["size"], job["max_pixels"])
    result = {"size": size, "end_s": index.end_s}
    notes = list(index.notes)
    shown_s = None
    if is_normal_copy(index, describe(index)) and job["force"] != "pyav":
        try:
            pictures = decord_pictures(video_file, index, times_s, size, on_progress)
            shown_s = _fill(job, video_file, pictures, len(times_s), size)
            result["reader"] = "decord"
        except DecordFailed as error:
            notes.append(f"{error}; it was read with PyAV.")
    if shown_s is None:
        reader = PyavReader(video_file, index)
        shown_s = _fill(job, video_file, reader.pictures_at(times_s, size, on_progress), len(times_s), size)
        result["reader"] = "pyav"
        notes += reader.notes
    return result | {"times_s": shown_s, "notes": notes, "sha256": digest.result()}


def is_normal_copy(index: PictureIndex, info: VideoInfo) -> bool:
    """Whether a file is as our transcoder writes it: the only kind that Decord reads."""
    return conforms(info) and index.stands_in_order


def describe(index: PictureIndex) -> VideoInfo:
    """The index as facts; path, size and hash are left empty, and PyAV is taken for the reader."""
    height, width = index.shown_size
    return VideoInfo(
        path=Path(),
        duration_s=max(index.end_s, index.audio_end_s),
        zero_s=index.zero_s,
        start_s=float(index.times_s[0]),
        end_s=index.end_s,
        width=width,
        height=height,
        frame_rate=index.frame_rate,
        frame_count=len(index.times_s),
        codec=index.codec,
        pixel_format=index.pixel_format,
        container=index.container,
        as_coded=index.shown_size == index.coded_size and index.matrix == UPRIGHT,
        plain_colour=index.plain_colour,
        audio_codec=index.audio_codec,
        variable_rate=index.variable_rate,
        edit_list=index.oddities.discarded > 0,
        key_gap_s=index.key_gap_s,
        index_first=index.index_first,
        states_length=index.states_length,
        size_bytes=0,
        sha256="",
        reader="pyav",
        notes=tuple(index.notes),
        timecode=index.timecode,
    )


def _fill(
    job: dict[str, Any], video_file: VideoFile, pictures: Iterator[Picture], most: int, size: tuple[int, int]
) -> list[float]:
    """Write at most `most` pictures into the output, one after the other, and return their times."""
    n_bytes = size[0] * size[1] * 3
    limit_bytes = job["limits"][2]
    if most * n_bytes > limit_bytes:
        raise VideoError(
            f"{most} pictures of {size[1]}x{size[0]} need {most * n_bytes / 2**20:.0f} MiB; the limit is"
            f" {limit_bytes / 2**20:.0f}. Ask for fewer or smaller pictures."
        )
    times_s: list[float] = []
    with open(job["output"], "r+b", closefd=False) as file:
        file.truncate(most * n_bytes)
        with mmap.mmap(file.fileno(), most * n_bytes) as memory:
            for time_s, picture in pictures:
                target = np.frombuffer(memory, np.uint8, n_bytes, len(times_s) * n_bytes)
                np.copyto(target.reshape(*size, 3), picture)
                times_s.append(time_s)
                del target  # a view would keep the map from closing
        file.truncate(len(times_s) * n_bytes)
    if not times_s:
        raise VideoError(
            f"No picture of '{video_file.name}' can be decoded at the requested times. Give another copy."
        )
    return times_s


def _sha256(path: str) -> Future[str]:
    """SHA-256 of a file, computed beside the decoding (hashing lets other threads run)."""

    def digest() -> str:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return ThreadPoolExecutor(max_workers=1).submit(digest)
