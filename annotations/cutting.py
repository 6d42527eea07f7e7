"""Clips out of full-length videos: which are wanted, and cutting them at the times that their vids name.

A vid `{source}_{start}_{end}` names a source video and two cut points in seconds (QVHighlights). Nothing is fetched
here: whoever may fetch the source videos puts them into a folder.
"""

import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from annotations import tables
from annotations.store import Store
from annotations.suspicion import vid_range_s
from annotations.videos import SUFFIXES
from tempo_core.errors import InputError, VideoError
from tempo_core.proxy import SHORT_SIDE_PX, normalise

YT_DLP_NAME = re.compile(r"\[(?P<source>[^\[\]]+)\]$")
"""`Title [id].mp4`, as yt-dlp names files."""
MAX_DIFFERENCE_S = 1.0
"""How much shorter than its cut points a clip may be: annotated ends are whole seconds, and videos end between."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedClip:
    """A clip that rows ask for."""

    vid: str
    source: str
    """The source video's id."""
    start_s: float
    end_s: float
    rows: int
    """Rows that ask about it."""
    has_clip: bool

    @property
    def file_name(self) -> str:
        """What the clip's file is called."""
        return f"{self.vid}{SUFFIXES[0]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CutPlan:
    """Every clip that rows ask for and that can be cut."""

    clips: tuple[PlannedClip, ...]
    """By source and start."""
    whole: dict[str, int]
    """Vids that name no cut points, and how many rows ask for each: they are needed as they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CutReport:
    """What became of a plan."""

    vids: tuple[str, ...]
    """Those whose clips are there."""
    failed: dict[str, str]
    """Vid → why."""
    without_source: tuple[str, ...]
    """Vids whose source video is not in the folder."""


def cut_plan(store: Store, *, with_present: bool = False) -> CutPlan:
    """The clips that rows of datasets in use lack (or all of them), and where to cut them. Read-only."""
    query, dataset = tables.queries, tables.datasets
    statement = (
        select(query.c.vid, func.count())
        .join(dataset, dataset.c.name == query.c.dataset)
        .where(~dataset.c.archived)
        .group_by(query.c.vid)
    )
    with store.database.read() as connection:
        counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(statement)}
    present = {video.vid for video in store.videos() if Path(video.path).is_file()}
    clips, whole = [], {}
    for vid, rows in sorted(counts.items()):
        parts = vid_range_s(vid)
        if vid in present and not with_present:
            continue
        if parts is None:
            whole[vid] = rows
        else:
            source, start_s, end_s = parts
            clip = PlannedClip(
                vid=vid, source=source, start_s=start_s, end_s=end_s, rows=rows, has_clip=vid in present
            )
            clips.append(clip)
    clips.sort(key=lambda clip: (clip.source, clip.start_s))
    return CutPlan(clips=tuple(clips), whole=whole)


def cut(
    plan: CutPlan,
    sources: Path,
    out: Path,
    *,
    short_side_px: int = SHORT_SIDE_PX,
    cancel: threading.Event | None = None,
    on_clip: Callable[[int, PlannedClip, str | None], None] = lambda number, clip, failure: None,
) -> CutReport:
    """Cut the plan's clips out of the full-length files of a folder, exactly at their times, by encoding anew.

    A clip appears in `out` whole or not at all, and one that is there already is not made again, so that a run that
    was stopped goes on. `on_clip` is told the number of each, and why it failed. Raises InputError where there is no
    such folder, Cancelled.
    """
    if not sources.is_dir():
        raise InputError(f"{sources} is no folder; give the one that holds the full-length videos.")
    out.mkdir(parents=True, exist_ok=True)
    file_of = dict(_named_sources(sources))
    vids, failed, without_source = [], {}, []
    for number, clip in enumerate(plan.clips):
        file, target, failure = file_of.get(clip.source), out / clip.file_name, None
        if file is None:
            without_source.append(clip.vid)
            continue
        if not target.is_file():
            try:
                info = normalise(
                    file,
                    target,
                    short_side_px=short_side_px,
                    stretch_s=(clip.start_s, clip.end_s),
                    cancel=cancel,
                )
                wanted_s = clip.end_s - clip.start_s
                if not wanted_s - MAX_DIFFERENCE_S <= info.end_s <= wanted_s + 0.1:
                    target.unlink()
                    failure = f"The clip lasts {info.end_s:.2f} s, and its name says {wanted_s:g} s."
            except VideoError as error:
                failure = str(error)
        if failure is None:
            vids.append(clip.vid)
        else:
            failed[clip.vid] = failure
        on_clip(number, clip, failure)
    return CutReport(vids=tuple(vids), failed=failed, without_source=tuple(without_source))


def _named_sources(folder: Path) -> Iterator[tuple[str, Path]]:
    """(source id, file) of every video below a folder, by its whole name and by an id in brackets at its end."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                path = Path(place, name)
                bracketed = YT_DLP_NAME.search(path.stem)
                if bracketed is not None:
                    yield bracketed["source"], path
                yield path.stem, path
