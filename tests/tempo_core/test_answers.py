"""The answer's text: writing and parsing are inverse, nothing else parses, snapping covers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_core.answers import (
    MAX_MOMENTS,
    REFUSAL,
    AnswerError,
    answer_pieces,
    parse_answer,
    snap_outward,
    write_answer,
)
from tempo_core.errors import InputError
from tempo_core.moments import Moment, moments_between
from tempo_core.timestamps import format_stamps

STAMPS = format_stamps([0, 2, 4, 6, 8], 10)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[str]]:
    """Index pairs that can be written, and the stamps they point into."""
    n_frames = draw(st.integers(1, 60))
    marks = sorted(draw(st.sets(st.integers(0, n_frames), max_size=2 * MAX_MOMENTS)))
    pairs = [(marks[i], marks[i + 1]) for i in range(0, len(marks) - 1, 2)]
    return pairs, format_stamps(range(n_frames), n_frames)


@given(answers())
def test_parsing_undoes_writing(answer: tuple[list[tuple[int, int]], list[str]]) -> None:
    pairs, stamps = answer
    text = write_answer(pairs, stamps)
    assert parse_answer(text, stamps) == pairs
    assert text == "".join(answer_pieces(pairs, stamps))


def test_the_documented_sentences() -> None:
    assert write_answer([(0, 2), (3, 5)], STAMPS) == "From 0000.0 to 0004.0, from 0006.0 to 0010.0."
    assert write_answer([], STAMPS) == REFUSAL == "No relevant moment."
    assert parse_answer(REFUSAL, STAMPS) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "No relevant moment",
        "No relevant moment. ",
        "no relevant moment.",
        "From 0000.0 to 0004.0",
        "from 0000.0 to 0004.0.",
        "From 0000.0 to 0004.0.\n",
        "From 0000.0 to 0000.0.",
        "From 0004.0 to 0002.0.",
        "From 0010.0 to 0011.0.",
        "From 0001.0 to 0004.0.",
        "From 0000.0 to 0004.0, from 0004.0 to 0006.0.",
        "From 0006.0 to 0008.0, from 0000.0 to 0002.0.",
        "From 0000.0 to 0004.0 and from 0006.0 to 0008.0.",
        "From 0 to 4.",
        "The event happens from 0000.0 to 0004.0.",
        "From 0000.0 to 0004.0. No relevant moment.",
        "From .",
        "From to.",
    ],
)
def test_nothing_else_is_an_answer(text: str) -> None:
    with pytest.raises(AnswerError):
        parse_answer(text, STAMPS)


@given(st.text(max_size=60))
def test_free_text_never_parses_by_accident(text: str) -> None:
    with pytest.raises(AnswerError):
        parse_answer(f"~{text}", STAMPS)


@pytest.mark.parametrize(
    "pairs", [[(0, 0)], [(3, 1)], [(-1, 2)], [(0, 6)], [(0, 2), (2, 3)], [(2, 3), (0, 1)]]
)
def test_what_cannot_be_said_is_not_written(pairs: list[tuple[int, int]]) -> None:
    with pytest.raises(InputError):
        write_answer(pairs, STAMPS)


def test_more_moments_than_the_grammar_holds() -> None:
    stamps = format_stamps(range(100), 100)
    pairs = [(3 * i, 3 * i + 1) for i in range(MAX_MOMENTS + 1)]
    with pytest.raises(InputError, match="at most 25"):
        write_answer(pairs, stamps)


@pytest.mark.parametrize(
    ("moments", "pairs"),
    [
        ([Moment(2, 4)], [(1, 2)]),
        ([Moment(2.5, 3.5)], [(1, 2)]),
        ([Moment(0, 10)], [(0, 5)]),
        ([Moment(9, 99)], [(4, 5)]),
        ([Moment(9.99, 10)], [(4, 5)]),
        ([Moment(5, 5.5), Moment(1, 2)], [(0, 1), (2, 3)]),
        ([Moment(1, 2), Moment(2, 3)], [(0, 2)]),
        ([Moment(1.98, 4.02)], [(1, 2)]),
        ([], []),
    ],
)
def test_snapping_goes_outward(moments: list[Moment], pairs: list[tuple[int, int]]) -> None:
    assert snap_outward(moments, [0, 2, 4, 6, 8, 10]) == pairs


@given(st.lists(st.tuples(st.floats(0, 9.9), st.floats(0.01, 5)), max_size=6))
def test_snapped_moments_cover_and_can_be_written(rows: list[tuple[float, float]]) -> None:
    times = [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    moments = [Moment(start, start + length) for start, length in rows]
    pairs = snap_outward(moments, times)
    assert parse_answer(write_answer(pairs, STAMPS), STAMPS) == pairs
    covers = moments_between(pairs, times)
    for moment in moments:
        assert any(
            c.start_s <= moment.start_s + 0.05 and min(moment.end_s, 10.0) <= c.end_s + 0.05 for c in covers
        )


def test_a_moment_outside_the_video_is_refused() -> None:
    with pytest.raises(InputError, match="outside the sampled video"):
        snap_outward([Moment(10, 12)], [0, 2, 4, 6, 8, 10])
