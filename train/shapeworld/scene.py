"""What happens in a clip, as data: things with intervals, walls, light, fades, shots cut in. Nothing is drawn here.

Ticks are whole beats of the clip; `scene.step_s` seconds each. All intervals are half-open in ticks.
"""

from dataclasses import dataclass, field, replace

import numpy as np

COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
SHAPES = ("circle", "square", "triangle", "cross")
SIZES = ("tiny", "small", "large")
WALLS = ("grey", "brown", "teal", "navy", "olive", "pink")
SHOTS = ("striped", "checkered", "gridded")
LIGHTS = ("dim", "bright")
FADES = ("black", "white")
DIRECTIONS = ("left", "right", "up", "down")

NONE = -1
"""Marks 'nothing special' in the per-tick arrays."""

SHORTEST_TICKS = 2
MIN_SHARE, MAX_SHARE = 0.05, 0.30
"""Events cover this share of a clip, so that answering with the whole clip earns little."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tier:
    """How hard the pictures are."""

    name: str
    sizes: dict[str, tuple[float, float]]
    """Range of a thing's radius for each size word, as a share of the picture's shorter side."""
    size_shares: tuple[float, float, float]
    """How often tiny, small and large things are."""
    on_grid: bool
    """Things stand near an 8 x 8 grid instead of anywhere."""
    texture: tuple[float, float]
    """Amplitude range of the wall's texture, of 255."""
    noise: tuple[float, float]
    """Standard deviation range of the sensor noise, of 255."""
    compression: float
    """Share of clips that go through lossy compression while training."""
    aspects: tuple[tuple[int, int], ...]
    """Height : width ratios."""
    things: tuple[int, int] = (3, 7)
    """Fewest and most things of a clip."""
    still: bool = False
    """Wall, light and shot never change: only things come and go."""


PLAIN = Tier(
    name="plain",
    sizes={"tiny": (0.05, 0.05), "small": (0.10, 0.115), "large": (0.155, 0.17)},
    size_shares=(0.0, 0.5, 0.5),
    on_grid=True,
    texture=(0.0, 0.0),
    noise=(0.0, 0.0),
    compression=0.3,
    aspects=((1, 1),),
)
RICH = Tier(
    name="rich",
    sizes={"tiny": (0.032, 0.045), "small": (0.065, 0.10), "large": (0.14, 0.185)},
    size_shares=(0.15, 0.4, 0.45),
    on_grid=False,
    texture=(4.0, 22.0),
    noise=(1.0, 8.0),
    compression=0.4,
    aspects=((1, 1), (1, 1), (3, 4), (9, 16)),
)
SPARSE = replace(
    RICH,
    name="sparse",
    sizes={"tiny": (0.024, 0.034), "small": (0.04, 0.06), "large": (0.14, 0.185)},
    size_shares=(0.5, 0.5, 0.0),
    things=(2, 3),
    still=True,
)
"""Little happens, and what happens is small, as before a camera that watches a room."""
TIERS = {"plain": PLAIN, "rich": RICH, "sparse": SPARSE}


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """A thing slides in `direction` from tick `start` to tick `end`, over `distance` of the shorter side."""

    direction: str
    start: int
    end: int
    distance: float


@dataclass(frozen=True, slots=True)
class Thing:
    """Something on the wall, from tick `start` to tick `end`."""

    colour: str
    shape: str
    size: str
    radius: float
    """Of the picture's shorter side."""
    x: float
    """Centre, in units of the shorter side from the left."""
    y: float
    start: int
    end: int
    motion: Motion | None = None


