"""Confidence intervals by resampling videos, not queries: two queries of one video are not independent.

Every measure here is a ratio of sums over queries, so one resampling of the sums serves all measures at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tempo_core.errors import InputError
from tempo_core.metrics.arrays import Bools, Floats, Ints

SAMPLES = 1000
MOST_SAMPLES = 1_000_000
CONFIDENCE = 0.95
_DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """A measure that is one sum over queries divided by another, [N] each: a mean, a rate, an F1."""

    numerator: Floats
    denominator: Floats

    def value(self, rows: Bools | None = None) -> float:
        """The measure over some queries, all by default; NaN where the denominator is 0."""
        selected = slice(None) if rows is None else rows
        below = float(self.denominator[selected].sum())
        return float(self.numerator[selected].sum()) / below if below > 0 else float("nan")

    def within(self, rows: Bools) -> "Ratio":
        """The same measure over some queries only, in columns of the same length."""
        return Ratio(numerator=self.numerator * rows, denominator=self.denominator * rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One measure of two models on the same queries: second minus first."""

    first: float
    second: float
    low: float
    high: float
    p_value: float
    """Two-sided: how often the resampled difference has the other sign, doubled; never below 1 / (samples + 1)."""


def resampled_values(
    ratios: Mapping[str, Ratio], clusters: Ints, *, samples: int = SAMPLES, seed: int = 0
) -> dict[str, Floats]:
    """[samples] values of each measure, each from as many clusters as there are, drawn with replacement.

    `clusters` [N] numbers each query's video from 0. The same seed draws the same videos, whatever the
    measures. NaN where a draw holds nothing that the measure divides by.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise InputError(
            f"The number of resamplings must lie between 1 and {MOST_SAMPLES:,}; got {samples:,}."
        )
    if not ratios:
        return {}
    names = list(ratios)
    columns = np.stack(
        [c for name in names for c in (ratios[name].numerator, ratios[name].denominator)], axis=1
    )
    sums = np.zeros((int(clusters.max(initial=-1)) + 1, columns.shape[1]))
    np.add.at(sums, clusters, columns)
    # How often each cluster is drawn [B, clusters], for all samples in blocks.
    generator, n_clusters = np.random.default_rng(seed), len(sums)
    block = max(1, _DRAWS_AT_ONCE // max(1, n_clusters))
    resampled = []
    for start in range(0, samples, block):
        size = min(block, samples - start)
        draws = (
            generator.integers(n_clusters, size=(size, n_clusters)) + np.arange(size)[:, None] * n_clusters
        )
        weights = np.bincount(draws.ravel(), minlength=size * n_clusters).reshape(size, n_clusters)
        resampled.append(weights.astype(np.float64) @ sums)
    totals = np.concatenate(resampled)
    above, below = totals[:, 0::2], totals[:, 1::2]
    values = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return {name: values[:, place] for place, name in enumerate(names)}


def interval(values: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of resampled values, NaN left out; NaN twice when nothing remains."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def paired_differences(
    first: Mapping[str, Ratio],
    second: Mapping[str, Ratio],
    clusters: Ints,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> dict[str, Difference]:
    """For each measure that both have: how much better the second is, with its interval, over the same draws.

    The queries of both must stand in the same order.
    """
    shared = [name for name in first if name in second]
    before = resampled_values({name: first[name] for name in shared}, clusters, samples=samples, seed=seed)
    after = resampled_values({name: second[name] for name in shared}, clusters, samples=samples, seed=seed)
    differences = {}
    for name in shared:
        gaps = after[name] - before[name]
        gaps = gaps[np.isfinite(gaps)]
        low, high = interval(gaps)
        rarer = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
        differences[name] = Difference(
            first=first[name].value(),
            second=second[name].value(),
            low=low,
            high=high,
            p_value=min(1.0, 2 * (rarer + 1) / (len(gaps) + 1)),
        )
    return differences
