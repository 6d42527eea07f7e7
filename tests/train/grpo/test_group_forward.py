"""One packed row equals one row per rollout: log-probabilities, loss and gradients; full, LoRA, NF4, checkpointed."""

import copy
from typing import Any

import numpy as np
import pytest
import torch

from tempo_core.answers import answer_pieces
from tests.train.conftest import example_of
from tests.train.grpo.plain import plain_logprobs
from train.config import PirGrpoConfig
from train.data.encoding import Encoded, Encoder
from train.grpo.group_forward import Completion, group_logprobs, pack
from train.grpo.rollouts import distinct, prefill, sample_group
from train.scratch.prompt import answer_ids
from train.trainer import encode_video, unwrapped

pytestmark = pytest.mark.filterwarnings(  # peft asks a transformers property by its old name
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)

ANSWERS = [[], [(0, 3)], [(2, 5)], [(1, 2), (4, 8)], [(2, 8)], [(0, 1), (3, 4), (6, 7)]]


def completions(encoded: Encoded, tokenizer: Any) -> list[Completion]:
    """Answers of several lengths with what the grammar allowed at every step."""
    grammar = encoded.video.grammar
    out = []
    for pairs in ANSWERS:
        ids = answer_ids(tokenizer, answer_pieces(pairs, encoded.video.stamps))
        options = [tuple(grammar.options(grammar.replay(ids[:step]))) for step in range(len(ids))]
        out.append(Completion(tuple(ids), tuple(options)))
    return out


def freely(completions: list[Completion]) -> list[Completion]:
    return [Completion(completion.ids, (None,) * len(completion.ids)) for completion in completions]


def trainable(engine: Any, kind: str) -> Any:
    """The engine's model as it is trained: all weights, or LoRA on a frozen (4-bit) base."""
    model = copy.deepcopy(engine.loaded.model)
    if kind == "full":
        return model.requires_grad_(True).train()
    from peft import LoraConfig, get_peft_model

    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=targets))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.05)
    return model.train()


def gradient(model: Any) -> torch.Tensor:
    gradients = [p.grad.flatten() for p in model.parameters() if p.requires_grad and p.grad is not None]
    flat = torch.cat(gradients)
    model.zero_grad()
    return flat


@pytest.mark.parametrize("free", [False, True], ids=["grammar", "free"])
@pytest.mark.parametrize("kind", ["full", "lora", "lora-nf4"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_packed_equals_one_row_per_rollout(
    engine: Any, engine_nf4: Any, kind: str, free: bool, checkpointing: bool
) -> None:
    from tests.train.conftest import sampled

    chosen = engine_nf4 if kind == "lora-nf4" else engine
    encoder = Encoder.of(chosen.loaded, sample=sampled)
    model = trainable(chosen, kind)
    if checkpointing:
        model.enable_input_require_grads() if kind != "full" else None
        unwrapped(model).activation_checkpointing_enable({"use_reentrant": False})
    encoded = encoder.encode(example_of(2))
    answers = completions(encoded, encoder.tokenizer)
    answers = freely(answers) if free else answers
    visual_tokens = encode_video(model, encoded.video)
    row = pack(encoded, answers)
    advantages = torch.tensor([0.5, -1.0, 1.5, 0.2, -0.7, -0.5])[row.completion_idx]

    packed = group_logprobs(model, row, visual_tokens, temperature=0.9)
    loss = -(advantages * packed).sum()
    loss.backward()
    packed_gradient = gradient(model)
    plain = plain_logprobs(model, encoded, answers, temperature=0.9)
    twin = -(advantages * plain).sum()
    twin.backward()
    plain_gradient = gradient(model)

    apart = float((packed - plain).detach().abs().max())
    cosine = float(torch.cosine_similarity(packed_gradient, plain_gradient, dim=0))
    assert apart < 1e-5
    assert loss.item() == pytest.approx(twin.item(), abs=1e-4)
    assert cosine > 0.9999
    assert float(packed_gradient.norm() / plain_gradient.norm()) == pytest.approx(1, abs=1e-3)


def test_a_row_holds_the_prompt_once_and_no_completion_sees_another(encoder: Encoder) -> None:
    encoded = encoder.encode(example_of(2))
    answers = completions(encoded, encoder.tokenizer)
    row = pack(encoded, answers)
    prompt = len(encoded.prompt_ids)
    assert row.ids.shape[1] == prompt - 1 + sum(len(answer.ids) for answer in answers)
    start = prompt - 1
    for answer in answers:
        stop = start + len(answer.ids)
        visible = row.mask[0, 0, start:stop]
        assert visible[:, : prompt - 1].all()
        assert torch.equal(visible[:, start:stop], torch.ones(len(answer.ids), len(answer.ids)).tril().bool())
        assert (
            int(visible.sum())
            == len(answer.ids) * (prompt - 1) + len(answer.ids) * (len(answer.ids) + 1) // 2
        )
        alone = encoded.positions(prompt - 1 + len(answer.ids))[:, prompt - 1 :]
        assert np.array_equal(row.positions[:, 0, start:stop].numpy(), alone)
        start = stop


def test_only_choices_are_scored_and_each_choice_is_the_grammars(encoder: Encoder) -> None:
    encoded = encoder.encode(example_of(2))
    answers = completions(encoded, encoder.tokenizer)
    row = pack(encoded, answers)
    assert (
        len(row.logit_positions) == len(row.completion_idx) == sum(len(answer.choices) for answer in answers)
    )
    assert answers[0].choices == [0]
    assert row.choices.options is not None
    assert (row.choices.options.gather(1, row.choices.chosen[:, None]) >= 0).all()
    assert len(pack(encoded, freely(answers)).logit_positions) == sum(len(answer.ids) for answer in answers)


@pytest.mark.parametrize("constrained", [True, False], ids=["grammar", "free"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("number", range(3))
def test_recorded_log_probabilities_are_the_forwards(
    any_loaded: Any, number: int, constrained: bool, temperature: float
) -> None:
    from tests.train.conftest import sampled

    encoder = Encoder.of(any_loaded, sample=sampled)
    encoded = encoder.encode(example_of(number))
    visual_tokens = encode_video(any_loaded.model, encoded.video)
    rollouts = sample_group(
        prefill(any_loaded.model, encoded, visual_tokens),
        encoded,
        encoder.tokenizer,
        np.random.default_rng(number),
        PirGrpoConfig(temperature=temperature, constrained=constrained, max_new_tokens=20),
    )
    answers, which = distinct(rollouts)
    assert [answers[idx] for idx in which] == rollouts
    row = pack(encoded, [answer.completion for answer in answers])
    with torch.no_grad():
        logprobs = group_logprobs(any_loaded.model, row, visual_tokens, temperature=temperature)
    recorded = [answer.logprobs[step] for answer in answers for step in answer.completion.choices]
    assert logprobs.tolist() == pytest.approx(recorded, abs=2e-5)


@pytest.fixture(params=["full", "nf4"])
def any_loaded(request: pytest.FixtureRequest, engine: Any, engine_nf4: Any) -> Any:
    return (engine if request.param == "full" else engine_nf4).loaded
