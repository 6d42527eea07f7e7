"""Irrelevant pairs to learn refusing from: made by share and kind, checked, and honestly reported.

    mixed = with_negatives(examples, NegativeShares(), seed=0)
    mixed.examples, mixed.report

Kinds: `annotated` (an annotator said that no moment matches; always kept), `edited` (elements of a true query
exchanged), `same-video` (true elsewhere in the same source video), `shuffled` (another video's query: easy; alone it
did not improve refusal in RA-RFT, 2511.23151, whose 50/50 mix is the default here). In shapeworld every pair is
checked exactly (`World`). In real data only rows can be asked: a pair that one of them refutes is thrown away, one
that a row proves is `proved`, and all others are counted as `unchecked`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from annotations.suspicion import vid_range_s
from tempo_core.errors import InputError
from train.checkpoints import write_json
from train.data.examples import Example
from train.data.lexical import KINDS, edit_words, words_of
from train.shapeworld.queries import Predicate, edit, held_out, say, truth
from train.shapeworld.scene import COLOURS, SHAPES, SIZES, Scene

Check = Literal["proved", "unchecked", "refuted"]
MADE = ("edited", "same-video", "shuffled")
TRIES = 20
"""Attempts at a pair before its kind counts as used up for that row."""
ALIKE = 0.6
"""Queries that share so many of their words may mean the same; such a pair is thrown away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NegativeShares:
    """How many irrelevant pairs, and of which kinds."""

    irrelevant: float = 0.5
    """Share of all rows. Rows that are irrelevant already count, and are never dropped."""
    edited: float = 0.6
    """Of the pairs that are made."""
    same_video: float = 0.2
    shuffled: float = 0.2
    edits: tuple[float, float, float] = (0.6, 0.3, 0.1)
    """Shares of edited queries with one, two and three elements exchanged."""
    unchecked_weight: float = 1.0
    """Trust in a pair that nothing could check, times its row's."""

    def __post_init__(self) -> None:
        for each in fields(self):
            values = getattr(self, each.name)
            numbers = values if isinstance(values, tuple) else (values,)
            if not all(math.isfinite(number) and 0 <= number <= 1 for number in numbers):
                raise InputError(f"NegativeShares.{each.name} is {values!r}; shares lie between 0 and 1.")
        if self.irrelevant == 1:
            raise InputError("With irrelevant=1 there would be nothing to ground. Give a share below 1.")
        if self.edited + self.same_video + self.shuffled <= 0 or sum(self.edits) <= 0:
            raise InputError("NegativeShares needs at least one kind, and at least one number of edits.")
        if self.unchecked_weight == 0:
            raise InputError("NegativeShares.unchecked_weight is 0; leave the kinds out instead.")


class World(Protocol):
    """What is known exactly about synthetic clips."""

    def scene(self, example: Example) -> Scene | None:
        """What happens in the example's clip."""
        ...

    def predicate(self, example: Example) -> Predicate | None:
        """What the example's query means."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One irrelevant pair that was made."""

    row_id: str
    negative: str
    query: str
    from_query: str
    """The true query that it was made from."""
    changes: tuple[str, ...]
    """What was exchanged, "kind: old -> new"."""
    check: Check


@dataclass(frozen=True, kw_only=True, slots=True)
class NegativeReport:
    """What was asked for, what was made, and what could not be checked."""

    wanted: int
    made: tuple[Pair, ...]
    refuted: int
    """Pairs thrown away because a row or the world says that they match."""
    given: int
    """Rows that were irrelevant already."""

    def to_dict(self) -> dict[str, Any]:
        """Counts as plain JSON values."""
        by_kind = {kind: [pair.check for pair in self.made if pair.negative == kind] for kind in MADE}
        return {
            "wanted": self.wanted,
            "made": len(self.made),
            "given": self.given,
            "refuted": self.refuted,
            "kinds": {
                kind: {check: checks.count(check) for check in ("proved", "unchecked")}
                for kind, checks in by_kind.items()
            },
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixed:
    """Rows with irrelevant pairs among them."""

    examples: tuple[Example, ...]
    report: NegativeReport


def with_negatives(
    examples: Sequence[Example], shares: NegativeShares, *, seed: int, world: World | None = None
) -> Mixed:
    """The examples and made pairs, up to the share asked for; deterministic in the seed.

    A kind that finds no pair leaves its part to the others. The examples themselves are all kept.
    """
    maker = _Maker(examples, shares, np.random.default_rng([seed, 11]), world)
    given = len(examples) - len(maker.relevant)
    wanted = max(0, round(len(maker.relevant) * shares.irrelevant / (1 - shares.irrelevant)) - given)
    made = list(maker.pairs(wanted)) if maker.relevant else []
    report = NegativeReport(
        wanted=wanted, made=tuple(pair for _, pair in made), refuted=maker.refuted, given=given
    )
    return Mixed(examples=(*examples, *(example for example, _ in made)), report=report)


def rows_with_negatives(
    examples: Sequence[Example], shares: NegativeShares | None, folder: Path, *, seed: int
) -> Sequence[Example]:
    """What PIR-GRPO learns from: made pairs too, if a recipe asks; `folder`/negatives.json tells what they are."""
    if shares is None:
        return examples
    mixed = with_negatives(examples, shares, seed=seed)
    pairs = [asdict(pair) for pair in mixed.report.made]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "negatives.json", {**mixed.report.to_dict(), "pairs": pairs})
    return mixed.examples


