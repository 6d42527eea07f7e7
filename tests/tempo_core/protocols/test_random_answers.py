"""Bound answers of models with random weights: every one is a sentence that its protocol's parser reads.

    TEMPO_ANSWERS=1000 python -m pytest tests/tempo_core/protocols/test_random_answers.py

asks so many times for each protocol; the suite asks 20 times.
"""

import math
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tempo_core.decoding import Decoding, beam_search
from tempo_core.grammar import AnswerGrammar
from tempo_core.protocols import NAMES, protocol_named

ANSWERS = int(os.environ.get("TEMPO_ANSWERS", "20"))


class RandomModel:
    """Logits of the next token from random weights of the last two."""

    def __init__(self, vocabulary: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.weights = 3 * torch.randn((2, vocabulary, 16), generator=generator)
        self.head = torch.randn((16, vocabulary), generator=generator)

    def __call__(self, prefixes: Sequence[Sequence[int]], parents: Sequence[int]) -> torch.Tensor:
        last_two = [[0, 0, *prefix][-2:] for prefix in prefixes]
        hidden = torch.stack([self.weights[[0, 1], pair].sum(0) for pair in last_two])
        return torch.tanh(hidden) @ self.head


@pytest.mark.parametrize("name", NAMES)
def test_every_bound_answer_parses(any_tokenizer: Any, name: str) -> None:
    protocol = protocol_named(name)
    rng = np.random.default_rng(NAMES.index(name))
    named = Counter[str]()
    for seed in range(ANSWERS):
        count = int(rng.integers(2, 40))
        times_s = np.cumsum(rng.uniform(0.1, 3.0, count)).round(3)
        times_s -= times_s[0]
        end_s = float(times_s[-1] + rng.uniform(0.1, 2.0))
        timeline = protocol.timeline(times_s.tolist(), end_s)
        grammar = AnswerGrammar(
            any_tokenizer, timeline.mark_texts, form=protocol.answer, max_new_tokens=protocol.max_new_tokens
        )
        best = Decoding(beam_search(grammar)).run(RandomModel(len(any_tokenizer), seed))[0]
        text = any_tokenizer.decode(best.ids[:-1])
        moments = protocol.answer.parse(text, timeline, end_s)
        assert bool(moments) == bool(best.state.pairs), text
        assert len(moments) <= len(best.state.pairs)
        if moments:
            named[text] += 1
    # neither share depends on how many are asked: the share of different sentences falls with every one
    assert named.total() > ANSWERS / 3, "refusals are not most of it"
    equal_pairs = sum(math.comb(count, 2) for count in named.values())
    assert equal_pairs < math.comb(named.total(), 2) / 20, "two answers that name moments are rarely the same"
