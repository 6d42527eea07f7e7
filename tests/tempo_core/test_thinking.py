"""A thought ends at its tag, at the limit or where the model ends it, and an answer can follow in every case."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tempo_core.decoding import Decoding, Hypothesis, beam_search
from tempo_core.errors import Cancelled
from tempo_core.grammar import AnswerGrammar, GrammarState
from tempo_core.protocols import protocol_named
from tempo_core.protocols.base import IM_END, Thinking, special_id
from tempo_core.thinking import think
from tests.tempo_core.conftest import DIGIT_BY_DIGIT, build_tokenizer


class Recital:
    """A scorer that says a text, then ends; `calls` counts how often it was asked."""

    def __init__(self, tokenizer: Any, text: str) -> None:
        self.ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], special_id(tokenizer, IM_END)]
        self.calls, self._size = 0, len(tokenizer)

    def __call__(self, prefixes: Sequence[Sequence[int]], parents: Sequence[int]) -> torch.Tensor:
        self.calls += 1
        logits = torch.zeros(len(prefixes), self._size)
        for row, prefix in enumerate(prefixes):
            logits[row, self.ids[min(len(prefix), len(self.ids) - 1)]] = 9.0
        return logits


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return build_tokenizer(DIGIT_BY_DIGIT)


@pytest.mark.parametrize(
    ("text", "thought"),
    [
        ("<think>a man</think>\n<answer>", "<think>a man</think>\n"),
        ("<think>a man</think><answer>", "<think>a man</think>\n"),
        ("<think>a man", "<think>a man</think>\n"),
        ("<think>a man</th", "<think>a man</think>\n"),
        ("<think></think>", "<think></think>\n"),
    ],
)
def test_a_thought_is_whole(tokenizer: Any, text: str, thought: str) -> None:
    ids = Decoding(think(tokenizer, Thinking())).run(Recital(tokenizer, text))
    assert tokenizer.decode(ids) == thought


def test_a_tag_in_one_token_with_what_follows_is_parted() -> None:
    tokenizer = build_tokenizer(DIGIT_BY_DIGIT)
    tokenizer.add_tokens(["><"])
    ids = Decoding(think(tokenizer, Thinking())).run(Recital(tokenizer, "<think>a man</think><answer>"))
    assert tokenizer.decode(ids) == "<think>a man</think>\n"


def test_a_long_thought_is_cut_at_the_limit(tokenizer: Any) -> None:
    scorer = Recital(tokenizer, "<think>" + "a man opens " * 40)
    ids = Decoding(think(tokenizer, Thinking(), max_tokens=5)).run(scorer)
    assert scorer.calls == 5
    assert tokenizer.decode(ids).endswith("</think>\n")


def test_no_thought_costs_nothing(tokenizer: Any) -> None:
    scorer = Recital(tokenizer, "")
    ids = Decoding(think(tokenizer, Thinking(), max_tokens=0)).run(scorer)
    assert tokenizer.decode(ids) == "<think>\n</think>\n"
    assert scorer.calls == 0


def test_thinking_stops_when_asked(tokenizer: Any) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        Decoding(think(tokenizer, Thinking(), cancel=cancel)).run(Recital(tokenizer, "<think>a"))


@pytest.mark.parametrize("name", ["time_r1", "tvg_r1", "omnivtg", "ra_rft"])
def test_a_bound_answer_follows_the_thought(tokenizer: Any, name: str) -> None:
    protocol = protocol_named(name)
    assert protocol.thinking is not None
    timeline = protocol.timeline([0.0, 1.0, 2.0, 3.0], 4.0)
    scorer = Recital(tokenizer, "<think>from 1 to 3</think>")
    ids = Decoding(think(tokenizer, protocol.thinking)).run(scorer)
    grammar = AnswerGrammar(tokenizer, timeline.mark_texts, form=protocol.answer)
    opened = Hypothesis(GrammarState(), tuple(ids), (0.0,) * len(ids))
    best = Decoding(beam_search(grammar, opened=opened)).run(scorer)[0]
    text = tokenizer.decode(best.ids[:-1])
    assert text.startswith("<think>from 1 to 3</think>")
    assert len(protocol.answer.parse(text, timeline, 4.0)) == len(best.state.pairs)