@dataclass(kw_only=True, slots=True)
class Scene:
    """One clip. Arrays are per tick; NONE marks nothing special."""

    seed: int
    tier: Tier
    ticks: int
    step_s: float
    aspect: tuple[int, int]
    things: list[Thing]
    walls: np.ndarray
    """int[ticks]: index into WALLS."""
    shots: np.ndarray
    """int[ticks]: index into SHOTS while another shot is cut in, else NONE."""
    lights: np.ndarray
    """int[ticks]: index into LIGHTS, else NONE."""
    fades: list[tuple[int, int, int]] = field(default_factory=list)
    """(start, end, index into FADES)."""

    @property
    def duration_s(self) -> float:
        return self.ticks * self.step_s

    def fading(self) -> np.ndarray:
        """int[ticks]: index into FADES, else NONE."""
        out = np.full(self.ticks, NONE)
        for start, end, kind in self.fades:
            out[start:end] = kind
        return out

    def visible(self) -> np.ndarray:
        """bool[things, ticks]: a thing is hidden while another shot is cut in; a fade does not end it."""
        spans = np.array([(thing.start, thing.end) for thing in self.things], dtype=int).reshape(-1, 2, 1)
        t = np.arange(self.ticks)
        return (t >= spans[:, 0]) & (t < spans[:, 1]) & (self.shots == NONE)


def step_for(duration_s: float) -> float:
    """The beat of a clip: 1 s up to 40 s, 2 s up to 80 s, 4 s beyond (the sampler's own rounding rule)."""
    step = 1.0
    while duration_s / step > 40:
        step *= 2
    return step


