"""What happens in a clip of naturalworld, as data: shots, transitions, events, things. Nothing is drawn here.

Times are ticks of `step_s` seconds, the clip's beat, as in shapeworld; all intervals are half-open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from train.naturalworld.assets import Assets, Split
from train.shapeworld.scene import MAX_SHARE, sample_interval

MAX_FRAMES = 40
ASPECTS = ((9, 16), (9, 16), (3, 4), (1, 1), (16, 9))
"""Height : width, the usual one twice as often."""

CAMERA = ("pan left", "pan right", "tilt up", "tilt down", "zoom in", "zoom out", "shake")
LOOKS = ("black and white", "sepia", "blue cast", "green cast", "darker", "brighter", "blurred")
LAYOUTS = ("letterbox", "picture in picture", "split screen")
TEXTS = ("title", "subtitle")
WEATHER = ("rain", "snow")
TEMPI = ("frozen", "slow motion", "time lapse")
BLANKS = ("black", "white")
"""The whole picture is one colour."""
TRANSITIONS = ("cut", "dissolve", "wipe", "fade through black", "fade through white")
EVENTS = (
    *CAMERA,
    *LOOKS,
    *LAYOUTS,
    *TEXTS,
    *WEATHER,
    *TEMPI,
    "black",
    "white",
    "flash",
    *TRANSITIONS,
    "seen again",
)
"""Everything about camera, picture and cutting that can be asked for."""
GROUPS = {
    "camera": CAMERA,
    "look": LOOKS,
    "layout": LAYOUTS,
    "text": TEXTS,
    "weather": WEATHER,
    "tempo": TEMPI,
    "blank": ("black", "white", "flash"),
}
"""Of one group at most one happens at a time."""
CHANCES = {
    "camera": 0.75,
    "look": 0.5,
    "layout": 0.3,
    "text": 0.35,
    "weather": 0.2,
    "tempo": 0.25,
    "blank": 0.25,
}
"""How often a clip has an event of a group, and half as often a second one."""

TINTS = ("red", "green", "blue", "yellow", "purple", "white")
SIDES = ("left", "right", "top", "bottom")
DIRECTIONS = ("left", "right", "up", "down")
HELD_OUT_TINTS = {"red": 0, "green": 1, "blue": 2, "yellow": 3, "purple": 4, "white": 5}
"""Tint -> remainder: a thing whose number leaves it is never asked for in this tint in training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """From tick `start` to tick `end` the clip shows this photograph."""

    photograph: int
    """Index into `Assets.photographs`."""
    start: int
    end: int
    seed: int
    """Of the camera's place, drift and shake; the same photograph and seed are the same shot again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happens to the camera or the picture."""

    kind: str
    """One of EVENTS."""
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """A drawn thing before the footage."""

    name: str
    picture: int
    """Index into `Assets.pictures`."""
    category: str
    tint: str | None
    """One of TINTS, or its own colours."""
    size: float
    """Width and height, of the picture's shorter side."""
    x: float
    """Centre, of the picture's width from the left."""
    y: float
    """Centre, of the picture's height from the top."""
    start: int
    end: int
    direction: str | None = None
    """One of DIRECTIONS where it moves all the time that it is there."""
    distance: float = 0.0
    """How far, of the picture's side along which it moves."""

    def position(self, tick: float) -> tuple[float, float]:
        """Centre (x, y) at a time."""
        if self.direction is None:
            return self.x, self.y
        share = np.clip((tick - self.start) / max(1, self.end - 1 - self.start), 0, 1) - 0.5
        dx, dy = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[self.direction]
        return self.x + dx * float(share) * self.distance, self.y + dy * float(share) * self.distance


