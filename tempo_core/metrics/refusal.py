"""Does the model know when nothing matches? Ranking and calibration of P(relevant), without a judge model."""

from dataclasses import dataclass

import numpy as np

from tempo_core.metrics.arrays import Bools, Floats, Ints

CALIBRATION_BINS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """P(relevant) in equal bins of 0..1: what was predicted against what holds, [B] each; NaN in an empty bin."""

    predicted: Floats
    """Mean P(relevant) of the bin."""
    observed: Floats
    """Share of the bin's queries that have a moment."""
    counts: Ints

    @property
    def error(self) -> float:
        """Expected calibration error: the mean gap of the two, weighted by queries; NaN of no queries."""
        total = int(self.counts.sum())
        if not total:
            return float("nan")
        filled = self.counts > 0
        gaps = np.abs(self.predicted[filled] - self.observed[filled])
        return float((gaps * self.counts[filled]).sum() / total)


def calibrate(relevance: Floats, relevant: Bools, *, bins: int = CALIBRATION_BINS) -> Calibration:
    """Calibration of P(relevant) [N] against what is so [N]; NaN queries are left out."""
    is_stated = np.isfinite(relevance)
    predicted, observed = relevance[is_stated], relevant[is_stated]
    bin_idx = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    counts = np.bincount(bin_idx, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Calibration(
            predicted=np.bincount(bin_idx, weights=predicted, minlength=bins) / counts,
            observed=np.bincount(bin_idx, weights=observed, minlength=bins) / counts,
            counts=counts,
        )


def auroc(relevance: Floats, relevant: Bools) -> float:
    """The chance that a query with a moment gets a higher P(relevant) than one without, ties counting half.

    Queries whose P(relevant) is NaN are left out; NaN when one of the two kinds is absent.
    """
    is_stated = np.isfinite(relevance)
    predicted, is_positive = relevance[is_stated], relevant[is_stated]
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    if not positives or not negatives:
        return float("nan")
    _, value_idx, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[value_idx]  # from 1, equal values sharing their mean rank
    return float((ranks[is_positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))
