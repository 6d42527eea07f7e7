"""The words of naturalworld: what a model that was trained on it can know, and sentences to make a tokenizer from."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tempo_core.vocabulary import FUNCTION_WORDS, Vocabulary
from train.naturalworld.assets import Assets
from train.naturalworld.names import CATEGORY_WORDS, Concept
from train.naturalworld.queries import EVENT_KINDS, WORDINGS, NaturalMix, plural_of, sample_queries
from train.naturalworld.scene import sample_scene

_SENTENCE_WORDS = """
once gone left comes come before after until no not do again another next same first last exactly part one two three
either other side sides further together well point want i am looking disappears everything nothing half new old
but each else go goes gets than off out over low high big small large hard middle top bottom line moving now
turn turns begins camera cross
"""
"""Words that only say how: what they are about has a name of its own."""


def natural_vocabulary(concepts: Mapping[str, Concept], mix: NaturalMix) -> Vocabulary:
    """Every word of the sentences that a mix asks with; names, synonyms, categories and tints where it asks for
    things."""
    texts = list(_leaves(_wordings(mix)))
    nouns = []
    if _asks_for_things(mix):
        nouns += [name for concept in concepts.values() for name in (concept.name, *concept.synonyms)]
        nouns += ["thing", *(word for words in CATEGORY_WORDS.values() for word in words)]
    empty = Vocabulary(content=())
    words = {
        word
        for text in (*texts, *nouns, *(plural_of(noun) for noun in nouns))
        for field in ("{a}", "{b}", "{c}", "{n}", "{p}", "{s}", "{d}", "{bare}")
        for word in empty.words_of(text.replace(field, " "))
    }
    words -= set("abcnpsd") - {"a"} | {"bare"}
    frame = FUNCTION_WORDS | frozenset(_SENTENCE_WORDS.split())
    return Vocabulary(content=words - frame, grammar=words & frame)


def _asks_for_things(mix: NaturalMix) -> bool:
    return not set(mix.kinds) <= set(EVENT_KINDS)


def _wordings(mix: NaturalMix) -> dict[str, Any]:
    """The wordings that a mix draws from."""
    own = {
        table: {event: words for event, words in WORDINGS[table].items() if event in mix.events}
        for table in ("clauses", "phrases", "does")
    }
    if _asks_for_things(mix):
        return WORDINGS | own
    return own | {table: WORDINGS[table] for table in ("clause_carriers", "phrase_carriers")}


def _leaves(node: object) -> Iterator[str]:
    """Every text of nested lists and dictionaries."""
    if isinstance(node, str):
        yield node
    else:
        for child in node.values() if isinstance(node, dict) else node:  # type: ignore[attr-defined]
            yield from _leaves(child)


def natural_sentences(assets: Assets, seed: int, mix: NaturalMix) -> Iterator[str]:
    """Sentences as a mix asks them, and every name a dozen times, so that each of its words becomes one token."""
    rng = np.random.default_rng([seed, 29])
    for _ in range(400):
        scene = sample_scene(int(rng.integers(2**31)), assets, ticks=16)
        yield from (query.text for query in sample_queries(rng, scene, assets, 10, mix))
    for text in _leaves(_wordings(mix)):
        yield from [text] * 8
    if _asks_for_things(mix):
        for concept in assets.concepts.values():
            for name in (concept.name, *concept.synonyms, plural_of(concept.name)):
                yield from [f"a {name}"] * 12