def check_by_rows(example: Example, query: str, rows: Sequence[Example]) -> Check:
    """What the rows say about a query's irrelevance for an example's clip.

    refuted: a row about the clip with (nearly) this query has moments. proved: one with this very query has none.
    Everything else is unchecked: nobody looked.
    """
    about = [row for row in rows if _clip(row) == _clip(example)]
    asked = _words(query)
    for row in about:
        said = _words(row.query)
        if row.relevant and _alike(asked, said) >= ALIKE and not _opposed(asked, said):
            return "refuted"
    in_order = [word.lower() for word in words_of(query)]
    if any(not row.relevant and [word.lower() for word in words_of(row.query)] == in_order for row in about):
        return "proved"
    return "unchecked"


def check_by_windows(example: Example, row: Example) -> Check:
    """Whether a row of the same source video says that its query does not hold in an example's clip.

    refuted: a window of the row reaches into the clip. proved: the row's clip covers the example's, so that its
    windows would have shown it. unchecked: nobody looked there, or the names do not say where the clips lie.
    """
    here, there = vid_range_s(example.clip_id), vid_range_s(row.clip_id)
    if here is None or there is None or here[0] != there[0]:
        return "unchecked"
    for moment in row.moments:
        if there[1] + moment.start_s < here[2] and here[1] < there[1] + moment.end_s:
            return "refuted"
    return "proved" if there[1] <= here[1] and here[2] <= there[2] else "unchecked"


def check_in_world(scene: Scene, predicate: Predicate) -> Check:
    """Exact: whether the predicate holds anywhere. An order query is irrelevant where the thing never shows."""
    asked = ("thing", predicate[2]) if predicate[0] == "order" else predicate
    return "refuted" if bool(truth(scene, asked).any()) else "proved"


