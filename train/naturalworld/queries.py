"""Queries about a clip of naturalworld, with exact truth: what is asked, in the English that people type, and when.

A predicate is a small tuple; `truth` evaluates it per tick. A look is (name, category, tint), None for any of them; the
name may be said in a synonym. Wordings are lower case without punctuation: the model reads every question so
(`tempo_core.vocabulary`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from train.naturalworld.assets import Assets
from train.naturalworld.names import CATEGORY_WORDS
from train.naturalworld.scene import (
    CAMERA,
    DIRECTIONS,
    EVENTS,
    HELD_OUT_TINTS,
    LOOKS,
    SIDES,
    TEXTS,
    TINTS,
    TRANSITIONS,
    NaturalScene,
    Thing,
)
from train.shapeworld.queries import Predicate, Query, runs_of

KINDS = (
    "camera",
    "picture",
    "cutting",
    "name",
    "category",
    "colour",
    "count",
    "pair",
    "side",
    "relation",
    "motion",
    "order",
    "negation",
    "before",
    "several",
)
"""What is asked for; `camera`, `picture` and `cutting` are events, the others are about things."""
EVENT_KINDS = KINDS[:3]
NEGATIVES = ("edited", "absent", "shuffled")
ANY_TEXT = "text"
"""Title or subtitle."""
LONGEST_SHARE = 0.45
"""Of a clip, that a question's moments cover: the whole clip is a poor answer."""

Askable = dict[str, list[tuple[Predicate, tuple[tuple[int, int], ...]]]]
"""Predicates with their runs in ticks, by kind."""

WORDINGS = json.loads(Path(__file__).with_name("wordings.json").read_text())


@dataclass(frozen=True, kw_only=True, slots=True)
class NaturalMix:
    """Which queries are asked of a clip."""

    irrelevant: float = 0.35
    kinds: tuple[str, ...] = ("camera", "picture", "cutting", *KINDS)
    """Kinds, each drawn as often as it stands here among those that the clip can be asked."""
    most_moments: int = 4
    """Of one answer."""
    events: tuple[str, ...] = (*EVENTS, ANY_TEXT)
    """Events that are asked for, of the kinds that are; the others only happen."""
    negatives: tuple[float, float, float] = (0.5, 0.3, 0.2)
    """Shares of NEGATIVES among the irrelevant ones."""
    held_out_tints: str = "never"
    """`never` asks for no held-out name and tint together, `only` for nothing else."""


TEST_MIX = NaturalMix(irrelevant=0.3, kinds=KINDS)
EVENT_MIX = NaturalMix(irrelevant=0.3, kinds=EVENT_KINDS)
FOOTAGE_EVENTS = (
    *TRANSITIONS,
    "black",
    "white",
    "flash",
    *(look for look in LOOKS if look != "blurred"),
    "letterbox",
    "split screen",
    *TEXTS,
    ANY_TEXT,
)
"""What a few small pictures a beat apart can tell: not the camera's moves or the speed, nor, as was tried, frozen and
blurred pictures and pictures in the picture."""
FOOTAGE_MIX = NaturalMix(irrelevant=0.3, kinds=("cutting", "picture"), events=FOOTAGE_EVENTS, most_moments=12)
THING_MIX = NaturalMix(irrelevant=0.3, kinds=KINDS[3:])
UNSEEN_MIX = NaturalMix(irrelevant=0.0, kinds=("colour",), held_out_tints="only")


def kind_of_event(event: str) -> str:
    """The kind that an event is asked under."""
    if event in CAMERA:
        return "camera"
    return (
        "cutting" if event in (*TRANSITIONS, "seen again", "flash", "frozen", "black", "white") else "picture"
    )


