"""Tidy CSV: one line a moment, with who marked it; a party without moments has one line without times.

RFC 4180, UTF-8. A cell that a spreadsheet would run as a formula (it begins with = + - @, a tab or a line break, also
behind spaces) gets an apostrophe in front, which reading takes away again.

Tables are read as people save them: semicolons or tabs, UTF-16, decimal commas, HH:MM:SS, other names for the columns.
Without a `qid` a line's query is `VID/N`. Workbooks (`xlsx.py`) hold the same lines.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.files import BYTE_ORDER_MARK, read_text, split_of
from annotations.formats.label_studio import frame_rate_of, frames_of
from annotations.formats.options import ExportFiles, ExportOptions, Item, ReadOptions
from annotations.formats.records import unread_fields
from annotations.rows import VERSION_SOURCES, AnnotatorVersion, Row, SourceLine, Windows
from tempo_core.errors import InputError
from tempo_core.metrics.rows import FieldError, Problem

COLUMNS = (
    "qid",
    "vid",
    "split",
    "source",
    "annotator",
    "span_idx",
    "start_s",
    "end_s",
    "start_frame",
    "end_frame",
    "verdict",
    "reason",
    "score",
    "arm",
    "active_ms",
    "updated_at",
    "row_rev",
    "duration_s",
    "query",
)
KNOWN = (*COLUMNS, "qid_type")
"""Columns that are read, or that say again what others say; older exports had the last one."""
NEEDED = ("vid", "query", "start_s", "end_s")
SYNONYMS = {
    "video": "vid",
    "video_id": "vid",
    "file": "vid",
    "filename": "vid",
    "sentence": "query",
    "text": "query",
    "caption": "query",
    "description": "query",
    "start": "start_s",
    "start_time": "start_s",
    "end": "end_s",
    "end_time": "end_s",
    "duration": "duration_s",
}
"""Names of columns in other people's tables, in small letters, with _ between words."""
TIMES = ("start_s", "end_s", "duration_s")
OF_QUERY = ("vid", "query", "split", "duration_s")
"""Columns that all lines of a query share."""
OF_PARTY = ("source", "annotator", "verdict", "arm", "updated_at", "row_rev", "active_ms")
"""Columns that tell the versions of a query apart."""
VERSION_COLUMNS = {
    "source": "source",
    "annotator": "annotator",
    "verdict": "verdict",
    "reason": "reason",
    "arm": "arm",
    "active_ms": "active_ms",
    "updated_at": "updated_at",
    "row_rev": "revision",
}
"""Column → attribute of AnnotatorVersion."""
TRUTH, ORIGINAL = "truth", "original"
TRIGGERS = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠")
Cells = dict[str, str]
Line = tuple[SourceLine, Cells]
"""Where a line stands, and its cells by column."""
SURPLUS = ""
"""Under this name stand the cells beyond the last column."""


def safe(cell: str) -> str:
    """The cell as a spreadsheet may show it without running it."""
    return f"'{cell}" if _is_dangerous(cell) else cell


def unsafe(cell: str) -> str:
    """The cell that `safe` was given."""
    return cell[1:] if cell.startswith("'") and _is_dangerous(cell[1:]) else cell


def _is_dangerous(cell: str) -> bool:
    return cell.startswith(TRIGGERS) or cell.lstrip().startswith(TRIGGERS)


