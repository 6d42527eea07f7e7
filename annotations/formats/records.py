"""Files of other projects that list queries with their moments: each module says where its own keeps them.

A module turns the items of its file into `Record`s of any JSON values; `read_records` checks, counts and names them.
Such a format is read only.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from annotations.formats import fields
from annotations.formats.files import read_text, split_of
from annotations.formats.grouping import layers
from annotations.formats.options import Contents, Item, Omission, ReadOptions
from annotations.rows import Row, SourceLine, Split, Windows
from tempo_core.metrics.rows import FieldError, Problem

SUBSETS: dict[str, Split] = {
    "training": "train",
    "train": "train",
    "validation": "val",
    "val": "val",
    "testing": "test",
    "test": "test",
}
"""Names of splits in published files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One query as a file gives it: values that nobody has checked."""

    place: str
    """In the format's own words."""
    vid: object
    query: object
    windows: object
    """Pairs in seconds; [] and `fields.REFUSALS`: nothing matches; None: no ground truth."""
    duration: object = None
    qid: object = None
    """None: it becomes `VID/N`, N its place among the video's queries, from 0."""
    subset: object = None
    """The split's name as published; others than SUBSETS are unknown."""
    reason: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    repeats: bool = False
    """Whether the windows are those of several labels with one text. Those may overlap; then they are several rows."""


Parse = Callable[[str, Any], Iterator[Record | Omission]]
"""The records of one item, given its place and its value, and what it holds beside them. Raises FieldError."""


def list_items(path: Path) -> Iterator[tuple[str, Any]]:
    """The values of a JSON list, named by their index from 0."""
    for idx, value in enumerate(fields.sequence(fields.parse_json(read_text(path)), "file")):
        yield f"item {idx}", value


def video_items(path: Path, key: str | None = None) -> Iterator[tuple[str, Any]]:
    """The values of a JSON object, or of the one under a key, by the videos' ids: (id, value)."""
    document = fields.mapping(fields.parse_json(read_text(path)), "file")
    yield from fields.mapping(document if key is None else fields.required(document, key), "file").items()


def vid_of_path(value: object, name: str = "video") -> str:
    """The video's id in the path or the name of its file."""
    return PurePosixPath(fields.text(value, name).replace("\\", "/")).stem


def part_of(vid: str, start: object, end: object) -> tuple[str, dict[str, Any]]:
    """The id of a clip that is a part of its file, and both edges for `extra`; the file itself without a start."""
    if start is None:
        return vid, {}
    start_s, end_s = fields.number(start, "video_start"), fields.number(end, "video_end")
    return f"{vid}_{start_s:g}_{end_s:g}", {"video_start": start_s, "video_end": end_s}


def read_records(
    path: Path,
    options: ReadOptions,
    items: Iterable[tuple[str, Any]],
    parse: Parse,
    known: Collection[str] | None = None,
) -> Iterator[Item]:
    """Rows in the file's order. A bad query is named by its place, and the others of its item stay.

    `known` are the fields of an item that `parse` looks at; others are named once, with how many items have them.
    """
    held_count = taken_count = 0
    unread: Counter[str] = Counter()
    rows_of_video: Counter[str] = Counter()
    uses_of_qid: Counter[str] = Counter()
    for number, (name, value) in enumerate(items, start=1):
        if known is not None and isinstance(value, dict):
            unread.update(key for key, content in value.items() if key not in known and content is not None)
        try:
            records = list(parse(name, value))
        except FieldError as error:
            held_count += 1
            yield Problem.of(error, path.name, number, place=name, raw=json.dumps(value))
            continue
        for record in records:
            if isinstance(record, Omission):
                yield record
                continue
            held_count += 1
            try:
                vid = fields.text(record.vid, "vid")
                duration = None if record.duration is None else fields.duration_s(record.duration)
                for windows in _windows(record, duration, options):
                    qid, qid_is_int = f"{vid}/{rows_of_video[vid]}", False
                    if record.qid is not None:
                        qid, qid_is_int = fields.qid(record.qid)
                    uses_of_qid[qid] += 1
                    if uses_of_qid[qid] > 1:
                        # Some published files repeat their ids.
                        qid, qid_is_int = f"{qid}#{uses_of_qid[qid]}", False
                    yield Row(
                        qid=qid,
                        qid_is_int=qid_is_int,
                        query=fields.text(record.query, "query"),
                        vid=vid,
                        duration_s=duration,
                        split=options.split or SUBSETS.get(str(record.subset)) or split_of(path, options),
                        windows=windows,
                        reason=record.reason if windows == () else None,
                        extra={name: item for name, item in record.extra.items() if item is not None},
                        origin=SourceLine(file=path.name, line=number, place=record.place),
                    )
                    rows_of_video[vid] += 1
                taken_count += 1
            except FieldError as error:
                yield Problem.of(error, path.name, number, place=record.place, raw=json.dumps(value))
    yield Contents(unit="queries", held=held_count, taken=taken_count)
    yield from unread_fields(path.name, unread)


def unread_fields(file: str, unread: Mapping[str, int], name: str = "fields") -> Iterator[Omission]:
    """One omission for fields that nothing reads, if there are any: each with how many items have it."""
    if unread:
        listing = ", ".join(f"{key} ({count})" for key, count in unread.items())
        yield Omission(file=file, place=f"{name} {listing}", reason="not read")


def _windows(record: Record, duration: float | None, options: ReadOptions) -> list[Windows | None]:
    """The moments of each row that a record becomes. Raises FieldError."""
    if record.windows is None:
        return [None]
    if not record.repeats:
        return [fields.windows(record.windows, "windows", duration, options.mending)]
    pairs = fields.sequence(record.windows, "windows")
    checked = [fields.window(pair, "windows", duration, options.mending) for pair in pairs]
    return [tuple(sorted(layer)) for layer in layers(checked)]
