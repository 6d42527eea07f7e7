"""Recipes: functions that return a full configuration. A run is a recipe, a seed and a folder."""

from train.scratch.recipe import Mixture, Phase, ScratchRecipe
from train.shapeworld.queries import QueryMix


def tempo_tiny(seed: int = 0) -> ScratchRecipe:
    """tempo-tiny: shapeworld from random weights, about two hours on two cores.

    Short clips first, then all lengths; plain pictures first, then mostly rich ones; 4-bit rounding at the end.
    The vision tower learns at a quarter of the joint stage's rate: at full rate it forgets shapes.
    """
    wary = QueryMix(irrelevant=0.42, negatives=(0.4, 0.2, 0.15, 0.25))
    short = Mixture(videos=10, questions=8, ticks=(8, 14), rich_share=0.4, query_mix=wary)
    middle = Mixture(videos=8, questions=8, ticks=(10, 24), rich_share=0.5, query_mix=wary)
    long = Mixture(videos=7, questions=8, ticks=(10, 40), rich_share=0.55, query_mix=wary)
    return ScratchRecipe(
        name="tempo-tiny",
        seed=seed,
        vision_steps=700,
        joint_steps=4000,
        phases=(
            Phase(first_step=0, mixture=short, vision_rate=0.25, vision_weight=0.6),
            Phase(first_step=700, mixture=middle, vision_rate=0.25, vision_weight=0.5),
            Phase(first_step=1600, mixture=long, vision_rate=0.25, vision_weight=0.4),
        ),
    )


RECIPES = {"tempo-tiny": tempo_tiny}
