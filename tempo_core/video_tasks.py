"""What the sandbox's child does with a video: describe it, or hand back the pictures shown at given times."""

import hashlib
import mmap
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tempo_core.decoders import Reader, choose_reader
from tempo_core.demux import read_index
from tempo_core.errors import VideoError
from tempo_core.picture_index import UPRIGHT, PictureIndex, VideoFile
from tempo_core.sampling import fit_size, wanted_times

Report = Callable[[float], None]


def probe_task(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """Facts of the file, as `VideoInfo` holds them (without path and size in bytes)."""
    video_file, digest = video_file_of(job), _Digest(job["file"])
    index = read_index(video_file)
    check_duration(job, video_file, index)
    reader, why = choose_reader(video_file, index, force=job.get("force"))
    return describe(video_file, index, reader, why) | {"sha256": digest.wait()}


def sample_task(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """Fill the output with uint8[T, H, W, 3] and say which times it holds."""
    video_file, digest = video_file_of(job), _Digest(job["file"])
    index = read_index(video_file)
    check_duration(job, video_file, index)
    reader, _ = choose_reader(video_file, index, force=job.get("force"))
    times = wanted_times(index.end_s, video_file.name, **job["request"])
    size = fit_size(index.shown_size, job["size"], job["max_pixels"])
    shown = _fill(job, video_file, reader.shown_at(times, size, report), len(times), size)
    notes = [*index.notes, *reader.notes]
    return {
        "times_s": shown,
        "size": size,
        "end_s": index.end_s,
        "reader": reader.name,
        "notes": notes,
        "sha256": digest.wait(),
    }


def describe(video_file: VideoFile, index: PictureIndex, reader: Reader, why: str) -> dict[str, Any]:
    """The index as plain JSON values."""
    height, width = index.shown_size
    rate = index.frame_rate
    return {
        "duration_s": max(index.end_s, index.audio_end_s),
        "start_s": float(index.times_s[0]),
        "end_s": index.end_s,
        "width": width,
        "height": height,
        "frame_rate": None if rate is None else [rate.numerator, rate.denominator],
        "frame_count": len(index.times_s),
        "codec": index.codec,
        "pixel_format": index.pixel_format,
        "container": index.container,
        "rotation_deg": index.rotation_deg,
        "as_coded": index.shown_size == index.coded_size and index.matrix == UPRIGHT,
        "has_audio": index.audio_codec is not None,
        "audio_codec": index.audio_codec,
        "variable_rate": index.variable_rate,
        "edit_list": index.oddities.discarded > 0,
        "key_gap_s": index.key_gap_s,
        "index_first": index.index_first,
        "reader": reader.name,
        "why_reader": why,
        "notes": [*index.notes, *reader.notes],
    }


def video_file_of(job: dict[str, Any]) -> VideoFile:
    """The opened file that a job is about."""
    return VideoFile(file=job["file"], **job["source"])


def check_duration(job: dict[str, Any], video_file: VideoFile, index: PictureIndex) -> None:
    """Refuse a video that is longer than the job's limit."""
    if index.end_s > job["max_duration_s"]:
        raise VideoError(
            f"'{video_file.name}' lasts {index.end_s / 3600:.1f} hours; the limit is"
            f" {job['max_duration_s'] / 3600:g}."
            " Cut it and try again."
        )


def _fill(
    job: dict[str, Any], video_file: VideoFile, pictures: Any, most: int, size: Sequence[int]
) -> list[float]:
    """Write the pictures one after the other; the file is made as long as the wanted times could need."""
    each = size[0] * size[1] * 3
    allowed = job["limits"][2]
    if most * each > allowed:
        raise VideoError(
            f"{most} pictures of {size[1]}x{size[0]} need {most * each / 2**20:.0f} MiB; the limit is"
            f" {allowed / 2**20:.0f}. Ask for fewer or smaller pictures."
        )
    times: list[float] = []
    with open(job["output"], "r+b", closefd=False) as file:
        file.truncate(most * each)
        with mmap.mmap(file.fileno(), most * each) as memory:
            for time_s, picture in pictures:
                target = np.frombuffer(memory, np.uint8, each, len(times) * each)
                np.copyto(target.reshape(*size, 3), picture)
                times.append(time_s)
                del target  # a view would keep the map from closing
        file.truncate(len(times) * each)
    if not times:
        raise VideoError(
            f"No picture of '{video_file.name}' can be decoded at the wanted times. Give another copy."
        )
    return times


class _Digest:
    """SHA-256 of a file, computed beside the decoding (hashing lets other threads run)."""

    def __init__(self, file: str) -> None:
        self._sum = hashlib.sha256()
        self._thread = threading.Thread(target=self._run, args=(file,), daemon=True)
        self._thread.start()

    def _run(self, file: str) -> None:
        with open(file, "rb") as stream:
            while chunk := stream.read(1 << 20):
                self._sum.update(chunk)

    def wait(self) -> str:
        self._thread.join()
        return self._sum.hexdigest()
