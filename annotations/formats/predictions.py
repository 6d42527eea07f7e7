"""Predictions as JSON lines, in the form that QVHighlights' evaluator takes and `tempo_core predict` writes.

One object a line: qid, query, vid, pred_relevant_windows = [[start, end, score], …] best first, and
pred_saliency_scores = one number per 2-second clip. A row read from it has no ground truth; its prediction is
the version whose source is `model`. Windows without length overlap nothing: they are left out and counted, as scoring
does; `[0, 0]` alone says that nothing matches. Form: jayleicn/moment_detr, standalone_eval.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.files import split_of
from annotations.formats.jsonl import plain, read_lines, with_refusals
from annotations.formats.options import Contents, ExportFiles, ExportOptions, Item, Omission, ReadOptions
from annotations.rows import AnnotatorVersion, Row, SourceLine, Split
from tempo_core.metrics.rows import FieldError, Problem

UNNAMED_MODEL = "model"
KNOWN = ("qid", "query", "vid", "duration", "model", "pred_relevant_windows", "pred_saliency_scores")
IN_LINE = ("qid", "qid_is_int", "query", "vid", "duration_s", "extra")
"""Attributes of a row that a line holds, beside the prediction."""


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """One row per line, with the prediction as its only version; an empty list of windows is a refusal.

    Where the model did not know what is asked, the row has no prediction.
    """
    split = split_of(path, options)
    held_count = taken_count = 0
    for item in read_lines(path, lambda values, raw, origin: _read_line(values, split, raw, origin)):
        if isinstance(item, Problem):
            yield item
            continue
        row, window_count, empty_count = item
        held_count, taken_count = held_count + window_count, taken_count + window_count - empty_count
        yield row
        if not row.annotations:
            place = f"line {row.origin.line if row.origin else 0} (qid {row.qid})"
            reason = "the model did not know what is asked, which is no refusal"
            yield Omission(file=path.name, place=place, reason=reason)
        if empty_count:
            place = f"line {row.origin.line if row.origin else 0} (qid {row.qid})"
            yield Omission(file=path.name, place=place, reason=f"{empty_count} windows without length")
    yield Contents(unit="windows", held=held_count, taken=taken_count)


def _read_line(values: dict[str, Any], split: Split, raw: str, origin: SourceLine) -> tuple[Row, int, int]:
    """The row of a line, how many windows the line has, and how many of them have no length."""
    row = _row(values, split, raw, origin)
    window_count = len(values["pred_relevant_windows"])
    return row, window_count, window_count - sum(len(version.windows) for version in row.annotations or ())


def _row(
    values: dict[str, Any], split: Split, raw: str | None = None, origin: SourceLine | None = None
) -> Row:
    qid, qid_is_int = fields.qid(fields.required(values, "qid"))
    query = fields.text(fields.required(values, "query"), "query")
    vid = fields.text(fields.required(values, "vid"), "vid")
    duration = fields.duration_s(values["duration"]) if "duration" in values else None
    name = "pred_relevant_windows"
    triples = [fields.sequence(item, name) for item in fields.sequence(fields.required(values, name), name)]
    if any(len(triple) != 3 for triple in triples):
        raise FieldError(name, values[name], "each prediction must be [start, end, score]")
    lengthless = [triple for triple in triples if triple[0] == triple[1]]
    if triples and len(lengthless) == len(triples) and any(triple[0] for triple in triples):
        raise FieldError(
            name, values[name], "none of the windows has a length, and only [0, 0] says no moment"
        )
    triples = [triple for triple in triples if triple[0] != triple[1]]
    understood = values.get("understood")
    is_unknown = (
        isinstance(understood, dict) and fields.number(understood.get("probability"), "understood") < 0.5
    )
    prediction = AnnotatorVersion(
        annotator=fields.text(values.get("model", UNNAMED_MODEL), "model"),
        source="model",
        windows=fields.any_windows([triple[:2] for triple in triples], name),
        scores=tuple(fields.number(triple[2], name) for triple in triples) or None,
        saliency=fields.optional(values, "pred_saliency_scores", fields.numbers),
    )
    return Row(
        qid=qid,
        qid_is_int=qid_is_int,
        query=query,
        vid=vid,
        duration_s=duration,
        split=split,
        annotations=() if is_unknown else (prediction,),
        extra={name: value for name, value in values.items() if name not in KNOWN},
        raw=raw,
        origin=origin,
    )


def predicted(row: Row, options: ExportOptions) -> AnnotatorVersion:
    """The model's version of a row that the options choose. Raises FieldError unless there is exactly one."""
    versions = [version for version in row.annotations or () if version.source == "model"]
    if options.predictions_of is not None:
        versions = [version for version in versions if version.annotator == options.predictions_of]
    if len(versions) != 1:
        models = [version.annotator for version in versions]
        raise FieldError(
            "annotations", models, "needs exactly one model's version; name it with predictions_of"
        )
    return versions[0]


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without one chosen prediction, or with windows and no scores."""
    prediction = predicted(row, options)
    if prediction.windows and prediction.scores is None:
        raise FieldError("annotations", prediction.annotator, "every predicted window needs a score")


def losses(row: Row, path: Path, options: ExportOptions) -> Iterator[str]:
    """Every version but the predicted one, and what a prediction does not say about that one."""
    prediction = predicted(row, options)
    if len(row.annotations or ()) > 1:
        yield "annotations.others"
    circumstances = (prediction.reason, prediction.arm, prediction.active_ms)
    if (*circumstances, prediction.updated_at, prediction.revision) != (None,) * 5:
        yield "annotations.circumstances"


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One file; refused queries beside it in `…_no_moment` unless asked for inline."""
    lines: list[str] = []
    refusals: list[str] = []
    for row in rows:
        prediction = predicted(row, options)
        if row.raw is not None and _still_says(row, prediction):
            line = row.raw
        else:
            scored = zip(prediction.windows, prediction.scores or (), strict=True)
            values: dict[str, Any] = {"qid": row.qid_value, "query": row.query, "vid": row.vid}
            if row.duration_s is not None:
                values["duration"] = plain(row.duration_s)
            values["pred_relevant_windows"] = [[start_s, end_s, score] for (start_s, end_s), score in scored]
            if prediction.saliency is not None:
                values["pred_saliency_scores"] = list(prediction.saliency)
            if prediction.annotator != UNNAMED_MODEL:
                values["model"] = prediction.annotator
            line = json.dumps({**values, **row.extra})
        is_apart = options.refusals == "apart" and not prediction.windows
        (refusals if is_apart else lines).append(line)
    counts = {"no moment, kept in a file of their own": len(refusals)}
    return ExportFiles(files=with_refusals(path, lines, refusals), counts=counts)


def _still_says(row: Row, prediction: AnnotatorVersion) -> bool:
    """Whether the source line says exactly this row and this prediction: it may pass through."""
    try:
        twin = _row(fields.mapping(fields.parse_json(row.raw or ""), "line"), row.split)
    except FieldError:
        return False
    same = all(getattr(twin, name) == getattr(row, name) for name in IN_LINE)
    return same and twin.annotations == (prediction,)