def truth(scene: NaturalScene, predicate: Predicate) -> np.ndarray:
    """bool[ticks]: where the predicate holds."""
    match predicate:
        case ("event", kind) if kind == ANY_TEXT:
            return scene.during(TEXTS[0]) | scene.during(TEXTS[1])
        case ("event", kind):
            return scene.during(kind)
        case ("thing", look):
            return _visible_count(scene, look) > 0
        case ("count", number, look):
            return _visible_count(scene, look) == number
        case ("pair", first, second):
            return (_visible_count(scene, first) > 0) & (_visible_count(scene, second) > 0)
        case ("side", look, side):
            return _where(scene, lambda thing, tick: matches(thing, look) and _on_side(thing, tick, side))
        case ("relation", first, side, second):
            return _beside(scene, first, side, second)
        case ("motion", look, direction):
            return _where(scene, lambda thing, tick: matches(thing, look) and thing.direction == direction)
        case ("order", run_idx, look):
            runs = runs_of(_visible_count(scene, look) > 0)
            holds = np.zeros(scene.ticks, dtype=bool)
            if len(runs) > 1:
                start, end = runs[run_idx]
                holds[start:end] = True
            return holds
        case ("not", look):
            return ~(_visible_count(scene, look) > 0)
        case ("before" | "after" as which, look):
            runs = runs_of(_visible_count(scene, look) > 0)
            holds = np.zeros(scene.ticks, dtype=bool)
            if len(runs) == 1:
                start, end = runs[0]
                holds[slice(0, start) if which == "before" else slice(end, None)] = True
            return holds
    raise ValueError(f"{predicate!r} is no predicate of naturalworld.")


def matches(thing: Thing, look: Predicate) -> bool:
    """Whether a thing has the name, category and tint of a look (None: any). What has its own colours has no tint."""
    pairs = zip(look, (thing.name, thing.category, thing.tint), strict=True)
    return all(word is None or word == own for word, own in pairs)


def _visible_count(scene: NaturalScene, look: Predicate) -> np.ndarray:
    """int[ticks]."""
    return scene.visible()[np.array([matches(thing, look) for thing in scene.things], dtype=bool)].sum(axis=0)


def _where(scene: NaturalScene, holds: Callable[[Thing, int], bool]) -> np.ndarray:
    """bool[ticks]: where `holds(thing, tick)` of some visible thing."""
    visible = scene.visible()
    out = np.zeros(scene.ticks, dtype=bool)
    for i, thing in enumerate(scene.things):
        for tick in np.flatnonzero(visible[i]):
            out[tick] |= holds(thing, int(tick))
    return out


def _on_side(thing: Thing, tick: int, side: str) -> bool:
    """Clearly on that side: the middle fifth of the picture belongs to neither."""
    x, y = thing.position(tick)
    return {"left": x < 0.4, "right": x > 0.6, "top": y < 0.4, "bottom": y > 0.6}[side]


def _beside(scene: NaturalScene, first: Predicate, side: str, second: Predicate) -> np.ndarray:
    visible = scene.visible()
    out = np.zeros(scene.ticks, dtype=bool)
    for i, a in enumerate(scene.things):
        for j, b in enumerate(scene.things):
            if i == j or not matches(a, first) or not matches(b, second):
                continue
            for tick in np.flatnonzero(visible[i] & visible[j]):
                (ax, ay), (bx, by) = a.position(int(tick)), b.position(int(tick))
                out[tick] |= {
                    "left": ax < bx - 0.15,
                    "right": ax > bx + 0.15,
                    "top": ay < by - 0.15,
                    "bottom": ay > by + 0.15,
                }[side]
    return out


def held_out(assets: Assets, look: Predicate) -> bool:
    """Whether a look has a name and a tint that training never asks for together."""
    name, _, tint = look
    return (
        name is not None
        and tint is not None
        and (list(assets.concepts).index(name) % len(HELD_OUT_TINTS) == HELD_OUT_TINTS[tint])
    )


