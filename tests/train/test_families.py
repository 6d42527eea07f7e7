"""Every family learns as its plain twin does: supervised rows and groups of answers, gradients and all."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tempo_core.engine import Engine, load_engine
from tempo_core.families import family_of
from tests.tempo_core.conftest import make_video
from tests.tempo_core.family_checkpoints import ALL, save_checkpoint
from tests.train.conftest import example_of, sampled
from tests.train.grpo.plain import assert_equal_gradients, pixel_inputs, plain_logprobs
from tests.train.grpo.test_group_forward import completions, gradient
from tests.train.grpo.test_trainer import assert_plain_step
from train.config import PirGrpoConfig, SftConfig
from train.data.encoding import Encoded, Encoder
from train.grpo.group_forward import group_logprobs, pack
from train.grpo.rollouts import distinct, prefill, sample_group
from train.grpo.trainer import PirGrpoTrainer
from train.sft.packing import make_batch, plan_batches
from train.sft.trainer import SftTrainer, run_sft
from train.trainer import PrefetchedDataset, adapt, encode_video, unwrapped

QUICK = SftConfig(
    rank=4, alpha=8, steps=1, questions_per_row=2, per_device_train_batch_size=2, logging_steps=1, threads=1
)
ROWS = [
    example_of(0, query="a red circle appears", moments=[(2, 4)]),
    example_of(0, query="a green star"),
    replace(example_of(1, query="a blue square", moments=[(0, 2), (4, 8)]), weight=0.5),
]


@pytest.fixture(scope="module", params=ALL)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp(request.param), request.param, tokenizer)


@pytest.fixture
def family_engine(folder: Path) -> Engine:
    return load_engine(folder, four_bit=False, device="cpu")


@pytest.fixture
def family_encoder(family_engine: Engine) -> Encoder:
    defaults = replace(family_engine.defaults, tokens_per_frame=2.0)
    return Encoder(family_engine.loaded.tokenizer, defaults, family_engine.loaded.normaliser, sample=sampled)


def _adapted(engine: Engine) -> Any:
    """The model with an adapter that is no longer at its beginning, so that both of its matrices get gradients."""
    model = adapt(engine.loaded.model, QUICK)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.05)
    return model


def _plain_loss(model: Any, questions: list[Encoded]) -> torch.Tensor:
    """Weighted negative log-likelihood of the answers' tokens by the model's own forward, a question at a time."""
    losses, tokens = [], 0
    for question in questions:
        ids = torch.tensor([[*question.prompt_ids, *question.answer_ids]])
        output = model(input_ids=ids, use_cache=False, **pixel_inputs(unwrapped(model), question.video, ids))
        logprobs = output.logits[0, len(question.prompt_ids) - 1 : -1].log_softmax(-1)
        answer = torch.tensor(question.answer_ids)[:, None]
        losses.append(-logprobs.gather(-1, answer).sum() * question.example.weight)
        tokens += len(question.answer_ids)
    return torch.stack(losses).sum() / tokens


@pytest.mark.filterwarnings("ignore:.*pin_memory.*")
def test_a_supervised_step_equals_its_plain_twin(
    family_engine: Engine, family_encoder: Encoder, tmp_path: Path
) -> None:
    model = _adapted(family_engine).train()
    packs_rows = family_of(unwrapped(model)).packs_rows
    rng = np.random.default_rng(0)
    plan, steps = plan_batches(ROWS, QUICK, family_encoder.defaults, packs_rows=packs_rows)
    trainer = SftTrainer(
        model,
        QUICK,
        PrefetchedDataset(len(plan), lambda idx: make_batch(plan[idx], ROWS, family_encoder, rng)),
        tmp_path,
        steps=steps,
        gradient_accumulation_steps=1,
        lr_scheduler_type="cosine",
    )
    loss = trainer.compute_loss(model, make_batch(plan[0], ROWS, family_encoder, rng))
    loss.backward()
    fast = gradient(model)
    in_batch = [idx for row in plan[0] for idx in row.example_idx]
    twin = _plain_loss(model, [family_encoder.encode(ROWS[idx]) for idx in in_batch])
    twin.backward()
    assert len(in_batch) >= 2
    assert loss.item() == pytest.approx(twin.item(), abs=1e-4)
    assert_equal_gradients(fast, gradient(model))


def test_a_groups_gradient_equals_its_plain_twin(family_engine: Engine, family_encoder: Encoder) -> None:
    model = _adapted(family_engine).train()
    encoded = family_encoder.encode(example_of(2))
    answers = completions(encoded, family_encoder.tokenizer)
    with torch.no_grad():
        visual_tokens = encode_video(model, encoded.video)
    row = pack(encoded, answers, one_row=family_of(unwrapped(model)).packs_rows)
    advantages = torch.tensor([0.5, -1.0, 1.5, 0.2, -0.7, -0.5])[row.completion_idx]
    logprobs = group_logprobs(model, row, visual_tokens, temperature=0.9)
    (-(advantages * logprobs).sum()).backward()
    fast = gradient(model)
    plain = plain_logprobs(model, encoded, answers, temperature=0.9)
    (-(advantages * plain).sum()).backward()
    torch.testing.assert_close(logprobs, plain, atol=2e-5, rtol=1e-5)
    assert_equal_gradients(fast, gradient(model))


def test_a_step_of_practice_equals_its_plain_twin(
    family_engine: Engine, family_encoder: Encoder, tmp_path: Path
) -> None:
    config = PirGrpoConfig(
        steps=1, groups=1, num_generations=4, rank=4, temperature=0.8, loss_type="dr_grpo", threads=1
    )
    trainer = PirGrpoTrainer(_adapted(family_engine), family_encoder, ROWS, config, tmp_path)
    trainer.create_optimizer_and_scheduler(1)
    trainer.current_gradient_accumulation_steps = 1
    assert_plain_step(trainer)


def test_sampled_log_probabilities_are_the_forwards(family_engine: Engine, family_encoder: Encoder) -> None:
    model, encoded = family_engine.loaded.model, family_encoder.encode(example_of(1))
    visual_tokens = encode_video(model, encoded.video)
    rollouts = sample_group(
        prefill(model, encoded, visual_tokens),
        encoded,
        family_encoder.tokenizer,
        np.random.default_rng(0),
        PirGrpoConfig(),
    )
    answers, _ = distinct(rollouts)
    row = pack(encoded, [answer.completion for answer in answers], one_row=family_of(model).packs_rows)
    with torch.no_grad():
        logprobs = group_logprobs(model, row, visual_tokens)
    recorded = [answer.logprobs[step] for answer in answers for step in answer.completion.choices]
    assert logprobs.tolist() == pytest.approx(recorded, abs=5e-5)


def test_a_step_leaves_an_adapter_that_loads_and_changes_the_answers(
    folder: Path, family_engine: Engine, family_encoder: Encoder, tmp_path: Path
) -> None:
    config = replace(QUICK, learning_rate=0.1)
    model = adapt(family_engine.loaded.model, config)
    run_sft(model, family_encoder, ROWS, config, tmp_path)
    before = load_engine(folder, four_bit=False, device="cpu")
    after = load_engine(folder, adapter=tmp_path / "adapter", four_bit=False, device="cpu")
    assert (after.protocol.name, after.loaded.choice.is_known) == ("tempo", True)
    video = make_video(0)
    relevance = [engine.ask(engine.encode(video), "a red circle").relevance for engine in (before, after)]
    assert abs(relevance[0] - relevance[1]) > 1e-3
