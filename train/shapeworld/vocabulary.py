"""The words that shapeworld's questions are made of: what a model that was trained on it can know."""

import json
from pathlib import Path

from tempo_core.vocabulary import FUNCTION_WORDS, Vocabulary

_WORDINGS = json.loads(Path(__file__).with_name("wordings.json").read_text())
_VALUES = ("grey", "brown", "teal", "navy", "olive", "pink", "black")
"""Said as they are: the walls, and what pictures fade to beside white."""
_SENTENCE_WORDS = """
same next exactly first last final least once another room everything comes back out goes turns through fills sign
"""
_GRAMMAR = frozenset(_SENTENCE_WORDS.split())
"""Words of its sentences that ask for nothing of their own."""


def shapeworld_vocabulary() -> Vocabulary:
    """Every word of shapeworld's sentences and of what they can name."""
    sentences = [text for texts in _WORDINGS["sentences"].values() for text in texts]
    named = [text for parts in _WORDINGS["words"].values() for texts in parts.values() for text in texts]
    for field in ("{np}", "{a}", "{b}", "{w}"):
        sentences = [text.replace(field, " ") for text in sentences]
    empty = Vocabulary(content=())
    words = {word for text in (*sentences, *named, *_VALUES) for word in empty.words_of(text)}
    return Vocabulary(content=words - FUNCTION_WORDS - _GRAMMAR, grammar=words & (FUNCTION_WORDS | _GRAMMAR))
