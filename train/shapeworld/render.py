"""Drawing a scene: exact, antialiased, cached per state, so that a 30-frame training clip costs milliseconds."""

import io
from typing import Protocol

import numpy as np
from PIL import Image

from train.shapeworld.scene import FADES, LIGHTS, NONE, SHOTS, WALLS, Scene, Thing

_RGB = {
    "red": (222, 38, 38),
    "green": (34, 190, 62),
    "blue": (42, 84, 236),
    "yellow": (240, 218, 40),
    "purple": (164, 44, 206),
    "white": (246, 246, 246),
    "grey": (118, 118, 118),
    "brown": (112, 78, 50),
    "teal": (38, 112, 112),
    "navy": (34, 40, 86),
    "olive": (98, 102, 44),
    "pink": (190, 128, 146),
}
_DIM = 0.40
_BRIGHT = (0.45, 140.0)
_JITTER = 12.0
"""A thing's colour varies by this much of 255 from clip to clip."""

_NOISE_BANK = np.random.default_rng(20).normal(0, 1, (24, 160, 160, 3)).astype(np.float32)
"""Unit noise that frames cut random pieces from; drawing it afresh would cost more than everything else."""


class Picture(Protocol):
    """Whatever has a shape."""

    aspect: tuple[int, int]
    """Height : width."""


def canvas_size(scene: Picture, short_side_px: int) -> tuple[int, int]:
    """Height and width of the picture with the given shorter side, even numbers."""
    rows, columns = scene.aspect
    scale = short_side_px / min(rows, columns)
    return round(rows * scale / 2) * 2, round(columns * scale / 2) * 2


def render(
    scene: Scene, *, short_side_px: int, times: np.ndarray | None = None, compress: bool | None = None
) -> np.ndarray:
    """Frames uint8[N, H, W, 3] of the scene at `times` in ticks (default: every tick).

    `compress` sends every frame through JPEG, as training does for a share of the clips; None lets the tier decide.
    Deterministic in the scene's seed.
    """
    rng = np.random.default_rng([scene.seed, 7])
    times = np.arange(scene.ticks, dtype=float) if times is None else times
    size = canvas_size(scene, short_side_px)
    painter = _Painter(scene, size, short_side_px, rng)
    noise = float(rng.uniform(*scene.tier.noise))
    compressed = rng.random() < scene.tier.compression if compress is None else compress
    quality = int(rng.integers(40, 85))
    frames = np.empty((len(times), *size, 3), dtype=np.uint8)
    for i, time in enumerate(times):
        picture = painter.picture(float(time))
        if noise > 0:
            picture = picture + noise * unit_noise(rng, size)
        frames[i] = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
        if compressed:
            memory = io.BytesIO()
            Image.fromarray(frames[i]).save(memory, format="JPEG", quality=quality)
            frames[i] = np.asarray(Image.open(memory))
    return frames


class _Painter:
    """Draws the noiseless picture of one scene at any time, keeping what does not change."""

    def __init__(self, scene: Scene, size: tuple[int, int], unit_px: int, rng: np.random.Generator) -> None:
        self.scene, self.size, self.unit_px = scene, size, unit_px
        self.texture = _texture(rng, size, float(rng.uniform(*scene.tier.texture)))
        self.shot_wall = WALLS[int(rng.integers(len(WALLS)))]
        self.colours = [np.array(_RGB[t.colour]) + rng.uniform(-_JITTER, _JITTER, 3) for t in scene.things]
        self.masks: dict[int, tuple[slice, slice, np.ndarray]] = {}
        self.cache: dict[tuple, np.ndarray] = {}

    def picture(self, time: float) -> np.ndarray:
        """float32[H, W, 3] at a time in ticks."""
        scene = self.scene
        tick = min(int(time), scene.ticks - 1)
        alive = [i for i, t in enumerate(scene.things) if t.start <= tick < t.end]
        moving = any(scene.things[i].motion for i in alive)
        key = (scene.walls[tick], scene.shots[tick], scene.lights[tick], *alive)
        if moving or key not in self.cache:
            self.cache[key] = self._lit_picture(tick, time, alive)
        picture = self.cache[key]
        for start, end, kind in scene.fades:
            if start <= time < end:
                depth = min(1.0, 0.3 + 1.4 * min(time - start, end - time) / (end - start))
                picture = picture * (1 - depth) + (0.0 if FADES[kind] == "black" else 255.0) * depth
        return picture

    def _lit_picture(self, tick: int, time: float, alive: list[int]) -> np.ndarray:
        """Wall (or the shot that is cut in), the things on it, and the light; no fade."""
        scene = self.scene
        if scene.shots[tick] != NONE:
            picture = (
                _pattern(SHOTS[scene.shots[tick]], self.size, self.unit_px, self.shot_wall) + self.texture
            )
            alive = []
        else:
            picture = np.array(_RGB[WALLS[scene.walls[tick]]], dtype=np.float32) + self.texture
        for i in alive:
            if scene.things[i].motion is not None or i not in self.masks:
                self.masks[i] = _shape_mask(scene.things[i], time, self.unit_px, self.size)
            rows, columns, mask = self.masks[i]
            under = picture[rows, columns]
            picture[rows, columns] = under + (self.colours[i].astype(np.float32) - under) * mask[..., None]
        light = scene.lights[tick]
        if light == NONE:
            return picture
        return picture * _DIM if LIGHTS[light] == "dim" else picture * _BRIGHT[0] + _BRIGHT[1]


