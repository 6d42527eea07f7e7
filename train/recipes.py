"""Recipes: functions that return a full configuration. A run is a recipe, a seed and a folder."""

from train.scratch.batches import Mixture
from train.scratch.run import Phase, ScratchRecipe


def tempo_tiny(seed: int = 0) -> ScratchRecipe:
    """The model that ships: shapeworld from random weights, about an hour and a half on two cores.

    Short clips first, then all lengths; plain pictures first, then mostly rich ones; 4-bit rounding at the end.
    """
    return ScratchRecipe(
        name="tempo-tiny",
        seed=seed,
        vision_steps=600,
        joint_steps=3000,
        phases=(
            Phase(first_step=0, mixture=Mixture(videos=10, questions=8, ticks=(8, 14), rich_share=0.5)),
            Phase(first_step=500, mixture=Mixture(videos=8, questions=8, ticks=(10, 24), rich_share=0.6)),
            Phase(first_step=1200, mixture=Mixture(videos=7, questions=8, ticks=(10, 40), rich_share=0.7)),
        ),
    )


RECIPES = {"tempo-tiny": tempo_tiny}
