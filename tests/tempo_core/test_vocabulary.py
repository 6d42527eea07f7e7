"""A model that names its words reads one spelling, and says what it does not know."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_core.checkpoint import SHIPPED
from tempo_core.engine import Answer, load_engine
from tempo_core.errors import CheckpointError
from tempo_core.video import SampledVideo
from tempo_core.vocabulary import FILE_NAME, Vocabulary, read_vocabulary, write_vocabulary

VOCABULARY = Vocabulary(
    content=("red", "blue", "square", "circle", "moves", "left", "lights", "two", "fade"), grammar=("first",)
)


@pytest.mark.parametrize(
    "query",
    [
        "show me a red square",
        "SHOW ME A RED SQUARE",
        "  Show me a  red square!!  ",
        "Please, show me a red square.",
        "Hi! Could you please show me a red-square? Thanks",
        "can you show me “a red square”, please",
        "show me a r\u00aded squ\u200bare",  # a soft hyphen and a zero-width space
        "Ｓｈｏｗ ｍｅ ａ ＲＥＤ ＳＱＵＡＲＥ",
    ],
)
def test_dress_never_changes_the_question(query: str) -> None:
    assert VOCABULARY.normalise(query) == "show me a red square"


def test_a_list_of_all_times_asks_for_the_thing_itself() -> None:
    assert (
        VOCABULARY.normalise("Find all the times when a red square moves left") == "a red square moves left"
    )
    assert VOCABULARY.normalise("every moment where the lights fade") == "the lights fade"
    assert VOCABULARY.normalise("2 red squares") == "two red squares"


@pytest.mark.parametrize(
    ("query", "unknown"),
    [
        ("a red square", ()),
        ("the first red squares", ()),
        ("when is a circle moving left?", ()),
        ("a dog on the red beach", ("dog", "beach")),
        ("no red square", ("no",)),
        ("a red square isn't there", ("isn't",)),
        ("before the red square", ("before",)),
        ("ein rotes Quadrat", ("ein", "rotes", "quadrat")),
        ("красный square", ("красный",)),
        ("红色方块", ("红色方块",)),
        ("مربع أحمر", ("مربع", "أحمر")),
        ("red red square red square square", ()),
        ("10 red squares", ("10",)),
        ("a red square, never a circle", ("never",)),
        ("red square 🟥", ()),
    ],
)
def test_words_that_were_never_taught_are_named(query: str, unknown: tuple[str, ...]) -> None:
    understanding = VOCABULARY.understanding(query)
    assert understanding.words == unknown
    assert understanding.is_understood == (not unknown)


@pytest.mark.parametrize(
    "query", ["?", ".", "the", "when is it", "show me", "please", "🟥", "2", "two 2 two", "the the the", "…"]
)
def test_a_question_that_names_nothing_is_not_understood(query: str) -> None:
    understanding = VOCABULARY.understanding(query)
    assert (understanding.probability, understanding.words) == (0.0, ())
    assert "names nothing" in understanding.sentence


def test_words_of_taught_queries_are_known_afterwards() -> None:
    more = VOCABULARY.with_words_of(["A dog runs on the beach"])
    assert more.understanding("the dogs on a beach").is_understood
    assert not VOCABULARY.understanding("the dogs on a beach").is_understood
    assert "the" not in more.content


def test_a_vocabulary_is_written_and_read_again(tmp_path: Path) -> None:
    assert read_vocabulary(tmp_path) is None
    write_vocabulary(tmp_path, VOCABULARY)
    again = read_vocabulary(tmp_path)
    assert again is not None
    assert (again.content, again.grammar) == (VOCABULARY.content, VOCABULARY.grammar)
    assert not again.is_general
    general = Vocabulary(content=VOCABULARY.content, is_general=True).with_words_of(["a dog"])
    write_vocabulary(tmp_path, general)
    read_again = read_vocabulary(tmp_path)
    assert read_again is not None
    assert read_again.is_general
    (tmp_path / FILE_NAME).write_text('{"content": "red"}')
    with pytest.raises(CheckpointError, match="lists of words"):
        read_vocabulary(tmp_path)


@pytest.fixture(scope="module")
def shipped() -> tuple[Any, Any]:
    """tempo-tiny and the context of a blank clip of six seconds."""
    engine = load_engine(SHIPPED, device="cpu")
    frames = np.full((6, 56, 56, 3), 90, dtype=np.uint8)
    video = SampledVideo(times_s=np.arange(6.0), frames=frames, end_s=6.0, reader="pyav", notes=(), sha256="")
    return engine, engine.encode(video)


def test_the_shipped_model_says_what_it_does_not_know(shipped: tuple[Any, Any]) -> None:
    engine, context = shipped
    answer = engine.ask(context, "A dog runs on the beach.")
    assert (answer.moments, answer.refused, answer.relevance, answer.ranked) == ([], False, None, [])
    assert answer.to_dict()["understood"] == {"probability": 0.0, "words": ["dog", "runs", "beach"]}
    assert Answer.from_dict(answer.to_dict()) == answer
    assert engine.understanding("a dog") is not None


def test_the_shipped_model_answers_the_same_in_any_dress(shipped: tuple[Any, Any]) -> None:
    engine, context = shipped
    answers = [
        engine.ask(context, query)
        for query in ("a red square", "A RED SQUARE", "a red square?!", " please: a red  square ")
    ]
    assert {answer.relevance for answer in answers} == {answers[0].relevance}
    assert all(answer.moments == answers[0].moments and answer.is_understood for answer in answers)
