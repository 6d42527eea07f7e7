"""Predictions as JSON lines, in the form that QVHighlights' evaluator takes and `tempo_core predict` writes.

One object a line: qid, query, vid, pred_relevant_windows = [[start, end, score], …] best first, and
pred_saliency_scores = one number per 2-second clip. A row read from it has no ground truth; its prediction is
the version whose source is `model`. Form: jayleicn/moment_detr, standalone_eval.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.jsonl import loads, plain, read_lines, split_of
from annotations.formats.options import ExportFiles, ExportOptions, FieldError, Problem, ReadOptions
from annotations.rows import AnnotatorVersion, Row, SourceLine, Split

UNNAMED_MODEL = "model"
KNOWN = ("qid", "query", "vid", "duration", "model", "pred_relevant_windows", "pred_saliency_scores")


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """One row per line, with the prediction as its only version; an empty list of windows is a refusal."""
    split = split_of(path, options)
    return read_lines(path, lambda values, raw, origin: _row(values, split, raw, origin))


def _row(values: dict[str, Any], split: Split, raw: str | None, origin: SourceLine | None) -> Row:
    qid, qid_is_int = fields.qid(fields.required(values, "qid"))
    return Row(
        qid=qid,
        qid_is_int=qid_is_int,
        query=fields.text(fields.required(values, "query"), "query"),
        vid=fields.text(fields.required(values, "vid"), "vid"),
        duration_s=fields.duration_s(values["duration"]) if "duration" in values else None,
        split=split,
        annotations=(_version(values),),
        extra={name: value for name, value in values.items() if name not in KNOWN},
        raw=raw,
        origin=origin,
    )


def _version(values: dict[str, Any]) -> AnnotatorVersion:
    name = "pred_relevant_windows"
    triples = [fields.sequence(item, name) for item in fields.sequence(fields.required(values, name), name)]
    if any(len(triple) != 3 for triple in triples):
        raise FieldError(name, values[name], "each prediction must be [start, end, score]")
    clips = values.get("pred_saliency_scores")
    return AnnotatorVersion(
        annotator=fields.text(values.get("model", UNNAMED_MODEL), "model"),
        source="model",
        windows=fields.any_windows([triple[:2] for triple in triples], name),
        scores=tuple(fields.number(triple[2], name) for triple in triples) or None,
        saliency=None if clips is None else _saliency(clips),
    )


def _saliency(clips: object) -> tuple[float, ...]:
    name = "pred_saliency_scores"
    return tuple(fields.number(score, name) for score in fields.sequence(clips, name))


def predicted(row: Row, options: ExportOptions) -> AnnotatorVersion:
    """The model's version of a row that the options choose. Raises FieldError unless there is exactly one."""
    versions = [version for version in row.annotations or () if version.source == "model"]
    if options.predictions_of is not None:
        versions = [version for version in versions if version.annotator == options.predictions_of]
    if len(versions) != 1:
        names = [version.annotator for version in versions]
        raise FieldError(
            "annotations", names, "needs exactly one model's version; name it with predictions_of"
        )
    return versions[0]


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without one chosen prediction, or with windows and no scores."""
    version = predicted(row, options)
    if version.windows and version.scores is None:
        raise FieldError("annotations", version.annotator, "every predicted window needs a score")


def losses(row: Row, path: Path, options: ExportOptions) -> Iterator[str]:
    """Every version but the predicted one, and what a prediction does not say about that one."""
    chosen = predicted(row, options)
    if len(row.annotations or ()) > 1:
        yield "annotations.others"
    if (chosen.reason, chosen.arm, chosen.active_ms, chosen.updated_at, chosen.revision) != (None,) * 5:
        yield "annotations.circumstances"


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One file; refused queries beside it in `…_no_moment` unless asked for inline."""
    lines: list[str] = []
    refused: list[str] = []
    for row in rows:
        apart = options.refusals == "apart" and not predicted(row, options).windows
        (refused if apart else lines).append(_line(row, options))
    files = {path: "\n".join(lines).encode("utf-8")}
    if refused:
        files[path.with_name(f"{path.stem}_no_moment{path.suffix}")] = "\n".join(refused).encode("utf-8")
    return ExportFiles(files=files, counts={"no moment, kept in a file of their own": len(refused)})


def _line(row: Row, options: ExportOptions) -> str:
    version = predicted(row, options)
    if row.raw is not None and _still_says(row, version):
        return row.raw
    scored = zip(version.windows, version.scores or (), strict=True)
    written: dict[str, Any] = {"qid": row.qid_value, "query": row.query, "vid": row.vid}
    if row.duration_s is not None:
        written["duration"] = plain(row.duration_s)
    written["pred_relevant_windows"] = [[start_s, end_s, score] for (start_s, end_s), score in scored]
    if version.saliency is not None:
        written["pred_saliency_scores"] = list(version.saliency)
    if version.annotator != UNNAMED_MODEL:
        written["model"] = version.annotator
    return json.dumps({**written, **row.extra})


def _still_says(row: Row, version: AnnotatorVersion) -> bool:
    """Whether the source line says exactly this row and this version."""
    try:
        twin = _row(fields.mapping(loads(row.raw or ""), "line"), row.split, None, None)
    except FieldError:
        return False
    same = ("qid", "qid_is_int", "query", "vid", "duration_s", "extra")
    return twin.annotations == (version,) and all(getattr(twin, n) == getattr(row, n) for n in same)
