"""A band spreads an edge over the stamps that its places snap to, and over no others."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tempo_core.answers import snap_outward
from tempo_core.moments import Moment
from tests.train.conftest import example_of
from train.data.encoding import Encoder
from train.data.soft_edges import edge_masses, stamp_masses

TIMES = [0.0, 1.5, 2.0, 4.0, 6.5, 9.0]


@settings(max_examples=40)
@given(st.floats(0.2, 8.8), st.floats(0.01, 4), st.sampled_from(["start", "end"]))
def test_a_stamps_mass_is_the_share_of_the_band_that_snaps_to_it(
    edge_s: float, band_s: float, side: Literal["start", "end"]
) -> None:
    masses = stamp_masses(edge_s, band_s, TIMES, side=side)
    assert masses.sum() == pytest.approx(1)
    counts = np.zeros(len(TIMES))
    places = edge_s - band_s + 2 * band_s * (np.arange(400) + 0.5) / 400
    for place_s in places:
        # a moment that reaches far enough on the other side
        start_s, end_s = (
            (place_s, max(place_s, 8.0) + 20) if side == "start" else (min(place_s, 1.0) - 20, place_s)
        )
        if start_s >= TIMES[-1] or end_s <= TIMES[0]:
            idx = len(TIMES) - 2 if side == "start" else 1  # past the video's end, or before it begins
        else:
            idx = snap_outward([Moment(max(0.0, start_s), end_s)], TIMES)[0][side == "end"]
        counts[idx] += 1
    np.testing.assert_allclose(masses, counts / 400, atol=6e-3)


def test_an_edge_stays_between_the_edges_beside_it() -> None:
    times = [float(second) for second in range(11)]
    starts, ends, later, last = edge_masses(
        [(2, 4), (6, 8)], [(2.0, 4.0), (6.0, 8.0)], [(0.0, 9.0), (9.0, 1.0)], times
    )
    assert np.flatnonzero(starts).tolist() == [2]
    assert np.flatnonzero(ends).tolist() == [3, 4, 5]
    assert np.flatnonzero(later).tolist() == [5, 6, 7]
    assert np.flatnonzero(last).tolist() == [7, 8, 9]
    for masses in (starts, ends, later, last):
        assert masses.sum() == pytest.approx(1)


def test_an_edge_that_had_to_move_to_have_a_stamp_is_hard() -> None:
    # The whole moment lies at one stamp, so that its end is the next one, to which no place of the band snaps.
    pairs = snap_outward([Moment(1.98, 2.01)], TIMES)
    assert pairs == [(2, 3)]
    _, ends = edge_masses(pairs, [(1.98, 2.01)], [(0.0, 0.01)], TIMES)
    assert np.flatnonzero(ends).tolist() == [3]


def test_an_example_says_which_stamps_its_edges_may_be(encoder: Encoder) -> None:
    soft = replace(example_of(2, moments=[(1.4, 2.6), (5.0, 7.5)]), bands_s=((0.5, 0.0), (0.25, 1.0)))
    encoded = encoder.encode(soft)
    assert encoded.pairs == ((1, 3), (5, 8))
    assert encoded.edge_ranges_s == (((0.0, 1.0), (3.0, 3.0)), ((4.0, 5.0), (7.0, 8.0)))
    np.testing.assert_allclose(encoded.edge_masses[0][:2], [0.05, 0.95])  # 0.95 s is the stamp 1.0
    # Moments that share a stamp are one: it has the start's band of its first and the end's of its last.
    joined = encoder.encode(replace(soft, moments=(Moment(1.4, 2.6), Moment(2.9, 5.5))))
    assert joined.pairs == ((1, 6),)
    assert joined.edge_ranges_s == (((0.0, 1.0), (5.0, 7.0)),)


@pytest.mark.parametrize("bands_s", [(), ((0.0, 0.0),)])
def test_hard_edges_have_one_stamp(encoder: Encoder, bands_s: tuple[tuple[float, float], ...]) -> None:
    encoded = encoder.encode(replace(example_of(2, moments=[(2.0, 4.0)]), bands_s=bands_s))
    assert all(np.count_nonzero(masses) == 1 for masses in encoded.edge_masses)
    assert all(first == last for moment in encoded.edge_ranges_s for first, last in moment)
    assert encoder.encode(example_of(2)).edge_masses == ()
