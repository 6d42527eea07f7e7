"""Edges with bands: what agrees, what is compared, and that without bands nothing changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.agreement import Version, agreement, matched_tiou, set_f1
from annotations.soft_edges import SoftMoment, edge_gaps_s, nearest_truth, soft_iou
from tempo_core.moments import Moment, iou

TIMES = st.integers(0, 400).map(lambda tenths: tenths / 10)
MOMENTS = st.tuples(TIMES, st.integers(1, 100)).map(lambda pair: Moment(pair[0], pair[0] + pair[1] / 10))
BANDS = st.integers(0, 30).map(lambda tenths: tenths / 10)


def soft(start_s: float, end_s: float, start_band_s: float = 0.0, end_band_s: float = 0.0) -> SoftMoment:
    return SoftMoment(moment=Moment(start_s, end_s), start_band_s=start_band_s, end_band_s=end_band_s)


@pytest.mark.parametrize(
    ("a", "b", "gaps", "overlap"),
    [
        (soft(2, 6), soft(2, 6), (0, 0), 1.0),
        (soft(2, 6), soft(3, 6), (1, 0), 0.75),
        (soft(2, 6, 1), soft(3, 6), (0, 0), 1.0),  # the band reaches the other's edge
        (soft(2, 6, 0.5), soft(3, 6, 0.5), (0, 0), 1.0),  # both bands touch
        (soft(2, 6, 0.25), soft(3, 6, 0.25), (0.5, 0), 3.25 / 3.75),  # half a second is left between them
        (soft(2, 6, 0, 1), soft(2, 8, 0, 1), (0, 0), 1.0),
        (soft(2, 3, 5, 5), soft(7, 8, 5, 5), (0, 0), 1.0),
    ],
)
def test_bands_that_overlap_agree(
    a: SoftMoment, b: SoftMoment, gaps: tuple[float, float], overlap: float
) -> None:
    for one, other in ((a, b), (b, a)):
        assert edge_gaps_s(one, other) == pytest.approx(gaps)
        assert soft_iou(one, other) == pytest.approx(overlap)


@given(MOMENTS, MOMENTS, BANDS, BANDS)
def test_a_band_never_lowers_the_overlap_and_none_leaves_it(
    a: Moment, b: Moment, start_s: float, end_s: float
) -> None:
    assert soft_iou(SoftMoment(moment=a), SoftMoment(moment=b)) == iou(a, b)
    assert set_f1([SoftMoment(moment=a)], [b], 0.5) == set_f1([a], [b], 0.5)
    banded = SoftMoment(moment=a, start_band_s=start_s, end_band_s=end_s)
    if iou(a, b) > 0:
        assert soft_iou(banded, SoftMoment(moment=b)) >= iou(a, b) - 1e-9
    ranges = ((a.start_s - start_s, a.start_s + start_s), (a.end_s - end_s, a.end_s + end_s))
    [truth] = nearest_truth([b], [a], [ranges])
    assert iou(truth, b) >= iou(a, b) - 1e-9
    assert abs(truth.start_s - a.start_s) <= start_s + 1e-9
    assert abs(truth.end_s - a.end_s) <= end_s + 1e-9
    assert nearest_truth([b], [a], []) == [a]


def test_agreement_counts_what_lies_in_the_band() -> None:
    hard = Version(verdict="moments", moments=[Moment(2, 6)])
    other = Version(verdict="moments", moments=[Moment(3, 6)])
    banded = Version(verdict="moments", moments=[Moment(2, 6)], bands=[(1.0, 0.0)])
    before, after = agreement([(10.0, [hard, other])]), agreement([(10.0, [banded, other])])
    assert (before.mean_tiou, before.start_median_s) == (0.75, 1.0)
    assert (after.mean_tiou, after.start_median_s) == (1.0, 0.0)
    assert after.alpha == before.alpha
    assert matched_tiou(banded.soft_moments, other.soft_moments) == 1.0


def test_the_truth_goes_to_the_predicted_moment_that_it_shares_most_with() -> None:
    truth = [Moment(2, 6), Moment(10, 14)]
    ranges = [((1.5, 2.5), (5.5, 6.5)), ((10.0, 10.0), (12.0, 16.0))]
    assert nearest_truth([Moment(1, 6.2), Moment(11, 15)], truth, ranges) == [
        Moment(1.5, 6.2),
        Moment(10, 15),
    ]
    assert nearest_truth([Moment(20, 21)], truth, ranges) == truth
    assert nearest_truth([], truth, ranges) == truth
    assert nearest_truth([Moment(1, 6.2)], truth, []) == truth
