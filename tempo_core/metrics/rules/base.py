"""What every benchmark's rules stand on: the rows they score, what an evaluator is handed, and how windows are matched.

Shapes: N queries, P predicted windows, G ground-truth windows, K windows of either kind, T thresholds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tempo_core.metrics.arrays import Bools, Floats, Windows, pad
from tempo_core.metrics.pairing import Pairs, sure_windows
from tempo_core.metrics.rows import PredictionRow, ScoredWindow

Scores = dict[str, Any]
"""An evaluator's own names and nesting; None where it would print NaN or stop."""

ALL_MATCH = -1.0
"""A threshold of `greedy_match` that every pair reaches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleScores:
    """What one benchmark's evaluator says of one prediction file."""

    scores: Scores
    quantities: Mapping[str, float | None]
    """What other rules have too, in percent, under some of the names of `comparison.QUANTITIES`."""
    overlap: Floats
    """[N] the IoU that it gives each query, 0 to 1; NaN where it scores none."""
    notes: tuple[str, ...] = ()
    """Rows that it cannot read, and numbers that are absent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """One benchmark and its rules."""

    title: str
    source: str
    """Repository, file and commit of the authors' evaluator that the numbers were compared with."""
    score: Callable[[Pairs], RuleScores]
    """The scores of pairs of which each has a prediction."""
    same_queries: bool = False
    """Whether the evaluator stops when the two files hold different queries."""


def predictions_of(pairs: Pairs) -> list[PredictionRow]:
    """The prediction of every pair, none of which may lack one."""
    return [row for row in pairs.predictions if row is not None]


def listed_windows(pairs: Pairs) -> list[tuple[ScoredWindow, ...]]:
    """Each query's ranked windows as they stand in the file, impossible ones too; none where the row has none."""
    return [row.windows or () for row in predictions_of(pairs)]


def answers(pairs: Pairs) -> Windows:
    """Each query's answer as a set, in the order stated: none for a refusal; impossible windows are kept.

    A row without `moments` answers with its sure windows, best score first.
    """
    stated: list[Sequence[Sequence[float]]] = []
    for row in predictions_of(pairs):
        if row.has_refused:
            stated.append(())
        elif row.moments is not None:
            stated.append(row.moments)
        else:
            stated.append(sure_windows(sorted(row.windows or (), key=lambda window: -window[2])))
    return pad(stated)


def refusals(pairs: Pairs) -> Bools:
    """[N] whether the prediction says that nothing matches."""
    return np.array([row.has_refused for row in predictions_of(pairs)], dtype=bool)


def hundredths(share: float | np.floating[Any]) -> float | None:
    """A share as percent with two decimals, rounded as Python's `round` does; None where it is not a number."""
    return round(100 * float(share), 2) if np.isfinite(share) else None


def greedy_match(iou: Floats, thresholds: Sequence[float]) -> Floats:
    """[N, P, T] IoU of the pair that each predicted window makes; NaN where it makes none.

    In the order given, each window takes the free ground truth of greatest IoU [N, P, G], the first of equals; the
    pair counts where that IoU reaches the threshold. A NaN IoU is never taken; -1 marks an absent window.
    """
    levels = np.array(thresholds)
    rows, columns, moments = iou.shape
    free = np.ones((rows, len(levels), moments), dtype=bool)
    matched = np.full((rows, columns, len(levels)), np.nan)
    for rank in range(columns):
        candidates = iou[:, rank, None, :]
        fits = np.where(free & (candidates > -1.0), candidates, -1.0)
        best = fits.argmax(axis=2)[..., None]
        value = np.take_along_axis(fits, best, axis=2)[..., 0]
        hit = (value > -1.0) & (value >= levels)
        matched[:, rank] = np.where(hit, value, np.nan)
        np.put_along_axis(free, best, np.take_along_axis(free, best, 2) & ~hit[..., None], 2)
    return matched
