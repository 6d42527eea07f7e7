"""Irrelevant pairs to learn refusing from: made by share and kind, checked, and honestly reported.

    mixed = with_negatives(examples, NegativeShares(), seed=0)
    mixed.examples, mixed.pairs

Kinds: `annotated` (an annotator said that no moment matches; always kept), `edited` (elements of a true query
exchanged), `same-video` (true elsewhere in the same source video), `shuffled` (another video's query: easy; alone it
did not improve refusal in RA-RFT, 2511.23151, whose 50/50 mix is the default here). In shapeworld every pair is
checked exactly (`World`). In real data only rows can be asked: a pair that one of them refutes is thrown away, one
that a row proves is `proved`, and all others are counted as `unchecked`.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from annotations.suspicion import vid_range_s
from tempo_core.errors import InputError
from train.checkpoints import write_json
from train.data.examples import Example
from train.data.lexical import KINDS, STOP_WORDS, edit_words, words_of
from train.shapeworld.queries import Predicate, edit, held_out, say, truth
from train.shapeworld.scene import COLOURS, SHAPES, SIZES, Scene

Check = Literal["proved", "unchecked", "refuted"]
KINDS_MADE = ("edited", "same-video", "shuffled")
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
        for field in fields(self):
            value = getattr(self, field.name)
            shares = value if isinstance(value, tuple) else (value,)
            if not all(math.isfinite(share) and 0 <= share <= 1 for share in shares):
                raise InputError(f"NegativeShares.{field.name} is {value!r}; shares lie between 0 and 1.")
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

    def predicate(self, example: Example) -> Predicate | None:
        """What the example's query means."""


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
class Mixed:
    """Rows with irrelevant pairs among them: how many were asked for, and what could not be checked."""

    examples: tuple[Example, ...]
    pairs: tuple[Pair, ...]
    """Those that were made, in the order of their examples."""
    requested: int
    refuted: int
    """Pairs thrown away because a row or the world says that they match."""
    already: int
    """Rows that were irrelevant already."""

    def to_dict(self) -> dict[str, Any]:
        """Counts as plain JSON values."""
        checks = Counter((pair.negative, pair.check) for pair in self.pairs)
        return {
            "wanted": self.requested,
            "made": len(self.pairs),
            "given": self.already,
            "refuted": self.refuted,
            "kinds": {
                kind: {check: checks[kind, check] for check in ("proved", "unchecked")} for kind in KINDS_MADE
            },
        }


def with_negatives(
    examples: Sequence[Example], shares: NegativeShares, *, seed: int, world: World | None = None
) -> Mixed:
    """The examples and made pairs, up to the share asked for; deterministic in the seed.

    A kind that finds no pair leaves its part to the others. The examples themselves are all kept.
    """
    maker = _Maker(examples, shares, np.random.default_rng([seed, 11]), world)
    already = len(examples) - len(maker.relevant)
    requested = max(0, round(len(maker.relevant) * shares.irrelevant / (1 - shares.irrelevant)) - already)
    negatives = list(maker.make(requested)) if maker.relevant else []
    return Mixed(
        examples=(*examples, *(example for example, _ in negatives)),
        pairs=tuple(pair for _, pair in negatives),
        requested=requested,
        refuted=maker.refuted,
        already=already,
    )


