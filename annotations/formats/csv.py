"""Tidy CSV: one line a moment, with who marked it; a party without moments has one line without times.

RFC 4180, UTF-8. A cell that a spreadsheet would run as a formula (it begins with = + - @, a tab or a line
break, also behind spaces) gets an apostrophe in front, which reading takes away again.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annotations.formats import fields
from annotations.formats.files import read_text
from annotations.formats.jsonl import split_of
from annotations.formats.label_studio import frames_of
from annotations.formats.options import ExportFiles, ExportOptions, FieldError, Problem, ReadOptions
from annotations.rows import AnnotatorVersion, Row, SourceLine, VersionSource, Windows
from tempo_core.errors import InputError

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
    "qid_type",
    "query",
)
NEEDED = ("qid", "vid", "query", "start_s", "end_s")
TRUTH, ORIGINAL = "truth", "original"
TRIGGERS = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠")
Cells = dict[str, str]


def safe(cell: str) -> str:
    """The cell as a spreadsheet may show it without running it."""
    return f"'{cell}" if _dangerous(cell) else cell


def unsafe(cell: str) -> str:
    """What `safe` was given."""
    return cell[1:] if cell.startswith("'") and _dangerous(cell[1:]) else cell


def _dangerous(cell: str) -> bool:
    return cell.startswith(TRIGGERS) or cell.lstrip().startswith(TRIGGERS)


@dataclass(slots=True, eq=False)
class _Party:
    """One party's lines of one row."""

    line: int
    cells: Cells
    windows: list[tuple[float, float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Query:
    """One row's lines."""

    line: int
    cells: Cells
    parties: dict[tuple[str, ...], _Party] = field(default_factory=dict)


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows in the order of their first line. Needs qid, vid, query, start_s, end_s; others help."""
    queries: dict[tuple[str, str], _Query] = {}
    broken: set[tuple[str, str]] = set()
    for line, cells in _lines(path):
        key = (cells.get("qid", ""), cells.get("qid_type", ""))
        try:
            _take(queries.setdefault(key, _Query(line=line, cells=cells)), line, cells)
        except FieldError as error:
            broken.add(key)
            yield Problem.of(error, path.name, line, repr(cells))
    for key, query in queries.items():
        if key in broken:
            continue
        try:
            yield _row(query, path, options)
        except FieldError as error:
            yield Problem.of(error, path.name, query.line, repr(query.cells))
        except InputError as error:
            problem = FieldError("verdict", query.cells.get("verdict"), str(error))
            yield Problem.of(problem, path.name, query.line, repr(query.cells))


def _lines(path: Path) -> Iterator[tuple[int, Cells]]:
    """Lines as cells by column, with the number of the line that each begins on."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = next(reader, [])
        missing = [name for name in NEEDED if name not in header]
        if missing:
            raise InputError(f"{path.name} has no column {', '.join(missing)}. Name them in its first line.")
        begins = reader.line_num + 1
        for values in reader:
            if values:
                yield begins, dict(zip(header, map(unsafe, values), strict=False))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num}: is not CSV ({error}).") from error


def _take(query: _Query, line: int, cells: Cells) -> None:
    """Add one line to its party. Raises FieldError."""
    for name in ("vid", "query", "split", "duration_s"):
        if cells.get(name) != query.cells.get(name):
            raise FieldError(name, cells.get(name), f"differs from line {query.line} of the same qid")
    names = ("source", "annotator", "verdict", "arm", "updated_at", "row_rev", "active_ms")
    party = query.parties.setdefault(
        tuple(cells.get(name, "") for name in names), _Party(line=line, cells=cells)
    )
    if not cells.get("start_s") and not cells.get("end_s"):
        return
    party.windows.append(
        fields.window([_number(cells, "start_s"), _number(cells, "end_s")], "start_s, end_s")
    )
    if cells.get("score"):
        party.scores.append(_number(cells, "score"))


def _number(cells: Cells, name: str) -> float:
    try:
        return fields.number(float(cells.get(name, "")), name)
    except ValueError as error:
        raise FieldError(name, cells.get(name), "must be a number") from error


def _whole(cells: Cells, name: str) -> int | None:
    text = cells.get(name) or None
    if text is None:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise FieldError(name, text, "must be a whole number") from error


def _row(query: _Query, path: Path, options: ReadOptions) -> Row:
    cells = query.cells
    duration = (
        fields.duration_s(_number(cells, "duration_s"), "duration_s") if cells.get("duration_s") else None
    )
    parties = list(query.parties.values())
    truth = next((party for party in parties if _source(party) == TRUTH), None)
    original = next(
        (party for party in parties if _source(party) == ORIGINAL and not party.cells.get("annotator")), None
    )
    versions = tuple(_version(party) for party in parties if party is not truth and party is not original)
    marked = None if truth is None or not (truth.windows or truth.cells.get("verdict")) else truth
    verdict = fields.verdict(marked.cells["verdict"]) if marked and marked.cells.get("verdict") else None
    unseen = marked is None or (verdict == "cannot-judge" and not marked.windows)
    qid_is_int = cells.get("qid_type", "int" if cells["qid"].isdecimal() else "text") == "int"
    if qid_is_int and not cells["qid"].removeprefix("-").isdecimal():
        raise FieldError("qid", cells["qid"], "must be a whole number, as qid_type says")
    return Row(
        qid=fields.text(cells["qid"], "qid"),
        qid_is_int=qid_is_int,
        query=fields.text(cells["query"], "query"),
        vid=fields.text(cells["vid"], "vid"),
        duration_s=duration,
        split=options.split
        or (fields.split(cells["split"]) if cells.get("split") else split_of(path, options)),
        windows=None
        if marked is None or unseen
        else fields.windows(marked.windows, "start_s, end_s", duration),
        verdict=verdict,
        original_windows=None
        if original is None
        else fields.windows(original.windows, "start_s, end_s", duration),
        reason=(truth.cells.get("reason") or None) if truth else None,
        row_rev=_whole(truth.cells, "row_rev") if truth else None,
        annotations=versions or None,
        origin=SourceLine(file=path.name, line=query.line),
    )


def _source(party: _Party) -> str:
    return party.cells.get("source") or TRUTH


def _version(party: _Party) -> AnnotatorVersion:
    cells = party.cells
    sources: dict[str, VersionSource] = {"original": "original", "model": "model", "annotator": "annotator"}
    if _source(party) not in sources:
        raise FieldError("source", _source(party), "must be truth, original, model or annotator")
    if party.scores and len(party.scores) != len(party.windows):
        raise FieldError("score", party.scores, "every moment of a party needs a score, or none")
    return AnnotatorVersion(
        annotator=fields.text(cells.get("annotator"), "annotator"),
        source=sources[_source(party)],
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
    told = [
        (v.source, v.annotator, v.verdict, v.arm, v.updated_at, v.revision, v.active_ms)
        for v in row.annotations or ()
    ]
    if len(set(told)) != len(told):
        raise FieldError("annotations", told, "two versions of one party must differ in revision or time")


def losses(row: Row, path: Path, options: ExportOptions) -> Iterator[str]:
    """A version's scores of clips have no column."""
    if any(version.saliency is not None for version in row.annotations or ()):
        yield "annotations.saliency"


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One file with every column of `COLUMNS`."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    lines = [cells for row in rows for cells in _row_lines(row, options)]
    writer.writerows([safe(cells.get(name, "")) for name in COLUMNS] for cells in lines)
    return ExportFiles(files={path: stream.getvalue().encode("utf-8")}, counts={"lines": len(lines)})


def _row_lines(row: Row, options: ExportOptions) -> Iterator[Cells]:
    common = {
        "qid": row.qid,
        "qid_type": "int" if row.qid_is_int else "text",
        "vid": row.vid,
        "split": row.split,
        "query": row.query,
        "duration_s": _text(row.duration_s),
    }
    fps = row.extra.get("fps", options.frame_rate)
    own = {"verdict": _text(row.verdict), "reason": _text(row.reason), "row_rev": _text(row.row_rev)}
    yield from _spans({**common, **own, "source": TRUTH}, row.windows or (), None, fps)
    if row.original_windows is not None:
        yield from _spans({**common, "source": ORIGINAL}, row.original_windows, None, fps)
    for version in row.annotations or ():
        yield from _spans({**common, **_party_cells(version)}, version.windows, version.scores, fps)


def _party_cells(version: AnnotatorVersion) -> Cells:
    return {
        "source": version.source,
        "annotator": version.annotator,
        "verdict": _text(version.verdict),
        "reason": _text(version.reason),
        "arm": _text(version.arm),
        "active_ms": _text(version.active_ms),
        "updated_at": _text(version.updated_at),
        "row_rev": _text(version.revision),
    }


def _spans(
    cells: Cells, windows: Windows, scores: Sequence[float] | None, fps: float | None
) -> Iterator[Cells]:
    if not windows:
        yield cells
    for place, (start_s, end_s) in enumerate(windows):
        frames = ("", "") if fps is None else [str(frame) for frame in frames_of(start_s, end_s, fps)]
        yield {
            **cells,
            "span_idx": str(place),
            "start_s": repr(float(start_s)),
            "end_s": repr(float(end_s)),
            "start_frame": frames[0],
            "end_frame": frames[1],
            "score": "" if scores is None else repr(float(scores[place])),
        }


def _text(value: object) -> str:
    return "" if value is None else str(value)