def candidates(scene: NaturalScene) -> dict[str, list[Predicate]]:
    """Every askable predicate of the scene by kind, before their truth is checked."""
    by: dict[str, set[Predicate]] = {kind: set() for kind in KINDS}
    for event in scene.events:
        by[kind_of_event(event.kind)].add(("event", event.kind))
        if event.kind in TEXTS:
            by["picture"].add(("event", ANY_TEXT))
    looks = {"name": set(), "category": set(), "colour": set()}  # type: dict[str, set[Predicate]]
    for thing in scene.things:
        looks["name"].add((thing.name, None, None))
        looks["category"].add((None, thing.category, None))
        if thing.tint:
            looks["colour"] |= {(thing.name, None, thing.tint), (None, None, thing.tint)}
        if thing.direction:
            by["motion"].add(("motion", (thing.name, None, None), thing.direction))
    for kind, own in looks.items():
        by[kind] = {("thing", look) for look in own}
    named, broad = sorted(looks["name"]), sorted(looks["category"], key=repr)
    for look in [*named, *broad]:
        by["count"] |= {("count", number, look) for number in (2, 3)}
        by["order"] |= {("order", which, look) for which in (0, -1)}
        by["negation"].add(("not", look))
        by["before"] |= {(which, look) for which in ("before", "after")}
        by["side"] |= {("side", look, side) for side in SIDES}
    for a in named:
        for b in named:
            if a != b:
                by["relation"] |= {("relation", a, side, b) for side in SIDES}
            if a < b:
                by["pair"].add(("pair", a, b))
    return {kind: sorted(predicates, key=repr) for kind, predicates in by.items()}


def askable(scene: NaturalScene, most_moments: int = 4) -> Askable:
    """What can be asked: at most so many moments of a fair length; more than one of them is `several`, too."""
    by_kind: Askable = {kind: [] for kind in KINDS}
    for kind, predicates in candidates(scene).items():
        longest = max(2, (LONGEST_SHARE if kind not in ("negation", "before") else 0.8) * scene.ticks)
        for predicate in predicates:
            runs = tuple(runs_of(truth(scene, predicate)))
            total = sum(end - start for start, end in runs)
            if 1 <= len(runs) <= most_moments and total <= longest:
                by_kind[kind].append((predicate, runs))
                if len(runs) > 1 and kind in (*EVENT_KINDS, "name", "category", "colour"):
                    by_kind["several"].append((predicate, runs))
    return by_kind


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def _noun(rng: np.random.Generator, assets: Assets, look: Predicate, *, plural: bool = False) -> str:
    """The bare noun of a look: "red dog", "animals"."""
    name, category, tint = look
    if name is not None:
        synonyms = assets.concepts[name].synonyms
        noun = _pick(rng, synonyms) if synonyms and rng.random() < 0.3 else name
    else:
        noun = _pick(rng, CATEGORY_WORDS[category]) if category is not None else "thing"
    if plural:
        noun = plural_of(noun)
    return f"{_pick(rng, WORDINGS['tints'][tint])} {noun}" if tint else noun


def plural_of(noun: str) -> str:
    """The noun in the plural; the first word of a phrase with "of" or "to", else the last.

    >>> plural_of("piece of fruit"), plural_of("butterfly"), plural_of("bus"), plural_of("glasses")
    ('pieces of fruit', 'butterflies', 'buses', 'glasses')
    """
    for joint in (" of ", " to ", " with ", " in "):
        if joint in noun:
            head, _, rest = noun.partition(joint)
            return plural_of(head) + joint + rest
    irregular = {
        "mouse": "mice",
        "goose": "geese",
        "ox": "oxen",
        "tooth": "teeth",
        "foot": "feet",
        "knife": "knives",
    }
    irregular |= {"leaf": "leaves", "sheep": "sheep", "fish": "fish", "wolf": "wolves", "scarf": "scarves"}
    head, _, last = noun.rpartition(" ")
    if last in irregular:
        last = irregular[last]
    elif last.endswith(("es", "ts", "ns", "rs", "gs")):
        pass
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}".strip()


