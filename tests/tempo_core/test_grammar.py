"""The token automaton lets through exactly the answers that can be written."""

import random
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given

from tempo_core.answers import REFUSAL, AnswerError, answer_pieces, parse_answer, write_answer
from tempo_core.grammar import AnswerGrammar, GrammarState
from tempo_core.protocols.base import special_id
from tempo_core.timestamps import format_stamps
from tests.tempo_core.test_answers import answers
from train.scratch.prompt import answer_ids


def _walk(grammar: AnswerGrammar, seed: int) -> list[int]:
    """A whole answer made of random allowed tokens, through the public `options`."""
    rng, ids = random.Random(seed), list[int]()
    while not grammar.replay(ids).done:
        ids.append(rng.choice(grammar.options(grammar.replay(ids))))
    return ids


def _all_answers(n_stamps: int) -> set[tuple[tuple[int, int], ...]]:
    """Every set of moments over so many stamps, by brute force."""
    marks = [combo for size in range(0, n_stamps + 1, 2) for combo in combinations(range(n_stamps), size)]
    return {tuple((c[i], c[i + 1]) for i in range(0, len(c), 2)) for c in marks}


@pytest.mark.parametrize("seed", range(60))
def test_random_walks_always_parse(any_tokenizer: Any, seed: int) -> None:
    rng = random.Random(seed)
    times = [0.0]
    for _ in range(rng.randrange(40)):
        times.append(times[-1] + rng.choice([0.2, 1.0, 2.5, 700.0]))
    stamps = format_stamps(times, times[-1] + 1)
    grammar = AnswerGrammar(any_tokenizer, stamps)
    ids = _walk(grammar, seed)
    text = any_tokenizer.decode(ids[:-1])
    assert ids[-1] == special_id(any_tokenizer, "<|im_end|>")
    pairs = parse_answer(text, stamps)
    assert tuple(pairs) == grammar.replay(ids).pairs
    assert write_answer(grammar.replay(ids).pairs, stamps) == text
    assert grammar.options(grammar.replay(ids)) == []


@given(answer=answers())
def test_everything_writable_is_reachable(
    any_tokenizer: Any, answer: tuple[list[tuple[int, int]], list[str]]
) -> None:
    pairs, stamps = answer
    grammar = AnswerGrammar(any_tokenizer, stamps)
    ids = answer_ids(any_tokenizer, answer_pieces(pairs, stamps))
    state = GrammarState()
    for token in ids:
        assert token in grammar.options(state)
        state = grammar.advance(state, token)
    assert state.done
    assert list(state.pairs) == pairs


def test_the_language_is_exactly_the_writable_answers(any_tokenizer: Any) -> None:
    stamps = format_stamps([0, 9, 10, 11, 110], 1000)
    grammar = AnswerGrammar(any_tokenizer, stamps)
    answers_reached, open_states = set(), [GrammarState()]
    while open_states:
        state = open_states.pop()
        if state.done:
            answers_reached.add(state.pairs)
        open_states += [grammar.advance(state, token) for token in grammar.options(state)]
    assert answers_reached == _all_answers(len(stamps))


def test_the_number_of_moments_is_bounded(tokenizer: Any) -> None:
    stamps = format_stamps(range(100), 100)
    grammar = AnswerGrammar(tokenizer, stamps, max_moments=2)
    two = answer_ids(tokenizer, answer_pieces([(0, 1), (2, 3)], stamps))
    closing = len(answer_ids(tokenizer, ["."]))
    assert grammar.options(grammar.replay(two[:-closing])) == two[-closing:-1]
    assert grammar.replay(two).done


def test_a_video_of_one_frame_has_two_answers(any_tokenizer: Any) -> None:
    stamps = format_stamps([0], 1)
    texts = {
        any_tokenizer.decode(_walk(AnswerGrammar(any_tokenizer, stamps), seed)[:-1]) for seed in range(20)
    }
    assert texts == {REFUSAL, "From 0000.0 to 0001.0."}


def test_foreign_tokens_are_refused(tokenizer: Any) -> None:
    grammar = AnswerGrammar(tokenizer, format_stamps([0, 1], 2))
    with pytest.raises(AnswerError, match="cannot follow"):
        grammar.options(grammar.replay([grammar.refusal_ids[0], grammar.refusal_ids[0]]))
    assert not grammar.replay([]).done
    with pytest.raises(AnswerError, match="cannot follow"):
        grammar.replay([999])


def test_spans_point_at_the_stamps_tokens(any_tokenizer: Any) -> None:
    stamps = format_stamps(range(8), 8)
    pairs = [(0, 2), (5, 8)]
    ids = answer_ids(any_tokenizer, answer_pieces(pairs, stamps))
    spans = AnswerGrammar(any_tokenizer, stamps).replay(ids).spans
    stamp_texts = [tuple(any_tokenizer.decode([ids[i] for i in span]) for span in both) for both in spans]
    assert stamp_texts == [(stamps[0], stamps[2]), (stamps[5], stamps[8])]
    assert len(ids) <= 2 * AnswerGrammar(any_tokenizer, stamps).moment_tokens + 3
