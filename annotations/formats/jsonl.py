"""Grounding rows as JSON lines: the form that QVHighlights and Lighthouse share."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from annotations.formats import fields
from annotations.rows import Row, SourceLine, Split, Windows
from tempo_core.metrics.rows import FieldError, Problem, read_json_lines

Parsed = TypeVar("Parsed")

KNOWN = (
    "qid",
    "query",
    "duration",
    "vid",
    "relevant_clip_ids",
    "saliency_scores",
    "relevant_windows",
    "verdict",
    "reason",
)
IN_LINE = (
    "qid",
    "qid_is_int",
    "query",
    "vid",
    "duration_s",
    "windows",
    "relevant_clip_ids",
    "saliency_scores",
    "extra",
)
"""Attributes of a row that a line of this form holds."""


def read_lines(
    path: Path, parse: Callable[[dict[str, Any], str, SourceLine], Parsed], list_field: str | None = None
) -> Iterator[Parsed | Problem]:
    """`parse(object, raw line, where)` of every line; a line that breaks a rule comes out as its Problem.

    A file that is one object with the field `list_field` has its items for lines.
    """
    for line in read_json_lines(path, name=path.name, loads=fields.strict_json, list_field=list_field):
        if isinstance(line, Problem):
            yield line
            continue
        try:
            origin = SourceLine(file=path.name, line=line.number, place=line.place)
            yield parse(line.values, line.text, origin)
        except FieldError as error:
            yield Problem.of(error, path.name, line.number, place=line.place, raw=line.text)


def grounding_row(
    values: dict[str, Any],
    split: Split,
    raw: str | None = None,
    origin: SourceLine | None = None,
    *,
    needs_duration: bool = True,
    mending: fields.Mending | None = None,
) -> Row:
    """A row from a QVHighlights or Lighthouse object. Raises FieldError on the first broken rule."""
    qid, qid_is_int = fields.qid(fields.required(values, "qid"))
    duration = None
    if needs_duration or "duration" in values:
        duration = fields.duration_s(fields.required(values, "duration"))
    stated = {name: value for name, value in values.items() if value is not None}
    windows, clips, saliency, verdict = None, None, None, None
    if "relevant_windows" in stated:
        windows = fields.windows(stated["relevant_windows"], "relevant_windows", duration, mending)
    if "relevant_clip_ids" in stated:
        clips = fields.clip_ids(stated["relevant_clip_ids"], duration)
    query = fields.text(fields.required(values, "query"), "query")
    vid = fields.text(fields.required(values, "vid"), "vid")
    if "verdict" in stated:
        verdict = fields.verdict(stated["verdict"])
        if verdict != "cannot-judge" and (verdict == "moments") != bool(windows):
            raise FieldError("verdict", verdict, "contradicts relevant_windows")
    if "saliency_scores" in stated:
        saliency = fields.saliency(stated["saliency_scores"], clips)
    return Row(
        qid=qid,
        qid_is_int=qid_is_int,
        query=query,
        vid=vid,
        duration_s=duration,
        split=split,
        windows=windows,
        verdict=verdict,
        relevant_clip_ids=clips,
        saliency_scores=saliency,
        reason=fields.optional(values, "reason", fields.text),
        extra={name: value for name, value in values.items() if name not in KNOWN},
        raw=raw,
        origin=origin,
    )


def grounding_object(
    row: Row,
    windows: Windows | None,
    clips: tuple[int, ...] | None = None,
    scores: tuple[tuple[int, ...], ...] | None = None,
) -> dict[str, Any]:
    """The row as an object in the release's key order; whole seconds are written as whole numbers."""
    line: dict[str, Any] = {"qid": row.qid_value, "query": row.query}
    if row.duration_s is not None:
        line["duration"] = plain(row.duration_s)
    line["vid"] = row.vid
    if clips is not None:
        line["relevant_clip_ids"] = list(clips)
    if scores is not None:
        line["saliency_scores"] = [list(triple) for triple in scores]
    if windows is not None:
        line["relevant_windows"] = pairs(windows)
    return {**line, **{name: value for name, value in row.extra.items() if name not in KNOWN}}


def plain(seconds: float) -> int | float:
    """Whole numbers without a decimal point, as the release has them."""
    return int(seconds) if seconds == int(seconds) else seconds


def pairs(windows: Windows) -> list[list[int | float]]:
    return [[plain(start_s), plain(end_s)] for start_s, end_s in windows]


def with_refusals(path: Path, lines: Sequence[str], refusals: Sequence[str]) -> dict[Path, bytes]:
    """The file, and beside it `NAME_no_moment` with the refusals if there are any."""
    files = {path: "\n".join(lines).encode("utf-8")}
    if refusals:
        files[path.with_name(f"{path.stem}_no_moment{path.suffix}")] = "\n".join(refusals).encode("utf-8")
    return files


def still_says(row: Row) -> bool:
    """Whether `raw` is a line of this form that says exactly what the row says: it may pass through."""
    if row.raw is None:
        return False
    try:
        twin = grounding_row(fields.mapping(fields.parse_json(row.raw), "line"), row.split)
    except FieldError:
        return False
    return all(getattr(twin, name) == getattr(row, name) for name in IN_LINE)
