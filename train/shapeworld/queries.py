"""Queries about a scene, with exact truth: what is asked, in varied English, and in which ticks it holds.

A predicate is a small tuple; `truth` evaluates it per tick. Kinds that a scratch-trained model finds hard (motion,
order, several moments) are labelled so that they can be reported apart.
Long because its wordings are data that stand beside the predicates which they say.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from train.shapeworld.english import FreeEnglish
from train.shapeworld.scene import (
    COLOURS,
    DIRECTIONS,
    FADES,
    LIGHTS,
    MAX_SHARE,
    MIN_SHARE,
    NONE,
    SHAPES,
    SHORTEST_TICKS,
    SHOTS,
    SIZES,
    WALLS,
    Scene,
    Thing,
)

Predicate = tuple
KINDS = ("existence", "colour", "shape", "size", "count", "pair", "scene", "light", "cut", "fade")
HARD_KINDS = ("motion", "order", "several")
NEGATIVES = ("edited", "shuffled", "unknown", "absent")

HELD_OUT_PAIRS = (("green", "triangle"), ("purple", "square"), ("white", "cross"))
"""Colour and shape together are never asked for in training: the control for composing attributes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """One question about a clip. `runs` are half-open tick intervals; none of them for an irrelevant query."""

    text: str
    kind: str
    runs: tuple[tuple[int, int], ...]
    predicate: Predicate | None
    negative: str | None = None


# ---------------------------------------------------------------------------------------------- truth


def truth(scene: Scene, predicate: Predicate) -> np.ndarray:
    """bool[ticks]: where the predicate holds."""
    head, *rest = predicate
    return _TRUTH[head](scene, *rest)


def _matching(scene: Scene, look: Predicate) -> np.ndarray:
    """int[ticks]: how many visible things have the colour, shape and size asked for (None: any)."""
    colour, shape, size = look
    chosen = [
        (colour is None or t.colour == colour)
        and (shape is None or t.shape == shape)
        and (size is None or t.size == size)
        for t in scene.things
    ]  # fmt: skip
    return (
        scene.visible()[np.array(chosen, dtype=bool).reshape(-1)].sum(axis=0)
        if scene.things
        else np.zeros(scene.ticks, int)
    )


def _truth_order(scene: Scene, which: int, look: Predicate) -> np.ndarray:
    found = runs_of(_matching(scene, look) > 0)
    if len(found) < 2:
        return np.zeros(scene.ticks, dtype=bool)
    start, end = found[which]
    t = np.arange(scene.ticks)
    return (t >= start) & (t < end)


def _truth_motion(scene: Scene, look: Predicate, direction: str) -> np.ndarray:
    out = np.zeros(scene.ticks, dtype=bool)
    for thing, seen in zip(scene.things, scene.visible(), strict=True):
        if thing.motion and thing.motion.direction == direction and _looks(thing, look):
            out |= seen
    return out


def _looks(thing: Thing, look: Predicate) -> bool:
    return all(
        want is None or want == have
        for want, have in zip(look, (thing.colour, thing.shape, thing.size), strict=True)
    )


_TRUTH: dict[str, Callable[..., np.ndarray]] = {
    "thing": lambda scene, look: _matching(scene, look) > 0,
    "count": lambda scene, number, look: _matching(scene, look) == number,
    "pair": lambda scene, a, b: (_matching(scene, a) > 0) & (_matching(scene, b) > 0),
    "wall": lambda scene, wall: (scene.walls == WALLS.index(wall)) & (scene.shots == NONE),
    "shot": lambda scene, shot: scene.shots == SHOTS.index(shot),
    "light": lambda scene, light: scene.lights == LIGHTS.index(light),
    "fade": lambda scene, fade: scene.fading() == FADES.index(fade),
    "order": _truth_order,
    "motion": _truth_motion,
}


