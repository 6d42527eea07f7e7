"""Average precision of many queries equals that of each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tempo_core.metrics import ranking
from tempo_core.metrics.arrays import pad
from tests.tempo_core.metrics import plain
from tests.tempo_core.metrics.builders import any_window, possible_window

Window = tuple[float, float]
flagged_truth = st.lists(st.tuples(possible_window, st.booleans()), max_size=5)
flagged_prediction = st.lists(st.tuples(any_window, st.booleans()), max_size=6)
Flagged = list[tuple[Window, bool]]


def flags(rows: list[Flagged], shape: tuple[int, int]) -> np.ndarray:
    array = np.zeros(shape, dtype=bool)
    for place, row in enumerate(rows):
        array[place, : len(row)] = [flag for _, flag in row]
    return array


@settings(max_examples=200)
@given(st.lists(st.tuples(flagged_prediction, flagged_truth), min_size=1, max_size=5))
def test_average_precision_equals_its_plain_twin(rows: list[tuple[Flagged, Flagged]]) -> None:
    predicted = pad([[window for window, _ in guessed] for guessed, _ in rows])
    truth = pad([[window for window, _ in true] for _, true in rows])
    fast = ranking.average_precision(
        predicted,
        truth,
        outside=flags([true for _, true in rows], truth.valid.shape),
        excusable=flags([guessed for guessed, _ in rows], predicted.valid.shape),
    )
    for place, (guessed, true) in enumerate(rows):
        for column, threshold in enumerate(ranking.IOU_THRESHOLDS):
            slow = plain.average_precision(
                [window for window, _ in guessed],
                [window for window, _ in true],
                threshold,
                outside=[flag for _, flag in true],
                excusable=[flag for _, flag in guessed],
            )
            assert fast[place, column] == pytest.approx(slow, abs=1e-12, nan_ok=True)


def test_blocks_of_rows_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    predicted, truth = pad([[(0, i + 1), (2, 9)] for i in range(7)]), pad([[(0, 4), (2, 8)]] * 7)
    whole = ranking.average_precision(predicted, truth)
    monkeypatch.setattr(ranking, "_ROWS_AT_ONCE", 2)
    assert np.array_equal(ranking.average_precision(predicted, truth), whole)


def test_by_hand() -> None:
    # Of three windows the first and last hit: precision 1 at recall .5, and 2/3 at recall 1.
    ap = ranking.average_precision(pad([[(0, 4), (50, 60), (10, 14)]]), pad([[(0, 4), (10, 14)]]))
    assert ap[0].tolist() == pytest.approx([0.5 * 1 + 0.5 * 2 / 3] * 10)
