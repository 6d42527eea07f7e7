"""Soft edges in SFT: a band teaches the distribution that it says, a hard edge what it always did."""

import itertools
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tempo_core.answers import answer_pieces
from tempo_core.loading import load_model
from tempo_core.protocols.base import plain_ids
from tests.tempo_core.conftest import DIGIT_BY_DIGIT, build_tokenizer
from tests.train.conftest import example_of, sampled
from tests.train.grpo.plain import pixel_inputs
from train.checkpoints import rows_digest
from train.config import SftConfig
from train.data.encoding import Encoded, Encoder
from train.data.examples import Example
from train.scratch.prompt import answer_ids
from train.sft.packing import make_batch, plan_batches
from train.sft.targets import (
    IGNORED,
    SoftEntries,
    Target,
    draw_target,
    is_right,
    next_token_shares,
    token_losses,
)
from train.sft.trainer import SftTrainer, run_sft
from train.trainer import PrefetchedDataset, adapt

SOFT = replace(example_of(1, moments=[(1.0, 3.0), (5.0, 7.0)]), bands_s=((0.0, 1.5), (1.0, 0.6)))
NOTHING = torch.zeros(0, dtype=torch.int64)
NO_ENTRIES = SoftEntries(rows=NOTHING, columns=NOTHING, tokens=NOTHING, shares=torch.zeros(0))


class Forced:
    """A generator that draws what it is told, and multiplies the chances of that."""

    def __init__(self, picks: tuple[int, ...]) -> None:
        self.picks, self.chance = list(picks), 1.0

    def choice(self, count: int, p: Any) -> int:
        pick = self.picks.pop(0)
        self.chance *= float(p[pick])
        return pick


def fake_logits(prefix: tuple[int, ...], vocabulary: int) -> torch.Tensor:
    """A model: logits that depend on all tokens before."""
    return torch.from_numpy(
        np.random.default_rng(zlib.crc32(np.array(prefix).tobytes())).normal(size=vocabulary, scale=2)
    )


def soft_loss(target: Target, vocabulary: int) -> float:
    """The loss of one draw, computed from whole distributions."""
    loss = 0.0
    for place, token in enumerate(target.ids):
        logprobs = fake_logits(target.ids[:place], vocabulary).log_softmax(0)
        for right, share in target.shares.get(place, {token: 1.0}).items():
            loss -= share * float(logprobs[right])
    return loss


@pytest.mark.parametrize("pattern", [None, DIGIT_BY_DIGIT])
def test_the_mean_loss_of_the_draws_is_the_cross_entropy_of_the_answers(
    encoder: Encoder, pattern: str | None
) -> None:
    """Against the plain twin, which writes out every answer that the bands allow."""
    if pattern:
        encoder.tokenizer = build_tokenizer(pattern)
    encoded, vocabulary = encoder.encode(SOFT), len(encoder.tokenizer)
    likely = [np.flatnonzero(masses).tolist() for masses in encoded.edge_masses]
    assert [len(stamps) for stamps in likely] == [1, 3, 3, 2]
    mean = plain = chances = 0.0
    for picks in itertools.product(*likely):
        if list(picks) != sorted(set(picks)):
            continue
        draw = Forced(picks)
        target = draw_target(encoded, encoder.tokenizer, draw)  # type: ignore[arg-type]
        assert encoded.video.grammar is not None
        pairs = list(zip(picks[::2], picks[1::2], strict=True))
        answer = answer_ids(encoder.tokenizer, answer_pieces(pairs, encoded.video.stamps))
        assert list(target.ids) == answer
        logprobs = [
            float(fake_logits(tuple(answer[:place]), vocabulary).log_softmax(0)[token])
            for place, token in enumerate(answer)
        ]
        plain -= draw.chance * sum(logprobs)
        mean += draw.chance * soft_loss(target, vocabulary)
        chances += draw.chance
    assert chances == pytest.approx(1)
    assert mean == pytest.approx(plain, rel=1e-9)


def test_the_next_tokens_shares_follow_the_tokens_before() -> None:
    shares = next_token_shares([0.2, 0.3, 0.0, 0.5], [[1, 8], [1, 9], [2, 7], [2, 8]], 1)
    assert shares[0] == {1: pytest.approx(0.5), 2: pytest.approx(0.5)}
    assert shares[1] == {8: pytest.approx(0.4), 9: pytest.approx(0.6)}


