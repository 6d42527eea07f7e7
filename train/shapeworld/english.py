"""Free English that shapeworld does not know: questions about people, animals and objects that are never in a clip.

A fixed fifth of every word list is held out for evaluation, so that refusing is measured on words never trained on.
"""

import json
from pathlib import Path

import numpy as np

_WORDS: dict[str, list[str]] = json.loads(Path(__file__).with_name("english.json").read_text())


class FreeEnglish:
    """Sentences that nothing in shapeworld can make true. `held_out` draws from the words kept for evaluation."""

    def __init__(self, *, held_out: bool) -> None:
        # every fifth word is held out
        self._words = {
            name: [word for idx, word in enumerate(words) if (idx % 5 == 4) == held_out]
            for name, words in _WORDS.items()
        }

    def noun_phrase(self, rng: np.random.Generator) -> str:
        noun = str(rng.choice(self._words["things"] if rng.random() < 0.6 else self._words["who"]))
        adjective = f"{rng.choice(_WORDS['adjectives'])} " if rng.random() < 0.6 else ""
        phrase = adjective + noun
        article = "the" if rng.random() < 0.3 else ("an" if phrase[0] in "aeiou" else "a")
        return f"{article} {phrase}"

    def sentence(self, rng: np.random.Generator) -> str:
        """One clause, sometimes two, such as QVHighlights' annotators write."""
        who = str(rng.choice(self._words["who"]))
        adjective = f"{rng.choice(_WORDS['adjectives'])} " if rng.random() < 0.3 else ""
        article = str(rng.choice(["the", "a", "one", "two" if rng.random() < 0.2 else "a"]))
        verb = str(rng.choice(self._words["does"]))
        if rng.random() < 0.35:  # "walks home" -> "is walking home"; crude English is part of what users type
            head, _, rest = verb.partition(" ")
            stem = head[:-2] if head.endswith(("shes", "ches", "sses")) else head.removesuffix("s")
            stem = stem[:-1] if stem.endswith("e") and not stem.endswith("ee") else stem
            verb = f"is {stem}ing {rest}".rstrip()
        text = f"{article} {adjective}{who} {verb}"
        if rng.random() < 0.5:
            text += f" {rng.choice(self._words['where'])}"
        if rng.random() < 0.2:
            conjunction = rng.choice(["while", "and then", "because", "before"])
            text += f" {conjunction} {self.noun_phrase(rng)} {rng.choice(self._words['does'])}"
        return text
