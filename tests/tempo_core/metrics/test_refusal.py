"""Ranking and calibration of P(relevant)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_core.metrics import plain
from tempo_core.metrics.refusal import auroc, calibrate

probability = st.one_of(st.integers(0, 10).map(lambda n: n / 10), st.just(math.nan))
judged = st.lists(st.tuples(probability, st.booleans()), max_size=20)


@given(judged)
def test_auroc_equals_its_plain_twin(rows: list[tuple[float, bool]]) -> None:
    said, true = [p for p, _ in rows], [so for _, so in rows]
    fast = auroc(np.array(said, dtype=float), np.array(true, dtype=bool))
    assert fast == pytest.approx(plain.auroc(said, true), nan_ok=True)


@given(judged)
def test_calibration_equals_its_plain_twin(rows: list[tuple[float, bool]]) -> None:
    said, true = [p for p, _ in rows], [so for _, so in rows]
    fast = calibrate(np.array(said, dtype=float), np.array(true, dtype=bool), bins=10).error
    assert fast == pytest.approx(plain.calibration_error(said, true, 10), nan_ok=True)


def test_by_hand() -> None:
    relevance, relevant = np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False])
    assert auroc(relevance, relevant) == 3.5 / 4
    found = calibrate(relevance, relevant)
    assert found.counts.tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 2, 1]
    assert found.observed[[1, 8, 9]].tolist() == [0, 0.5, 1]
    assert found.error == pytest.approx((0.1 + 2 * 0.3 + 0.1) / 4)


def test_certainty_is_in_the_last_bin() -> None:
    assert calibrate(np.array([1.0]), np.array([True])).counts[-1] == 1