@dataclass(slots=True, eq=False)
class _Party:
    """One party's lines of one query."""

    cells: Cells
    windows: list[tuple[float, float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Query:
    """One query's lines."""

    origin: SourceLine
    cells: Cells
    parties: dict[tuple[str, ...], _Party] = field(default_factory=dict)


def columns_of(header: Sequence[str]) -> list[str]:
    """The header's columns by our names; the first of several synonyms counts, and only where the name itself is not
    there."""
    names = [cell.strip().removeprefix(BYTE_ORDER_MARK) for cell in header]
    columns: list[str] = []
    for name in names:
        key = re.sub(r"[\s_-]+", "_", name.lower())
        column = SYNONYMS.get(key, key if key in KNOWN else name)
        columns.append(name if column in names or column in columns else column)
    return columns


def delimiter_of(header: str) -> str | None:
    """The character between the cells of a header that names moments; None: it is no table of moments."""
    for delimiter in (",", ";", "\t"):
        try:
            columns = set(columns_of(next(csv.reader([header], delimiter=delimiter), [])))
        except csv.Error:
            continue
        if {"start_s", "end_s"} <= columns and ("qid" in columns or {"vid", "query"} <= columns):
            return delimiter
    return None


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the order of their first line. Needs vid, query, start_s, end_s; others help."""
    yield from read_lines(_lines(path), path, options)


def read_lines(lines: Iterable[Line], path: Path, options: ReadOptions) -> Iterator[Item]:
    """The rows that lines of a table say, in the order of their first line."""
    queries: dict[str, _Query] = {}
    broken_qids: set[str] = set()
    unread: Counter[str] = Counter()
    rows_of_video: Counter[str] = Counter()
    for origin, cells in lines:
        unread.update(name for name, cell in cells.items() if cell and name not in (*KNOWN, SURPLUS))
        if "qid" not in cells:
            vid = cells.get("vid", "")
            cells["qid"] = f"{vid}/{rows_of_video[vid]}"
            rows_of_video[vid] += 1
        qid = cells["qid"]
        query = queries.setdefault(qid, _Query(origin=origin, cells=cells))
        try:
            if SURPLUS in cells:
                rule = "is beyond the last column; a cell with a separator in it must stand in quotes"
                raise FieldError("line", cells[SURPLUS], rule)
            for name in OF_QUERY:
                if cells.get(name) != query.cells.get(name):
                    place = query.origin.place or f"line {query.origin.line}"
                    raise FieldError(name, cells.get(name), f"differs from {place} of the same qid")
            key = tuple(cells.get(name, "") for name in OF_PARTY)
            party = query.parties.setdefault(key, _Party(cells=cells))
            if cells.get("start_s") or cells.get("end_s"):
                edges = [_number(cells, "start_s"), _number(cells, "end_s")]
                party.windows.append(fields.window(edges, "start_s, end_s", mending=options.mending))
                if cells.get("score"):
                    party.scores.append(_number(cells, "score"))
        except FieldError as error:
            broken_qids.add(qid)
            yield Problem.of(error, path.name, origin.line, place=origin.place, raw=repr(cells))
    yield from unread_fields(path.name, unread, "columns")
    for qid, query in queries.items():
        if qid in broken_qids:
            continue
        try:
            yield _row(query, path, options)
        except FieldError as error:
            problem = error
        except InputError as error:  # a verdict that contradicts its moments
            problem = FieldError("verdict", query.cells.get("verdict"), str(error))
        else:
            continue
        origin = query.origin
        yield Problem.of(problem, path.name, origin.line, place=origin.place, raw=repr(query.cells))


def _lines(path: Path) -> Iterator[Line]:
    text = read_text(path)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter_of(text.split("\n", 1)[0].rstrip("\r")) or ",",
        strict=True,
    )
    table = _with_line_numbers(reader, path.name)
    header = next(table, (1, []))[1]
    for number, cells in cells_by_column(header, table, path.name):
        yield SourceLine(file=path.name, line=number), cells


def cells_by_column(
    header: Sequence[str], table: Iterable[tuple[int, Sequence[str]]], name: str
) -> Iterator[tuple[int, Cells]]:
    """The lines of a table that are not empty, by column, with their numbers. Raises InputError for a column that is
    missing or stands twice; `name` is the table's in that message."""
    columns = columns_of(header)
    missing = [column for column in NEEDED if column not in columns]
    if missing:
        raise InputError(
            f"{name} has no column {', '.join(missing)}. Name them in its first line, which has "
            f"{', '.join(header) or 'nothing'}."
        )
    repeated = [column for column, count in Counter(map(str.strip, header)).items() if column and count > 1]
    if repeated:
        raise InputError(
            f"{name} has two columns {', '.join(repeated)}. Give each column a name of its own in the first line; "
            "a query's further moments stand on lines of their own."
        )
    for number, values in table:
        if any(values):
            cells = dict(zip(columns, map(unsafe, values), strict=False))
            if surplus := [value for value in values[len(columns) :] if value]:
                cells[SURPLUS] = " ".join(surplus)
            yield number, cells


def _with_line_numbers(reader: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    """A CSV reader's lines with the number of the line that each begins on. Raises InputError."""
    line = 1
    try:
        for values in reader:
            yield line, values
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: is not CSV ({error}).") from error


def _number(cells: Cells, name: str) -> float:
    text = cells.get(name, "")
    if name in TIMES:
        return fields.seconds_of_text(text, name)
    return fields.number_of_text(text, name)


def _whole(cells: Cells, name: str) -> int | None:
    try:
        return fields.whole(int(cells[name]), name) if cells.get(name) else None
    except ValueError as error:
        raise FieldError(name, cells[name], "must be a whole number") from error


def _row(query: _Query, path: Path, options: ReadOptions) -> Row:
    cells = query.cells
    duration = (
        fields.duration_s(_number(cells, "duration_s"), "duration_s") if cells.get("duration_s") else None
    )
    truth: _Party | None = None
    original: _Party | None = None
    versions: list[AnnotatorVersion] = []
    for party in query.parties.values():
        source = party.cells.get("source") or TRUTH
        if source == TRUTH and truth is None:
            truth = party
        elif source == ORIGINAL and original is None and not party.cells.get("annotator"):
            original = party
        else:
            versions.append(_version(party, source))
    verdict, windows = None, None
    if truth is not None:
        verdict = fields.verdict(truth.cells["verdict"]) if truth.cells.get("verdict") else None
        # No times: a verdict `no-moment` is a refusal; no verdict, or `cannot-judge`, is no ground truth.
        if truth.windows or verdict in ("moments", "no-moment"):
            windows = fields.windows(truth.windows, "start_s, end_s", duration, options.mending)
    qid, qid_is_int = fields.qid_of_text(cells.get("qid"))
    return Row(
        qid=qid,
        qid_is_int=qid_is_int,
        query=fields.text(cells.get("query"), "query"),
        vid=fields.text(cells.get("vid"), "vid"),
        duration_s=duration,
        split=options.split
        or (fields.split(cells["split"]) if cells.get("split") else split_of(path, options)),
        windows=windows,
        verdict=verdict,
        original_windows=None
        if original is None
        else fields.windows(original.windows, "start_s, end_s", duration),
        reason=None if truth is None else truth.cells.get("reason") or None,
        row_rev=None if truth is None else _whole(truth.cells, "row_rev"),
        annotations=tuple(versions) or None,
        origin=query.origin,
    )


def _version(party: _Party, source: str) -> AnnotatorVersion:
    cells = party.cells
    if source not in VERSION_SOURCES:
        raise FieldError("source", source, f"must be {TRUTH} (once), {', '.join(VERSION_SOURCES)}")
    if party.scores and len(party.scores) != len(party.windows):
        raise FieldError("score", party.scores, "every moment of a party needs a score, or none")
    return AnnotatorVersion(
        annotator=fields.text(cells.get("annotator"), "annotator"),
        source=fields.choice(source, "source", VERSION_SOURCES),
        windows=tuple(party.windows),
        scores=tuple(party.scores) or None,
        verdict=fields.verdict(cells["verdict"]) if cells.get("verdict") else None,
        reason=cells.get("reason") or None,
        arm=cells.get("arm") or None,
        active_ms=_whole(cells, "active_ms"),
        updated_at=cells.get("updated_at") or None,
        revision=_whole(cells, "row_rev"),
    )


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for two versions that one party's lines would mix."""
    parties = [tuple(_cells_of(version)[name] for name in OF_PARTY) for version in row.annotations or ()]
    if len(set(parties)) != len(parties):
        raise FieldError("annotations", parties, "two versions of one party must differ in revision or time")


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One file with every column of `COLUMNS`."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    lines = [line for row in rows for line in lines_of(row, options)]
    writer.writerows([safe(line.get(name, "")) for name in COLUMNS] for line in lines)
    return ExportFiles(files={path: stream.getvalue().encode("utf-8")}, counts={"lines": len(lines)})


def lines_of(row: Row, options: ExportOptions) -> Iterator[Cells]:
    """A row as lines: one a moment of the truth, the original and every version, or one without times."""
    query_cells = {
        "qid": row.qid,
        "vid": row.vid,
        "split": row.split,
        "query": row.query,
        "duration_s": _text(row.duration_s),
    }
    truth = {
        "source": TRUTH,
        "verdict": _text(row.verdict),
        "reason": _text(row.reason),
        "row_rev": _text(row.row_rev),
    }
    parties: list[tuple[Cells, Windows, Sequence[float] | None]] = [(truth, row.windows or (), None)]
    if row.original_windows is not None:
        parties.append(({"source": ORIGINAL}, row.original_windows, None))
    parties += [(_cells_of(version), version.windows, version.scores) for version in row.annotations or ()]
    frame_rate = frame_rate_of(row, options)
    for party_cells, windows, scores in parties:
        party_line = query_cells | party_cells
        if not windows:
            yield party_line
        for idx, (start_s, end_s) in enumerate(windows):
            first, last = ("", "") if frame_rate is None else frames_of(start_s, end_s, frame_rate)
            yield party_line | {
                "span_idx": str(idx),
                "start_s": repr(float(start_s)),
                "end_s": repr(float(end_s)),
                "start_frame": str(first),
                "end_frame": str(last),
                "score": "" if scores is None else repr(float(scores[idx])),
            }


def _cells_of(version: AnnotatorVersion) -> Cells:
    return {column: _text(getattr(version, name)) for column, name in VERSION_COLUMNS.items()}


def _text(value: object) -> str:
    return "" if value is None else str(value)
