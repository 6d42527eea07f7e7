"""Rows that experiments learn from: shapeworld clips in memory with queries whose meaning is known, and wrong labels.

Wrong labels are shifted edges, dropped windows and verdicts turned round.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tempo_core.moments import Moment, merge
from tempo_core.video import SampledVideo
from train.data.examples import Example
from train.experiments.world import drawn_video, ticks_for
from train.shapeworld.queries import Predicate, QueryMix, sample_queries
from train.shapeworld.scene import TIERS, Scene, other_scenes, sample_scene

TEACHING_SEEDS = 2**30
"""The clips of experiments; training from random weights draws its own from the whole range below 2**31."""
RELEVANT_ONLY = QueryMix(irrelevant=0.0, hard_share=0.0, hard_kinds=())


@dataclass(frozen=True, kw_only=True, slots=True)
class PairsPlan:
    """Which clips, and which questions about them."""

    clips: int = 400
    queries: int = 5
    rich_share: float = 0.7
    seed: int = 0
    motion: float = 0.0
    ticks: tuple[int, int] | None = None
    """Beats of a clip, from and to; None: as the world has them."""
    mix: QueryMix = RELEVANT_ONLY


class ShapePairs:
    """Rows about shapeworld clips that exist in memory only; a `World` for exact negatives."""

    def __init__(self, plan: PairsPlan) -> None:
        self._scenes: dict[str, Scene] = {}
        self._predicates: dict[str, Predicate | None] = {}
        examples: list[Example] = []
        for number in range(plan.clips):
            rng = np.random.default_rng([plan.seed, 5, number])
            tier = TIERS["rich" if rng.random() < plan.rich_share else "plain"]
            seed = TEACHING_SEEDS + plan.seed * 100_000 + number
            scene = sample_scene(seed, tier, ticks=ticks_for(seed, plan.ticks), motion=plan.motion)
            name = f"shapeworld-{tier.name}-{seed}"
            self._scenes[name] = scene
            queries = sample_queries(rng, scene, plan.queries, plan.mix, other_scenes(scene))
            for idx, query in enumerate(queries):
                row_id = f"{name}/{idx}"
                self._predicates[row_id] = query.predicate
                moments = tuple(Moment(start * scene.step_s, end * scene.step_s) for start, end in query.runs)
                example = Example(
                    row_id=row_id,
                    video=Path(name),
                    clip_id=name,
                    query=query.text,
                    moments=moments,
                    duration_s=scene.duration_s,
                    kind=query.kind,
                    negative=query.negative,
                )
                examples.append(example)
        self.examples = tuple(examples)

    def scene(self, example: Example) -> Scene | None:
        """What happens in the example's clip."""
        return self._scenes.get(example.clip_id)

    def beat_s(self, example: Example) -> float:
        """Seconds between the clip's frames."""
        return self._scenes[example.clip_id].step_s

    def predicate(self, example: Example) -> Predicate | None:
        """What the example's query means; None for words that the world does not know, and for made rows."""
        return self._predicates.get(example.row_id)

    def sample(self, example: Example) -> SampledVideo:
        """The clip's frames, one a beat."""
        scene = self._scenes[example.clip_id]
        return drawn_video(scene, scene.step_s, example.clip_id)


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
