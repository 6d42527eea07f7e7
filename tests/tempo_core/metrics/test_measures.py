"""Tempo's own measures: set scores against every possible matching, ranking and calibration of P(relevant)."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tempo_core.metrics.arrays import cross_iou, pad
from tempo_core.metrics.measures import auroc, calibrate, matched_counts, matched_moments, score_queries
from tempo_core.metrics.pairing import Pairs, pair, read_answers
from tests.tempo_core.metrics import plain
from tests.tempo_core.metrics.builders import possible_window, predicted_row, truth

Window = tuple[float, float]
rows_of_sets = st.lists(
    st.tuples(st.lists(possible_window, max_size=4), st.lists(possible_window, max_size=4)),
    min_size=1,
    max_size=5,
)
probability = st.one_of(st.integers(0, 10).map(lambda n: n / 10), st.just(math.nan))
judged = st.lists(st.tuples(probability, st.booleans()), max_size=20)


@settings(max_examples=150)
@given(rows_of_sets, st.sampled_from([0.1, 0.3, 0.5, 0.7]))
def test_the_most_pairs_are_made(rows: list[tuple[list[Window], list[Window]]], threshold: float) -> None:
    near = cross_iou(pad([guessed for guessed, _ in rows]), pad([true for _, true in rows])) >= threshold
    slow = [
        plain.matched_count([[plain.iou(a, b) >= threshold for b in true] for a in guessed])
        for guessed, true in rows
    ]
    assert matched_counts(near).tolist() == slow


@settings(max_examples=150)
@given(rows_of_sets)
def test_the_matching_has_the_greatest_total(rows: list[tuple[list[Window], list[Window]]]) -> None:
    iou = cross_iou(pad([guessed for guessed, _ in rows]), pad([true for _, true in rows]))
    queries, predicted, true = matched_moments(iou)
    assert (
        len({*zip(queries, predicted, strict=True)})
        == len(queries)
        == len({*zip(queries, true, strict=True)})
    )
    assert (np.diff(queries) >= 0).all()
    for place, (guessed, moments) in enumerate(rows):
        own = queries == place
        slow = plain.greatest_total([[plain.iou(a, b) for b in moments] for a in guessed])
        assert iou[place, predicted[own], true[own]].sum() == pytest.approx(slow)


def test_set_scores_by_hand() -> None:
    moments = [[(2, 10), (22, 34), (50, 60)], [(8, 12)], [(0, 5)], []]
    windows = [[(0, 10, 0.9), (20, 30, 0.8)], [(0, 4, 0.9)], [], []]
    rows = [truth(qid, row) for qid, row in enumerate(moments)]
    pairs = pair(rows, [predicted_row(qid, row) for qid, row in enumerate(windows)])
    scores = score_queries(pairs, read_answers(pairs)[0])
    assert scores.set_iou.tolist() == pytest.approx([16 / 34, 0, 0, 1])
    # IoU .8 and 8/14: both pairs pass .3 and .5, one passes .7; five windows in all.
    assert scores.set_f1.tolist() == [pytest.approx([0.8, 0.8, 0.4]), [0, 0, 0], [0, 0, 0], [1, 1, 1]]
    assert scores.count_correct.tolist() == [False, True, False, True]
    assert scores.start_error_s.tolist() == [-2, -2]
    assert scores.end_error_s.tolist() == [0, -4]
    assert scores.error_rows.tolist() == [0, 0]


def test_no_query_matches_nothing() -> None:
    nothing = Pairs(truth=(), predictions=(), missing=(), unknown=(), notes=())
    scores = score_queries(nothing, read_answers(nothing)[0])
    assert scores.set_iou.shape == (0,)
    assert scores.error_rows.shape == (0,)


@given(judged)
def test_auroc_equals_its_plain_twin(rows: list[tuple[float, bool]]) -> None:
    guessed, true = [p for p, _ in rows], [so for _, so in rows]
    fast = auroc(np.array(guessed, dtype=float), np.array(true, dtype=bool))
    assert fast == pytest.approx(plain.auroc(guessed, true), nan_ok=True)


@given(judged)
def test_calibration_equals_its_plain_twin(rows: list[tuple[float, bool]]) -> None:
    guessed, true = [p for p, _ in rows], [so for _, so in rows]
    fast = calibrate(np.array(guessed, dtype=float), np.array(true, dtype=bool)).error
    assert fast == pytest.approx(plain.calibration_error(guessed, true, 10), nan_ok=True)


def test_ranking_and_calibration_by_hand() -> None:
    relevance, relevant = np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False])
    assert auroc(relevance, relevant) == 3.5 / 4
    by_hand = calibrate(relevance, relevant)
    assert by_hand.counts.tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 2, 1]
    assert by_hand.observed[[1, 8, 9]].tolist() == [0, 0.5, 1]
    assert by_hand.error == pytest.approx((0.1 + 2 * 0.3 + 0.1) / 4)


def test_certainty_is_in_the_last_bin() -> None:
    assert calibrate(np.array([1.0]), np.array([True])).counts[-1] == 1
