"""Rows of one video together, and rows from formats that list one moment at a time.

Charades-STA, ActivityNet Captions and TimeLens-Bench repeat a sentence for each of its moments.
"""

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

    def continues(self, group: "Sequence[Entry]", options: ReadOptions) -> bool:
        """Whether this is a further moment of the group's query. A sentence that overlaps itself is two queries."""
        first = group[0]
        if self.qid is not None or first.qid is not None:
            same_query = (self.qid, self.vid) == (first.qid, first.vid)
        else:
            same_query = options.join_repeats and (self.vid, self.query) == (first.vid, first.query)
        start_s, end_s = self.window
        return same_query and all(end_s <= entry.window[0] or entry.window[1] <= start_s for entry in group)


def rows_of(entries: Iterable[Entry], options: ReadOptions, file: str, split: Split) -> Iterator[Row]:
    """Neighbouring entries of one query as one row; one without an id gets `VID/N`, N its place in the video."""
    groups: list[list[Entry]] = []
    for entry in entries:
        if groups and entry.continues(groups[-1], options):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    rows_of_video: Counter[str] = Counter()
    for group in groups:
        first = group[0]
        qid, qid_is_int = first.qid or (f"{first.vid}/{rows_of_video[first.vid]}", False)
        rows_of_video[first.vid] += 1
        yield Row(
            qid=qid,
            qid_is_int=qid_is_int,
            query=first.query,
            vid=first.vid,
            duration_s=first.duration_s,
            split=split,
            windows=tuple(sorted(entry.window for entry in group)),
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
