"""What an edge with a band teaches: every stamp that some place of the band snaps to.

An annotator's band says that the edge lies within so many seconds of where it was put, each place as likely. A place
is snapped outward as a hard edge is (`tempo_core.answers.snap_outward`), so the mass of a stamp is the share of the
band that snaps to it. Without a band all mass lies on one stamp. T frames, T + 1 stamps.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from tempo_core.answers import SNAP_TOLERANCE_S

Masses = npt.NDArray[np.float64]
"""float64[T + 1]: how likely an edge is each of a video's stamps; sums to 1."""


def stamp_masses(
    edge_s: float, band_s: float, stamp_times_s: Sequence[float], *, side: Literal["start", "end"]
) -> Masses:
    """The share of [edge - band, edge + band] that snaps outward to each stamp; `band_s` is above 0.

    stamp_masses(4.0, 1.0, [0, 2, 4, 6], side="start")   # [0, .475, .525, 0]: from 3.95 s on it is the stamp 4.0
    """
    times = np.asarray(stamp_times_s, dtype=np.float64)
    # where the snapped stamp changes: a start is the last stamp before its place, an end the first one after it
    changes = times[1:-1] + (-SNAP_TOLERANCE_S if side == "start" else SNAP_TOLERANCE_S)
    bounds = np.concatenate([[-np.inf], changes, [np.inf]])
    low, high = edge_s - band_s, edge_s + band_s
    inside = np.clip(bounds, low, high)
    shares = np.diff(inside) / (high - low)
    # a moment never starts at the end's stamp, nor ends at the first frame's
    return np.concatenate([shares, [0.0]] if side == "start" else [[0.0], shares])


def one_stamp(idx: int, n_stamps: int) -> Masses:
    """All mass on one stamp: a hard edge."""
    masses = np.zeros(n_stamps)
    masses[idx] = 1.0
    return masses


def edge_masses(
    pairs: Sequence[tuple[int, int]],
    edges_s: Sequence[tuple[float, float]],
    bands_s: Sequence[tuple[float, float]],
    stamp_times_s: Sequence[float],
) -> list[Masses]:
    """The masses of each edge of an answer, start and end of each moment in turn.

    `pairs` are the moments as they are snapped without bands, `edges_s` and `bands_s` where they were put and the
    half widths. An edge stays between the snapped edges beside it, so that a band never reaches past its own moment
    or into another; its masses are made to sum to 1 again. Where nothing is left at the snapped edge itself, as for a
    moment that had to be made longer to have a stamp, the edge is hard.
    """
    n_stamps = len(stamp_times_s)
    snapped = [idx for pair in pairs for idx in pair]
    all_masses = []
    for place, idx in enumerate(snapped):
        number, is_end = divmod(place, 2)
        band_s = bands_s[number][is_end]
        masses = one_stamp(idx, n_stamps)
        if band_s > 0:
            spread = stamp_masses(
                edges_s[number][is_end], band_s, stamp_times_s, side="end" if is_end else "start"
            )
            spread[: snapped[place - 1] + 1 if place else 0] = 0.0
            spread[snapped[place + 1] if place + 1 < len(snapped) else n_stamps :] = 0.0
            if spread[idx] > 0:
                masses = spread / spread.sum()
        all_masses.append(masses)
    return all_masses