@dataclass(kw_only=True, slots=True)
class NaturalScene:
    """One clip."""

    seed: int
    ticks: int
    step_s: float
    aspect: tuple[int, int]
    shots: list[Shot]
    events: list[Event] = field(default_factory=list)
    """Transitions among them."""
    things: list[Thing] = field(default_factory=list)
    grain: float = 3.0
    """Standard deviation of the noise, of 255."""
    hand: float = 0.004
    """How far the hand that holds the camera trembles, of the picture's shorter side."""
    layered: bool = False
    """Two layers move at different speeds under a moving camera."""
    quality: int | None = None
    """Of the JPEG that every frame goes through, or None."""
    other: int = 0
    """What a picture in the picture, or the other half of a split screen, looks at."""
    zoom: tuple[float, float] = (1.7, 2.2)
    """How near the camera is at first: 2 sees half of a photograph's shorter side."""
    spread: float = 0.12
    """How far from a photograph's middle the camera looks, of its sides."""
    drift: float = 1.0
    """How far the camera wanders of its own: 0 for footage that moves by itself."""

    @property
    def duration_s(self) -> float:
        return self.ticks * self.step_s

    def during(self, kind: str) -> np.ndarray:
        """bool[ticks]: where an event of this kind is going on."""
        holds = np.zeros(self.ticks, dtype=bool)
        for event in self.events:
            if event.kind == kind:
                holds[event.start : event.end] = True
        return holds

    def readable(self) -> np.ndarray:
        """bool[ticks]: where the picture shows things: not while it is black, white or in the middle of a fade."""
        hidden = np.zeros(self.ticks, dtype=bool)
        for kind in (*BLANKS, "flash", "fade through black", "fade through white"):
            hidden |= self.during(kind)
        return ~hidden

    def visible(self) -> np.ndarray:
        """bool[things, ticks]."""
        ticks = np.arange(self.ticks)
        alive = [(ticks >= thing.start) & (ticks < thing.end) for thing in self.things]
        return np.array(alive, dtype=bool).reshape(-1, self.ticks) & self.readable()


