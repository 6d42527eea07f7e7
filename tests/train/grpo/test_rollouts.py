"""Sampling: in the grammar, from the right distribution, reproducible, and cheap once answers are finished."""

import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from tempo_core.answers import REFUSAL, parse_answer
from tempo_core.decoding import CachedScorer
from tempo_core.errors import Cancelled, CheckpointError
from tests.train.conftest import example_of
from train.config import PirGrpoConfig
from train.data.encoding import Encoded, Encoder
from train.grpo.rollouts import prefill, refusal_rollout, sample_group
from train.trainer import encode_video


@pytest.fixture
def encoded(encoder: Encoder) -> Encoded:
    return encoder.encode(example_of(4))


@pytest.fixture
def scorer(engine: Any, encoded: Encoded) -> CachedScorer:
    return prefill(engine.loaded.model, encoded, encode_video(engine.loaded.model, encoded.video))


def group(
    scorer: CachedScorer,
    encoded: Encoded,
    encoder: Encoder,
    seed: int = 0,
    *,
    cancel: Any = None,
    **options: Any,
) -> list:
    rng, config = np.random.default_rng(seed), PirGrpoConfig(**options)
    return sample_group(scorer, encoded, encoder.tokenizer, rng, config, cancel=cancel)


def test_every_constrained_answer_parses(scorer, encoded: Encoded, encoder: Encoder) -> None:
    for rollout in group(scorer, encoded, encoder, num_generations=64, temperature=3.0):
        pairs = parse_answer(rollout.text, encoded.video.stamps)
        assert encoded.video.grammar.replay(rollout.completion.ids).pairs == tuple(pairs)
        assert encoded.video.grammar.replay(rollout.completion.ids).done
        for step, options in enumerate(rollout.completion.options):
            assert options == tuple(
                encoded.video.grammar.options(encoded.video.grammar.replay(rollout.completion.ids[:step]))
            )
            assert (rollout.logprobs[step] == 0.0) >= (len(options) == 1)


class Coin:
    """A model that always says the same about the next token."""

    def __init__(self, encoder: Encoder, encoded: Encoded) -> None:
        self.rows: list[int] = []
        self._logits = torch.zeros(512)
        self._logits[encoded.video.grammar.refusal_ids[0]] = float(np.log(3.0))

    def __call__(self, prefixes: Any, parents: Any) -> torch.Tensor:
        self.rows.append(len(prefixes))
        assert len({len(prefix) for prefix in prefixes}) == 1
        assert all(0 <= parent < (self.rows[-2] if len(self.rows) > 1 else 1) for parent in parents)
        return self._logits.expand(len(prefixes), -1)


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 0.75), (0.5, 0.9), (2.0, 3**0.5 / (1 + 3**0.5))])
def test_answers_come_as_often_as_they_are_probable(
    encoded: Encoded, encoder: Encoder, temperature: float, share: float
) -> None:
    coin: Any = Coin(encoder, encoded)
    rollouts = group(coin, encoded, encoder, num_generations=4000, temperature=temperature)
    refusals = [rollout for rollout in rollouts if rollout.text == "No relevant moment."]
    assert len(refusals) / len(rollouts) == pytest.approx(share, abs=0.025)
    assert refusals[0].logprobs[0] == pytest.approx(np.log(share))
    starts = Counter(rollout.text[5:11] for rollout in rollouts if rollout not in refusals)
    assert len(starts) == 8


def test_equal_beginnings_are_one_row_and_finished_answers_none(encoded: Encoded, encoder: Encoder) -> None:
    coin: Any = Coin(encoder, encoded)
    rollouts = group(coin, encoded, encoder, num_generations=64)
    assert coin.rows[0] == 1
    going_on = len({rollout.completion.ids for rollout in rollouts if len(rollout.text) > 25})
    assert coin.rows[-1] <= going_on < 64


def test_one_seed_gives_one_group(engine: Any, encoded: Encoded, encoder: Encoder) -> None:
    def again(seed: int) -> list:
        scorer = prefill(engine.loaded.model, encoded, encode_video(engine.loaded.model, encoded.video))
        return group(scorer, encoded, encoder, seed, num_generations=6, temperature=2.0)

    assert again(1) == again(1)
    assert again(1) != again(2)


def test_free_answers_end_at_the_limit_or_the_stop(scorer, encoded: Encoded, encoder: Encoder) -> None:
    rollouts = group(
        scorer, encoded, encoder, num_generations=4, constrained=False, max_new_tokens=7, temperature=2.0
    )
    stops = {encoder.tokenizer.convert_tokens_to_ids("<|im_end|>"), encoder.tokenizer.eos_token_id}
    for rollout in rollouts:
        ids = rollout.completion.ids
        assert len(ids) == 7 or ids[-1] in stops
        assert rollout.completion.options == (None,) * len(ids)
        assert not stops & set(ids[:-1])


def test_sampling_can_be_stopped_and_refuses_broken_numbers(encoded: Encoded, encoder: Encoder) -> None:
    stopped = threading.Event()
    stopped.set()
    coin: Any = Coin(encoder, encoded)
    with pytest.raises(Cancelled):
        group(coin, encoded, encoder, num_generations=2, cancel=stopped)
    coin._logits[:] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        group(coin, encoded, encoder, num_generations=2)


def test_a_refusal_that_is_shown_is_one_that_could_have_been_sampled(
    scorer, encoded: Encoded, encoder: Encoder
) -> None:
    rollout = refusal_rollout(encoded)
    assert rollout.text == REFUSAL
    assert encoded.video.grammar.replay(rollout.completion.ids).done
    assert len(rollout.completion.choices) == 1
    assert all(
        token in options
        for token, options in zip(rollout.completion.ids, rollout.completion.options, strict=True)
    )