def test_a_draw_is_an_answer_of_the_grammar_behind_its_trace(engine: Any) -> None:
    encoder = Encoder.of(engine.loaded, sample=sampled, thinking=True)
    encoded = encoder.encode(replace(SOFT, thinking="it appears, then it goes"))
    trace = plain_ids(encoder.tokenizer, "<think>it appears, then it goes</think>")
    answers = set()
    for seed in range(40):
        target = draw_target(encoded, encoder.tokenizer, np.random.default_rng(seed))
        assert list(target.ids[: len(trace)]) == trace
        assert encoded.video.grammar.replay(target.ids[len(trace) :]).done
        assert min(target.shares) >= len(trace)
        for place, shares in target.shares.items():
            assert target.ids[place] in shares
            assert sum(shares.values()) == pytest.approx(1)
        answers.add(target.ids)
    assert len(answers) > 4


def test_the_losses_and_gradients_are_those_of_whole_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 11, generator=generator)
    labels = torch.tensor([[3, 4, IGNORED, 1, 0], [IGNORED, 2, 2, 10, IGNORED]])
    shares = {(0, 1): {4: 0.25, 5: 0.75}, (0, 4): {0: 0.5, 1: 0.3, 2: 0.2}, (1, 3): {10: 0.9, 0: 0.1}}
    entries = [(*place, token, share) for place, right in shares.items() for token, share in right.items()]
    rows, columns, tokens, values = (torch.tensor(column) for column in zip(*entries, strict=True))
    soft = SoftEntries(rows=rows, columns=columns, tokens=tokens, shares=values)

    target = torch.zeros(2, 5, 11)
    for row, column in itertools.product(range(2), range(5)):
        label = int(labels[row, column])
        for token, share in shares.get((row, column), {label: 1.0} if label != IGNORED else {}).items():
            target[row, column, token] = share
    fast, plain = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    losses = token_losses(fast, labels, soft)
    twin = -(target * plain.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(losses, twin)
    weights = torch.rand(2, 5, generator=generator)
    (losses * weights).sum().backward()
    (twin * weights).sum().backward()
    assert fast.grad is not None
    torch.testing.assert_close(fast.grad, plain.grad)
    # The formula: what the model says, less what is right, by the weight.
    expected = (logits.softmax(-1) - target) * ((labels != IGNORED) * weights)[..., None]
    torch.testing.assert_close(fast.grad, expected)


def test_every_right_token_of_a_soft_place_counts_as_right() -> None:
    labels = torch.tensor([[3, 4, 5]])
    soft = SoftEntries(
        rows=torch.tensor([0, 0]),
        columns=torch.tensor([1, 1]),
        tokens=torch.tensor([4, 7]),
        shares=torch.tensor([0.5, 0.5]),
    )
    assert is_right(torch.tensor([[3, 7, 7]]), labels, soft).tolist() == [[True, True, False]]
    assert is_right(torch.tensor([[3, 4, 5]]), labels, NO_ENTRIES).tolist() == [[True, True, True]]


QUICK = SftConfig(
    rank=4,
    alpha=8,
    learning_rate=1e-2,
    steps=2,
    questions_per_row=2,
    per_device_train_batch_size=2,
    save_steps=2,
    logging_steps=2,
    threads=1,
)
HARD_ROWS = [
    example_of(0, query="a red circle appears", moments=[(2, 4)]),
    example_of(0, query="a green star"),
    replace(SOFT, bands_s=()),
]


def encoder_of(checkpoint: Path) -> Encoder:
    loaded = load_model(checkpoint, four_bit=False, device="cpu")
    defaults = replace(loaded.defaults, tokens_per_frame=2.0)
    return Encoder(loaded.tokenizer, defaults, loaded.normaliser, sample=sampled)


def trainer_of(checkpoint: Path, rows: list[Example], out: Path) -> tuple[Any, Any, dict[str, Any]]:
    encoder = encoder_of(checkpoint)
    model = adapt(load_model(checkpoint, four_bit=False, device="cpu").model, QUICK).train()
    plan, steps = plan_batches(rows, QUICK, encoder.defaults)
    batch = make_batch(plan[0], rows, encoder, np.random.default_rng(0))
    trainer = SftTrainer(
        model,
        QUICK,
        PrefetchedDataset(1, lambda idx: batch),
        out,
        steps=steps,
        gradient_accumulation_steps=1,
        lr_scheduler_type="cosine",
    )
    return trainer, model, batch


def loss_and_gradients(
    checkpoint: Path, rows: list[Example], out: Path
) -> tuple[torch.Tensor, dict[str, Any]]:
    trainer, model, batch = trainer_of(checkpoint, rows, out)
    loss = trainer.compute_loss(model, batch)
    loss.backward()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    return loss.detach(), gradients


@pytest.mark.filterwarnings("ignore:.*pin_memory.*")
def test_bands_of_no_width_change_no_bit_of_the_loss(checkpoint: Path, tmp_path: Path) -> None:
    zero = [*HARD_ROWS[:2], replace(HARD_ROWS[2], bands_s=((0.0, 0.0), (0.0, 0.0)))]
    hard_loss, hard_gradients = loss_and_gradients(checkpoint, HARD_ROWS, tmp_path / "hard")
    loss, gradients = loss_and_gradients(checkpoint, zero, tmp_path / "zero")
    assert torch.equal(loss, hard_loss)
    assert gradients.keys() == hard_gradients.keys()
    for name, value in gradients.items():
        assert torch.equal(value, hard_gradients[name]), name
    wide = [*HARD_ROWS[:2], SOFT]
    assert not torch.equal(loss_and_gradients(checkpoint, wide, tmp_path / "wide")[0], hard_loss)


@pytest.mark.filterwarnings("ignore:.*pin_memory.*")
def test_a_batch_with_bands_has_the_loss_of_its_plain_twin(checkpoint: Path, tmp_path: Path) -> None:
    """A question at a time by the model's own forward, against whole distributions."""
    rows = [HARD_ROWS[0], replace(SOFT, weight=0.5)]
    trainer, model, batch = trainer_of(checkpoint, rows, tmp_path)
    encoder = encoder_of(checkpoint)
    plan, _ = plan_batches(rows, QUICK, encoder.defaults)
    rng, total, tokens = np.random.default_rng(0), 0.0, 0
    for pack in plan[0]:
        for idx in pack.example_idx:
            encoded = encoder.encode(rows[idx])
            target = draw_target(encoded, encoder.tokenizer, rng)
            total += rows[idx].weight * plain_target_loss(model, encoded, target)
            tokens += len(target.ids)
    assert trainer.compute_loss(model, batch).item() == pytest.approx(total / tokens, rel=1e-4)


@torch.no_grad()
def plain_target_loss(model: Any, encoded: Encoded, target: Target) -> float:
    ids = torch.tensor([[*encoded.prompt_ids, *target.ids]])
    output = model(input_ids=ids, use_cache=False, **pixel_inputs(model, encoded.video, ids))
    logprobs = output.logits[0, len(encoded.prompt_ids) - 1 : -1].log_softmax(-1)
    return -sum(
        share * float(logprobs[place, token])
        for place, label in enumerate(target.ids)
        for token, share in target.shares.get(place, {label: 1.0}).items()
    )


@pytest.mark.slow
def test_a_run_learns_the_band(checkpoint: Path, tmp_path: Path) -> None:
    """Taught that an event begins at 3 s or a second to either side, the model says 2 s as readily as 3 s; taught
    that it begins at 3 s, it does not. A run with other bands is another run."""
    encoder = encoder_of(checkpoint)
    hard = example_of(0, moments=[(3, 7)])
    soft = replace(hard, bands_s=((1.0, 0.0),))
    config = replace(QUICK, steps=20, save_steps=20, logging_steps=20)
    odds = {}
    for name, row in {"hard": hard, "soft": soft}.items():
        model = adapt(load_model(checkpoint, four_bit=False, device="cpu").model, config)
        run_sft(model, encoder, [row], config, tmp_path / name)
        odds[name] = start_odds(model, encoder.tokenizer, encoder.encode(row))
    assert odds["soft"] == pytest.approx(0.0, abs=1.0)
    assert odds["hard"] > odds["soft"] + 1.0
    assert rows_digest([hard]) != rows_digest([soft])
    assert rows_digest([soft]) != rows_digest([replace(soft, bands_s=((0.5, 0.0),))])


@torch.no_grad()
def start_odds(model: Any, tokenizer: Any, encoded: Encoded) -> float:
    """Logarithm of how much readier the model is to begin at 3 s than at 2 s, behind "From 00"."""
    ids = torch.tensor([[*encoded.prompt_ids, *encoded.answer_ids]])
    output = model(input_ids=ids, use_cache=False, **pixel_inputs(model, encoded.video, ids))
    logits = output.logits[0, len(encoded.prompt_ids) + 2]
    second, third = (plain_ids(tokenizer, encoded.video.stamps[idx])[1] for idx in (2, 3))
    return float(logits[third] - logits[second])