def sample_scene(
    seed: int,
    assets: Assets,
    splits: Sequence[Split] = ("train",),
    *,
    picture_splits: Sequence[Split] | None = None,
    ticks: int | None = None,
    aspect: tuple[int, int] | None = None,
    step_s: float | None = None,
    montage: bool = False,
) -> NaturalScene:
    """A random clip; the same arguments and assets give the same one.

    Photographs come from `splits`, pictures of things from `picture_splits` (None: train's). `ticks` fixes the length
    in beats (otherwise 10 to 180 s). A `montage` has up to thirteen short shots, others up to five.
    """
    rng = np.random.default_rng([seed, 11])
    if ticks is None:
        duration_s = float(rng.integers(10, 181))
        step_s = beat_for(duration_s)
        ticks = int(duration_s // step_s)
    step = float(rng.choice([1.0, 1.0, 2.0, 4.0, 8.0])) if step_s is None else step_s
    aspect = aspect or ASPECTS[int(rng.integers(len(ASPECTS)))]
    photographs = assets.photograph_indices(splits)
    scene = NaturalScene(
        seed=seed,
        ticks=ticks,
        step_s=step,
        aspect=aspect,
        shots=_cut(rng, ticks, photographs, montage=montage),
        grain=float(rng.uniform(0.5, 7.0)),
        hand=float(rng.choice([0.0, 0.003, 0.008])),
        layered=bool(rng.random() < 0.3),
        quality=int(rng.integers(40, 88)) if rng.random() < 0.4 else None,
        other=int(rng.choice(photographs)),
    )
    join_shots(scene, rng)
    add_events(scene, rng)
    pictures = assets.picture_indices(picture_splits or ("train",))
    add_things(scene, rng, assets, pictures)
    return scene


def beat_for(duration_s: float) -> float:
    """The beat of a clip: 1 s up to 40 s, then doubled until 40 frames suffice (the sampler's own rule)."""
    step = 1.0
    while duration_s / step > MAX_FRAMES:
        step *= 2
    return step


def still_scene(
    seed: int, assets: Assets, splits: Sequence[Split] = ("train",), *, aspect: tuple[int, int]
) -> NaturalScene:
    """A single picture with several things before it, for teaching the vision tower what they look like."""
    rng = np.random.default_rng([seed, 13])
    photographs = assets.photograph_indices(splits)
    shot = Shot(photograph=int(rng.choice(photographs)), start=0, end=1, seed=int(rng.integers(2**31)))
    scene = NaturalScene(
        seed=seed,
        ticks=1,
        step_s=1.0,
        aspect=aspect,
        shots=[shot],
        grain=float(rng.uniform(0.5, 7.0)),
        other=int(rng.choice(photographs)),
    )
    for group in ("look", "layout", "text", "weather"):
        if rng.random() < 0.2:
            kind = str(rng.choice(GROUPS[group]))
            scene.events.append(Event(kind=kind, start=0, end=1))
    add_things(scene, rng, assets, assets.picture_indices(("train",)), count=int(rng.integers(2, 7)))
    return scene


def _cut(
    rng: np.random.Generator, ticks: int, photographs: Sequence[int], *, montage: bool = False
) -> list[Shot]:
    """One to five shots of at least three beats, or five to thirteen of at least one; sometimes the last is the first
    one again."""
    count = min(int(rng.choice([1, 2, 2, 3, 3, 4, 5])), max(1, ticks // 4))
    shortest = 3
    if montage:
        count, shortest = min(int(rng.integers(5, 14)), ticks // 2), 1
    edges = [0, ticks]
    for _ in range(20 * count):
        if len(edges) == count + 1:
            break
        edge = int(rng.integers(shortest, max(shortest + 1, ticks - shortest + 1)))
        if all(abs(edge - other) >= shortest for other in edges):
            edges.append(edge)
    edges.sort()
    chosen = rng.choice(photographs, size=len(edges) - 1, replace=len(photographs) < len(edges) - 1)
    shots = [
        Shot(photograph=int(photograph), start=start, end=end, seed=int(rng.integers(2**31)))
        for photograph, start, end in zip(chosen, edges[:-1], edges[1:], strict=True)
    ]
    if len(shots) >= 3 and rng.random() < 0.35 and shots[-1].end - shots[-1].start <= MAX_SHARE * ticks + 1:
        first, last = shots[0], shots[-1]
        shots[-1] = Shot(photograph=first.photograph, start=last.start, end=last.end, seed=first.seed)
    return shots


def join_shots(scene: NaturalScene, rng: np.random.Generator) -> None:
    """A transition at each border between two shots; a cut is the one beat that shows the new shot first."""
    for before, after in zip(scene.shots[:-1], scene.shots[1:], strict=True):
        kind = str(rng.choice(TRANSITIONS, p=[0.55, 0.15, 0.1, 0.12, 0.08]))
        if kind == "cut" or min(before.end - before.start, after.end - after.start) < 4:
            scene.events.append(Event(kind="cut", start=after.start, end=after.start + 1))
        else:
            scene.events.append(Event(kind=kind, start=after.start - 1, end=after.start + 1))
    first, last = scene.shots[0], scene.shots[-1]
    if len(scene.shots) > 2 and (first.photograph, first.seed) == (last.photograph, last.seed):
        scene.events.append(Event(kind="seen again", start=last.start, end=last.end))


def add_events(scene: NaturalScene, rng: np.random.Generator) -> None:
    """Events of each group, apart from each other, from the borders of shots and, where it matters, within one."""
    borders = np.zeros(scene.ticks + 1, dtype=bool)
    for event in scene.events:
        if event.kind != "seen again":
            borders[max(0, event.start - 1) : event.end + 1] = True
    occupied = {group: np.zeros(scene.ticks + 1, dtype=bool) for group in GROUPS}
    moved = np.zeros(scene.ticks + 1, dtype=bool)
    for group in [str(name) for name in rng.permutation(list(GROUPS))]:
        for chance in (CHANCES[group], CHANCES[group] / 2):
            if rng.random() > chance:
                continue
            kind = str(rng.choice(GROUPS[group]))
            start, end = sample_interval(rng, scene.ticks)
            if kind == "flash":
                end = start + 1
            window = slice(max(0, start - 1), end + 1)
            inside_shot = group in ("camera", "tempo", "blank")
            if occupied[group][window].any() or (inside_shot and borders[window].any()):
                continue
            # a picture that stands still or shows nothing cannot be seen to move
            if (group in ("camera", "tempo") and moved[window].any()) or (
                group == "blank" and any(busy[window].any() for busy in occupied.values())
            ):
                continue
            if occupied["blank"][window].any():
                continue
            occupied[group][start:end] = True
            if group in ("camera", "tempo"):
                moved[start:end] = True
            scene.events.append(Event(kind=kind, start=start, end=end))


def add_things(
    scene: NaturalScene,
    rng: np.random.Generator,
    assets: Assets,
    pictures: Mapping[str, Sequence[int]],
    *,
    count: int | None = None,
) -> None:
    """Things that come and go without touching each other; some share a name, a category or a tint, so that each word
    matters."""
    names = sorted(pictures)
    readable = scene.readable()
    for _ in range(int(rng.integers(1, 6)) if count is None else count):
        name = names[int(rng.integers(len(names)))]
        if scene.things and rng.random() < 0.4:
            twin = scene.things[int(rng.integers(len(scene.things)))]
            related = [other for other in names if assets.concepts[other].category == twin.category]
            name = (
                twin.name
                if rng.random() < 0.5 and twin.name in pictures
                else str(rng.choice(related or names))
            )
        start, end = (0, 1) if scene.ticks == 1 else sample_interval(rng, scene.ticks)
        if not readable[max(0, start - 1) : end + 1].all():
            continue
        size = float(rng.uniform(0.2, 0.5))
        tint = str(rng.choice(TINTS)) if rng.random() < 0.3 else None
        direction, distance = None, 0.0
        if scene.ticks > 1 and end - start >= 3 and rng.random() < 0.3:
            direction, distance = str(rng.choice(DIRECTIONS)), float(rng.uniform(0.35, 0.6))
        place = _find_place(scene, rng, size, direction, distance, (start, end))
        if place is None:
            continue
        choices = pictures[name]
        scene.things.append(
            Thing(
                name=name,
                picture=int(choices[int(rng.integers(len(choices)))]),
                category=assets.concepts[name].category,
                tint=tint,
                size=size,
                x=place[0],
                y=place[1],
                start=start,
                end=end,
                direction=direction,
                distance=distance,
            )
        )


def _find_place(
    scene: NaturalScene,
    rng: np.random.Generator,
    size: float,
    direction: str | None,
    distance: float,
    interval: tuple[int, int],
) -> tuple[float, float] | None:
    """A centre where the thing stays in the picture and meets no other that is there meanwhile, or None."""
    rows, columns = scene.aspect
    wide, high = size * min(rows, columns) / columns, size * min(rows, columns) / rows
    reach_x = wide / 2 + (distance / 2 if direction in ("left", "right") else 0)
    reach_y = high / 2 + (distance / 2 if direction in ("up", "down") else 0)
    if reach_x > 0.5 or reach_y > 0.5:
        return None
    for _ in range(20):
        x, y = float(rng.uniform(reach_x, 1 - reach_x)), float(rng.uniform(reach_y, 1 - reach_y))
        for other in scene.things:
            if other.start >= interval[1] or other.end <= interval[0]:
                continue
            other_wide, other_high = (other.size * min(rows, columns) / side for side in (columns, rows))
            other_x = other_wide / 2 + (other.distance / 2 if other.direction in ("left", "right") else 0)
            other_y = other_high / 2 + (other.distance / 2 if other.direction in ("up", "down") else 0)
            if abs(x - other.x) < reach_x + other_x and abs(y - other.y) < reach_y + other_y:
                break
        else:
            return x, y
    return None