def position(thing: Thing, time: float) -> tuple[float, float]:
    """Centre (x, y) of a thing at a time in ticks, in units of the shorter side."""
    if thing.motion is None:
        return thing.x, thing.y
    share = np.clip((time - thing.motion.start) / max(1, thing.motion.end - thing.motion.start), 0, 1)
    shift = float(share - 0.5) * thing.motion.distance
    dx, dy = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[thing.motion.direction]
    return thing.x + dx * shift, thing.y + dy * shift


def _shape_mask(
    thing: Thing, time: float, unit_px: int, size: tuple[int, int]
) -> tuple[slice, slice, np.ndarray]:
    """Where a thing is drawn and its coverage float32[h, w] in [0, 1] (signed distance, one pixel of softness)."""
    x, y = (coordinate * unit_px for coordinate in position(thing, time))
    r = thing.radius * unit_px
    top, first = min(size[0], max(0, int(y - r - 2))), min(size[1], max(0, int(x - r - 2)))
    bottom, last = max(top, min(size[0], int(y + r + 3))), max(first, min(size[1], int(x + r + 3)))
    v, u = np.mgrid[top:bottom, first:last].astype(np.float32) + 0.5
    u, v = u - x, v - y
    if thing.shape == "circle":
        distance = np.hypot(u, v) - r
    elif thing.shape == "square":
        distance = np.maximum(abs(u), abs(v)) - 0.86 * r
    elif thing.shape == "triangle":
        distance = np.maximum(0.866 * abs(u) - 0.5 * (v - 0.15 * r), (v - 0.15 * r)) - 0.56 * r
    else:
        a, b = np.maximum(abs(u), abs(v)), np.minimum(abs(u), abs(v))
        distance = np.maximum(a - r, b - 0.32 * r)
    return slice(top, bottom), slice(first, last), np.clip(0.5 - distance, 0, 1).astype(np.float32)


def _texture(rng: np.random.Generator, size: tuple[int, int], amplitude: float) -> np.ndarray:
    """A grey texture float32[H, W, 1] around 0: clouds, stripes or a slope, fixed for the clip."""
    kind = rng.integers(3)
    phase, angle = rng.uniform(0, 6.28), rng.uniform(0, 3.14)
    v, u = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32) / min(size)
    along = u * np.cos(angle) + v * np.sin(angle)
    if kind == 0:
        grain = int(rng.integers(4, 14))
        small = Image.fromarray(rng.normal(0, 0.8, (grain, grain)).astype(np.float32))
        field = np.asarray(small.resize((size[1], size[0]), Image.Resampling.BICUBIC))
    elif kind == 1:
        field = np.sin(along * rng.uniform(12, 50) + phase)
    else:
        field = (along - along.mean()) * 2.5
    return (amplitude * field).astype(np.float32)[..., None]


def _pattern(shot: str, size: tuple[int, int], unit_px: int, wall: str) -> np.ndarray:
    """A high-contrast backdrop float32[H, W, 3] that stands for another place."""
    v, u = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32) / unit_px
    if shot == "striped":
        on = np.sin((u + v) * 2 * np.pi / 0.22) > 0
    elif shot == "checkered":
        on = (np.floor(u / 0.14) + np.floor(v / 0.14)) % 2 == 0
    else:
        on = np.minimum(u % 0.16, v % 0.16) < 0.035
    dark = np.array(_RGB[wall], dtype=np.float32) * 0.55
    return np.where(on[..., None], dark + 110, dark)


def unit_noise(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Unit noise float32[H, W, 3]; large pictures repeat the bank's tile."""
    bank = _NOISE_BANK[int(rng.integers(len(_NOISE_BANK)))]
    y, x = int(rng.integers(40)), int(rng.integers(40))
    piece = bank[y : y + size[0], x : x + size[1]]
    if piece.shape[:2] != size:
        repeats = (-(-size[0] // 120), -(-size[1] // 120), 1)
        piece = np.tile(bank[y : y + 120, x : x + 120], repeats)[: size[0], : size[1]]
    return piece
