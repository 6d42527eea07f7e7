"""Rows from formats that list one moment at a time and may have no query ids.

Charades-STA, ActivityNet Captions and TimeLens-Bench repeat a sentence for each of its moments.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from annotations.formats.options import ReadOptions
from annotations.rows import Row, SourceLine, Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One moment of one sentence, as the file lists it."""

    line: int
    """Line or item in the file, from 1."""
    vid: str
    query: str
    duration_s: float | None
    window: tuple[float, float]
    qid: tuple[str, bool] | None = None
    """The id and whether it is a number, where the file has ids."""

    def continues(self, other: "Entry") -> bool:
        """Whether this is a further moment of the same query as `other`."""
        if self.qid is not None or other.qid is not None:
            return self.qid == other.qid and self.vid == other.vid
        return (self.vid, self.query) == (other.vid, other.query)


def joined(entries: Sequence[Entry], options: ReadOptions) -> list[list[Entry]]:
    """Neighbouring entries of one query as groups; overlapping moments of a repeated sentence stay apart."""
    groups: list[list[Entry]] = []
    for entry in entries:
        repeats = options.join_repeats or entry.qid is not None
        if repeats and groups and entry.continues(groups[-1][0]) and not _overlaps(entry, groups[-1]):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _overlaps(entry: Entry, group: Sequence[Entry]) -> bool:
    start_s, end_s = entry.window
    return any(start_s < other.window[1] and other.window[0] < end_s for other in group)


def rows_of(groups: Sequence[Sequence[Entry]], file: str, split: Split) -> Iterator[Row]:
    """One row a group; a group without an id gets `VID/N`, N counting the video's groups from 0."""
    seen: Counter[str] = Counter()
    for group in groups:
        first = group[0]
        qid, qid_is_int = first.qid or (f"{first.vid}/{seen[first.vid]}", False)
        seen[first.vid] += 1
        yield Row(
            qid=qid,
            qid_is_int=qid_is_int,
            query=first.query,
            vid=first.vid,
            duration_s=first.duration_s,
            split=split,
            windows=tuple(sorted(entry.window for entry in group)),
            origin=SourceLine(file=file, line=first.line),
        )


def by_video(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows under their vid, videos in the order of their first row."""
    videos: dict[str, list[Row]] = {}
    for row in rows:
        videos.setdefault(row.vid, []).append(row)
    return videos