def _phrase(rng: np.random.Generator, assets: Assets, look: Predicate) -> str:
    """The look with its article, which careless people leave out."""
    if look[0] is None and look[1] is None and rng.random() < 0.4:
        return f"something {_pick(rng, WORDINGS['tints'][look[2]])}"
    noun = _noun(rng, assets, look)
    if noun.startswith("something"):
        return noun
    draw = rng.random()
    if draw < 0.12:
        return noun
    return f"the {noun}" if draw < 0.25 else f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def say(rng: np.random.Generator, assets: Assets, predicate: Predicate) -> str:
    """The predicate in one of hundreds of English wordings."""
    phrase = lambda look: _phrase(rng, assets, look)  # noqa: E731
    match predicate:
        case ("event", kind):
            draw = rng.random()
            if draw < 0.15 and kind in WORDINGS["does"]:
                return f"when does {WORDINGS['does'][kind]}"
            if draw < 0.5:
                return _pick(rng, WORDINGS["phrase_carriers"]).format(p=_pick(rng, WORDINGS["phrases"][kind]))
            clause = _pick(rng, WORDINGS["clauses"][kind])
        case ("thing", look):
            if rng.random() < 0.5:
                return _pick(rng, WORDINGS["phrase_carriers"]).format(p=phrase(look))
            clause = _pick(rng, WORDINGS["thing_clauses"]).format(a=phrase(look))
        case ("count", number, look):
            noun = f"{WORDINGS['numbers'][str(number)]} {_noun(rng, assets, look, plural=True)}"
            clause = _pick(rng, WORDINGS["count_clauses"]).format(n=noun)
        case ("pair", first, second):
            looks = [first, second] if rng.random() < 0.5 else [second, first]
            clause = _pick(rng, WORDINGS["pair_clauses"]).format(a=phrase(looks[0]), b=phrase(looks[1]))
        case ("side", look, side):
            clause = _pick(rng, WORDINGS["side_clauses"]).format(
                a=phrase(look), s=_pick(rng, WORDINGS["sides"][side])
            )
        case ("relation", first, side, second):
            clause = _pick(rng, WORDINGS["relation_clauses"][side]).format(a=phrase(first), b=phrase(second))
        case ("motion", look, direction):
            word = _pick(rng, WORDINGS["directions"][direction])
            clause = _pick(rng, WORDINGS["motion_clauses"]).format(a=phrase(look), d=word)
        case ("order", run_idx, look):
            clause = _pick(rng, WORDINGS["first_clauses" if run_idx == 0 else "last_clauses"]).format(
                a=phrase(look)
            )
        case ("not", look):
            clause = _pick(rng, WORDINGS["negations"]).format(a=phrase(look), bare=_noun(rng, assets, look))
        case (which, look):
            return _pick(rng, WORDINGS[which]).format(a=phrase(look))
    return _pick(rng, WORDINGS["clause_carriers"]).format(c=clause)


def edit(rng: np.random.Generator, assets: Assets, scene: NaturalScene, predicate: Predicate) -> Predicate:
    """The predicate with one of its elements replaced: another event of the same kind, name, category, tint, side."""
    match predicate:
        case ("event", kind):
            other_events = [
                other for other in EVENTS if other != kind and kind_of_event(other) == kind_of_event(kind)
            ]
            return ("event", _pick(rng, other_events))
        case ("side" | "motion" as head, look, word) if rng.random() < 0.6:
            words = SIDES if head == "side" else DIRECTIONS
            return (head, look, _pick(rng, [other for other in words if other != word]))
        case ("relation", first, side, second) if rng.random() < 0.6:
            opposite = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}[side]
            return ("relation", first, opposite, second)
        case ("count", number, look) if rng.random() < 0.5:
            return ("count", 5 - number, look)
    places = [i for i, part in enumerate(predicate) if isinstance(part, tuple)]
    place = places[int(rng.integers(len(places)))]
    name, category, tint = predicate[place]
    if tint is not None and (name is None or rng.random() < 0.5):
        tint = _pick(rng, [other for other in TINTS if other != tint])
    elif name is not None:
        own = assets.concepts[name].category
        near = [
            other for other, concept in assets.concepts.items() if concept.category == own and other != name
        ]
        any_other = [other for other in assets.concepts if other != name]
        name = _pick(rng, near if near and rng.random() < 0.6 else any_other)
    else:
        category = _pick(rng, [other for other in CATEGORY_WORDS if other != category])
    return (*predicate[:place], (name, category, tint), *predicate[place + 1 :])


