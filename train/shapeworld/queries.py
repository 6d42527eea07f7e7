"""Queries about a scene, with exact truth: what is asked, in varied English, and in which ticks it holds.

A predicate is a small tuple; `truth` evaluates it per tick. Kinds that a scratch-trained model finds hard (motion,
order, several moments) are labelled so that they can be reported apart.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
Runs = tuple[tuple[int, int], ...]
"""Half-open tick intervals."""
KINDS = ("existence", "colour", "shape", "size", "count", "pair", "scene", "light", "cut", "fade")
HARD_KINDS = ("motion", "order", "several")
SEVERAL_OF = ("existence", "colour", "shape", "scene")
"""Kinds whose predicates are asked as `several` where they hold more than once."""
NEGATIVES = ("edited", "shuffled", "unknown", "absent")

SURROUNDINGS = {
    "scene": ("wall", WALLS),
    "cut": ("shot", SHOTS),
    "light": ("light", LIGHTS),
    "fade": ("fade", FADES),
}
"""Kinds about the whole picture: the head of their predicates and its values."""

HELD_OUT_PAIRS = (("green", "triangle"), ("purple", "square"), ("white", "cross"))
"""Colour and shape together are never asked for in training: the control for composing attributes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """One question about a clip. `runs` are half-open tick intervals; none of them for an irrelevant query."""

    text: str
    kind: str
    runs: Runs
    predicate: Predicate | None
    negative: str | None = None


def truth(scene: Scene, predicate: Predicate, visible: np.ndarray | None = None) -> np.ndarray:
    """bool[ticks]: where the predicate holds. `visible` is the scene's, for who asks for many."""
    if visible is None:
        visible = scene.visible()
    match predicate:
        case ("thing", look):
            return _count_visible(scene, visible, look) > 0
        case ("count", number, look):
            return _count_visible(scene, visible, look) == number
        case ("pair", first, second):
            return (_count_visible(scene, visible, first) > 0) & (_count_visible(scene, visible, second) > 0)
        case ("wall", wall):
            return (scene.walls == WALLS.index(wall)) & (scene.shots == NONE)
        case ("shot", shot):
            return scene.shots == SHOTS.index(shot)
        case ("light", light):
            return scene.lights == LIGHTS.index(light)
        case ("fade", fade):
            return scene.fading() == FADES.index(fade)
        case ("order", run_idx, look):
            runs = runs_of(_count_visible(scene, visible, look) > 0)
            holds = np.zeros(scene.ticks, dtype=bool)
            if len(runs) > 1:
                start, end = runs[run_idx]
                holds[start:end] = True
            return holds
        case ("motion", look, direction):
            slides = [
                matches(thing, look) and thing.motion is not None and thing.motion.direction == direction
                for thing in scene.things
            ]
            return visible[np.array(slides, dtype=bool)].any(axis=0)
    raise ValueError(f"{predicate!r} is no predicate of shapeworld.")


def matches(thing: Thing, look: Predicate) -> bool:
    """Whether a thing has the colour, shape and size of a look (None: any)."""
    colour, shape, size = look
    return colour in (None, thing.colour) and shape in (None, thing.shape) and size in (None, thing.size)


def _count_visible(scene: Scene, visible: np.ndarray, look: Predicate) -> np.ndarray:
    """int[ticks]: how many visible things match the look."""
    return visible[np.array([matches(thing, look) for thing in scene.things], dtype=bool)].sum(axis=0)


def runs_of(holds: np.ndarray) -> list[tuple[int, int]]:
    """Half-open intervals in which a bool[ticks] array is true."""
    padded = np.zeros(len(holds) + 2, dtype=bool)
    padded[1:-1] = holds
    edges = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


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
    for kind, (head, values) in SURROUNDINGS.items():
        by[kind] = {(head, value) for value in values}
    for thing in scene.things:
        if thing.motion:
            by["motion"].add(("motion", (thing.colour, thing.shape, None), thing.motion.direction))
    return {kind: sorted(predicates, key=repr) for kind, predicates in by.items()}


def held_out(predicate: Predicate) -> bool:
    """Whether the predicate names a colour and shape together that training never asks for."""
    looks = [part for part in predicate[1:] if isinstance(part, tuple)]
    return any((look[0], look[1]) in HELD_OUT_PAIRS for look in looks)


