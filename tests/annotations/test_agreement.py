"""Agreement against hand-computed cases, a published worked example, and the `krippendorff` package."""

import itertools

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.agreement import (
    Version,
    agreement,
    clip_matrix,
    krippendorff_alpha,
    match,
    matched_tiou,
    set_f1,
)
from tempo_core.moments import Moment, iou


def moments(*pairs: tuple[float, float]) -> list[Moment]:
    return [Moment(*pair) for pair in pairs]


def version(*pairs: tuple[float, float], verdict: str | None = None) -> Version:
    return Version(verdict=verdict or ("moments" if pairs else "no-moment"), moments=moments(*pairs))


@pytest.mark.parametrize(
    ("a", "b", "tiou", "f1_at_half"),
    [
        ([], [], 1.0, 1.0),
        ([(0, 10)], [], 0.0, 0.0),
        ([(0, 10)], [(0, 10)], 1.0, 1.0),
        ([(0, 10)], [(5, 15)], 1 / 3, 0.0),
        ([(0, 10)], [(0, 5)], 0.5, 1.0),
        ([(0, 10), (20, 30)], [(20, 30)], 0.5, 2 / 3),
        ([(0, 10), (20, 30)], [(20, 30), (0, 8)], 0.9, 1.0),
        ([(0, 30)], [(0, 10), (12, 30)], 0.3, 2 / 3),
    ],
)
def test_pairs_by_hand(
    a: list[tuple[float, float]], b: list[tuple[float, float]], tiou: float, f1_at_half: float
) -> None:
    for one, other in ((a, b), (b, a)):
        assert matched_tiou(moments(*one), moments(*other)) == pytest.approx(tiou)
        assert set_f1(moments(*one), moments(*other), 0.5) == pytest.approx(f1_at_half)


def test_matching_is_optimal_where_greedy_is_not() -> None:
    a, b = moments((0, 10), (6, 16)), moments((4, 13), (0, 4))
    greedy = max(iou(x, y) for x in a for y in b)
    assert greedy == iou(a[1], b[0])
    assert {(i, j) for i, j, _ in match(a, b)} == {(0, 1), (1, 0)}
    c, d = moments((0, 10), (7, 19)), moments((3, 12), (11, 40))
    best = max(
        sum(iou(c[i], d[j]) for i, j in enumerate(order)) for order in itertools.permutations(range(2))
    )
    assert sum(overlap for _, _, overlap in match(c, d)) == pytest.approx(best)


windows = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 20)).map(lambda pair: Moment(pair[0], sum(pair))), max_size=4
)


@given(windows, windows)
def test_matching_equals_trying_every_assignment(a: list[Moment], b: list[Moment]) -> None:
    short, long = sorted((a, b), key=len)
    tried = [
        sum(iou(one, other) for one, other in zip(short, order, strict=True))
        for order in itertools.permutations(long, len(short))
    ]
    assert sum(overlap for _, _, overlap in match(a, b)) == pytest.approx(max(tried))
    hits = max(
        sum(iou(one, other) >= 0.5 for one, other in zip(short, order, strict=True))
        for order in itertools.permutations(long, len(short))
    )
    expected = 1.0 if not a and not b else 2 * hits / (len(a) + len(b))
    assert set_f1(a, b, 0.5) == pytest.approx(expected)


def test_alpha_of_the_published_example() -> None:
    """Four observers, twelve units: Krippendorff 2011, section C; nominal .743."""
    nan = np.nan
    ratings = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
            [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
        ]
    )
    assert krippendorff_alpha(ratings) == pytest.approx(0.743, abs=5e-4)


@pytest.mark.parametrize("seed", range(20))
def test_alpha_equals_the_library(seed: int) -> None:
    random = np.random.default_rng(seed)
    ratings = random.integers(0, random.integers(2, 6), (random.integers(2, 6), 40)).astype(float)
    ratings[random.random(ratings.shape) < 0.3] = np.nan
    theirs = krippendorff.alpha(ratings, level_of_measurement="nominal")
    assert krippendorff_alpha(ratings) == pytest.approx(theirs)


@pytest.mark.parametrize(
    "ratings",
    [np.zeros((0, 0)), np.zeros((2, 5)), np.full((2, 3), np.nan), np.array([[1.0, np.nan], [np.nan, 2]])],
)
def test_alpha_is_none_where_it_is_not_defined(ratings: np.ndarray) -> None:
    assert krippendorff_alpha(ratings) is None


def test_clips_are_marked_when_half_covered() -> None:
    rated = clip_matrix([version((1, 4), (6.5, 7.4)), version(verdict="cannot-judge")], 9)
    np.testing.assert_array_equal(rated, [[1, 1, 0, 0, 0], [np.nan] * 5])


def test_a_whole_report_by_hand() -> None:
    """Three annotators of one query, two of another; one could not judge."""
    report = agreement(
        [
            (20.0, [version((0, 10)), version((0, 8)), version(verdict="cannot-judge")]),
            (20.0, [version(), version((4, 8))]),
            (20.0, [version((0, 20))]),
        ]
    )
    assert report.pairs == 4
    assert report.verdict_agreement == pytest.approx(1 / 4)
    assert report.mean_tiou == pytest.approx((0.8 + 0.0) / 2)
    assert dict(report.f1) == {0.3: 0.5, 0.5: 0.5, 0.7: 0.5}
    assert (report.start_median_s, report.start_p75_s) == (0, 0)
    assert (report.end_median_s, report.end_p75_s) == (2, 2)
    ratings = [[1] * 5 + [0] * 5 + [0] * 10, [1] * 4 + [0] * 6 + [0, 0, 1, 1] + [0] * 6]
    assert report.alpha == pytest.approx(krippendorff.alpha(ratings, level_of_measurement="nominal"))


def test_an_empty_report_has_no_figures() -> None:
    report = agreement([])
    assert report.pairs == 0
    assert {report.mean_tiou, report.alpha, report.verdict_agreement, *report.f1.values()} == {None}