def sample_scene(
    seed: int,
    tier: Tier,
    *,
    ticks: int | None = None,
    aspect: tuple[int, int] | None = None,
    motion: float = 0.0,
    wall_chances: tuple[float, float] = (0.45, 0.15),
) -> Scene:
    """A random scene; the same seed and arguments give the same scene.

    `ticks` fixes the length in beats (otherwise 10 to 40), `motion` is the chance that a thing slides for a while,
    `wall_chances` those that the wall changes, and that it changes once more.
    """
    rng = np.random.default_rng(seed)
    if ticks is None:
        duration_s = float(rng.integers(10, 121))
        step_s = step_for(duration_s)
        ticks = int(duration_s // step_s)
    else:
        step_s = float(rng.choice([1.0, 1.0, 2.0, 4.0])) if ticks > 20 else 1.0
    if aspect is None:
        aspect = tier.aspects[int(rng.integers(len(tier.aspects)))]
    scene = _empty_scene(seed, tier, ticks, step_s, aspect, rng)
    if not tier.still:
        _add_surroundings(scene, rng, wall_chances)
    # Things neither overlap in space nor begin or end inside a fade.
    fading = scene.fading() != NONE
    fewest, most = tier.things
    for _ in range(int(rng.integers(fewest, most + 1))):
        start, end = sample_interval(rng, ticks)
        if fading[max(0, start - 1) : start + 1].all() or fading[max(0, end - 1) : end + 1].all():
            continue
        colour, shape, size, radius = _sample_look(scene, rng)
        place = _find_place(scene, rng, radius)
        if place is None:
            continue
        slide = None
        if rng.random() < motion and end - start >= 3:
            direction, distance = str(rng.choice(DIRECTIONS)), float(rng.uniform(0.3, 0.5))
            slide = Motion(direction=direction, start=start, end=end, distance=distance)
        scene.things.append(Thing(colour, shape, size, radius, *place, start, end, slide))
    return scene


def other_scenes(scene: Scene) -> list[Scene]:
    """Three clips of the same tier and length, whose queries are asked of this one as irrelevant."""
    return [sample_scene(scene.seed + 10**9 * i, scene.tier, ticks=scene.ticks) for i in (1, 2, 3)]


def sample_still(seed: int, tier: Tier, *, aspect: tuple[int, int]) -> Scene:
    """A single crowded picture (one tick), for teaching the vision tower what things look like."""
    rng = np.random.default_rng(seed)
    scene = _empty_scene(seed, tier, 1, 1.0, aspect, rng)
    if rng.random() < 0.06:
        scene.shots[:] = int(rng.integers(len(SHOTS)))
    if rng.random() < 0.2:
        scene.lights[:] = int(rng.integers(len(LIGHTS)))
    for _ in range(int(rng.integers(1, 9))):
        colour, shape, size, radius = _sample_look(scene, rng)
        place = _find_place(scene, rng, radius)
        if place is not None:
            scene.things.append(Thing(colour, shape, size, radius, *place, start=0, end=1))
    return scene


def _empty_scene(
    seed: int, tier: Tier, ticks: int, step_s: float, aspect: tuple[int, int], rng: np.random.Generator
) -> Scene:
    """A wall of some colour on which nothing happens."""
    return Scene(
        seed=seed,
        tier=tier,
        ticks=ticks,
        step_s=step_s,
        aspect=aspect,
        things=[],
        walls=np.full(ticks, int(rng.integers(len(WALLS)))),
        shots=np.full(ticks, NONE),
        lights=np.full(ticks, NONE),
    )


def sample_interval(rng: np.random.Generator, ticks: int) -> tuple[int, int]:
    """A half-open interval that covers MIN_SHARE to MAX_SHARE of the clip and at least SHORTEST_TICKS."""
    longest = max(SHORTEST_TICKS, int(MAX_SHARE * ticks))
    shortest = min(longest, max(SHORTEST_TICKS, int(np.ceil(MIN_SHARE * ticks))))
    length = int(rng.integers(shortest, longest + 1))
    start = int(rng.integers(0, ticks - length + 1))
    return start, start + length


def _add_surroundings(scene: Scene, rng: np.random.Generator, wall_chances: tuple[float, float]) -> None:
    """Wall, light, fade and shot changes: each happens in some clips; their intervals do not touch."""
    occupied = np.zeros(scene.ticks + 1, dtype=bool)
    first, second = wall_chances
    chances = {"wall": first, "light": 0.4, "fade": 0.35, "shot": 0.35, "wall again": second}
    for change in rng.permutation(list(chances)):
        if rng.random() > chances[change]:
            continue
        start, end = sample_interval(rng, scene.ticks)
        if occupied[max(0, start - 1) : end + 1].any():
            continue
        occupied[start:end] = True
        if change.startswith("wall"):
            scene.walls[start:end] = (scene.walls[0] + rng.integers(1, len(WALLS))) % len(WALLS)
        elif change == "light":
            scene.lights[start:end] = int(rng.integers(len(LIGHTS)))
        elif change == "fade":
            scene.fades.append((start, end, int(rng.integers(len(FADES)))))
        else:
            scene.shots[start:end] = int(rng.integers(len(SHOTS)))


def _sample_look(scene: Scene, rng: np.random.Generator) -> tuple[str, str, str, float]:
    """Colour, shape, size and radius; some things repeat an earlier one's look or half of it, so that words matter."""
    colour, shape = str(rng.choice(COLOURS)), str(rng.choice(SHAPES))
    if scene.things and rng.random() < 0.45:
        twin = scene.things[int(rng.integers(len(scene.things)))]
        share = rng.random()
        colour = twin.colour if share < 0.65 else colour
        shape = twin.shape if share > 0.35 else shape
    size = str(rng.choice(SIZES, p=scene.tier.size_shares))
    return colour, shape, size, float(rng.uniform(*scene.tier.sizes[size]))


def _find_place(scene: Scene, rng: np.random.Generator, radius: float) -> tuple[float, float] | None:
    """A centre where the thing fits whole and touches no other, or None after 30 tries."""
    rows, columns = scene.aspect
    width, height = columns / min(rows, columns), rows / min(rows, columns)
    for _ in range(30):
        x = rng.uniform(radius + 0.01, width - radius - 0.01)
        y = rng.uniform(radius + 0.01, height - radius - 0.01)
        if scene.tier.on_grid:
            x, y = round(x * 8) / 8, round(y * 8) / 8
            if min(x, y, width - x, height - y) < radius:
                continue
            x, y = x + rng.uniform(-0.009, 0.009), y + rng.uniform(-0.009, 0.009)
        if all((x - t.x) ** 2 + (y - t.y) ** 2 > (radius + t.radius + 0.02) ** 2 for t in scene.things):
            return float(x), float(y)
    return None
