"""How hard each row is for a model, and what that says about which rows to train on and when to stop.

Difficulty comes from offline rollouts: the mean score of sampled answers and its spread. A score is RA-IoU: the set
IoU of a relevant pair, for an irrelevant pair 1 for the refusal and 0 otherwise, and 0 for a text that is no answer.
Measuring is cached by model and data and goes on where it was stopped. Weights are pure functions of the mean scores;
sources in each docstring.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from annotations.soft_edges import nearest_truth
from tempo_core.errors import InputError
from tempo_core.moments import set_iou
from train.checkpoints import append_line, read_lines, rows_digest
from train.config import PirGrpoConfig
from train.data.encoding import Encoder
from train.data.examples import Example
from train.grpo.rewards import reward
from train.grpo.rollouts import prefill, sample_group
from train.trainer import encode_video

Scores = npt.NDArray[np.float64]
"""float64[rows] in [0, 1]: mean scores of rollouts, 1 is solved."""

BINS = 20
"""TimeLens estimates the density of scores in so many bins."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difficulty:
    """What a model's rollouts scored on one row."""

    row_id: str
    mean: float
    """Mean RA-IoU in [0, 1]."""
    spread: float
    """Standard deviation over the rollouts; 0: the row cannot teach GRPO anything now."""


def measure(
    model: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: PirGrpoConfig,
    *,
    model_id: str,
    cache: Path,
    on_progress: Callable[[int, int], None] = lambda completed, total: None,
    cancel: threading.Event | None = None,
) -> list[Difficulty]:
    """Each row's difficulty for a model in eval mode, in order, from rollouts as `config` samples them.

    Kept in a file under `cache` that is named by `model_id` (which must change with the weights), the rows and how
    answers are sampled, so that a second call costs nothing and a stopped one goes on. Raises Cancelled.
    """
    names = ("num_generations", "temperature", "constrained", "max_new_tokens", "thinking", "seed")
    settings = [getattr(config, name) for name in names]
    if encoder.protocol.name != "tempo":
        settings.append(encoder.protocol.name)
    key = hashlib.sha256(json.dumps([model_id, rows_digest(examples), settings]).encode()).hexdigest()
    path = cache / f"difficulty-{key[:16]}.jsonl"
    measured = {line["row_id"]: Difficulty(**line) for line in read_lines(path)}
    for idx, example in enumerate(examples):
        if example.row_id not in measured:
            encoded = encoder.encode(example)
            with torch.no_grad():
                visual_tokens = encode_video(model, encoded.video, cancel=cancel)
            rollouts = sample_group(
                prefill(model, encoded, visual_tokens, cancel=cancel),
                encoded,
                encoder.tokenizer,
                np.random.default_rng([config.seed, idx]),
                config,
                cancel=cancel,
            )
            answers = [
                reward(
                    rollout.text,
                    encoded.truth,
                    timeline=encoded.video.timeline,
                    end_s=encoded.video.end_s,
                    form=encoded.video.grammar.form,
                    edge_ranges_s=encoded.edge_ranges_s,
                    thinking=config.thinking,
                ).moments
                for rollout in rollouts
            ]
            scores = np.array(
                [
                    0.0
                    if moments is None
                    else set_iou(moments, nearest_truth(moments, encoded.truth, encoded.edge_ranges_s))
                    for moments in answers
                ]
            )
            difficulty = Difficulty(
                row_id=example.row_id, mean=float(scores.mean()), spread=float(scores.std())
            )
            measured[example.row_id] = difficulty
            append_line(path, asdict(difficulty))
        on_progress(idx + 1, len(examples))
    return [measured[example.row_id] for example in examples]


def filtered(scores: Scores, *, solved: float = 0.7, hopeless: float = 0.0) -> Scores:
    """TVG-R1 (2507.18100): rows that are neither solved nor hopeless weigh 1, the others 0; the limits are ours."""
    return ((scores > hopeless) & (scores < solved)).astype(np.float64)


def timelens(scores: Scores, *, centre: float = 0.05, width: float = 0.2) -> Scores:
    """TimeLens (2512.14698): a Gaussian around hard rows, over how frequent such scores are (20 bins)."""
    bins = np.clip((scores * BINS).astype(int), 0, BINS - 1)
    density = np.bincount(bins, minlength=BINS)[bins] / len(scores)
    return np.asarray(_gaussian(scores, centre, width) / density, dtype=np.float64)


def timelens2(scores: Scores) -> Scores:
    """TimeLens2 (2607.17423): the square of what is missing."""
    return np.asarray((1 - scores) ** 2, dtype=np.float64)


def time_r1(scores: Scores, *, centre: float = 0.3, width: float = 0.2, solved: float = 0.7) -> Scores:
    """Time-R1 (2503.13377): a Gaussian around 0.3; what is solved is dropped. Measure again before every epoch."""
    return np.where(scores > solved, 0.0, _gaussian(scores, centre, width))


WEIGHTS: dict[str, Callable[[Scores], Scores]] = {
    "tvg-r1": filtered,
    "timelens": timelens,
    "timelens2": timelens2,
    "time-r1": time_r1,
}
EVERY_EPOCH = ("time-r1",)
"""Rules that want the difficulty measured again before every epoch; the others once, before the run."""


def sampling_weights(difficulties: Sequence[Difficulty], rule: str) -> list[float]:
    """Weights that sum to 1 by one of WEIGHTS.

    Where a rule leaves no row at all, every row weighs the same. Raises InputError for an unknown rule.
    """
    if rule not in WEIGHTS:
        raise InputError(
            f"There is no rule {rule!r} for difficulty. Use one of: {', '.join(sorted(WEIGHTS))}."
        )
    if not difficulties:
        return []
    weights = WEIGHTS[rule](np.array([difficulty.mean for difficulty in difficulties]))
    if weights.sum() == 0:
        weights = np.ones(len(difficulties))
    return [float(weight) for weight in weights / weights.sum()]


def plateaued(lines: Sequence[dict[str, Any]], *, patience: int, min_gain: float) -> bool:
    """Whether neither mean reward nor within-group spread has moved over the last `patience` records (TimeLens).

    Both are compared with the `patience` records before those. The reward must rise by `min_gain` to count as
    moving; the spread may move either way.
    """
    records = [line for line in lines if "reward" in line and "spread" in line]
    if len(records) < 2 * patience:
        return False
    late, early = records[-patience:], records[-2 * patience : -patience]

    def change(name: str) -> float:
        return sum(line[name] for line in late) / patience - sum(line[name] for line in early) / patience

    return change("reward") < min_gain and abs(change("spread")) < min_gain


def _gaussian(scores: Scores, centre: float, width: float) -> Scores:
    return np.asarray(np.exp(-0.5 * ((scores - centre) / width) ** 2), dtype=np.float64)