def rows_with_negatives(
    examples: Sequence[Example], shares: NegativeShares | None, folder: Path, *, seed: int
) -> Sequence[Example]:
    """What PIR-GRPO learns from: made pairs too, if a recipe asks; `folder`/negatives.json tells what they are."""
    if shares is None:
        return examples
    mixed = with_negatives(examples, shares, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [asdict(pair) for pair in mixed.pairs]
    write_json(folder / "negatives.json", {**mixed.to_dict(), "pairs": pairs})
    return mixed.examples


def check_by_rows(example: Example, query: str, rows: Sequence[Example]) -> Check:
    """What the rows say about a query's irrelevance for an example's clip.

    refuted: a row about the clip with (nearly) this query has moments. proved: one with this very query has none.
    Everything else is unchecked: nobody looked.
    """
    rows = [row for row in rows if row.clip == example.clip]
    words = _words(query)
    for row in rows:
        row_words = _words(row.query)
        all_words = words | row_words
        alike = len(words & row_words) / len(all_words) if all_words else 1.0
        # two queries that differ by a word and its counterpart are an edit, not a paraphrase
        opposed = any((words - row_words) & group and (row_words - words) & group for group in _EXCLUSIVE)
        if row.relevant and alike >= ALIKE and not opposed:
            return "refuted"
    in_order = [word.lower() for word in words_of(query)]
    if any(not row.relevant and [word.lower() for word in words_of(row.query)] == in_order for row in rows):
        return "proved"
    return "unchecked"


def check_by_windows(example: Example, row: Example) -> Check:
    """Whether a row of the same source video says that its query does not hold in an example's clip.

    refuted: a window of the row reaches into the clip. proved: the row's clip covers the example's, so that its
    windows would have shown it. unchecked: nobody looked there, or the names do not say where the clips lie.
    """
    clip, row_clip = vid_range_s(example.clip_id), vid_range_s(row.clip_id)
    if clip is None or row_clip is None or clip[0] != row_clip[0]:
        return "unchecked"
    (_, start_s, end_s), (_, row_start_s, row_end_s) = clip, row_clip
    for moment in row.moments:
        if row_start_s + moment.start_s < end_s and start_s < row_start_s + moment.end_s:
            return "refuted"
    return "proved" if row_start_s <= start_s and end_s <= row_end_s else "unchecked"


def check_in_world(scene: Scene, predicate: Predicate) -> Check:
    """Exact: whether the predicate holds anywhere. An order query is irrelevant where the thing never shows."""
    query: Predicate = ("thing", predicate[2]) if predicate[0] == "order" else predicate
    return "refuted" if bool(truth(scene, query).any()) else "proved"


Candidate = tuple[str, tuple[str, ...], Check]
"""A query, what was changed, and what is known about it."""


class _Maker:
    """Makes pairs, row after row, kind after kind."""

    def __init__(
        self, rows: Sequence[Example], shares: NegativeShares, rng: np.random.Generator, world: World | None
    ) -> None:
        self.shares, self.rng, self.world, self.refuted = shares, rng, world, 0
        self.relevant = [row for row in rows if row.relevant]
        self._used_queries = {(row.clip, row.query.lower()) for row in rows}
        self._rows_by_clip: dict[str, list[Example]] = {}
        self._relevant_by_source: dict[str, list[Example]] = {}
        for row in rows:
            self._rows_by_clip.setdefault(row.clip, []).append(row)
            if row.relevant and (source := _source(row)):
                self._relevant_by_source.setdefault(source, []).append(row)

    def make(self, count: int) -> Iterator[tuple[Example, Pair]]:
        """Up to `count` pairs; a kind that fails for as many rows in a row as there are is given up."""
        makers: dict[str, tuple[float, Callable[[Example], Candidate | None]]] = {
            "edited": (self.shares.edited, self._edit_elements),
            "same-video": (self.shares.same_video, self._same_video),
            "shuffled": (self.shares.shuffled, self._other_query),
        }
        weights = {kind: weight for kind, (weight, _) in makers.items() if weight > 0}
        failures = dict.fromkeys(weights, 0)
        rows = (
            self.relevant[idx] for _ in itertools.count() for idx in self.rng.permutation(len(self.relevant))
        )
        while count > 0 and weights:
            # draw a kind and try it with the next row
            shares = np.array(list(weights.values()))
            kind = list(weights)[int(self.rng.choice(len(shares), p=shares / shares.sum()))]
            row = next(rows)
            candidate = makers[kind][1](row)
            key = None if candidate is None else (row.clip, candidate[0].lower())
            if candidate is None or candidate[2] == "refuted" or key in self._used_queries:
                self.refuted += candidate is not None and candidate[2] == "refuted"
                failures[kind] += 1
                if failures[kind] >= max(TRIES, len(self.relevant)):
                    del weights[kind]
                continue

            query, changes, check = candidate
            self._used_queries.add((row.clip, query.lower()))
            failures[kind] = 0
            count -= 1
            row_id = f"{row.row_id}~{kind}-{len(self._used_queries)}"
            trust = row.weight * (self.shares.unchecked_weight if check == "unchecked" else 1.0)
            example = replace(
                row, row_id=row_id, query=query, moments=(), negative=kind, weight=trust, thinking=None
            )
            pair = Pair(
                row_id=row_id, negative=kind, query=query, from_query=row.query, changes=changes, check=check
            )
            yield example, pair

    def _edit_elements(self, row: Example) -> Candidate | None:
        """Elements of the row's own query exchanged."""
        shares = np.array(self.shares.edits)
        count = 1 + int(self.rng.choice(3, p=shares / shares.sum()))
        scene, predicate = self._world_of(row, row)
        if scene is None or predicate is None:
            # words of other true queries about the clip may hold there
            clip_rows = self._rows_by_clip[row.clip]
            avoid = [word for other in clip_rows if other.relevant for word in words_of(other.query)]
            edited_query = edit_words(self.rng, row.query, count, avoid=avoid)
            if edited_query is None:
                return None
            query, edits = edited_query
            changes = tuple(f"{edit.kind}: {edit.old} -> {edit.new}" for edit in edits)
            return query, changes, check_by_rows(row, query, clip_rows)

        for attempt in range(TRIES):
            edited = predicate
            for _ in range(count):
                edited = edit(self.rng, edited)
            changed = sum(new != old for new, old in zip(_parts(edited), _parts(predicate), strict=True))
            # some predicates have fewer parts to exchange than was drawn
            enough = changed == count or (changed > 0 and attempt >= TRIES // 2)
            if enough and not held_out(edited):
                if check_in_world(scene, edited) == "proved":
                    changes = (*_exchanges(predicate, edited), f"predicate: {predicate} -> {edited}")
                    return say(self.rng, edited), changes, "proved"
                self.refuted += 1
        return None

    def _same_video(self, row: Example) -> Candidate | None:
        """A query that is true elsewhere in the same source video."""
        family = self._relevant_by_source.get(_source(row) or "", [])
        siblings = [sibling for sibling in family if sibling.clip != row.clip]
        if not siblings:
            return None
        sibling = siblings[int(self.rng.integers(len(siblings)))]
        check = check_by_windows(row, sibling)
        if check == "unchecked":
            check = check_by_rows(row, sibling.query, self._rows_by_clip[row.clip])
        return sibling.query, (f"from clip: {sibling.clip_id}",), check

    def _other_query(self, row: Example) -> Candidate | None:
        """Another video's query."""
        for _ in range(TRIES):
            other = self.relevant[int(self.rng.integers(len(self.relevant)))]
            if other.clip == row.clip or (_source(row) and _source(row) == _source(other)):
                continue
            scene, predicate = self._world_of(row, other)
            if scene is not None and predicate is not None:
                check = check_in_world(scene, predicate)
            else:
                check = check_by_rows(row, other.query, self._rows_by_clip[row.clip])
            if check != "refuted":
                return other.query, (f"from row: {other.row_id}",), check
            self.refuted += 1
        return None

    def _world_of(self, clip: Example, query: Example) -> tuple[Scene | None, Predicate | None]:
        return (None, None) if self.world is None else (self.world.scene(clip), self.world.predicate(query))


def _parts(predicate: Predicate) -> list[object]:
    """A predicate's elements, flat."""
    return [part for piece in predicate for part in (piece if isinstance(piece, tuple) else (piece,))]


def _exchanges(old: Predicate, new: Predicate) -> tuple[str, ...]:
    """Each exchanged element with its kind: what it is of a thing, or else what the query is about."""
    kinds: dict[object, str] = {
        **dict.fromkeys(COLOURS, "colour"),
        **dict.fromkeys(SHAPES, "shape"),
        **dict.fromkeys(SIZES, "size"),
    }
    return tuple(
        f"{kinds.get(old_part, old[0])}: {old_part} -> {new_part}"
        for old_part, new_part in zip(_parts(old), _parts(new), strict=True)
        if old_part != new_part
    )


def _source(example: Example) -> str | None:
    """The source video that a clip was cut from, where its name tells."""
    stretch = vid_range_s(example.clip_id)
    return stretch[0] if stretch else None


def _words(query: str) -> frozenset[str]:
    return frozenset(word.lower() for word in words_of(query)) - STOP_WORDS


_EXCLUSIVE = [set(words) for sets in KINDS.values() for words in sets]
"""Sets of words that exclude each other."""
