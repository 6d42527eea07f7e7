"""Resampling by video: equal to its plain twin, repeatable, and as wide as it should be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_core.errors import InputError
from tempo_core.metrics import bootstrap
from tempo_core.metrics.bootstrap import Ratio, interval, paired_differences, resampled_values
from tests.tempo_core.metrics import plain

rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=12)


def ratio(numerator: list[float], denominator: list[float]) -> Ratio:
    return Ratio(numerator=np.array(numerator, dtype=float), denominator=np.array(denominator, dtype=float))


@given(rows, st.integers(0, 100))
def test_resampling_equals_its_plain_twin(given_rows: list[tuple[int, int, int]], seed: int) -> None:
    above, below, named = ([float(row[column]) for row in given_rows] for column in range(3))
    _, clusters = np.unique(named, return_inverse=True)
    count = int(clusters.max()) + 1
    draws = np.random.default_rng(seed).integers(count, size=(20, count))
    fast = resampled_values({"x": ratio(above, below)}, clusters, samples=20, seed=seed)["x"]
    assert fast.tolist() == pytest.approx(plain.resampled_values(above, below, clusters, draws), nan_ok=True)


def test_blocks_draw_the_same_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    values, clusters = {"x": ratio([1, 0, 1, 1], [1, 1, 1, 1])}, np.array([0, 1, 2, 2])
    whole = resampled_values(values, clusters, samples=50)["x"]
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 7)
    assert np.array_equal(resampled_values(values, clusters, samples=50)["x"], whole)


def test_two_queries_of_one_video_are_drawn_together() -> None:
    together = resampled_values({"x": ratio([1, 1, 0, 0], [1, 1, 1, 1])}, np.array([0, 0, 1, 1]))["x"]
    assert set(together) == {0.0, 0.5, 1.0}


def test_the_interval_of_a_mean_is_the_known_one() -> None:
    generator = np.random.default_rng(5)
    sample = generator.normal(size=2000)
    resampled = resampled_values(
        {"x": Ratio(numerator=sample, denominator=np.ones(2000))}, np.arange(2000), samples=2000
    )
    low, high = interval(resampled["x"])
    half = 1.96 * sample.std() / np.sqrt(2000)
    assert (low, high) == pytest.approx((sample.mean() - half, sample.mean() + half), abs=0.1 * half)


def test_nothing_to_divide_by_gives_nan_without_a_warning() -> None:
    nothing = ratio([0, 0], [0, 0])
    assert np.isnan(nothing.value())
    assert np.isnan(interval(resampled_values({"x": nothing}, np.array([0, 1]), samples=5)["x"])).all()
    assert resampled_values({}, np.array([0])) == {}


@pytest.mark.parametrize(("samples", "says"), [(0, "0"), (10**20, "100,000,000,000,000,000,000")])
def test_samples_are_counted(samples: int, says: str) -> None:
    with pytest.raises(InputError, match=f"between 1 and 1,000,000; got {says}"):
        resampled_values({"x": ratio([1], [1])}, np.array([0]), samples=samples)


def test_a_pair_cancels_what_makes_a_video_hard() -> None:
    generator = np.random.default_rng(0)
    hard = generator.random(200)
    ones, clusters = np.ones(200), np.arange(200)
    worse = {"x": Ratio(numerator=hard, denominator=ones)}
    better = {
        "x": Ratio(numerator=hard + 0.01 + generator.normal(scale=0.01, size=200), denominator=ones),
        "y": worse["x"],
    }
    differences = paired_differences(worse, better, clusters)
    assert list(differences) == ["x"]
    gap = differences["x"]
    assert 0 < gap.low < gap.second - gap.first < gap.high < 0.02
    assert differences["x"].p_value < 0.01
    same = paired_differences(worse, worse, clusters)["x"]
    assert (same.low, same.second - same.first, same.high, same.p_value) == (0, 0, 0, 1)