def askable(scene: Scene) -> dict[str, list[tuple[Predicate, Runs]]]:
    """Predicates with their runs, by kind: one run of a fair length, or two to four runs for `several`."""
    by_kind: dict[str, list[tuple[Predicate, Runs]]] = {kind: [] for kind in (*KINDS, *HARD_KINDS)}
    shortest = max(min(SHORTEST_TICKS, scene.ticks), MIN_SHARE * scene.ticks)
    longest = max(SHORTEST_TICKS, MAX_SHARE * scene.ticks)
    visible = scene.visible()
    for kind, predicates in candidates(scene).items():
        for predicate in predicates:
            runs = tuple(runs_of(truth(scene, predicate, visible)))
            total = sum(end - start for start, end in runs)
            if len(runs) == 1 and shortest <= total <= longest:
                by_kind[kind].append((predicate, runs))
            elif 2 <= len(runs) <= 4 and total <= 2 * longest and kind in SEVERAL_OF:
                by_kind["several"].append((predicate, runs))
    return by_kind


def edit(rng: np.random.Generator, predicate: Predicate) -> Predicate:
    """The predicate with one of its elements replaced: a colour, shape, size, number, wall, light, direction."""
    # What can be replaced: index of the part, index of the word inside a look (None: the whole part), and the values.
    slots: list[tuple[int, int | None, tuple]] = []
    for i, part in enumerate(predicate[1:], start=1):
        if isinstance(part, tuple):
            slots += [(i, j, (COLOURS, SHAPES, SIZES)[j]) for j in range(3) if part[j] is not None]
    values_of = dict(SURROUNDINGS.values())
    match predicate:
        case ("count", *_):
            slots.append((1, None, (2, 3, 4)))
        case ("motion", *_):
            slots.append((2, None, DIRECTIONS))
        case (head, _) if head in values_of:
            slots = [(1, None, values_of[head])]
    i, word_idx, values = slots[int(rng.integers(len(slots)))]
    old = predicate[i] if word_idx is None else predicate[i][word_idx]
    alternatives = [value for value in values if value != old]
    new = alternatives[int(rng.integers(len(alternatives)))]
    if word_idx is not None:
        new = (*predicate[i][:word_idx], new, *predicate[i][word_idx + 1 :])
    return (*predicate[:i], new, *predicate[i + 1 :])


def any_predicate(rng: np.random.Generator, kind: str) -> Predicate:
    """A predicate of one of KINDS about anything that the world has, whether a scene shows it or not."""
    colour, shape, size = _pick(rng, COLOURS), _pick(rng, SHAPES), _pick(rng, SIZES)
    if kind in SURROUNDINGS:
        head, values = SURROUNDINGS[kind]
        return (head, _pick(rng, values))
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
        other = _pick(rng, tuple(word for word in COLOURS if word != colour)), _pick(rng, SHAPES)
        return ("pair", look, (*other, None) if look[1] else (None, other[1], None))
    return ("thing", look)


_DATA = json.loads(Path(__file__).with_name("wordings.json").read_text())
_SENTENCES: dict[str, list[str]] = _DATA["sentences"]
"""Frames by what they ask: {np}, {a} and {b} are noun phrases, {w} a word."""
_WORDS: dict[str, dict[str, list[str]]] = _DATA["words"]
"""The English of every colour, shape, size, number, direction and shot. A word that stands twice is said twice as
often."""
_HALVES = {"even": slice(0, None, 2), "odd": slice(1, None, 2)}


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def _noun(rng: np.random.Generator, look: Predicate, *, plural: bool = False) -> str:
    colour, shape, size = look
    words = [_pick(rng, _WORDS["size"][size])] if size else []
    words += [_pick(rng, _WORDS["colour"][colour])] if colour else []
    noun = _pick(rng, _WORDS["shape"][shape] if shape else _WORDS["any"]["any"])
    if plural:
        noun += {"cross": "es", "box": "es"}.get(noun, "s")
    return " ".join([*words, noun])


def _phrase(rng: np.random.Generator, look: Predicate) -> str:
    colour, shape, size = look
    if shape is None and size is None and colour and rng.random() < 0.3:
        return f"something {_pick(rng, _WORDS['colour'][colour])}"
    noun = _noun(rng, look)
    article = "the" if rng.random() < 0.1 else ("an" if noun[0] in "aeiou" else "a")
    return f"{article} {noun}"


