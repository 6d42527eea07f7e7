"""What is true of every frame, as targets for the auxiliary heads: the scene says it all."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from train.shapeworld.render import position
from train.shapeworld.scene import COLOURS, FADES, LIGHTS, NONE, SHAPES, SHOTS, SIZES, WALLS, Scene

_COLOURS, _SHAPES, _SIZES = len(COLOURS), len(SHAPES), len(SIZES)
LOOK_PARTS = (_COLOURS, _SHAPES, _SIZES, _COLOURS * _SHAPES)
LOOKS = sum(LOOK_PARTS)
"""Width of a look: colour, shape, size, and colour with shape."""

SURROUNDINGS = (len(WALLS), len(SHOTS) + 1, len(LIGHTS) + 1, len(FADES) + 1)
"""Classes of wall, shot, light and fade; the last of each but the wall is 'none'."""

COUNTS = 4 + 2 * (_COLOURS + _SHAPES)
_THING_FACTS = _COLOURS + _SHAPES + _COLOURS * _SHAPES + _SIZES * (_COLOURS + _SHAPES)
FACTS = _THING_FACTS + len(WALLS) + len(SHOTS) + len(LIGHTS) + len(FADES) + COUNTS
"""Width of a frame's facts; each is true or false."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSpec:
    """How wide a world's labels are: what the heads read out."""

    look_parts: tuple[tuple[str, int], ...]
    """Name and width of each part of a cell's look."""
    surroundings: tuple[int, ...]
    """Number of classes of each thing that is true of a whole frame."""
    facts: int
    rare_bias: float = -3.0
    """Where the read-outs of looks and facts begin: -3 says that each is true one time in twenty."""
    begin_at_bias: bool = False
    """Whether they say nothing else at first: hundreds of random read-outs would drown every other loss."""

    @property
    def looks(self) -> int:
        """Width of a look."""
        return sum(width for _, width in self.look_parts)


SHAPEWORLD = LabelSpec(
    look_parts=tuple(zip(("colour", "shape", "size", "pair"), LOOK_PARTS, strict=True)),
    surroundings=SURROUNDINGS,
    facts=FACTS,
)


class ClipLabels(Protocol):
    """The labels of one clip, of whatever world."""

    def cells(self, tick: int, rows: int, columns: int) -> np.ndarray:
        """bool[rows * columns, looks]."""
        ...

    def surroundings(self) -> np.ndarray:
        """int[ticks, S]."""
        ...

    def readable(self) -> np.ndarray:
        """bool[ticks]."""
        ...

    def facts(self) -> np.ndarray:
        """bool[ticks, F]."""
        ...


@dataclass(frozen=True, slots=True)
class SceneLabels:
    """Those of a clip of shapeworld."""

    scene: Scene

    def cells(self, tick: int, rows: int, columns: int) -> np.ndarray:
        return cell_looks(self.scene, tick, rows, columns)

    def surroundings(self) -> np.ndarray:
        return surroundings_of(self.scene)

    def readable(self) -> np.ndarray:
        return readable(self.scene)

    def facts(self) -> np.ndarray:
        return frame_facts(self.scene)


def frame_facts(scene: Scene) -> np.ndarray:
    """bool[ticks, FACTS]: what every tick shows (whether faded over or not)."""
    visible = scene.visible().T.astype(np.int64)
    colours = _one_hot([COLOURS.index(t.colour) for t in scene.things], _COLOURS)
    shapes = _one_hot([SHAPES.index(t.shape) for t in scene.things], _SHAPES)
    sizes = _one_hot([SIZES.index(t.size) for t in scene.things], _SIZES)
    pairs = (colours[:, :, None] * shapes[:, None, :]).reshape(len(scene.things), _COLOURS * _SHAPES)
    sized = (sizes[:, :, None] * np.concatenate([colours, shapes], axis=1)[:, None, :]).reshape(
        len(scene.things), _SIZES * (_COLOURS + _SHAPES)
    )
    by_colour, by_shape = visible @ colours, visible @ shapes
    total = visible.sum(axis=1)
    surroundings = [
        (scene.walls[:, None] == np.arange(len(WALLS))) & (scene.shots[:, None] == NONE),
        scene.shots[:, None] == np.arange(len(SHOTS)),
        scene.lights[:, None] == np.arange(len(LIGHTS)),
        scene.fading()[:, None] == np.arange(len(FADES)),
    ]
    facts = [by_colour > 0, by_shape > 0, visible @ pairs > 0, visible @ sized > 0, *surroundings]
    counts = [total[:, None] == np.arange(1, 5)] + [by == n for n in (2, 3) for by in (by_colour, by_shape)]
    return np.concatenate([*facts, *counts], axis=1)


def cell_looks(scene: Scene, tick: int, rows: int, columns: int) -> np.ndarray:
    """bool[rows * columns, LOOKS]: the looks of the things whose centre lies in each cell of the picture."""
    out = np.zeros((rows * columns, LOOKS), dtype=bool)
    height, width = (side / min(scene.aspect) for side in scene.aspect)
    if scene.shots[tick] != NONE:
        return out
    for thing in scene.things:
        if thing.start <= tick < thing.end:
            x, y = position(thing, tick)
            row = min(rows - 1, int(y / height * rows))
            column = min(columns - 1, int(x / width * columns))
            c, s, z = COLOURS.index(thing.colour), SHAPES.index(thing.shape), SIZES.index(thing.size)
            parts = (c, s, z, c * _SHAPES + s)
            out[row * columns + column, np.cumsum((0, *LOOK_PARTS[:-1])) + parts] = True
    return out


def surroundings_of(scene: Scene) -> np.ndarray:
    """int[ticks, 4]: class of wall (-100 while another shot is shown), shot, light and fade."""
    walls = np.where(scene.shots == NONE, scene.walls, -100)
    shots = np.where(scene.shots == NONE, len(SHOTS), scene.shots)
    lights = np.where(scene.lights == NONE, len(LIGHTS), scene.lights)
    fading = scene.fading()
    fades = np.where(fading == NONE, len(FADES), fading)
    return np.stack([walls, shots, lights, fades], axis=1)


def readable(scene: Scene) -> np.ndarray:
    """bool[ticks]: whether a fade leaves the things recognisable."""
    out = np.ones(scene.ticks, dtype=bool)
    for start, end, _ in scene.fades:
        t = np.arange(start, end)
        out[start:end] = 0.3 + 1.4 * np.minimum(t - start, end - t) / (end - start) < 0.85
    return out


def _one_hot(indices: list[int], classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.int64)[np.array(indices, dtype=np.int64)].reshape(-1, classes)
