"""Small edits of free English: one word of a query exchanged for one that excludes it. Every edit is recorded.

A grammar of sets whose members hardly ever hold of one thing at one time (RA-RFT, 2511.23151, edits objects,
attributes, actions, counts, orders and scenes; these sets are ours). It knows words, not pictures: whether an edited
query really holds nowhere must be checked against what is known about the clip (`data.negatives`).
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_DATA = json.loads(Path(__file__).with_name("words.json").read_text(encoding="utf-8"))
KINDS: dict[str, list[list[str]]] = _DATA["exclusive"]
"""Sets of words by kind of edit; a word is exchanged for another of its set."""
STOP_WORDS = frozenset(_DATA["stop"])
"""Words that do not tell two queries apart."""

_SET_OF = {word: (kind, words) for kind, sets in KINDS.items() for words in sets for word in words}
_WORD = re.compile(r"[A-Za-z]+|\d+")


@dataclass(frozen=True, slots=True)
class WordEdit:
    """One exchanged word."""

    kind: str
    """attribute, object, action, count, order or scene."""
    old: str
    new: str


def edit_words(
    rng: np.random.Generator, query: str, count: int = 1, *, avoid: Iterable[str] = ()
) -> tuple[str, tuple[WordEdit, ...]] | None:
    """The query with `count` of its words exchanged and what was done, or None when it has too few to exchange.

    No new word is one that the query holds already or that `avoid` holds (what else is known to be in the clip).
    """
    taboo = {word.lower() for word in (*words_of(query), *avoid)}

    def alternatives(word: str) -> list[str]:
        _, words = _SET_OF.get(word.lower(), ("", ()))
        return [other for other in words if other not in taboo]

    matches = [match for match in _WORD.finditer(query) if alternatives(match[0])]
    if len(matches) < count:
        return None
    # from the last word to the first, so that the places of those before stay right
    chosen_idx = sorted(rng.choice(len(matches), size=count, replace=False).tolist(), reverse=True)
    text, edits = query, list[WordEdit]()
    for match in (matches[idx] for idx in chosen_idx):
        words = alternatives(match[0])
        if not words:
            return None
        new, old = words[int(rng.integers(len(words)))], match[0]
        taboo.add(new)
        edits.append(WordEdit(_SET_OF[old.lower()][0], old.lower(), new))

        # in the old word's case, and with its own article
        before = text[: match.start()]
        if old[0].isupper():
            new = new.upper() if old.isupper() and len(old) > 1 else new.capitalize()
        if article := re.search(r"\b([Aa])n? $", before):
            vowel = new[0].lower() in "aeiou" and not new.lower().startswith(("one", "uni"))
            before = before[: article.start()] + article[1] + ("n " if vowel else " ")
        text = before + new + text[match.end() :]
    return text, tuple(reversed(edits))


def words_of(text: str) -> list[str]:
    """The text's words and numbers."""
    return _WORD.findall(text)