def say(rng: np.random.Generator, predicate: Predicate, wordings: str = "all") -> str:
    """The predicate in one of hundreds of English wordings; no sentence is in both the `even` and the `odd` half."""

    def frame(name: str) -> str:
        frames = _SENTENCES[name]
        return _pick(rng, frames if wordings == "all" else list(dict.fromkeys(frames))[_HALVES[wordings]])

    match predicate:
        case ("thing", look):
            text = frame("thing").format(np=_phrase(rng, look))
        case ("count", number, look):
            noun = f"{_pick(rng, _WORDS['number'][str(number)])} {_noun(rng, look, plural=True)}"
            text = frame("count").format(np=noun)
        case ("pair", *looks):
            rng.shuffle(looks)
            text = frame("pair").format(a=_phrase(rng, tuple(looks[0])), b=_phrase(rng, tuple(looks[1])))
        case ("order", run_idx, look):
            text = frame("first" if run_idx == 0 else "last").format(np=_phrase(rng, look))
        case ("motion", look, direction):
            text = frame("motion").format(np=_phrase(rng, look), w=_pick(rng, _WORDS["direction"][direction]))
        case ("light", light):
            text = frame(light)
        case ("shot", shot):
            word = _pick(rng, _WORDS["shot"][shot])
            text = frame("shot").format(w=word)
        case (head, value):
            text = frame(head).format(w=value)
    return dress(rng, text)


def dress(rng: np.random.Generator, text: str) -> str:
    """Capitals and closing marks as people type them: often, not always."""
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    question = text.lower().startswith(("when", "where", "is there", "at what"))
    return text + ("?" if question and rng.random() < 0.6 else "." if rng.random() < 0.2 else "")


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


TEST_MIX = QueryMix(hard_share=0.0, hard_kinds=(), held_out_words=True)
"""For measuring: the ten main kinds, and unknown English of words that are never trained on."""


def sample_queries(
    rng: np.random.Generator, scene: Scene, count: int, mix: QueryMix, other_scenes: list[Scene]
) -> list[Query]:
    """Up to `count` queries of a scene, kinds balanced; shuffled negatives come from `other_scenes`."""
    relevant = {
        kind: [(predicate, runs) for predicate, runs in pairs if _admits(mix, predicate)]
        for kind, pairs in askable(scene).items()
    }
    english = FreeEnglish(held_out=mix.held_out_words)
    queries: list[Query] = []
    for _ in range(count * 3):
        if len(queries) == count:
            break
        if rng.random() < mix.irrelevant:
            query = _irrelevant(rng, scene, relevant, mix, other_scenes, english)
        else:
            hard = [kind for kind in mix.hard_kinds if relevant[kind]]
            plain = [kind for kind in KINDS if relevant[kind]]
            kinds = hard if hard and (rng.random() < mix.hard_share or not plain) else plain
            if not kinds:
                continue
            kind = kinds[int(rng.integers(len(kinds)))]
            predicate, runs = relevant[kind][int(rng.integers(len(relevant[kind])))]
            text = say(rng, predicate, mix.wordings)
            query = Query(text=text, kind=kind, runs=runs, predicate=predicate)
        if query is not None and query.text not in {other.text for other in queries}:
            queries.append(query)
    return queries


def _admits(mix: QueryMix, predicate: Predicate) -> bool:
    return mix.held_out_pairs == "any" or held_out(predicate) == (mix.held_out_pairs == "only")


def _irrelevant(
    rng: np.random.Generator,
    scene: Scene,
    relevant: dict[str, list[tuple[Predicate, Runs]]],
    mix: QueryMix,
    other_scenes: list[Scene],
    english: FreeEnglish,
) -> Query | None:
    """A query that holds nowhere in the scene, of one of NEGATIVES; None where the one that was drawn does hold."""
    negative = str(rng.choice(NEGATIVES, p=mix.negatives))
    if negative == "unknown":
        text = english.sentence(rng)
        if rng.random() < 0.45:
            text = _pick(rng, _SENTENCES["thing"]).format(np=english.noun_phrase(rng))
        return Query(text=dress(rng, text), kind="unknown", runs=(), predicate=None, negative=negative)
    if negative == "absent":
        kind = _pick(rng, mix.absent_kinds)
        near = candidates(scene)[kind] if rng.random() < mix.absent_near else []
        predicate = near[int(rng.integers(len(near)))] if near else any_predicate(rng, kind)
    else:
        source = relevant
        if negative == "shuffled" and other_scenes:
            source = askable(other_scenes[int(rng.integers(len(other_scenes)))])
        kinds = [kind for kind in (*KINDS, *mix.hard_kinds) if source[kind]]
        if not kinds:
            return None
        kind = kinds[int(rng.integers(len(kinds)))]
        predicate = source[kind][int(rng.integers(len(source[kind])))][0]
        if negative == "edited":
            predicate = edit(rng, predicate)
    # "The first time X is visible" is only irrelevant where X is never visible.
    condition = ("thing", predicate[2]) if predicate[0] == "order" else predicate
    if not _admits(mix, predicate) or truth(scene, condition).any():
        return None
    text = say(rng, predicate, mix.wordings)
    return Query(text=text, kind=kind, runs=(), predicate=predicate, negative=negative)
