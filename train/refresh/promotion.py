"""Old against new on held-out rows: answers on disk, a paired bootstrap over videos, and whether the new may serve."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tempo_core.engine import Engine, sample_for
from tempo_core.errors import Cancelled
from tempo_core.metrics import PredictionRow, TruthRow, compare
from tempo_core.moments import Moment, set_iou
from train.checkpoints import append_line, read_lines
from train.config import PromotionCriteria
from train.data.examples import Example


def answer_rows(
    engine: Engine,
    examples: Sequence[Example],
    path: Path,
    *,
    on_progress: Callable[[int, int, float], None] = lambda completed, total, iou: None,
    cancel: threading.Event | None = None,
) -> list[PredictionRow]:
    """Every row answered, a line of `path` each; rows that it holds already are not asked again.

    `on_progress` is called with the rows that are answered, all rows, and the answers' mean set IoU so far.
    Raises VideoError for a clip that cannot be read, Cancelled between rows.
    """
    answers = {line["qid"]: line for line in read_lines(path)}
    unanswered: dict[Path, list[Example]] = {}
    for example in examples:
        if example.row_id not in answers:
            unanswered.setdefault(example.video, []).append(example)
    ious = [_set_iou(answers[example.row_id], example) for example in examples if example.row_id in answers]
    for video, clip_examples in unanswered.items():
        frames = sample_for(engine.defaults, video, protocol=engine.protocol, cancel=cancel)
        context = engine.encode(frames, cancel=cancel)
        for example in clip_examples:
            if cancel is not None and cancel.is_set():
                raise Cancelled("Stopped while comparing; it can go on from there.")
            answer = engine.ask(context, example.query, n_best=1, cancel=cancel)
            answers[example.row_id] = {"qid": example.row_id, **answer.to_dict()}
            append_line(path, answers[example.row_id])
            ious.append(_set_iou(answers[example.row_id], example))
            on_progress(len(ious), len(examples), sum(ious) / len(ious))

    predictions = []
    for number, example in enumerate(examples, start=1):
        answer_line = answers[example.row_id]
        moments = answer_line["moments"]
        predictions.append(
            PredictionRow(
                line=number,
                qid=example.row_id,
                query=example.query,
                vid=example.clip,
                windows=tuple((m["start_s"], m["end_s"], m["confidence"]) for m in moments),
                moments=tuple((m["start_s"], m["end_s"]) for m in moments),
                relevance=answer_line["relevance"],
                refused=answer_line["refused"],
                understood=(answer_line.get("understood") or {"probability": 1.0})["probability"] >= 0.5,
            )
        )
    return predictions


def _set_iou(answer: Mapping[str, Any], example: Example) -> float:
    moments = [Moment(moment["start_s"], moment["end_s"]) for moment in answer["moments"]]
    return set_iou(moments, example.moments)


def truth_of(examples: Sequence[Example]) -> list[TruthRow]:
    """Ground truth as the metrics take it."""
    return [
        TruthRow(
            line=number,
            qid=example.row_id,
            query=example.query,
            vid=example.clip,
            duration_s=example.duration_s,
            windows=tuple((moment.start_s, moment.end_s) for moment in example.moments),
            fields={"kind": example.kind, "negative": example.negative},
        )
        for number, example in enumerate(examples, start=1)
    ]


def compare_on(
    examples: Sequence[Example],
    old: Sequence[PredictionRow],
    new: Sequence[PredictionRow],
    criteria: PromotionCriteria,
) -> dict[str, Any]:
    """Counts, and for each metric old, new, the 95 % interval of the difference and its p; JSON values."""
    differences = compare(old, new, truth_of(examples), samples=criteria.num_resamples, seed=0)
    return {
        "rows": len(examples),
        "clips": len({example.clip for example in examples}),
        "irrelevant": sum(not example.relevant for example in examples),
        "differences": {
            name: {key: value if math.isfinite(value) else None for key, value in asdict(difference).items()}
            for name, difference in differences.items()
        },
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Whether a new adapter may be served, and every reason why or why not."""

    promote: bool
    reasons: tuple[str, ...]


def decide(
    criteria: PromotionCriteria, corrected: dict[str, Any] | None, replayed: dict[str, Any] | None
) -> Decision:
    """Promote only on a significant gain on corrected rows, and no loss in refusal or in what was known before.

    Both are `compare_on`'s scores. What was not measured counts as a reason against: somebody who knows better may
    still promote by hand.
    """
    against: list[str] = []

    # a significant gain on rows enough
    rows, clips = (0, 0) if corrected is None else (corrected["rows"], corrected["clips"])
    gain = None
    if corrected is None or rows < criteria.min_rows or clips < criteria.min_clips:
        against.append(
            f"{rows} corrected held-out rows about {clips} clips cannot tell whether it is better; at least "
            f"{criteria.min_rows} about {criteria.min_clips} clips are needed."
        )
    else:
        gain = corrected["differences"].get(criteria.metric)
        if gain is None or gain["low"] is None or gain["low"] <= 0:
            against.append(f"{_describe(criteria.metric, gain)} on corrected rows is no significant gain.")

    # no loss
    for scores, rows_name, metrics in (
        (corrected, "corrected rows", criteria.refusal_metrics),
        (replayed, "what was known before", (*criteria.refusal_metrics, *criteria.replay_metrics)),
    ):
        for metric in dict.fromkeys(metrics):
            difference: Any = None if scores is None else scores["differences"].get(metric)
            if _is_defined(difference) and difference["second"] < difference["first"] - criteria.tolerance:
                against.append(f"{_describe(metric, difference)} on {rows_name} is a loss.")

    # nothing that could have become worse unseen
    if replayed is None:
        against.append("Whether it forgot what it knew before was not measured, for want of replay rows.")
    for metric in criteria.refusal_metrics:
        differences = [
            scores["differences"].get(metric) for scores in (corrected, replayed) if scores is not None
        ]
        if not any(_is_defined(difference) for difference in differences):
            against.append(f"{metric} was not measured: the held-out rows do not hold both kinds of query.")

    if against:
        return Decision(promote=False, reasons=tuple(against))
    return Decision(promote=True, reasons=(f"{_describe(criteria.metric, gain)} on {rows} corrected rows.",))


def _is_defined(difference: Any) -> bool:
    return difference is not None and None not in (difference["first"], difference["second"])


def _describe(metric: str, difference: Any) -> str:
    if not _is_defined(difference):
        return f"{metric} (not defined)"
    text = f"{metric} {difference['first']:.3f} → {difference['second']:.3f}"
    low, high = difference["low"], difference["high"]
    return text if None in (low, high) else f"{text} (difference {low:+.3f} to {high:+.3f})"
