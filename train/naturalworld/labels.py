"""What is true of every frame of naturalworld, as targets for the auxiliary heads of `train.scratch`."""

from dataclasses import dataclass

import numpy as np

from train.naturalworld.assets import Assets
from train.naturalworld.names import CATEGORY_WORDS
from train.naturalworld.scene import EVENTS, LAYOUTS, LOOKS, TEXTS, TINTS, WEATHER, NaturalScene
from train.scratch.labels import LabelSpec

CATEGORIES = tuple(CATEGORY_WORDS)
_STATES = (LOOKS, LAYOUTS, WEATHER, TEXTS)
"""What one frame shows as a whole; each has "none" as its last class."""
COUNTS = 3


def spec_of(assets: Assets) -> LabelSpec:
    """How wide the labels are: as many names as the assets have."""
    return LabelSpec(
        look_parts=(("name", len(assets.concepts)), ("category", len(CATEGORIES)), ("tint", len(TINTS))),
        surroundings=tuple(len(states) + 1 for states in _STATES),
        facts=len(EVENTS) + len(CATEGORIES) + len(TINTS) + COUNTS,
        rare_bias=-5.0,
        begin_at_bias=True,
    )


@dataclass(frozen=True, slots=True)
class NaturalLabels:
    """Those of one clip (`train.scratch.labels.ClipLabels`)."""

    scene: NaturalScene
    assets: Assets

    def cells(self, tick: int, rows: int, columns: int) -> np.ndarray:
        """bool[rows * columns, looks]: name, category and tint of the things whose centre lies in each cell."""
        names = list(self.assets.concepts)
        out = np.zeros((rows * columns, len(names) + len(CATEGORIES) + len(TINTS)), dtype=bool)
        for thing in self.scene.things:
            if thing.start <= tick < thing.end:
                x, y = thing.position(tick)
                cell = min(rows - 1, int(y * rows)) * columns + min(columns - 1, int(x * columns))
                out[cell, names.index(thing.name)] = True
                out[cell, len(names) + CATEGORIES.index(thing.category)] = True
                if thing.tint:
                    out[cell, len(names) + len(CATEGORIES) + TINTS.index(thing.tint)] = True
        return out

    def surroundings(self) -> np.ndarray:
        """int[ticks, 4]: class of look, layout, weather and text."""
        columns = []
        for states in _STATES:
            column = np.full(self.scene.ticks, len(states))
            for i, state in enumerate(states):
                column[self.scene.during(state)] = i
            columns.append(column)
        return np.stack(columns, axis=1)

    def readable(self) -> np.ndarray:
        """bool[ticks]."""
        return self.scene.readable()

    def facts(self) -> np.ndarray:
        """bool[ticks, facts]: events going on, categories and tints in sight, and one, two or three things."""
        scene = self.scene
        visible = scene.visible()
        columns = [scene.during(kind) for kind in EVENTS]
        for words, own in (
            (CATEGORIES, [thing.category for thing in scene.things]),
            (TINTS, [thing.tint for thing in scene.things]),
        ):
            columns += [visible[np.array([word == o for o in own], dtype=bool)].any(axis=0) for word in words]
        count = visible.sum(axis=0)
        columns += [count == number for number in range(1, COUNTS + 1)]
        return np.stack(columns, axis=1)