class _Maker:
    """Makes pairs, row after row, kind after kind."""

    def __init__(
        self, rows: Sequence[Example], shares: NegativeShares, rng: np.random.Generator, world: World | None
    ) -> None:
        self.shares, self.rng, self.world, self.refuted = shares, rng, world, 0
        self.relevant = [row for row in rows if row.relevant]
        self._asked = {(_clip(row), row.query.lower()) for row in rows}
        self._about: dict[object, list[Example]] = {}
        self._source: dict[str, list[Example]] = {}
        for row in rows:
            self._about.setdefault(_clip(row), []).append(row)
            if row.relevant and (source := _source(row)):
                self._source.setdefault(source, []).append(row)

    def pairs(self, wanted: int) -> Iterator[tuple[Example, Pair]]:
        """Up to so many pairs; a kind that fails for as many rows in a row as there are is given up."""
        weights = [self.shares.edited, self.shares.same_video, self.shares.shuffled]
        usable = {kind: weight for kind, weight in zip(MADE, weights, strict=True) if weight > 0}
        barren, bases, count = dict.fromkeys(usable, 0), self._bases(), 0
        while count < wanted and usable:
            shares = np.array(list(usable.values()))
            kind = list(usable)[int(self.rng.choice(len(shares), p=shares / shares.sum()))]
            made = self._make(kind, next(bases))
            barren[kind] = 0 if made else barren[kind] + 1
            if made:
                count += 1
                yield made
            elif barren[kind] >= max(TRIES, len(self.relevant)):
                del usable[kind]

    def _bases(self) -> Iterator[Example]:
        while True:
            yield from (self.relevant[int(idx)] for idx in self.rng.permutation(len(self.relevant)))

    def _make(self, kind: str, base: Example) -> tuple[Example, Pair] | None:
        makers: dict[str, Callable[[Example], tuple[str, tuple[str, ...], Check] | None]] = {
            "edited": self._edited,
            "same-video": self._same_video,
            "shuffled": self._shuffled,
        }
        found = makers[kind](base)
        if found is None:
            return None
        query, changes, check = found
        key = (_clip(base), query.lower())
        if check == "refuted" or key in self._asked:
            self.refuted += check == "refuted"
            return None
        self._asked.add(key)
        row_id = f"{base.row_id}~{kind}-{len(self._asked)}"
        trust = base.weight * (self.shares.unchecked_weight if check == "unchecked" else 1.0)
        example = replace(
            base, row_id=row_id, query=query, moments=(), negative=kind, weight=trust, thinking=None
        )
        pair = Pair(
            row_id=row_id, negative=kind, query=query, from_query=base.query, changes=changes, check=check
        )
        return example, pair

    def _edited(self, base: Example) -> tuple[str, tuple[str, ...], Check] | None:
        shares = np.array(self.shares.edits)
        count = 1 + int(self.rng.choice(3, p=shares / shares.sum()))
        scene, predicate = self._known(base, base)
        if scene is not None and predicate is not None:
            return self._edited_exactly(scene, predicate, count)
        about = self._about[_clip(base)]
        others = [row.query for row in about if row.relevant]
        found = edit_words(
            self.rng, base.query, count, avoid=[word for text in others for word in words_of(text)]
        )
        if found is None:
            return None
        query, edits = found
        changes = tuple(f"{each.kind}: {each.old} -> {each.new}" for each in edits)
        return query, changes, check_by_rows(base, query, about)

    def _edited_exactly(
        self, scene: Scene, predicate: Predicate, count: int
    ) -> tuple[str, tuple[str, ...], Check] | None:
        for attempt in range(TRIES):
            edited = predicate
            for _ in range(count):
                edited = edit(self.rng, edited)
            changed = sum(a != b for a, b in zip(_parts(edited), _parts(predicate), strict=True))
            enough = changed == count or (
                changed > 0 and attempt >= TRIES // 2
            )  # some have fewer parts to exchange
            if enough and not held_out(edited):
                check = check_in_world(scene, edited)
                if check == "proved":
                    whole = f"predicate: {predicate} -> {edited}"
                    return say(self.rng, edited), (*_exchanged(predicate, edited), whole), check
                self.refuted += 1
        return None

    def _same_video(self, base: Example) -> tuple[str, tuple[str, ...], Check] | None:
        family = self._source.get(_source(base) or "", [])
        siblings = [row for row in family if _clip(row) != _clip(base)]
        if not siblings:
            return None
        row = siblings[int(self.rng.integers(len(siblings)))]
        check = check_by_windows(base, row)
        if check == "unchecked":
            check = check_by_rows(base, row.query, self._about[_clip(base)])
        return row.query, (f"from clip: {row.clip_id}",), check

    def _shuffled(self, base: Example) -> tuple[str, tuple[str, ...], Check] | None:
        for _ in range(TRIES):
            row = self.relevant[int(self.rng.integers(len(self.relevant)))]
            if _clip(row) == _clip(base) or (_source(base) and _source(base) == _source(row)):
                continue
            scene, predicate = self._known(base, row)
            if scene is not None and predicate is not None:
                check = check_in_world(scene, predicate)
            else:
                check = check_by_rows(base, row.query, self._about[_clip(base)])
            if check != "refuted":
                return row.query, (f"from row: {row.row_id}",), check
            self.refuted += 1
        return None

    def _known(self, clip: Example, asked: Example) -> tuple[Scene | None, Predicate | None]:
        return (None, None) if self.world is None else (self.world.scene(clip), self.world.predicate(asked))


def _parts(predicate: Predicate) -> list[object]:
    """A predicate's elements, flat."""
    return [part for piece in predicate for part in (piece if isinstance(piece, tuple) else (piece,))]


def _exchanged(old: Predicate, new: Predicate) -> tuple[str, ...]:
    """Each exchanged element with its kind: what it is of a thing, or else what the query is about."""
    kinds = {
        **dict.fromkeys(COLOURS, "colour"),
        **dict.fromkeys(SHAPES, "shape"),
        **dict.fromkeys(SIZES, "size"),
    }
    return tuple(
        f"{kinds.get(before, old[0])}: {before} -> {after}"  # type: ignore[call-overload]
        for before, after in zip(_parts(old), _parts(new), strict=True)
        if before != after
    )


def _clip(example: Example) -> object:
    """What tells one clip from another."""
    return example.content or example.clip_id or example.video


def _source(example: Example) -> str | None:
    """The source video that a clip was cut from, where its name tells."""
    named = vid_range_s(example.clip_id)
    return named[0] if named else None


def _words(query: str) -> frozenset[str]:
    return frozenset(word.lower() for word in words_of(query)) - _SMALL_WORDS


_SMALL_WORDS = frozenset(
    words_of(
        "a an the is are was were be of in on at to and or with by for from it its there this that when where does "
        "do can see seen show shown visible we me you i find"
    )
)


def _alike(a: frozenset[str], b: frozenset[str]) -> float:
    """Share of all their words that two queries have in common."""
    return len(a & b) / len(a | b) if a | b else 1.0


def _opposed(asked: frozenset[str], said: frozenset[str]) -> bool:
    """Whether the two differ by a word that excludes its counterpart: an edit, then, not a paraphrase."""
    groups = [set(words) for sets in KINDS.values() for words in sets]
    return any((asked - said) & group and (said - asked) & group for group in groups)
