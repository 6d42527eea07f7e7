"""What an answer earns: pure functions of one answer and one truth, weighed by a frozen dataclass.

Sources: tIoU and format TVG-R1 (2507.18100), boundary Time-R1 (2503.13377), shape TimeLens2 (2607.17423); that
refusing is rewarded for irrelevant pairs Tempo-R0 (2507.04702), how much is decided here. Nothing is kept between
samples, no window is dropped, and no text outside the answer grammar earns anything.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

from tempo_core.answers import AnswerError, moments_of, parse_answer
from tempo_core.errors import InputError
from tempo_core.moments import Moment, merge, set_iou, total_s
from train.data.examples import THINK_CLOSE, THINK_OPEN


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardWeights:
    """How much each term counts; all are 0 or more. By default a perfect answer earns 1, relevant or not."""

    parse: float = 1.0
    """Taken away for a text outside the grammar, which then earns nothing else."""
    format: float = 0.0
    """Earned by every text in the grammar (TVG-R1: 0.1)."""
    tiou: float = 0.8
    """Times the set IoU with all true windows (TVG-R1: 0.9)."""
    shape: float = 0.2
    """Times the closeness of two sets of windows, which still orders answers whose IoU is 0."""
    boundary: bool = False
    """Multiply tIoU by how near the outer start and end are, as shares of the video's length (Time-R1)."""
    refusal: float = 1.0
    """Earned by the refusal sentence for an irrelevant pair."""
    over_refusal: float = 0.0
    """Taken away for refusing a relevant pair. 0 is enough for over-refusal never to pay."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "boundary" and not (math.isfinite(value) and value >= 0):
                raise InputError(f"Reward weight '{field.name}' has value {value!r}; it must be 0 or more.")
        if self.tiou + self.shape == 0:
            raise InputError(
                "Without weight on tiou or shape, no relevant answer can earn anything. Set one."
            )


TVG_R1 = RewardWeights(format=0.1, tiou=0.9, shape=0.0, refusal=0.9)
"""0.9 tIoU + 0.1 format, with the refusal worth as much as a perfect window."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reward:
    """What one answer earned, and for what."""

    total: float
    parts: Mapping[str, float]
    """The terms before weighing: parse (-1 or 0), then tiou and shape, or refusal."""
    moments: tuple[Moment, ...] | None
    """What was answered; () for the refusal, None for a text outside the grammar."""

    @property
    def refused(self) -> bool:
        return self.moments == ()


def reward(
    completion: str | Sequence[Moment],
    truth: Sequence[Moment],
    *,
    stamps: Sequence[str],
    stamp_times_s: Sequence[float],
    weights: RewardWeights | None = None,
    thinking: bool = False,
) -> Reward:
    """What a completion (its text without <|im_end|>, or its moments) earns against the truth (() : irrelevant).

    `truth` should be what the stamps can say (`Encoded.truth`), so that a perfect answer earns everything.
    `thinking` lets one <think> trace stand before the answer.
    """
    scale = weights or RewardWeights()
    moments = _read(completion, stamps, stamp_times_s, thinking)
    if moments is None:
        return Reward(total=-scale.parse, parts={"parse": -1.0}, moments=None)
    if not truth:
        refusal = float(not moments)
        total = scale.format + scale.refusal * refusal
        return Reward(total=total, parts={"parse": 0.0, "refusal": refusal}, moments=moments)
    tiou, near = set_iou(moments, truth), shape(moments, truth)
    if scale.boundary:
        tiou *= boundary(moments, truth, float(stamp_times_s[-1]))
    total = scale.format + scale.tiou * tiou + scale.shape * near
    if not moments:
        total = -scale.over_refusal
    return Reward(total=total, parts={"parse": 0.0, "tiou": tiou, "shape": near}, moments=moments)


def shape(predicted: Sequence[Moment], truth: Sequence[Moment]) -> float:
    """exp(-W1 / length of the truth), W1 between the uniform distributions on both sets; 0 when one is empty."""
    if not predicted or not truth:
        return 0.0
    return math.exp(-wasserstein_s(predicted, truth) / total_s(truth))


def wasserstein_s(a: Sequence[Moment], b: Sequence[Moment]) -> float:
    """The exact 1-Wasserstein distance, in seconds, between the uniform distributions on two unions of moments.

    In one dimension it is the area between the two distribution functions, which are piecewise linear here.
    Raises InputError when a side is empty.
    """
    left, right = merge(a), merge(b)
    if not left or not right:
        raise InputError("The distance between sets of moments needs at least one moment on each side.")
    edges = sorted({edge for moment in (*left, *right) for edge in (moment.start_s, moment.end_s)})
    gaps = [_share_before(left, edge) - _share_before(right, edge) for edge in edges]
    return sum(
        (later - earlier) * _mean_size(before, after)
        for (earlier, later), (before, after) in zip(pairwise(edges), pairwise(gaps), strict=True)
    )


def boundary(predicted: Sequence[Moment], truth: Sequence[Moment], duration_s: float) -> float:
    """(1 - |start error| / duration)(1 - |end error| / duration) of the outermost boundaries, in [0, 1].

    Time-R1 has one window a query; for several, the first start and the last end are decided here. 0 when a side
    is empty.
    """
    if not predicted or not truth:
        return 0.0
    left, right = merge(predicted), merge(truth)
    starts = abs(left[0].start_s - right[0].start_s) / duration_s
    ends = abs(left[-1].end_s - right[-1].end_s) / duration_s
    return max(0.0, 1 - starts) * max(0.0, 1 - ends)


def without_trace(text: str) -> str:
    """The text behind one whole <think> trace at its beginning, where there is one; else the text itself."""
    if not text.startswith(THINK_OPEN) or THINK_CLOSE not in text:
        return text
    return text.split(THINK_CLOSE, 1)[1].lstrip()


def _read(
    completion: str | Sequence[Moment],
    stamps: Sequence[str],
    stamp_times_s: Sequence[float],
    thinking: bool,
) -> tuple[Moment, ...] | None:
    """The moments of a completion, None when it is not in the grammar."""
    if not isinstance(completion, str):
        return tuple(merge(completion))
    try:
        pairs = parse_answer(without_trace(completion) if thinking else completion, stamps)
    except AnswerError:
        return None
    return tuple(moments_of(pairs, stamp_times_s))


def _share_before(moments: Sequence[Moment], time_s: float) -> float:
    """How much of the moments lies before a time, as a share of all of it."""
    before = sum(min(moment.end_s, time_s) - moment.start_s for moment in moments if moment.start_s < time_s)
    return before / total_s(moments)


def _mean_size(before: float, after: float) -> float:
    """Mean of |x| while x goes straight from one value to another."""
    if before * after >= 0:
        return (abs(before) + abs(after)) / 2
    return (before * before + after * after) / (2 * (abs(before) + abs(after)))
