"""Small edits of free English: one word of a query exchanged for one that excludes it. Every edit is recorded.

A grammar of sets whose members hardly ever hold of one thing at one time (RA-RFT, 2511.23151, edits objects,
attributes, actions, counts, orders and scenes; these sets are ours). It knows words, not pictures: whether an edited
query really holds nowhere must be checked against what is known about the clip (`data.negatives`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_SETS_BY_KIND = {
    "attribute": """
        red green blue yellow purple orange pink brown black white grey / crimson emerald azure violet /
        big tiny / large small / huge minuscule / tall short / young old / wooden plastic metal glass /
        full empty / open closed / wet dry / bald bearded / striped plain / left right / upwards downwards
    """,
    "object": """
        man woman / boy girl / men women / boys girls / guy lady / father mother / husband wife /
        dog cat horse cow bird / dogs cats horses cows birds / car bicycle bus boat train plane /
        cars bicycles buses boats trains / apple banana pizza sandwich soup cake / coffee beer juice /
        guitar piano violin drum / phone laptop camera / ball frisbee kite / hat helmet scarf /
        dress suit uniform / shirt jacket coat / table bed sofa bench / knife spoon hammer brush /
        flower tree / circle square triangle cross / circles squares triangles crosses
    """,
    "action": """
        walking running sitting sleeping swimming flying / walks runs sits sleeps swims flies /
        walk run sit sleep swim fly / opens closes / opening closing / enters leaves / entering leaving /
        laughing crying / laughs cries / eating drinking cooking / eats drinks cooks / dancing kneeling /
        dances kneels / throws catches / throwing catching / pushes pulls / pushing pulling / climbs falls /
        picks drops / appears disappears / reading painting / singing whispering / driving parking
    """,
    "count": "one two three four five six / single double / 1 2 3 4 5",
    "order": "first last / before after / beginning end / starts stops / begins ends",
    "scene": """
        indoors outdoors / inside outside / kitchen beach forest office street pool /
        restaurant classroom hospital church / day night / morning evening / summer winter /
        sunny rainy snowy / city desert mountain / bright dark
    """,
}
KINDS = {
    kind: tuple(tuple(words.split()) for words in sets.split("/")) for kind, sets in _SETS_BY_KIND.items()
}
"""Sets of words by kind of edit; a word is exchanged for another of its set."""

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
