"""Wrong labels for experiments: shifted edges, dropped windows, verdicts turned round."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tempo_core.moments import Moment, merge
from train.data.examples import Example


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """What is wrong with the labels."""

    jitter_frames: int = 0
    """Every edge is moved by up to so many frames, never by none."""
    wrong_verdicts: float = 0.0
    """Share of rows whose verdict is turned round."""


def with_noise(
    examples: Sequence[Example], noise: Noise, beat_s: Callable[[Example], float], *, seed: int
) -> list[Example]:
    """The rows with their edges moved by whole frames and some verdicts turned round, as the noise says."""
    rng = np.random.default_rng([seed, 19])
    noisy = []
    for example in examples:
        moments, unit_s = example.moments, beat_s(example)
        if rng.random() < noise.wrong_verdicts:
            moments = turn_verdict(example, rng, unit_s, longest=4)
        elif noise.jitter_frames and moments:
            moments = shift_edges(example, rng, unit_s, 1, noise.jitter_frames)
        noisy.append(replace(example, moments=moments))
    return noisy


def damage(rows: Sequence[Example], share: float, rng: np.random.Generator) -> dict[str, tuple[Moment, ...]]:
    """Wrong answers for a share of the rows, by row id: shifted edges, dropped windows, wrong verdicts in turn.

    An edge moves by two to five seconds. A refusal becomes a wrong verdict, whatever its turn.
    """
    chosen = sorted(rng.choice(len(rows), size=round(share * len(rows)), replace=False).tolist())
    damaged = {}
    for number, idx in enumerate(chosen):
        row, kind = rows[idx], number % 3
        if kind == 2 or not row.moments:
            moments = turn_verdict(row, rng, 1.0, longest=7)
        elif kind == 0:
            moments = shift_edges(row, rng, 1.0, 2, 5)
        elif len(row.moments) > 1:
            dropped_idx = int(rng.integers(len(row.moments)))
            moments = (*row.moments[:dropped_idx], *row.moments[dropped_idx + 1 :])
        else:  # of a single window, half of it
            (moment,) = row.moments
            middle_s = (moment.start_s + moment.end_s) / 2
            first = rng.random() < 0.5
            moments = (Moment(moment.start_s, middle_s) if first else Moment(middle_s, moment.end_s),)
        damaged[row.row_id] = moments
    return damaged


def shift_edges(
    example: Example, rng: np.random.Generator, unit_s: float, fewest: int, most: int
) -> tuple[Moment, ...]:
    """Every edge moved by `fewest` to `most` units, either way, inside the clip; moments that meet become one."""

    def moved(edge_s: float) -> float:
        return edge_s + unit_s * float(rng.choice([-1, 1])) * int(rng.integers(fewest, most + 1))

    moments = []
    for moment in example.moments:
        start_s = min(max(0.0, moved(moment.start_s)), example.duration_s - unit_s)
        end_s = max(start_s + unit_s, min(example.duration_s, moved(moment.end_s)))
        moments.append(Moment(start_s, end_s))
    return tuple(merge(moments))


def turn_verdict(
    example: Example, rng: np.random.Generator, unit_s: float, *, longest: int
) -> tuple[Moment, ...]:
    """Nothing where there is something; where there is nothing a moment of two to `longest` units."""
    if example.moments:
        return ()
    start_s = unit_s * int(rng.integers(0, max(1, int(example.duration_s / unit_s) - 4)))
    length_s = unit_s * int(rng.integers(2, longest + 1))
    return (Moment(start_s, min(example.duration_s, start_s + length_s)),)
