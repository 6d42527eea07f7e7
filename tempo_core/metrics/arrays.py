"""Lists of windows as padded arrays, and the arithmetic of intervals on whole files at once.

Shapes: N queries, P predicted windows, G ground-truth windows, K windows of either kind, C clips, T thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """One list of windows for each query, padded to one length K."""

    edges: Floats
    """[N, K, 2] start and end in seconds; 0 where there is no window."""
    valid: Bools
    """[N, K] True where there is a window; they stand first in each row."""

    def __len__(self) -> int:
        return len(self.valid)

    @property
    def counts(self) -> Ints:
        """[N] windows of each query."""
        return self.valid.sum(axis=1, dtype=np.int64)

    @property
    def lengths_s(self) -> Floats:
        """[N, K] end minus start; 0 where there is no window."""
        return self.edges[..., 1] - self.edges[..., 0]

    def take(self, rows: Bools | Ints) -> "Windows":
        """The windows of some queries only."""
        return Windows(edges=self.edges[rows], valid=self.valid[rows])

    def first(self, count: int = 1) -> "Windows":
        """The first windows of each query, at most `count`."""
        return Windows(edges=self.edges[:, :count], valid=self.valid[:, :count])

    def keep(self, mask: Bools) -> "Windows":
        """The windows where `mask` [N, K] is True, moved to the front of each row."""
        valid = self.valid & mask
        order = np.argsort(~valid, axis=1, kind="stable")
        edges = np.where(valid[..., None], self.edges, 0.0)
        return Windows(
            edges=np.take_along_axis(edges, order[..., None], axis=1),
            valid=np.take_along_axis(valid, order, axis=1),
        )


def any_along(mask: Bools, axis: int | tuple[int, ...]) -> Bools:
    """Whether anything is True along some axes; as `mask.any`, in one type."""
    result: Bools = np.logical_or.reduce(mask, axis=axis)
    return result


def pad(rows: Sequence[Sequence[Sequence[float]] | Floats]) -> Windows:
    """Windows from one list of [start, end, ...] for each query; what follows the end is left out."""
    counts = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
    widest = max(1, int(counts.max(initial=0)))
    valid = np.arange(widest) < counts[:, None]
    edges = np.zeros((len(rows), widest, 2))
    edges[valid] = np.array([window[:2] for row in rows for window in row], dtype=np.float64).reshape(-1, 2)
    return Windows(edges=edges, valid=valid)


def cross_iou(a: Windows, b: Windows) -> Floats:
    """[N, Ka, Kb] IoU of every window of `a` with every window of `b` of the same query; -1 where either is missing.

    Where the union is empty (a window of no or negative length) the value is NaN, as plain division has it.
    """
    start = np.maximum(a.edges[:, :, None, 0], b.edges[:, None, :, 0])
    end = np.minimum(a.edges[:, :, None, 1], b.edges[:, None, :, 1])
    shared = np.maximum(end - start, 0.0)
    union = a.lengths_s[:, :, None] + b.lengths_s[:, None, :] - shared
    both = a.valid[:, :, None] & b.valid[:, None, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(both, shared / union, -1.0)


def hull_iou(a: Floats, b: Floats) -> Floats:
    """[...] shared length of windows [..., 2] over the hull of the two, as several evaluators have it.

    It is the IoU where they overlap and 0 where they do not; 0 where the hull is empty.
    """
    shared = np.maximum(np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0]), 0.0)
    hull = np.maximum(a[..., 1], b[..., 1]) - np.minimum(a[..., 0], b[..., 0])
    return np.divide(shared, hull, out=np.zeros_like(shared), where=hull != 0)


def best_iou(windows: Windows, truth: Windows) -> Floats:
    """[N] IoU of each query's first window with the ground-truth window it fits best; 0 where either side is empty."""
    return np.maximum(cross_iou(windows.first(), truth)[:, 0].max(axis=1), 0.0)


def disjoint(windows: Windows) -> Windows:
    """The same union cut into pieces that do not overlap; pieces of no length may remain, and are marked invalid."""
    starts = np.where(windows.valid, windows.edges[..., 0], np.inf)
    order = np.argsort(starts, axis=1, kind="stable")
    valid = np.take_along_axis(windows.valid, order, axis=1)
    edges = np.take_along_axis(windows.edges, order[..., None], axis=1)
    ends = np.where(valid, edges[..., 1], -np.inf)
    covered = np.full_like(ends, -np.inf)  # [N, K] where everything before has ended
    covered[:, 1:] = np.maximum.accumulate(ends, axis=1)[:, :-1]
    start = np.maximum(edges[..., 0], covered)
    pieces = Windows(edges=np.stack([start, edges[..., 1]], axis=-1), valid=valid & (start < edges[..., 1]))
    return pieces.keep(pieces.valid)


def set_iou(predicted: Windows, truth: Windows) -> Floats:
    """[N] IoU of the two unions: 1 where both are empty, 0 where exactly one is.

    The plain form is `tempo_core.moments.set_iou`.
    """
    a, b = disjoint(predicted), disjoint(truth)
    start = np.maximum(a.edges[:, :, None, 0], b.edges[:, None, :, 0])
    end = np.minimum(a.edges[:, :, None, 1], b.edges[:, None, :, 1])
    both = a.valid[:, :, None] & b.valid[:, None, :]
    shared = np.where(both, np.maximum(end - start, 0.0), 0.0).sum(axis=(1, 2))
    union = a.lengths_s.sum(axis=1) + b.lengths_s.sum(axis=1) - shared
    ratio = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return np.where((a.counts == 0) & (b.counts == 0), 1.0, ratio)
