"""Grounding rows as JSON lines: the form that QVHighlights and Lighthouse share."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.files import numbered_lines
from annotations.formats.options import FieldError, Problem, ReadOptions
from annotations.rows import Row, SourceLine, Split, Windows

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
_SPLIT_IN_NAME = re.compile(r"(?:^|[^a-z])(train|val|test)(?:[^a-z]|$)")


def split_of(path: Path, options: ReadOptions) -> Split:
    """The split that was asked for, else the one that the file's name holds, else `unknown`."""
    if options.split is not None:
        return options.split
    found = _SPLIT_IN_NAME.search(path.name.lower())
    return fields.split(found[1]) if found else "unknown"


def loads(text: str) -> Any:
    """JSON without NaN, infinities, or a name given twice. Raises FieldError."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_each_name_once)
    except (ValueError, RecursionError) as error:
        raise FieldError("line", text, f"is not valid JSON ({error})") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _each_name_once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(items)
    if len(values) != len(items):
        twice = next(name for index, (name, _) in enumerate(items) if name in dict(items[:index]))
        raise ValueError(f"{twice!r} is given twice")
    return values


def read_lines(
    path: Path, parse: Callable[[dict[str, Any], str, SourceLine], Row]
) -> Iterator[Row | Problem]:
    """`parse(object, raw line, where)` of every line; a line that breaks a rule comes out as its Problem."""
    for line_number, line in numbered_lines(path):
        try:
            values = fields.mapping(loads(line), "line")
            yield parse(values, line, SourceLine(file=path.name, line=line_number))
        except FieldError as error:
            yield Problem.of(error, path.name, line_number, line)


def grounding_row(
    values: dict[str, Any], split: Split, raw: str | None = None, origin: SourceLine | None = None
) -> Row:
    """A row from a QVHighlights or Lighthouse object. Raises FieldError on the first broken rule."""
    qid, qid_is_int = fields.qid(fields.required(values, "qid"))
    duration = fields.duration_s(fields.required(values, "duration"))
    given = {name: value for name, value in values.items() if value is not None}
    windows = _windows(given, duration)
    clips = fields.clip_ids(given["relevant_clip_ids"], duration) if "relevant_clip_ids" in given else None
    return Row(
        qid=qid,
        qid_is_int=qid_is_int,
        query=fields.text(fields.required(values, "query"), "query"),
        vid=fields.text(fields.required(values, "vid"), "vid"),
        duration_s=duration,
        split=split,
        windows=windows,
        verdict=_verdict(given, windows),
        relevant_clip_ids=clips,
        saliency_scores=fields.saliency(given["saliency_scores"], clips)
        if "saliency_scores" in given
        else None,
        reason=fields.text(given["reason"], "reason") if "reason" in given else None,
        extra={name: value for name, value in values.items() if name not in KNOWN},
        raw=raw,
        origin=origin,
    )


def _windows(given: Mapping[str, Any], duration: float) -> Windows | None:
    if "relevant_windows" not in given:
        return None
    return fields.windows(given["relevant_windows"], "relevant_windows", duration)


def _verdict(given: Mapping[str, Any], windows: Windows | None) -> Any:
    """The stated verdict, which must agree with the windows; None lets the row take it from them."""
    if "verdict" not in given:
        return None
    stated = fields.verdict(given["verdict"])
    if stated != "cannot-judge" and (stated == "moments") != bool(windows):
        raise FieldError("verdict", stated, "contradicts relevant_windows")
    return stated


def grounding_object(
    row: Row,
    windows: Windows | None,
    clips: tuple[int, ...] | None = None,
    scores: tuple[tuple[int, ...], ...] | None = None,
) -> dict[str, Any]:
    """The row as an object in the release's key order; whole seconds are written as whole numbers."""
    written: dict[str, Any] = {"qid": row.qid_value, "query": row.query}
    if row.duration_s is not None:
        written["duration"] = plain(row.duration_s)
    written["vid"] = row.vid
    if clips is not None:
        written["relevant_clip_ids"] = list(clips)
    if scores is not None:
        written["saliency_scores"] = [list(triple) for triple in scores]
    if windows is not None:
        written["relevant_windows"] = pairs(windows)
    return {**written, **{name: value for name, value in row.extra.items() if name not in KNOWN}}


def plain(seconds: float) -> int | float:
    """Whole numbers without a decimal point, as the release has them."""
    return int(seconds) if seconds == int(seconds) else seconds


def pairs(windows: Windows) -> list[list[int | float]]:
    return [[plain(start_s), plain(end_s)] for start_s, end_s in windows]


SAID = (
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
"""What a line of this form says about its row."""


def still_says(row: Row) -> bool:
    """Whether `raw` is a line of this form that says exactly what the row says: it may pass through."""
    if row.raw is None:
        return False
    try:
        twin = grounding_row(fields.mapping(loads(row.raw), "line"), row.split)
    except FieldError:
        return False
    return all(getattr(twin, name) == getattr(row, name) for name in SAID)
