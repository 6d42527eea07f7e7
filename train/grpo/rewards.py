"""What an answer earns: pure functions of one answer and one truth, weighed by a frozen dataclass.

Sources: tIoU and format TVG-R1 (2507.18100), boundary Time-R1 (2503.13377), shape TimeLens2 (2607.17423); that
refusing is rewarded for irrelevant pairs Tempo-R0 (2507.04702), how much is decided here. Nothing is kept between
samples, no window is dropped, and no text outside the answer grammar earns anything.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

from annotations.soft_edges import EdgeRange, nearest_truth
from tempo_core.answers import AnswerError
from tempo_core.errors import InputError
from tempo_core.moments import Moment, merge, set_iou, total_s
from tempo_core.protocols.base import AnswerForm, Timeline
from tempo_core.protocols.tempo import FORM
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
    timeline: Timeline,
    end_s: float,
    form: AnswerForm = FORM,
    edge_ranges_s: Sequence[EdgeRange] = (),
    weights: RewardWeights | None = None,
    thinking: bool = False,
) -> Reward:
    """What a completion (its text without <|im_end|>, or its moments) earns against the truth (() : irrelevant).

    `form` reads the text, on the `timeline` of a video that ends at `end_s`.
    `truth` should be what the marks can say (`Encoded.truth`), so that a perfect answer earns everything.
    An edge within the range of the true one (`edge_ranges_s`, of each true moment) is as good as the true one.
    `thinking` lets one <think> trace stand before the answer of a form that knows none.
    """
    weights = weights or RewardWeights()
    if isinstance(completion, str):
        try:
            answer = without_trace(completion) if thinking and not form.lead else completion
            moments = tuple(form.parse(answer, timeline, end_s))
        except AnswerError:
            return Reward(total=-weights.parse, parts={"parse": -1.0}, moments=None)
    else:
        moments = tuple(merge(completion))

    if not truth:
        refusal = float(not moments)  # a refused irrelevant pair earns its 1 here
        total = weights.format + weights.refusal * refusal
        return Reward(total=total, parts={"parse": 0.0, "refusal": refusal}, moments=moments)

    truth = nearest_truth(moments, truth, edge_ranges_s)
    tiou, closeness = set_iou(moments, truth), shape(moments, truth)
    if weights.boundary:
        tiou *= boundary(moments, truth, end_s)
    total = weights.format + weights.tiou * tiou + weights.shape * closeness
    if not moments:
        total = -weights.over_refusal
    return Reward(total=total, parts={"parse": 0.0, "tiou": tiou, "shape": closeness}, moments=moments)


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
    a, b = merge(a), merge(b)
    if not a or not b:
        raise InputError("The distance between sets of moments needs at least one moment on each side.")

    def share_before(moments: Sequence[Moment], time_s: float) -> float:
        covered_s = sum(
            min(moment.end_s, time_s) - moment.start_s for moment in moments if moment.start_s < time_s
        )
        return covered_s / total_s(moments)

    edges = sorted({edge for moment in (*a, *b) for edge in (moment.start_s, moment.end_s)})
    gaps = [share_before(a, edge) - share_before(b, edge) for edge in edges]
    areas = []
    for (start_s, end_s), (first, last) in zip(pairwise(edges), pairwise(gaps), strict=True):
        # mean of |gap| while it goes straight from first to last; where the sign changes, two triangles
        if first * last >= 0:
            mean = (abs(first) + abs(last)) / 2
        else:
            mean = (first * first + last * last) / (2 * (abs(first) + abs(last)))
        areas.append((end_s - start_s) * mean)
    return sum(areas)


def boundary(predicted: Sequence[Moment], truth: Sequence[Moment], duration_s: float) -> float:
    """(1 - |start error| / duration)(1 - |end error| / duration) of the outermost boundaries, in [0, 1].

    Time-R1 has one window a query; for several, the first start and the last end are decided here. 0 when a side
    is empty.
    """
    if not predicted or not truth:
        return 0.0
    predicted, truth = merge(predicted), merge(truth)
    start_error = abs(predicted[0].start_s - truth[0].start_s) / duration_s
    end_error = abs(predicted[-1].end_s - truth[-1].end_s) / duration_s
    return max(0.0, 1 - start_error) * max(0.0, 1 - end_error)


def without_trace(text: str) -> str:
    """The text behind one whole <think> trace at its beginning, where there is one; else the text itself."""
    if not text.startswith(THINK_OPEN) or THINK_CLOSE not in text:
        return text
    return text.split(THINK_CLOSE, 1)[1].lstrip()
