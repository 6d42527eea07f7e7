"""P(relevant) as a frequency: Platt scaling of what a checkpoint says of itself, fitted on rows that it was not
trained on.

A checkpoint's own figure ranks queries but need not be right that often: the first choice between a moment and the
refusal where it was taught to refuse, else the yes/no turn of its protocol. p becomes sigmoid(slope * logit(p) +
offset) (Platt 1999, with his smoothed targets). The figures of the fit are cross-fitted: each video's rows are scaled
by a fit on the other videos.

The engine reads a model's scaling once, from the adapter's folder where there is one, reports `scale(own)` as an
answer's relevance, and refuses under one half. A calibration is made from a model's own figures, never from scaled
ones.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tempo_core.defaults import read_json
from tempo_core.errors import CheckpointError, InputError
from tempo_core.files import write_whole
from tempo_core.protocols.base import Protocol

FILE_NAME = "calibration.json"
"""Beside a checkpoint's or an adapter's own files."""
NEVER_TAUGHT = "never taught to refuse"
"""In the note of a model whose refusals mean nothing before it is calibrated."""
Band = Literal["clear", "possible", "guess"]
"""How far a moment is to be trusted, in one word."""
CLEAR, POSSIBLE = 0.6, 0.2
"""Least probability of a clear and of a possible moment. What was measured for them is in docs/experiments.md."""
MIN_ROWS = 10
"""Fewest relevant, and fewest irrelevant rows of a fit."""
FOLDS = 5
EDGE = 1e-6
"""Probabilities are kept so far from 0 and 1."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlattScaling:
    """A fitted scaling, for one model."""

    slope: float
    """Not negative. 0: the model's own figure says nothing."""
    offset: float
    model_id: str
    """The model whose figures were fitted; another model's are not scaled by it."""
    relevant_rows: int
    irrelevant_rows: int
    error_before: float
    """Expected calibration error of the model's own figure, ten equal bins."""
    error_after: float
    """The same, cross-fitted."""
    auroc: float
    """Of the model's own figure, which scaling keeps."""

    def scale(self, relevance: float) -> float:
        """The calibrated P(relevant) of a model's own one."""
        return float(_scale(np.array([relevance]), self.slope, self.offset)[0])


def fit_scaling(
    relevance: Sequence[float], relevant: Sequence[bool], groups: Sequence[int], *, model_id: str
) -> PlattScaling:
    """Fit a scaling to N rows; `groups` numbers each row's video, so that no video calibrates itself.

    Raises InputError when either kind has fewer than MIN_ROWS rows, or all rows are of one video.
    """
    from tempo_core.metrics.measures import auroc, calibrate

    own, labels = np.asarray(relevance, dtype=np.float64), np.asarray(relevant, dtype=bool)
    counts = int(labels.sum()), int((~labels).sum())
    if min(counts) < MIN_ROWS:
        raise InputError(
            f"{counts[0]} relevant and {counts[1]} irrelevant rows; a calibration needs {MIN_ROWS} of each. "
            "Predict more rows."
        )
    _, group_idx = np.unique(np.asarray(groups), return_inverse=True)
    n_folds = min(FOLDS, int(group_idx.max()) + 1)
    if n_folds < 2:
        raise InputError("All rows are of one video; a calibration needs at least two. Predict more videos.")
    cross_fitted = own.copy()
    for fold in range(n_folds):
        held_out = group_idx % n_folds == fold
        cross_fitted[held_out] = _scale(own[held_out], *_fit(own[~held_out], labels[~held_out]))
    slope, offset = _fit(own, labels)
    return PlattScaling(
        slope=slope,
        offset=offset,
        model_id=model_id,
        relevant_rows=counts[0],
        irrelevant_rows=counts[1],
        error_before=calibrate(own, labels).error,
        error_after=calibrate(cross_fitted, labels).error,
        auroc=auroc(own, labels),
    )


def write_scaling(folder: Path, scaling: PlattScaling) -> Path:
    """Write the scaling into a checkpoint's or adapter's folder, whole or not at all. Raises CheckpointError."""
    path = folder / FILE_NAME
    try:
        write_whole(path, json.dumps(asdict(scaling), indent=1) + "\n")
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written: {error.strerror}. Name a folder of one's own."
        ) from error
    return path


def read_scaling(folder: Path, model_id: str) -> PlattScaling | None:
    """The scaling of a model, None where its folder has none or has another model's.

    Raises CheckpointError when the file is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    data: dict[str, Any] = read_json(path)
    try:
        scaling = PlattScaling(**{field.name: data[field.name] for field in fields(PlattScaling)})
        numbers = [scaling.slope, scaling.offset]
        is_good = all(math.isfinite(number) for number in numbers) and scaling.slope >= 0
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}). Calibrate again.") from error
    if not is_good:
        raise CheckpointError(f"{path} has slope {scaling.slope}, offset {scaling.offset}. Calibrate again.")
    return scaling if scaling.model_id == model_id else None


def band_of(confidence: float | None, relevance: float | None) -> Band | None:
    """The band of a moment, by P(relevant) times the confidence of its stamps; None without a confidence.

    band_of(0.87, 0.95)   # "clear"
    band_of(0.05, 0.60)   # "guess"
    """
    if confidence is None:
        return None
    probability = confidence * (1.0 if relevance is None else relevance)
    return "clear" if probability >= CLEAR else "possible" if probability >= POSSIBLE else "guess"


def relevance_note(protocol: Protocol, scaling: PlattScaling | None) -> str:
    """Where a P(relevant) comes from, as a sentence for the page."""
    source = "choice between a moment and the refusal" if protocol.refuses else "yes/no turn"
    if scaling is not None:
        rows = scaling.relevant_rows + scaling.irrelevant_rows
        return f"P(relevant) is this model's own {source}, calibrated on {rows} held-out rows."
    if protocol.refuses:
        return f"P(relevant) is this model's own {source}, not calibrated."
    return f"This model was {NEVER_TAUGHT}: P(relevant) is its own {source}, not calibrated."


def _fit(own: Floats, labels: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset of the least log-loss."""
    from scipy.optimize import minimize

    logits = _logits(own)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        """Mean log-loss and its gradient."""
        scores = parameters[0] * logits + parameters[1]
        gaps = 1 / (1 + np.exp(-np.clip(scores, -500, 500))) - targets
        value = float(np.mean(np.logaddexp(0, scores) - targets * scores))
        return value, np.array([np.mean(gaps * logits), np.mean(gaps)])

    bounds = [(0.0, None), (None, None)]
    fit = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(fit.x[0]), float(fit.x[1])


def _scale(own: Floats, slope: float, offset: float) -> Floats:
    scores = np.clip(slope * _logits(own) + offset, -500, 500)
    return np.asarray(1 / (1 + np.exp(-scores)), dtype=np.float64)


def _logits(own: Floats) -> Floats:
    clipped = np.clip(own, EDGE, 1 - EDGE)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float64)
