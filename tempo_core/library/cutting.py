"""Moments as clips of their own: exactly, by encoding anew, or as a copy of what is coded, which begins earlier."""

import os
import re
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tempo_core.errors import Cancelled, InputError, VideoError
from tempo_core.files import move
from tempo_core.library.editing import Shot
from tempo_core.proxy import normalise
from tempo_core.video import DEFAULT_LIMITS, probe, read_file

WHOLE_SIZE_PX = DEFAULT_LIMITS.max_side_px
"""Short side of an exact cut: never scaled down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CutClip:
    """A clip that was cut, or why it was not."""

    shot: Shot
    file: Path | None
    start_s: float
    """Where the file truly begins and ends, on the clock of the clip that it was cut from."""
    end_s: float
    problem: str | None = None


def cut_shots(
    shots: Sequence[Shot],
    folder: Path,
    *,
    is_copy: bool = False,
    cancel: threading.Event | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[CutClip]:
    """Write each moment into `folder`, named by its rank, clip and times; a file appears whole or not at all.

    Exact cuts begin with the frame that the moment begins with. With `is_copy` nothing is encoded: a file begins with
    the key picture before the moment, and says so. A clip that cannot be cut is named, the others go on. Raises
    InputError for a folder that cannot be written, Cancelled.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {folder} cannot be made ({error.strerror}). Name another one."
        ) from error
    cuts = []
    for number, shot in enumerate(shots, start=1):
        moment = shot.moment
        stem = re.sub(r"[^\w.-]+", "_", Path(shot.name).stem)[:80]
        name = f"{number:03d}-{stem}-{moment.start_s:.2f}-{moment.end_s:.2f}"
        try:
            if is_copy:
                file, start_s = _copy(shot, folder / name, cancel)
            else:
                file, start_s = folder / f"{name}.mp4", moment.start_s
                stretch_s = (moment.start_s, moment.end_s)
                normalise(shot.path, file, short_side_px=WHOLE_SIZE_PX, stretch_s=stretch_s, cancel=cancel)
            end_s = start_s + probe(file, cancel=cancel).end_s
            cuts.append(CutClip(shot=shot, file=file, start_s=start_s, end_s=end_s))
        except Cancelled:
            raise
        except VideoError as error:
            problem = str(error)
            cuts.append(
                CutClip(shot=shot, file=None, start_s=moment.start_s, end_s=moment.end_s, problem=problem)
            )
        on_progress(number, len(shots))
    return cuts


def _copy(shot: Shot, stem: Path, cancel: threading.Event | None) -> tuple[Path, float]:
    """The copied file and where it begins."""
    is_mp4 = shot.path.suffix.lower() in (".mp4", ".mov", ".m4v")
    file = stem.with_name(f"{stem.name}{'.mp4' if is_mp4 else '.mkv'}")
    fd, part = tempfile.mkstemp(dir=file.parent, prefix=f".{stem.name}.", suffix=".part")
    os.close(fd)
    try:
        answer, _ = read_file(
            "copy_task",
            shot.path,
            {
                "out": part,
                "format": "mp4" if is_mp4 else "matroska",
                "stretch_s": (shot.moment.start_s, shot.moment.end_s),
                "force": "pyav",
            },
            module="tempo_core.stream_copy",
            limits=DEFAULT_LIMITS,
            cancel=cancel,
        )
        os.close(answer.output)
        move(Path(part), file)
    finally:
        Path(part).unlink(missing_ok=True)
    return file, answer.result["start_s"]
