"""Shapeworld rows for training in memory: clips drawn when they are needed, queries whose meaning is known exactly."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tempo_core.defaults import GroundingDefaults
from tempo_core.moments import Moment
from tempo_core.video import SampledVideo
from train.data.encoding import Encoder
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
    mix: QueryMix = field(default_factory=lambda: RELEVANT_ONLY)


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

    def encoder(self, tokenizer: Any, defaults: GroundingDefaults, normaliser: Any) -> Encoder:
        """An encoder that draws these clips."""
        return Encoder(tokenizer, defaults, normaliser, sample=self.sample)