def runs_of(holds: np.ndarray) -> list[tuple[int, int]]:
    """Half-open intervals in which a bool[ticks] array is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], holds.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


# ------------------------------------------------------------------------------------------- candidates


def candidates(scene: Scene) -> dict[str, list[Predicate]]:
    """Every askable predicate of the scene by kind, before their truth is checked."""
    looks = sorted({(t.colour, t.shape, t.size) for t in scene.things})
    by: dict[str, set[Predicate]] = {kind: set() for kind in (*KINDS, *HARD_KINDS)}
    for colour, shape, size in looks:
        by["existence"].add(("thing", (colour, shape, None)))
        by["colour"].add(("thing", (colour, None, None)))
        by["shape"].add(("thing", (None, shape, None)))
        by["size"] |= {
            ("thing", (None, shape, size)),
            ("thing", (colour, None, size)),
            ("thing", (colour, shape, size)),
        }
        for number in (2, 3):
            by["count"] |= {("count", number, (None, shape, None)), ("count", number, (colour, None, None))}
        for which in (0, -1):
            by["order"] |= {("order", which, (None, shape, None)), ("order", which, (colour, None, None))}
    by["count"] |= {("count", number, (None, None, None)) for number in (2, 3, 4)}
    for a in looks:
        for b in looks:
            if a[:2] < b[:2]:
                by["pair"].add(("pair", (*a[:2], None), (*b[:2], None)))
                if a[0] != b[0] and a[1] != b[1]:
                    by["pair"].add(("pair", (a[0], None, None), (None, b[1], None)))
    by["scene"] = {("wall", wall) for wall in WALLS}
    by["cut"] = {("shot", shot) for shot in SHOTS}
    by["light"] = {("light", light) for light in LIGHTS}
    by["fade"] = {("fade", fade) for fade in FADES}
    for thing in scene.things:
        if thing.motion:
            by["motion"].add(("motion", (thing.colour, thing.shape, None), thing.motion.direction))
    return {kind: sorted(found, key=repr) for kind, found in by.items()}


def held_out(predicate: Predicate) -> bool:
    """Whether the predicate names a colour and shape together that training never asks for."""
    looks = [part for part in predicate[1:] if isinstance(part, tuple)]
    return any((look[0], look[1]) in HELD_OUT_PAIRS for look in looks)


def askable(scene: Scene) -> dict[str, list[tuple[Predicate, tuple[tuple[int, int], ...]]]]:
    """Predicates with their runs, by kind: one run of a fair length, or two to four runs for `several`."""
    out: dict[str, list[tuple[Predicate, tuple[tuple[int, int], ...]]]] = {
        k: [] for k in (*KINDS, *HARD_KINDS)
    }
    shortest = min(SHORTEST_TICKS, scene.ticks)
    longest = max(SHORTEST_TICKS, MAX_SHARE * scene.ticks)
    for kind, predicates in candidates(scene).items():
        for predicate in predicates:
            runs = tuple(runs_of(truth(scene, predicate)))
            total = sum(end - start for start, end in runs)
            fair = total >= max(shortest, MIN_SHARE * scene.ticks) and total <= longest
            if len(runs) == 1 and fair:
                out[kind].append((predicate, runs))
            elif (
                2 <= len(runs) <= 4
                and total <= 2 * longest
                and kind in ("existence", "colour", "shape", "scene")
            ):
                out["several"].append((predicate, runs))
    return out


# --------------------------------------------------------------------------------------------- negatives


def edit(rng: np.random.Generator, predicate: Predicate) -> Predicate:
    """The predicate with one of its elements replaced: a colour, shape, size, number, wall, light, direction."""
    slots = _slots(predicate)
    path, values = slots[int(rng.integers(len(slots)))]
    old = predicate[path[0]] if len(path) == 1 else predicate[path[0]][path[1]]
    new = [value for value in values if value != old]
    value = new[int(rng.integers(len(new)))]
    parts = list(predicate)
    if len(path) == 1:
        parts[path[0]] = value
    else:
        inner = list(parts[path[0]])
        inner[path[1]] = value
        parts[path[0]] = tuple(inner)
    return tuple(parts)


def _slots(predicate: Predicate) -> list[tuple[tuple[int, ...], tuple]]:
    """Where a predicate can be edited, and with which values."""
    head = predicate[0]
    one = {"wall": WALLS, "shot": SHOTS, "light": LIGHTS, "fade": FADES}
    if head in one:
        return [((1,), one[head])]
    slots: list[tuple[tuple[int, ...], tuple]] = []
    for i, part in enumerate(predicate[1:], start=1):
        if isinstance(part, tuple):
            slots += [((i, j), (COLOURS, SHAPES, SIZES)[j]) for j in range(3) if part[j] is not None]
    if head == "count":
        slots.append(((1,), (2, 3, 4)))
    if head == "motion":
        slots.append(((2,), DIRECTIONS))
    return slots


def any_predicate(rng: np.random.Generator, kind: str) -> Predicate:
    """A predicate of one of KINDS about anything that the world has, whether a scene shows it or not."""
    colour, shape, size = _pick(rng, COLOURS), _pick(rng, SHAPES), _pick(rng, SIZES)
    one = {
        "scene": ("wall", WALLS),
        "cut": ("shot", SHOTS),
        "light": ("light", LIGHTS),
        "fade": ("fade", FADES),
    }
    if kind in one:
        return (one[kind][0], _pick(rng, one[kind][1]))
    looks: dict[str, list[Predicate]] = {
        "existence": [(colour, shape, None)],
        "colour": [(colour, None, None)],
        "shape": [(None, shape, None)],
        "size": [(None, shape, size), (colour, None, size), (colour, shape, size)],
        "count": [(None, shape, None), (colour, None, None), (None, None, None)],
        "pair": [(colour, shape, None), (colour, None, None)],
    }
    look = looks[kind][int(rng.integers(len(looks[kind])))]
    if kind == "count":
        return ("count", int(rng.integers(2, 4 if any(look) else 5)), look)
    if kind == "pair":
        other = _pick(rng, tuple(c for c in COLOURS if c != colour)), _pick(rng, SHAPES)
        return ("pair", look, (*other, None) if look[1] else (None, other[1], None))
    return ("thing", look)


# ---------------------------------------------------------------------------------------------- English

_COLOUR_WORDS = {
    "red": ("red", "red", "crimson", "scarlet"), "green": ("green", "green", "emerald"),
    "blue": ("blue", "blue", "azure"), "yellow": ("yellow", "yellow", "golden yellow"),
    "purple": ("purple", "purple", "violet"), "white": ("white", "white", "pure white"),
}  # fmt: skip
_SHAPE_WORDS = {
    "circle": ("circle", "circle", "disc", "ball", "dot"), "square": ("square", "square", "box", "block"),
    "triangle": ("triangle", "triangle", "wedge"), "cross": ("cross", "cross", "plus sign", "plus"),
}  # fmt: skip
_SIZE_WORDS = {
    "tiny": ("tiny", "very small", "minuscule"), "small": ("small", "small", "little"),
    "large": ("large", "large", "big", "huge"),
}  # fmt: skip
_ANY = ("thing", "object", "shape")
_NUMBERS = {2: ("two", "2"), 3: ("three", "3"), 4: ("four", "4")}

_SHOWS = (
    "{np}", "{np}", "{np} is visible", "{np} can be seen", "when is {np} on screen", "when does {np} show up",
    "show me {np}", "the part with {np}", "there is {np}", "find {np}", "{np} appears", "when can I see {np}",
    "where in the clip is {np}", "{np} is shown", "the moment {np} is there", "we see {np}",
    "at what time is there {np}",
    "look for {np}", "is there {np} anywhere", "while {np} is in the picture",
)  # fmt: skip
_TEMPLATES: dict[str, tuple[str, ...]] = {
    "count": (
        "exactly {np}", "{np} at the same time", "{np} are visible", "there are {np}", "when are there {np}",
        "{np} at once", "just {np} on screen", "we can see {np}", "the part with {np}",
    ),
    "pair": (
        "{a} and {b} together", "both {a} and {b}", "{a} and {b} at the same time", "{a} next to {b}",
        "when are {a} and {b} both on screen", "{a} is shown with {b}", "there is {a} as well as {b}",
    ),
    "wall": (
        "the background is {w}", "the wall is {w}", "the background turns {w}", "when is the wall {w}",
        "a {w} background", "the scene with a {w} wall", "everything stands on a {w} backdrop", "{w} background",
    ),
    "shot": (
        "a {w} pattern fills the picture", "the video cuts to a {w} pattern", "a {w} screen", "cut to a {w} shot",
        "the picture is {w}", "when does it cut to something {w}", "the {w} shot", "another shot, all {w}",
    ),
    "dim": (
        "the lights are dimmed", "it is dark", "the light goes down", "when is the light low", "the room is dim",
        "the lights go out", "the picture is darker", "darkness",
    ),
    "bright": (
        "the lights are very bright", "it is too bright", "the light goes up", "when is the picture overexposed",
        "the room is flooded with light", "the picture is brighter", "glaring light", "somebody turns up the light",
    ),
    "fade": (
        "the picture fades to {w}", "a fade to {w}", "when does it fade to {w}",
        "everything fades to {w} and comes back",
        "the video fades out to {w}", "fade through {w}", "the image dissolves into {w}",
    ),
    "first": (
        "the first time {np} is visible", "{np} for the first time", "the first appearance of {np}",
        "when do we first see {np}", "the first moment with {np}",
    ),
    "last": (
        "the last time {np} is visible", "{np} for the last time", "the last appearance of {np}",
        "when do we see {np} last", "the final moment with {np}",
    ),
    "motion": (
        "{np} moves {w}", "{np} is moving {w}", "when does {np} slide {w}", "{np} travels {w}", "{np} goes {w}",
        "see {np} drift {w}",
    ),
}  # fmt: skip
_WAY = {
    "left": ("left", "to the left"),
    "right": ("right", "to the right"),
    "up": ("up", "upwards"),
    "down": ("down", "downwards"),
}
_SHOT_WORDS = {
    "striped": ("striped", "stripy"),
    "checkered": ("checkered", "chequered", "checkerboard"),
    "gridded": ("gridded", "grid-like", "tiled"),
}


_WORDINGS = {"even": slice(0, None, 2), "odd": slice(1, None, 2)}


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]


def _noun(rng: np.random.Generator, look: Predicate, *, plural: bool = False) -> str:
    colour, shape, size = look
    words = [_pick(rng, _SIZE_WORDS[size])] if size else []
    words += [_pick(rng, _COLOUR_WORDS[colour])] if colour else []
    noun = _pick(rng, _SHAPE_WORDS[shape] if shape else _ANY)
    if plural:
        noun += {"cross": "es", "box": "es"}.get(noun, "s")
    return " ".join([*words, noun])


def _phrase(rng: np.random.Generator, look: Predicate) -> str:
    colour, shape, size = look
    if shape is None and size is None and colour and rng.random() < 0.3:
        return f"something {_pick(rng, _COLOUR_WORDS[colour])}"
    noun = _noun(rng, look)
    article = "the" if rng.random() < 0.1 else ("an" if noun[0] in "aeiou" else "a")
    return f"{article} {noun}"


def say(rng: np.random.Generator, predicate: Predicate, wordings: str = "all") -> str:
    """The predicate in one of hundreds of English wordings; no sentence is in both the `even` and the `odd` half."""
    head = predicate[0]

    def frame(name: str) -> str:
        known = _SHOWS if name == "thing" else _TEMPLATES[name]
        return _pick(rng, known if wordings == "all" else tuple(dict.fromkeys(known))[_WORDINGS[wordings]])

    if head == "thing":
        text = frame("thing").format(np=_phrase(rng, predicate[1]))
    elif head == "count":
        noun = f"{_pick(rng, _NUMBERS[predicate[1]])} {_noun(rng, predicate[2], plural=True)}"
        text = frame("count").format(np=noun)
    elif head == "pair":
        looks = [predicate[1], predicate[2]]
        rng.shuffle(looks)
        text = frame("pair").format(a=_phrase(rng, tuple(looks[0])), b=_phrase(rng, tuple(looks[1])))
    elif head == "order":
        text = frame("first" if predicate[1] == 0 else "last").format(np=_phrase(rng, predicate[2]))
    elif head == "motion":
        text = frame("motion").format(np=_phrase(rng, predicate[1]), w=_pick(rng, _WAY[predicate[2]]))
    elif head == "light":
        text = frame(predicate[1])
    else:
        word = _pick(rng, _SHOT_WORDS[predicate[1]]) if head == "shot" else predicate[1]
        text = frame(head).format(w=word)
    return dress(rng, text)


def dress(rng: np.random.Generator, text: str) -> str:
    """Capitals and closing marks as people type them: often, not always."""
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    question = text.lower().startswith(("when", "where", "is there", "at what"))
    return text + ("?" if question and rng.random() < 0.6 else "." if rng.random() < 0.2 else "")


# --------------------------------------------------------------------------------------------- sampling


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryMix:
    """Which queries are asked of a clip."""

    irrelevant: float = 0.30
    """Share of irrelevant queries."""
    negatives: tuple[float, float, float, float] = (0.5, 0.25, 0.25, 0.0)
    """Shares of NEGATIVES among the irrelevant ones."""
    absent_kinds: tuple[str, ...] = KINDS
    """Kinds that `absent` ones are drawn from, each as often as it stands here."""
    absent_near: float = 0.0
    """Share of `absent` ones made of what the clip does show, only never so: two things that never meet."""
    hard_share: float = 0.12
    """Share of relevant queries of the hard kinds (where the clip has some)."""
    hard_kinds: tuple[str, ...] = ("order", "several")
    held_out_pairs: str = "never"
    """`never` asks for the held-out pairs, `only` asks for nothing else, `any` does not care."""
    wordings: str = "all"
    """`even` and `odd` ask in one half of the sentences that the world has, `all` in any."""
    held_out_words: bool = False
    """Whether unknown English comes from the words kept for evaluation."""


def sample_queries(
    rng: np.random.Generator, scene: Scene, count: int, mix: QueryMix, others: list[Scene]
) -> list[Query]:
    """Up to `count` queries of a scene, kinds balanced; `others` are the clips that shuffled negatives come from."""
    relevant = {k: [c for c in found if _admits(mix, c[0])] for k, found in askable(scene).items()}
    english = FreeEnglish(held_out=mix.held_out_words)
    out: list[Query] = []
    for _ in range(count * 3):
        if len(out) == count:
            break
        wants_irrelevant = rng.random() < mix.irrelevant
        query = (
            _irrelevant(rng, scene, relevant, mix, others, english)
            if wants_irrelevant
            else _relevant(rng, relevant, mix)
        )
        if query is not None and query.text not in {q.text for q in out}:
            out.append(query)
    return out


def _admits(mix: QueryMix, predicate: Predicate) -> bool:
    return mix.held_out_pairs == "any" or held_out(predicate) == (mix.held_out_pairs == "only")


def _relevant(rng: np.random.Generator, relevant: dict, mix: QueryMix) -> Query | None:
    hard = [k for k in mix.hard_kinds if relevant[k]]
    plain = [k for k in KINDS if relevant[k]]
    kinds = hard if hard and (rng.random() < mix.hard_share or not plain) else plain
    if not kinds:
        return None
    kind = kinds[int(rng.integers(len(kinds)))]
    predicate, runs = relevant[kind][int(rng.integers(len(relevant[kind])))]
    return Query(text=say(rng, predicate, mix.wordings), kind=kind, runs=runs, predicate=predicate)


def _irrelevant(
    rng: np.random.Generator,
    scene: Scene,
    relevant: dict,
    mix: QueryMix,
    others: list[Scene],
    english: FreeEnglish,
) -> Query | None:
    """A query that holds nowhere in the scene: edited, of another clip, or about things the world does not know."""
    negative = str(rng.choice(NEGATIVES, p=mix.negatives))
    if negative == "unknown":
        text = english.sentence(rng)
        if rng.random() < 0.45:
            text = _pick(rng, _SHOWS).format(np=english.noun_phrase(rng))
        return Query(text=dress(rng, text), kind="unknown", runs=(), predicate=None, negative=negative)
    if negative == "absent":
        kind = _pick(rng, mix.absent_kinds)
        near = candidates(scene)[kind] if rng.random() < mix.absent_near else []
        predicate = near[int(rng.integers(len(near)))] if near else any_predicate(rng, kind)
    else:
        source = (
            relevant
            if negative == "edited" or not others
            else askable(others[int(rng.integers(len(others)))])
        )
        kinds = [k for k in (*KINDS, *mix.hard_kinds) if source[k]]
        if not kinds:
            return None
        kind = kinds[int(rng.integers(len(kinds)))]
        predicate = source[kind][int(rng.integers(len(source[kind])))][0]
        if negative == "edited":
            predicate = edit(rng, predicate)
    if not _admits(mix, predicate) or _nearly_holds(scene, predicate):
        return None
    return Query(
        text=say(rng, predicate, mix.wordings), kind=kind, runs=(), predicate=predicate, negative=negative
    )


def _nearly_holds(scene: Scene, predicate: Predicate) -> bool:
    """Whether the predicate holds anywhere; an order query is only irrelevant where the thing never shows at all."""
    if predicate[0] == "order":
        predicate = ("thing", predicate[2])
    return bool(truth(scene, predicate).any())
