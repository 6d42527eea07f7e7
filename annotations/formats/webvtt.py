"""WebVTT: one cue a moment, so that any player shows the moments as captions or chapters.

A cue's id is `QID-N` and its text the query. Before a row's cues stands a NOTE with the whole row as JSON,
which keeps exact seconds, refusals and whatever a cue cannot say. Files without notes read too: cues are
grouped by id, the vid is the file's name. A folder gets one file for each video. Form: w3.org/TR/webvtt1.
"""

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from annotations.formats import carried, fields
from annotations.formats.entries import by_video
from annotations.formats.files import read_text, safe_name
from annotations.formats.jsonl import loads, split_of
from annotations.formats.options import ExportFiles, ExportOptions, FieldError, Problem, ReadOptions
from annotations.rows import Row, SourceLine
from tempo_core.errors import InputError
from tempo_core.moments import Moment

SUFFIX = ".vtt"
NOTE = "NOTE row "
_TIMING = re.compile(r"(?:(\d{2,}):)?([0-5]\d):([0-5]\d)\.(\d{3})")
_CUE_ID = re.compile(r"(.+)-(\d+)", re.DOTALL)
Milliseconds = tuple[int, int]


@dataclass(slots=True)
class _Group:
    """One row as it is gathered from its blocks."""

    line: int
    note: object = None
    qid: str | None = None
    query: str = ""
    shown: list[Milliseconds] = field(default_factory=list)


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows of a file, or of every .vtt file in a folder."""
    for file in sorted(path.glob("*.vtt")) if path.is_dir() else [path]:
        yield from _read_file(file, options)


def _read_file(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    if not re.match(r"WEBVTT(?:[ \t\n]|$)", text):
        raise InputError(f"{path.name} does not begin with WEBVTT, so it is no WebVTT file.")
    groups: list[_Group] = []
    for line, block in _blocks(text):
        try:
            _add(groups, line, block)
        except FieldError as error:
            yield Problem.of(error, path.name, line, block)
    for group in groups:
        try:
            yield _row(group, path, options)
        except FieldError as error:
            yield Problem.of(error, path.name, group.line)


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Blocks after the header with the number of their first line."""
    line = 1
    for place, block in enumerate(re.split(r"(\n{2,})", text)):
        if place and place % 2 == 0 and block.strip("\n"):
            yield line, block.strip("\n")
        line += block.count("\n")


def _add(groups: list[_Group], line: int, block: str) -> None:
    """Take one block in: a note begins a row, a cue continues the row of its id or begins one."""
    if block.startswith(NOTE):
        groups.append(_Group(line=line, note=loads(block.removeprefix(NOTE))))
        return
    if block.startswith(("NOTE", "STYLE", "REGION")) and "-->" not in block:
        return
    lines = block.split("\n")
    cue_id = None if "-->" in lines[0] else lines.pop(0)
    if not lines:
        raise FieldError("cue", block, "a cue needs a line with `START --> END`")
    shown = _timing(lines[0])
    if groups and groups[-1].note is not None and _belongs(cue_id, groups[-1]):
        groups[-1].shown.append(shown)
        return
    found = _CUE_ID.fullmatch(cue_id or "")
    qid, query = (found[1] if found else cue_id), html.unescape("\n".join(lines[1:]))
    same = [group for group in groups if qid is not None and group.note is None and group.qid == qid]
    if same:
        same[0].shown.append(shown)
    else:
        groups.append(_Group(line=line, qid=qid, query=query, shown=[shown]))


def _belongs(cue_id: str | None, group: _Group) -> bool:
    note = group.note if isinstance(group.note, dict) else {}
    return cue_id is not None and cue_id.rpartition("-")[0] == _shown_id(str(note.get("qid")))


def _timing(line: str) -> Milliseconds:
    start, _, rest = line.partition("-->")
    end = rest.split()[0] if rest.split() else ""
    start_ms, end_ms = _milliseconds(start.strip()), _milliseconds(end)
    if end_ms <= start_ms:
        raise FieldError("cue", line, "a cue must end after it starts")
    return start_ms, end_ms


def _milliseconds(stamp: str) -> int:
    found = _TIMING.fullmatch(stamp)
    if found is None:
        raise FieldError("cue", stamp, "must be a time such as 00:01:22.000")
    hours, minutes, seconds, thousandths = (int(part or 0) for part in found.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths


def _row(group: _Group, path: Path, options: ReadOptions) -> Row:
    origin = SourceLine(file=path.name, line=group.line)
    if group.note is not None:
        row = carried.row_of(group.note, origin)
        row = carried.with_windows(row, carried.settled(row.windows or (), group.shown, to_ms, to_seconds))
        return row if options.split is None else replace(row, split=options.split)
    return Row(
        qid=group.qid or f"{path.stem}/{group.line}",
        query=fields.text(group.query, "cue text"),
        vid=path.stem,
        split=split_of(path, options),
        windows=fields.windows([to_seconds(shown) for shown in group.shown], "cue"),
        origin=origin,
    )


def to_ms(start_s: float, end_s: float) -> Milliseconds:
    return Moment(start_s, end_s).to_ms()


def to_seconds(shown: Milliseconds) -> tuple[float, float]:
    return shown[0] / 1000, shown[1] / 1000


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Every row can be carried."""


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One file for a path that ends in .vtt, else one file for each video in the folder."""
    if path.suffix == SUFFIX:
        return ExportFiles(files={path: _content(rows)}, counts={"videos": len(by_video(rows))})
    videos = by_video(rows)
    return ExportFiles(
        files={path / f"{safe_name(vid)}.vtt": _content(found) for vid, found in videos.items()},
        counts={"videos": len(videos)},
    )


def _content(rows: Sequence[Row]) -> bytes:
    blocks = ["WEBVTT"]
    for row in rows:
        blocks.append(NOTE + _one_line(carried.noted(row)))
        blocks += [
            _cue(row, place, *to_ms(*window)) for place, window in enumerate(row.windows or (), start=1)
        ]
    return "".join(f"{block}\n\n" for block in blocks).encode("utf-8")


def _one_line(note: dict[str, Any]) -> str:
    """JSON without the arrow that would make the note a cue."""
    return json.dumps(note).replace(">", "\\u003e")


def _shown_id(qid: str) -> str:
    """The query id as a cue can show it: one line, and no arrow."""
    return " ".join(qid.split()).replace("-->", "→")


def _cue(row: Row, place: int, start_ms: int, end_ms: int) -> str:
    text = html.escape(" ".join(row.query.split()), quote=False)
    return f"{_shown_id(row.qid)}-{place}\n{_stamp(start_ms)} --> {_stamp(end_ms)}\n{text}"


def _stamp(milliseconds: int) -> str:
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{thousandths:03d}"
