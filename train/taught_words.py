"""Which words further training adds to a model that names its words."""

from collections.abc import Iterable
from pathlib import Path

from tempo_core.vocabulary import read_vocabulary, write_vocabulary
from train.data.examples import Example


def write_taught_words(folder: Path, before: Path, examples: Iterable[Example]) -> None:
    """Write into an adapter's or checkpoint's `folder` the words that it knows: those of the folder that the training
    began with, and those of every query whose moments were taught. A row without a moment teaches no word.

    Where `before` names no words, such as a pretrained checkpoint, neither does `folder`.
    """
    vocabulary = read_vocabulary(before)
    if vocabulary is not None:
        write_vocabulary(folder, vocabulary.with_words_of(row.query for row in examples if row.relevant))
