"""Old against new on held-out rows: answers on disk, a paired bootstrap over videos, and whether the new may serve."""

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tempo_core.engine import Engine, sample_for
from tempo_core.errors import Cancelled
from tempo_core.metrics import PredictionRow, TruthRow, compare
from train.data.examples import Example
from train.refresh.config import PromotionCriteria


def answer_rows(
    engine: Engine,
    examples: Sequence[Example],
    path: Path,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    cancel: threading.Event | None = None,
) -> list[PredictionRow]:
    """Every row answered, a line of `path` each; rows that it holds already are not asked again.

    Raises VideoError for a clip that cannot be read, Cancelled between rows.
    """
    done = {line["qid"]: line for line in _lines(path)}
    by_clip: dict[Path, list[Example]] = {}
    for example in examples:
        if example.row_id not in done:
            by_clip.setdefault(example.video, []).append(example)
    with path.open("a", encoding="utf-8") as file:
        for video, asked in by_clip.items():
            context = engine.encode(sample_for(engine.defaults, video, cancel=cancel), cancel=cancel)
            for example in asked:
                if cancel is not None and cancel.is_set():
                    raise Cancelled("Stopped while comparing; it can go on from there.")
                answer = engine.ask(context, example.query, n_best=1, cancel=cancel)
                line = {"qid": example.row_id, **answer.to_dict()}
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
                done[example.row_id] = line
                on_progress(len(done), len(examples))
    return [
        _prediction(number, done[example.row_id], example) for number, example in enumerate(examples, start=1)
    ]


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file; one that a kill cut short is removed from it."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with path.open("rb+") as file:
            file.truncate(len(whole))
    return [json.loads(line) for line in whole.decode().split("\n") if line]


def _prediction(number: int, line: dict[str, Any], example: Example) -> PredictionRow:
    moments = tuple((each["start_s"], each["end_s"]) for each in line["moments"])
    scores = [each["confidence"] for each in line["moments"]]
    return PredictionRow(
        line=number,
        qid=example.row_id,
        query=example.query,
        vid=_clip(example),
        windows=tuple((*window, score) for window, score in zip(moments, scores, strict=True)),
        moments=moments,
        saliency=None,
        relevance=line["relevance"],
        refused=line["refused"],
    )


def truth_of(examples: Sequence[Example]) -> list[TruthRow]:
    """Ground truth as the metrics take it."""
    return [
        TruthRow(
            line=number,
            qid=example.row_id,
            query=example.query,
            vid=_clip(example),
            duration_s=example.duration_s,
            windows=tuple((each.start_s, each.end_s) for each in example.moments),
            clip_ids=None,
            saliency=None,
            fields={"kind": example.kind, "negative": example.negative},
        )
        for number, example in enumerate(examples, start=1)
    ]


def _clip(example: Example) -> str:
    return example.content or example.clip_id or str(example.video)


def compare_on(
    examples: Sequence[Example],
    old: Sequence[PredictionRow],
    new: Sequence[PredictionRow],
    criteria: PromotionCriteria,
) -> dict[str, Any]:
    """Counts, and for each measure old, new, the 95 % interval of the difference and its p; JSON values."""
    found = compare(old, new, truth_of(examples), samples=criteria.num_resamples, seed=0)
    return {
        "rows": len(examples),
        "clips": len({_clip(example) for example in examples}),
        "irrelevant": sum(not example.relevant for example in examples),
        "differences": {
            name: {key: _finite(value) for key, value in asdict(gap).items()} for name, gap in found.items()
        },
    }


def _finite(value: float) -> float | None:
    return value if value == value and abs(value) != float("inf") else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Whether a new adapter may be served, and every reason why or why not."""

    promote: bool
    reasons: tuple[str, ...]


def decide(
    criteria: PromotionCriteria, corrected: dict[str, Any] | None, kept: dict[str, Any] | None
) -> Decision:
    """Promote only on a significant gain on corrected rows, and no loss in refusal or in what was known before.

    What was not measured counts as a reason against: somebody who knows better may still promote by hand.
    """
    against: list[str] = []
    rows, clips = (0, 0) if corrected is None else (corrected["rows"], corrected["clips"])
    if rows < criteria.min_rows or clips < criteria.min_clips or corrected is None:
        against.append(
            f"{rows} corrected held-out rows about {clips} clips cannot tell whether it is better; at least "
            f"{criteria.min_rows} about {criteria.min_clips} clips are needed."
        )
        gain = None
    else:
        gain = corrected["differences"].get(criteria.metric)
        if gain is None or gain["low"] is None or gain["low"] <= 0:
            against.append(f"{_shown(criteria.metric, gain)} on corrected rows is no significant gain.")
    for measures, where, names in (
        (corrected, "corrected rows", criteria.refusal_metrics),
        (kept, "what was known before", (*criteria.refusal_metrics, *criteria.replay_metrics)),
    ):
        for name in dict.fromkeys(names):
            gap = None if measures is None else measures["differences"].get(name)
            if gap is None or None in (gap["first"], gap["second"]):
                continue
            if gap["second"] < gap["first"] - criteria.tolerance:
                against.append(f"{_shown(name, gap)} on {where} is a loss.")
    against += _unmeasured(criteria, corrected, kept)
    if against:
        return Decision(promote=False, reasons=tuple(against))
    return Decision(promote=True, reasons=(f"{_shown(criteria.metric, gain)} on {rows} corrected rows.",))


def _unmeasured(
    criteria: PromotionCriteria, corrected: dict[str, Any] | None, kept: dict[str, Any] | None
) -> list[str]:
    """What nobody could see getting worse."""
    found = []
    if kept is None:
        found.append("Whether it forgot what it knew before was not measured, for want of replay rows.")
    for name in criteria.refusal_metrics:
        gaps = [measures["differences"].get(name) for measures in (corrected, kept) if measures is not None]
        if all(gap is None or None in (gap["first"], gap["second"]) for gap in gaps):
            found.append(f"{name} was not measured: the held-out rows do not hold both kinds of query.")
    return found


def _shown(name: str, gap: dict[str, Any] | None) -> str:
    if gap is None or None in (gap["first"], gap["second"]):
        return f"{name} (not defined)"
    interval = (
        "" if None in (gap["low"], gap["high"]) else f" (difference {gap['low']:+.3f} to {gap['high']:+.3f})"
    )
    return f"{name} {gap['first']:.3f} → {gap['second']:.3f}{interval}"
