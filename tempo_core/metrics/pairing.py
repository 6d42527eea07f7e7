"""Ground truth and predictions side by side, and what each prediction amounts to once impossible windows are out."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tempo_core.errors import InputError
from tempo_core.metrics.arrays import Bools, Floats, Ints, Windows, pad
from tempo_core.metrics.ranking import MAX_WINDOWS
from tempo_core.metrics.rows import FieldError, PredictionRow, Problem, Qid, ScoredWindow, TruthRow, Window

Span = TypeVar("Span", Window, ScoredWindow)

SURE_SCORE = 0.5
"""Where a row ranks windows but gives no `moments`, those that score this much are its answer, or else its best one.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """One entry a scored query: what people marked and what the model said, or None where it said nothing."""

    truth: tuple[TruthRow, ...]
    predictions: tuple[PredictionRow | None, ...]
    missing: tuple[Qid, ...]
    """Queries of the ground truth that the predictions do not hold."""
    unknown: tuple[Qid, ...]
    """Predictions whose query the ground truth does not hold; never scored."""
    notes: tuple[str, ...]

    @property
    def clusters(self) -> Ints:
        """[N] a number for each query's video, for resampling; a row without a vid stands alone."""
        names: dict[tuple[str, Qid], int] = {}
        keys = (("vid", row.vid) if row.vid is not None else ("qid", row.qid) for row in self.truth)
        return np.array([names.setdefault(key, len(names)) for key in keys], dtype=np.int64)

    @property
    def truth_windows(self) -> Windows:
        return pad([row.windows for row in self.truth])

    def take(self, rows: Bools) -> "Pairs":
        """Some queries only."""
        chosen = np.flatnonzero(rows)
        return dataclasses.replace(
            self,
            truth=tuple(self.truth[idx] for idx in chosen),
            predictions=tuple(self.predictions[idx] for idx in chosen),
        )


def pair(truth: Sequence[TruthRow], predictions: Sequence[PredictionRow], *, partial: bool = False) -> Pairs:
    """Join the two by qid, in the order of the ground truth.

    A query without a prediction stays, answered by nothing; with `partial` it is left out instead. Raises
    InputError when not one qid is shared: then the files belong to different data.
    """
    by_qid = {row.qid: row for row in predictions}
    truth_qids = {row.qid for row in truth}
    if not truth_qids & by_qid.keys():
        raise InputError(
            f"No qid of the predictions (first: {predictions[0].qid!r}) is in the ground truth (first: "
            f"{truth[0].qid!r}); give the ground truth of the same split, with qids of the same type."
        )
    scored = tuple(row for row in truth if row.qid in by_qid) if partial else tuple(truth)
    predicted = tuple(by_qid.get(row.qid) for row in scored)
    notes = []
    for field in ("vid", "query"):
        differing = [
            row.qid
            for row, prediction in zip(scored, predicted, strict=True)
            if prediction and None not in (getattr(row, field), getattr(prediction, field))
            if getattr(row, field) != getattr(prediction, field)
        ]
        if differing:
            notes.append(
                f"{len(differing)} predictions have another {field} than the ground truth of the same qid "
                f"(first: qid {differing[0]}): check that the files belong together."
            )
    return Pairs(
        truth=scored,
        predictions=predicted,
        missing=tuple(row.qid for row in truth if row.qid not in by_qid),
        unknown=tuple(row.qid for row in predictions if row.qid not in truth_qids),
        notes=tuple(notes),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What the predictions say, in arrays; impossible windows are out, and a refusal has no windows."""

    ranked: Windows
    """Best score first, at most ten a query."""
    moments: Windows
    """The answer as a set, in any order."""
    refused: Bools
    """[N] whether it says that nothing matches; a missing prediction refuses nothing."""
    understood: Bools
    """[N] false where it says that it does not know what was asked: neither moments nor a refusal."""
    relevance: Floats
    """[N] P(some moment matches); NaN where the prediction does not say."""


def read_answers(pairs: Pairs, *, file: str = "predictions") -> tuple[Answers, tuple[Problem, ...]]:
    """The answers of every scored query, and the impossible windows that are left out, with row and reason."""
    ranked: list[list[ScoredWindow]] = []
    moments: list[Sequence[Sequence[float]]] = []
    rejected: list[Problem] = []

    def screen(
        row: PredictionRow, field: str, windows: Sequence[Span], duration_s: float | None
    ) -> list[Span]:
        """The possible windows in their order; each of the others adds its reason to `rejected`."""
        possible = []
        for place, window in enumerate(windows):
            if reason := fault(window, duration_s):
                error = FieldError(f"{field}[{place}]", list(window), reason)
                rejected.append(Problem.of(error, file, row.line, qid=row.qid))
            else:
                possible.append(window)
        return possible

    for truth, prediction in zip(pairs.truth, pairs.predictions, strict=True):
        possible: list[ScoredWindow] = []
        stated: Sequence[Sequence[float]] | None = None
        if prediction is not None:
            windows, duration_s = prediction.windows or (), truth.duration_s
            possible = screen(prediction, "pred_relevant_windows", windows, duration_s)
            if prediction.moments is not None:
                stated = screen(prediction, "moments", prediction.moments, duration_s)
            if prediction.has_refused:
                possible, stated = [], []
        possible.sort(key=lambda window: -window[2])
        ranked.append(possible[:MAX_WINDOWS])
        if stated is None:
            stated = sure_windows(possible)
        moments.append(stated)
    rows = pairs.predictions
    answers = Answers(
        ranked=pad(ranked),
        moments=pad(moments),
        refused=np.array([row is not None and row.has_refused for row in rows], dtype=bool),
        understood=np.array([row is None or row.understood for row in rows], dtype=bool),
        relevance=np.array(
            [np.nan if row is None or row.relevance is None else row.relevance for row in rows],
            dtype=np.float64,
        ),
    )
    return answers, tuple(rejected)


def sure_windows(ranked: Sequence[ScoredWindow]) -> list[ScoredWindow]:
    """The answer that a ranking, best score first, amounts to: the windows that score 0.5, or else the best one."""
    return [window for window in ranked if window[2] >= SURE_SCORE] or list(ranked[:1])


def fault(window: Sequence[float], duration_s: float | None) -> str | None:
    """Why a window of finite numbers cannot be a moment of the video, or None when it can."""
    start, end = window[0], window[1]
    if start < 0:
        return "a window must start at 0 or later"
    if end <= start:
        return "a window must end after it starts"
    if duration_s is not None and start >= duration_s:
        return f"a window must start before the video ends ({duration_s:g} s)"
    return None


def group_rows(pairs: Pairs, field: str) -> Mapping[str, Bools]:
    """[N] masks of the queries for each value of a ground-truth field, values in order.

    Raises InputError when no row has the field.
    """
    values = [row.fields.get(field) for row in pairs.truth]
    if all(value is None for value in values):
        present = sorted({name for row in pairs.truth for name in row.fields})
        raise InputError(
            f"No row of the ground truth has a field {field!r} to group by; it has {', '.join(present)}."
        )
    names = np.array(["(absent)" if value is None else str(value) for value in values])
    return {str(name): names == name for name in np.unique(names)}
