"""Old against new on held-out rows: answers on disk, and a paired bootstrap over videos."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
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
    load: Callable[[], Engine],
    examples: Sequence[Example],
    path: Path,
    *,
    on_progress: Callable[[int, int, float], None] = lambda completed, total, iou: None,
    cancel: threading.Event | None = None,
) -> list[PredictionRow]:
    """Every row answered, a line of `path` each; rows that it holds already are not asked again.

    `load` gives the engine, and is called only where a row is left to ask.
    `on_progress` is called with the rows that are answered, all rows, and the answers' mean set IoU so far.
    Raises VideoError for a clip that cannot be read, Cancelled between rows.
    """
    answers = {line["qid"]: line for line in read_lines(path)}
    unanswered: dict[Path, list[Example]] = {}
    for example in examples:
        if example.row_id not in answers:
            unanswered.setdefault(example.video, []).append(example)
    ious = [_set_iou(answers[example.row_id], example) for example in examples if example.row_id in answers]
    engine = load() if unanswered else None
    for video, clip_examples in unanswered.items():
        assert engine is not None
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
