"""The words that a model was taught, and one spelling for questions that differ in their dress only.

A checkpoint of a closed world names its words in `vocabulary.json`. Its engine then reads every question in one
spelling (`Vocabulary.normalise`), and says that it does not know what is asked instead of judging the clip where a
word was never taught. Checkpoints without the file, such as pretrained ones, are asked as they are.

    vocabulary = read_vocabulary(folder)
    vocabulary.normalise("Please show me A RED SQUARE!")   # "show me a red square"
    vocabulary.understanding("a dog on the beach").words    # ("dog", "beach")
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tempo_core.defaults import read_json
from tempo_core.errors import CheckpointError
from tempo_core.files import write_whole

FILE_NAME = "vocabulary.json"
"""Beside a checkpoint's or an adapter's own files."""

_FUNCTION_WORDS = """
a an the this that these those there here it its i me we us you your our
is are was were be been being am do does did has have had will would can could may might should
when where what which who how at in on of to from with by for into and as while during so like
also just only very too both all any some someone somebody anybody something anything
everything everywhere anywhere somewhere
see sees seen saw show shows shown showing find finds found look looks looking get give know tell
appear appears appearing appeared appearance visible stands
screen picture pictures image video clip clips footage film movie scene scenes part parts moment moments
time times frame frames segment point
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Words that ask for nothing by themselves. Not here: words that change what is asked, such as no, without, before, or.
A model that was not taught these would take them for their opposite."""

_NUMBERS = {
    "2": "two",
    "3": "three",
    "4": "four",
    "5": "five",
    "6": "six",
    "7": "seven",
    "8": "eight",
    "9": "nine",
}
_COUNTS = frozenset(("one", *_NUMBERS.values()))
_OPENINGS = (
    r"(?:please|pls|plz|kindly|hey|hi|hello|ok|okay)",
    r"(?:can|could|will|would) you(?: please)?(?= )",
    r"(?:can|could|may) i (?:please )?(?=see )",
    r"i (?:want|would like|d like|need|wish) (?:you )?to(?= )",
    r"i'd like (?:you )?to(?= )",
    r"(?:tell|let) me(?: know)?(?= (?:when|where|at|if|see))",
    r"(?:(?:find|show|give|get|list)(?: me)? )?(?:all|every|each)(?: of)?(?: the)? "
    r"(?:times?|moments?|parts?|clips?|scenes?|places?|segments?)"
    r"(?: (?:when|where|that|in which|during which|with|of))?",
)
_OPENING = re.compile(rf"^(?:{'|'.join(_OPENINGS)})(?: |$)")
_CLOSING = re.compile(r"(?: |^)(?:please|pls|plz|thanks|thank you|thx|for me)$")
_NO_WORD = re.compile(r"[^\w']|_|(?<!\w)'|'(?!\w)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Understanding:
    """Whether a model knows what a question asks for."""

    probability: float
    """That it does, 0..1. A vocabulary says 0 or 1."""
    words: tuple[str, ...] = ()
    """Words of the question that it does not know, in order, each once; none where the question names nothing."""

    @property
    def is_understood(self) -> bool:
        """Whether the model answers; under one half it says that it does not know."""
        return self.probability >= 0.5

    @property
    def sentence(self) -> str:
        """What to tell a person who gets no answer."""
        if not self.words:
            return "The question names nothing that this model could look for."
        return f"This model does not know {quoted(self.words)}, so it says nothing about the clip."


def quoted(words: Iterable[str]) -> str:
    """Words in quotation marks, the last after "and": “dog”, “beach” and “runs”. Long ones are cut."""
    *first, last = [f"“{word[:40]}”" for word in words]
    return f"{', '.join(first)} and {last}" if first else last


class Vocabulary:
    """The words of a model's world. `content` words name something in it, `grammar` words hold sentences together.

    `is_general` says that they mean what they mean in anybody's footage, and not in a drawn world of the model's own.
    """

    def __init__(
        self, *, content: Iterable[str], grammar: Iterable[str] = (), is_general: bool = False
    ) -> None:
        self.is_general = is_general
        self.content, self.grammar = frozenset(content), frozenset(grammar) | FUNCTION_WORDS
        self._content_stems = {stem for word in self.content for stem in _stems(word)}
        self._stems = self._content_stems | {stem for word in self.grammar for stem in _stems(word)}

    def normalise(self, query: str) -> str:
        """The query in lower case, without punctuation and courtesies, numbers as words.

        A query that has no words at all comes back as it is.
        """
        return " ".join(self.words_of(query)) or query

    def words_of(self, query: str) -> list[str]:
        """The words of the query in that spelling."""
        text = unicodedata.normalize("NFKC", query).casefold().replace("\u2019", "'")
        # soft hyphens and zero-width characters, as copied from web pages, part no word
        text = "".join(character for character in text if unicodedata.category(character) != "Cf")
        text = " ".join(_NUMBERS.get(word, word) for word in _NO_WORD.sub(" ", text).split())
        # courtesies come in rows: "hi, could you please show me …"
        while (shorter := _CLOSING.sub("", _OPENING.sub("", text, count=1))) != text:
            text = shorter
        return text.split()

    def understanding(self, query: str) -> Understanding:
        """Whether every word of the query is known and at least one of them names something."""
        words = self.words_of(query)
        unknown = tuple(dict.fromkeys(word for word in words if not self._stems.intersection(_stems(word))))
        # a number alone counts nothing
        is_named = any(
            self._content_stems.intersection(_stems(word)) for word in words if word not in _COUNTS
        )
        return Understanding(probability=float(not unknown and is_named), words=unknown)

    def with_words_of(self, queries: Iterable[str]) -> "Vocabulary":
        """The vocabulary of a model that was trained further on these queries."""
        words = {word for query in queries for word in self.words_of(query)}
        return Vocabulary(
            content=self.content | words - self.grammar, grammar=self.grammar, is_general=self.is_general
        )


def read_vocabulary(folder: Path) -> Vocabulary | None:
    """The vocabulary of a checkpoint's or adapter's folder, None where it names none.

    Raises CheckpointError when the file is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    parts = read_json(path)
    lists = [parts.get("content"), parts.get("grammar", [])]
    for words in lists:
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise CheckpointError(
                f"{path} must hold the lists of words 'content' and 'grammar'. Copy it again."
            )
    return Vocabulary(content=lists[0], grammar=lists[1], is_general=parts.get("is_general") is True)


def write_vocabulary(folder: Path, vocabulary: Vocabulary) -> Path:
    """Write the vocabulary into a checkpoint's or adapter's folder, whole or not at all; returns its path."""
    path = folder / FILE_NAME
    values = {
        "content": sorted(vocabulary.content),
        "grammar": sorted(vocabulary.grammar),
        "is_general": vocabulary.is_general,
    }
    write_whole(path, json.dumps(values) + "\n")
    return path


def _stems(word: str) -> set[str]:
    """The word without each English ending that it may have: circles, moved, cutting."""
    stems = {word}
    for ending in ("s", "es", "d", "ed", "ing"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= 3:  # "thing" is no "the"
            stems.add(stem)
            if ending == "ing":
                stems.add(stem + "e")
            if ending in ("ed", "ing") and len(stem) > 3 and stem[-1] == stem[-2]:
                stems.add(stem[:-1])
    return stems