def _absent(rng: np.random.Generator, assets: Assets, kind: str) -> Predicate:
    """A predicate about anything that the world has."""
    if kind in EVENT_KINDS:
        return ("event", _pick(rng, [event for event in EVENTS if kind_of_event(event) == kind]))
    name = _pick(rng, list(assets.concepts))
    if kind == "category":
        return ("thing", (None, _pick(rng, list(CATEGORY_WORDS)), None))
    return ("thing", (name, None, _pick(rng, TINTS) if kind == "colour" else None))


def sample_queries(
    rng: np.random.Generator,
    scene: NaturalScene,
    assets: Assets,
    count: int,
    mix: NaturalMix,
    other_scenes: Sequence[NaturalScene] = (),
) -> list[Query]:
    """Up to `count` different queries of a scene; shuffled negatives come from `other_scenes`."""
    relevant = {
        kind: [(predicate, runs) for predicate, runs in pairs if _admits(assets, mix, predicate)]
        for kind, pairs in askable(scene, mix.most_moments).items()
    }
    queries: list[Query] = []
    for _ in range(4 * count):
        if len(queries) == count:
            break
        query: Query | None
        if rng.random() < mix.irrelevant:
            query = _irrelevant(rng, scene, assets, relevant, mix, other_scenes)
        else:
            kinds = [kind for kind in mix.kinds if relevant[kind]]
            if not kinds:
                continue
            kind = _pick(rng, kinds)
            predicate, runs = relevant[kind][int(rng.integers(len(relevant[kind])))]
            query = Query(text=say(rng, assets, predicate), kind=kind, runs=runs, predicate=predicate)
        if query is not None and query.text not in {other.text for other in queries}:
            queries.append(query)
    return queries


def _admits(assets: Assets, mix: NaturalMix, predicate: Predicate) -> bool:
    if predicate[0] == "event":
        return predicate[1] in mix.events and mix.held_out_tints != "only"
    is_held_out = any(held_out(assets, part) for part in predicate if isinstance(part, tuple))
    return is_held_out == (mix.held_out_tints == "only")


def _irrelevant(
    rng: np.random.Generator,
    scene: NaturalScene,
    assets: Assets,
    relevant: Askable,
    mix: NaturalMix,
    other_scenes: Sequence[NaturalScene],
) -> Query | None:
    """A query that holds nowhere in the scene; None where the one that was drawn does."""
    negative = _pick(rng, NEGATIVES) if not mix.negatives else str(rng.choice(NEGATIVES, p=mix.negatives))
    if negative == "absent":
        kind = _pick(
            rng, [kind for kind in mix.kinds if kind in (*EVENT_KINDS, "name", "category", "colour")]
        )
        predicate = _absent(rng, assets, kind)
    else:
        source = relevant
        if negative == "shuffled" and other_scenes:
            source = askable(other_scenes[int(rng.integers(len(other_scenes)))])
        # a negation or an order of something that is not there holds everywhere, or is no plain refusal
        kinds = [kind for kind in mix.kinds if source[kind] and kind not in ("negation", "before", "order")]
        if not kinds:
            return None
        kind = _pick(rng, kinds)
        predicate = source[kind][int(rng.integers(len(source[kind])))][0]
        if predicate[0] in ("not", "before", "after", "order"):
            return None
        if negative == "edited":
            predicate = edit(rng, assets, scene, predicate)
    if not _admits(assets, mix, predicate) or truth(scene, predicate).any():
        return None
    return Query(text=say(rng, assets, predicate), kind=kind, runs=(), predicate=predicate, negative=negative)
