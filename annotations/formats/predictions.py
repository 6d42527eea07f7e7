"""Predictions as JSON lines, in the form that QVHighlights' evaluator takes and `tempo_core predict` writes.

One object a line: qid, query, vid, pred_relevant_windows = [[start, end, score], …] best first, and
pred_saliency_scores = one number per 2-second clip. A row read from it has no ground truth; its prediction is
the version whose source is `model`. Its windows are the answer as a set where the line has one (`moments`, or
`refused`), else the ranked ones. Windows without length overlap nothing: they are left out and counted, as scoring
does; `[0, 0]` alone says that nothing matches. Form: jayleicn/moment_detr, standalone_eval.

NA-VMR's files hold such objects in `{"preds": [...]}` or on lines, each with `pred_class`: P(some moment matches),
below .5 a refusal whatever windows stand beside it. They repeat qids: the n-th of a kind is `QID#n`, as in its ground
truth. Form: keflanagan/MomentofUntruth, UniVTG-NA.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.files import split_of
from annotations.formats.jsonl import plain, read_lines, with_refusals
from annotations.formats.options import Contents, ExportFiles, ExportOptions, Item, Omission, ReadOptions
from annotations.rows import AnnotatorVersion, Row, SourceLine, Split, Windows
from tempo_core.metrics.rows import PREDICTION_LIST, RELEVANCE_FIELDS, FieldError, Problem, has_rejected
from tempo_core.wording import plural

UNNAMED_MODEL = "model"
RANKED = "pred_relevant_windows"
KNOWN = (
    "qid",
    "query",
    "vid",
    "duration",
    "model",
    RANKED,
    "moments",
    "confidences",
    "refused",
    "pred_saliency_scores",
    *RELEVANCE_FIELDS,
)
IN_LINE = ("qid", "qid_is_int", "query", "vid", "duration_s", "extra")
"""Attributes of a row that a line holds, beside the prediction."""


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """One row per line, with the prediction as its only version; an empty list of windows is a refusal.

    Where the model did not know what is asked, the row has no prediction.
    """
    split = split_of(path, options)
    uses: Counter[str] = Counter()
    held_count = taken_count = surplus_count = surplus_rows = 0

    def parse(values: dict[str, Any], raw: str, origin: SourceLine) -> tuple[Row, dict[str, Any]]:
        return _row(values, split, raw, origin), values

    for item in read_lines(path, parse, list_field=PREDICTION_LIST):
        if isinstance(item, Problem):
            yield item
            continue
        row, values = item
        uses[row.qid] += 1
        if uses[row.qid] > 1 and "pred_class" in values:
            row = replace(row, qid=f"{row.qid}#{uses[row.qid]}", qid_is_int=False)
        yield row

        # What the line holds beside the answer.
        place = f"{row.origin.place or f'line {row.origin.line}'} (qid {row.qid})" if row.origin else row.qid
        windows = {tuple(window) for version in row.annotations or () for window in version.windows}
        ranked = [(start_s, end_s) for start_s, end_s, _ in values.get(RANKED) or ()]
        empty_count = sum(start_s == end_s for start_s, end_s in ranked)
        held_count += len(windows.union(ranked)) + len(ranked) - len(set(ranked))
        taken_count += sum(len(version.windows) for version in row.annotations or ())
        if not row.annotations:
            is_silent = values.get("refused") is False and "understood" not in values
            reason = (
                "the model gave neither moments nor a refusal"
                if is_silent
                else "the model did not know what is asked, which is no refusal"
            )
            yield Omission(file=path.name, place=place, reason=reason)
        if empty_count:
            yield Omission(
                file=path.name, place=place, reason=f"{plural(empty_count, 'window')} without length"
            )
        surplus = sum(window not in windows for window in ranked) - empty_count
        surplus_count, surplus_rows = surplus_count + surplus, surplus_rows + bool(surplus)
    if surplus_count:
        windows_are = plural(surplus_count, "ranked window is", "ranked windows are")
        reason = f"{windows_are} no part of the answer: it is a refusal, or stands in moments"
        yield Omission(file=path.name, place=plural(surplus_rows, "query", "queries"), reason=reason)
    yield Contents(unit="windows", held=held_count, taken=taken_count)


def _row(
    values: dict[str, Any], split: Split, raw: str | None = None, origin: SourceLine | None = None
) -> Row:
    qid, qid_is_int = fields.qid(fields.required(values, "qid"))
    query = fields.text(fields.required(values, "query"), "query")
    vid = fields.text(fields.required(values, "vid"), "vid")
    duration = fields.duration_s(values["duration"]) if "duration" in values else None
    understood = values.get("understood")
    is_unknown = (
        isinstance(understood, dict) and fields.number(understood.get("probability"), "understood") < 0.5
    )
    windows, scores = _answer(values)
    is_silent = values.get("refused") is False and not windows
    relevance_field = next((name for name in RELEVANCE_FIELDS if name in values), RELEVANCE_FIELDS[0])
    run = values.get("run")
    model = run.get("model_id", UNNAMED_MODEL) if isinstance(run, dict) else UNNAMED_MODEL
    prediction = AnnotatorVersion(
        annotator=fields.text(values.get("model", model), "model"),
        source="model",
        windows=windows,
        scores=scores,
        saliency=fields.optional(values, "pred_saliency_scores", fields.numbers),
        relevance=fields.optional(values, relevance_field, fields.probability),
    )
    return Row(
        qid=qid,
        qid_is_int=qid_is_int,
        query=query,
        vid=vid,
        duration_s=duration,
        split=split,
        annotations=() if is_unknown or is_silent else (prediction,),
        extra={name: value for name, value in values.items() if name not in KNOWN},
        raw=raw,
        origin=origin,
    )


def _answer(values: Mapping[str, Any]) -> tuple[Windows, tuple[float, ...] | None]:
    """What the line says as its answer: windows, and a score for each or None."""
    refused = values.get("refused")
    if not isinstance(refused, bool | None):
        raise FieldError("refused", refused, "must be true or false")
    moments = fields.optional(values, "moments", fields.any_windows)
    ranked = values.get(RANKED, []) if refused or moments else fields.required(values, RANKED)
    triples = [fields.sequence(item, RANKED) for item in fields.sequence(ranked, RANKED)]
    if any(len(triple) != 3 for triple in triples):
        raise FieldError(RANKED, values[RANKED], "each prediction must be [start, end, score]")
    lengthless = [triple for triple in triples if triple[0] == triple[1]]
    if triples and len(lengthless) == len(triples) and any(triple[0] for triple in triples):
        raise FieldError(
            RANKED, values[RANKED], "none of the windows has a length, and only [0, 0] says no moment"
        )
    triples = [triple for triple in triples if triple[0] != triple[1]]
    windows = fields.any_windows([triple[:2] for triple in triples], RANKED)
    scores = tuple(fields.number(triple[2], RANKED) for triple in triples)
    if refused or (refused is None and has_rejected(values)):
        if moments:
            raise FieldError("moments", moments, "contradicts the refusal")
        return (), None
    if moments is None:
        return windows, scores or None
    confidences = values.get("confidences") or ()
    if len(confidences) == len(moments) and None not in confidences:
        return moments, fields.numbers(confidences, "confidences") or None
    # An endpoint may give no confidences; its moments are then ranked as windows of one score.
    by_window = dict(zip(windows, scores, strict=True))
    moment_scores = [by_window[moment] for moment in moments if moment in by_window]
    return moments, tuple(moment_scores) if moment_scores and len(moment_scores) == len(moments) else None


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
            if prediction.relevance is not None:
                values["relevance"] = prediction.relevance
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
    (version,) = twin.annotations or (None,)
    if (
        version is not None and version.annotator == UNNAMED_MODEL
    ):  # whose it is was said when it was imported
        version = replace(version, annotator=prediction.annotator)
    return same and version == prediction
