"""Recipes: functions that return a full configuration. A run is a recipe, a seed and a folder."""

from dataclasses import replace

from train.scratch.recipe import Mixture, Phase, ScratchRecipe
from train.shapeworld.queries import QueryMix


def tempo_tiny(seed: int = 0) -> ScratchRecipe:
    """tempo-tiny: shapeworld from random weights, about an hour and a half on two cores.

    Short clips first, then all lengths; plain pictures first, then mostly rich ones; 4-bit rounding at the end.
    """
    short = Mixture(videos=10, questions=8, ticks=(8, 14), rich_share=0.5)
    middle = Mixture(videos=8, questions=8, ticks=(10, 24), rich_share=0.6)
    long = Mixture(videos=7, questions=8, ticks=(10, 40), rich_share=0.65)
    refusing = QueryMix(irrelevant=0.45, negatives=(0.45, 0.4, 0.15))
    wary = replace(long, query_mix=refusing)
    return ScratchRecipe(
        name="tempo-tiny",
        seed=seed,
        vision_steps=600,
        joint_steps=2900,
        phases=(
            Phase(first_step=0, mixture=short),
            Phase(first_step=500, mixture=middle),
            Phase(first_step=600, mixture=middle, rate=0.7, vision_rate=0.25, vision_weight=0.6),
            Phase(first_step=1200, mixture=long, rate=0.7, vision_rate=0.25, vision_weight=0.4),
            Phase(first_step=2100, mixture=wary, rate=0.55, vision_rate=0.25, vision_weight=0.3),
        ),
    )


RECIPES = {"tempo-tiny": tempo_tiny}
