"""Rows of one video together, and rows from formats that list one moment at a time.

Charades-STA, ActivityNet Captions and TimeLens-Bench repeat a sentence for each of its moments.
"""

from bisect import bisect, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from annotations.formats.options import ReadOptions
from annotations.rows import Row, SourceLine, Split

Time = TypeVar("Time", int, float)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One moment of one sentence, as the file lists it."""

    line: int
    """Line or item in the file, from 1."""
    place: str | None = None
    """In the format's own words; None: the line says it."""
    vid: str
    query: str
    duration_s: float | None
    window: tuple[float, float]
    qid: tuple[str, bool] | None = None
    """The id and whether it is a number, where the file has ids."""

    def continues(self, first: "Entry", windows: Sequence[tuple[float, float]], options: ReadOptions) -> bool:
        """Whether this is a further moment of the query that began with `first` and has the sorted `windows`.

        A sentence that overlaps itself is two queries.
        """
        if self.qid is not None or first.qid is not None:
            same_query = (self.qid, self.vid) == (first.qid, first.vid)
        else:
            same_query = options.join_repeats and (self.vid, self.query) == (first.vid, first.query)
        # None of the windows overlaps another, so that the neighbours tell of all.
        place = bisect(windows, self.window)
        is_after = place == 0 or windows[place - 1][1] <= self.window[0]
        return same_query and is_after and (place == len(windows) or self.window[1] <= windows[place][0])


def rows_of(entries: Iterable[Entry], options: ReadOptions, file: str, split: Split) -> Iterator[Row]:
    """Neighbouring entries of one query as one row; one without an id gets `VID/N`, N its place in the video."""
    groups: list[tuple[Entry, list[tuple[float, float]]]] = []
    for entry in entries:
        if groups and entry.continues(*groups[-1], options):
            insort(groups[-1][1], entry.window)
        else:
            groups.append((entry, [entry.window]))
    rows_of_video: Counter[str] = Counter()
    for first, windows in groups:
        qid, qid_is_int = first.qid or (f"{first.vid}/{rows_of_video[first.vid]}", False)
        rows_of_video[first.vid] += 1
        yield Row(
            qid=qid,
            qid_is_int=qid_is_int,
            query=first.query,
            vid=first.vid,
            duration_s=first.duration_s,
            split=split,
            windows=tuple(windows),
            origin=SourceLine(file=file, line=first.line, place=first.place),
        )


def layers(spans: Sequence[tuple[Time, Time]]) -> list[list[tuple[Time, Time]]]:
    """The spans in as many lists as they need so that none overlaps another; at least one list."""
    lists: list[list[tuple[Time, Time]]] = [[]]
    for start, end in spans:
        for layer in lists:
            if all(end <= other_start or other_end <= start for other_start, other_end in layer):
                break
        else:
            layer = []
            lists.append(layer)
        layer.append((start, end))
    return lists


def by_video(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows under their vid, videos in the order of their first row."""
    videos: dict[str, list[Row]] = {}
    for row in rows:
        videos.setdefault(row.vid, []).append(row)
    return videos
