"""Highlight detection: how well predicted saliency ranks the clips that three annotators rated.

Source: QVHighlights (moment_detr, `standalone_eval`): average precision for each annotator, and whether the
clip rated highest by the model is a positive one for at least one of the three.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tempo_core.metrics.arrays import Bools, Floats, any_along
from tempo_core.metrics.rows import CLIP_S, TruthRow

MIN_RATINGS = {"Fair": 2, "Good": 3, "VeryGood": 4}
"""The rating from which on a clip is positive."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratings:
    """The clips of every query as three annotators rated them."""

    scores: Floats
    """[N, C, 3] 0 (very bad) to 4 (very good); 0 outside the relevant windows and beyond the video."""
    valid: Bools
    """[N, C] whether the video has this clip."""


def rate(truth: Sequence[TruthRow]) -> Ratings:
    """Ratings of rows that all have saliency and a duration."""
    clips = np.array([int((row.duration_s or 0) / CLIP_S) for row in truth], dtype=np.int64)
    scores = np.zeros((len(truth), max(1, int(clips.max(initial=0))), 3))
    for place, row in enumerate(truth):
        if row.clip_ids:
            scores[place, list(row.clip_ids)] = row.saliency
    return Ratings(scores=scores, valid=np.arange(scores.shape[1]) < clips[:, None])


def pad_saliency(rows: Sequence[Sequence[float] | None], clips: int, fill: float | None) -> Floats:
    """[N, clips] predicted saliency, cut or filled up to `clips`; without a `fill`, with less than the row's lowest."""
    padded = np.zeros((len(rows), clips))
    for place, row in enumerate(rows):
        scores = np.asarray(row if row is not None else (), dtype=np.float64)[:clips]
        padded[place, : len(scores)] = scores
        padded[place, len(scores) :] = (scores.min(initial=0.0) - 1.0) if fill is None else fill
    return padded


def clip_average_precision(positive: Bools, predicted: Floats, valid: Bools) -> Floats:
    """[N, 3] average precision of predicted scores [N, C] against each annotator's positives [N, C, 3].

    Clips of equal score enter together. It is the mean, over the scores at which recall rises, of the best
    precision from there on; 0 where nothing is positive.
    """
    keys = np.where(valid, -predicted, np.inf)
    order = np.argsort(keys, axis=1, kind="stable")
    keys = np.take_along_axis(keys, order, axis=1)
    sorted_positive = np.take_along_axis(positive & valid[..., None], order[..., None], axis=1)
    hits = sorted_positive.cumsum(axis=1)  # [N, C, 3]
    ends = np.isfinite(keys)  # the last clip of each run of equal scores
    ends[:, :-1] &= keys[:, :-1] != keys[:, 1:]
    precision = np.where(ends[..., None], hits / np.arange(1, keys.shape[1] + 1)[:, None], 0.0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    at_ends = np.maximum.accumulate(np.where(ends[..., None], hits, 0), axis=1)
    rises = ends[..., None] & (np.diff(at_ends, axis=1, prepend=0) > 0)
    total, count = (envelope * rises).sum(axis=1), rises.sum(axis=1)
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0)


def hit_at_one(positive: Bools, rows: Sequence[Sequence[float] | None]) -> Bools:
    """[N] whether the clip that each query's saliency rates highest (the first of equals) is positive for anybody."""
    clips = positive.shape[1]
    anybody = any_along(positive, 2)
    top = [-1 if not row else int(np.argmax(row)) for row in rows]
    hits = [0 <= clip < clips and bool(anybody[place, clip]) for place, clip in enumerate(top)]
    return np.array(hits, dtype=np.bool_)
