"""PIR-GRPO on the official model: its gradient is the plain one, it learns, resumes exactly, and says what is wrong."""

import copy
import json
import shutil
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from tempo_core.errors import Cancelled, InputError
from tests.train.conftest import cancel_in_layer, example_of, sampled
from tests.train.grpo.plain import plain_logprobs
from train.checkpoints import read_lines
from train.config import PirGrpoConfig
from train.data.encoding import Encoder
from train.data.examples import Example
from train.grpo.losses import advantages
from train.grpo.rewards import reward
from train.grpo.rollouts import prefill, sample_group
from train.grpo.trainer import ROLLOUT_SEED, Groups, PirGrpoTrainer, row_order, run_pir_grpo
from train.trainer import adapt, unwrapped

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(  # peft asks a transformers property by its old name
        "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",
        "ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning",
    ),
]

ROWS = [
    example_of(1, moments=[(1, 4)]),
    example_of(1, query="night"),
    example_of(2, moments=[(0, 2), (5, 8)]),
    example_of(3, query="two squares"),
]


def config_of(**options: Any) -> PirGrpoConfig:
    usual = {
        "method": "full",
        "steps": 4,
        "groups": 2,
        "num_generations": 6,
        "save_steps": 2,
        "logging_steps": 1,
        "rank": 4,
    }
    return PirGrpoConfig(**{**usual, "learning_rate": 1e-3, "warmup_ratio": 0.0, **options})


def model_of(engine: Any, config: PirGrpoConfig) -> Any:
    return adapt(copy.deepcopy(engine.loaded.model), config)


def trained(
    engine: Any, config: PirGrpoConfig, folder: Path, rows: list[Example] = ROWS, **options: Any
) -> Any:
    encoder = Encoder.of(engine.loaded, sample=sampled)
    return run_pir_grpo(model_of(engine, config), encoder, rows, config, folder, **options)


def learned(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def trainer_of(engine: Any, config: PirGrpoConfig, folder: Path) -> PirGrpoTrainer:
    encoder = Encoder.of(engine.loaded, sample=sampled)
    model = model_of(engine, config)
    trainer = PirGrpoTrainer(model, encoder, ROWS, config, folder)
    trainer.create_optimizer_and_scheduler(4)
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def assert_plain_step(trainer: PirGrpoTrainer) -> None:
    """The first step's gradient is that of one row a rollout by the model's own forward."""
    config, item = trainer.config, trainer.dataset[0]
    encoded, model = item["encoded"], cast(Any, trainer.model)
    trainer.training_step(model, dict(item))
    packed = torch.cat(
        [p.grad.flatten() for p in model.parameters() if p.requires_grad and p.grad is not None]
    )
    model.zero_grad()

    model.eval()
    rng = np.random.default_rng([config.seed, ROLLOUT_SEED, 0])
    visual_tokens = trainer.vision.encode(unwrapped(model), encoded.video)
    rollouts = sample_group(
        prefill(model, encoded, visual_tokens),
        encoded,
        trainer.tokenizer,
        rng,
        config,
    )
    earned = [
        reward(rollout.text, encoded.truth, timeline=encoded.video.timeline, end_s=encoded.video.end_s).total
        for rollout in rollouts
    ]
    assert len(set(earned)) > 1
    loss = torch.zeros(())
    for rollout, gain in zip(rollouts, advantages(earned, config.loss_type), strict=True):
        logprobs = plain_logprobs(model, encoded, [rollout.completion], temperature=config.temperature)
        divisor = len(logprobs) if config.loss_type == "grpo" else config.loss_divisor
        loss = loss - gain * logprobs.sum() / divisor / len(rollouts)
    (loss * encoded.example.weight).backward()
    plain = torch.cat(
        [p.grad.flatten() for p in model.parameters() if p.requires_grad and p.grad is not None]
    )
    assert packed.shape == plain.shape
    assert torch.cosine_similarity(packed, plain, dim=0) > 0.9999
    assert (packed.norm() / plain.norm()).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", ["grpo", "dr_grpo"])
@pytest.mark.parametrize("method", ["full", "vision", "lora", "lora-nf4"])
def test_a_steps_gradient_is_that_of_one_row_per_rollout(
    engine: Any, engine_nf4: Any, tmp_path: Path, kind: Any, method: str
) -> None:
    chosen = engine_nf4 if method == "lora-nf4" else engine
    config = config_of(
        method="lora" if "lora" in method else "full",
        loss_type=kind,
        groups=1,
        temperature=0.8,
        train_vision=method == "vision",
    )
    assert_plain_step(trainer_of(chosen, config, tmp_path))


def test_it_learns_what_is_rewarded(engine: Any, tmp_path: Path) -> None:
    config = config_of(
        steps=30, groups=4, num_generations=8, logging_steps=5, save_steps=30, learning_rate=3e-3
    )
    trained(engine, config, tmp_path)
    lines = read_lines(tmp_path / "curves.jsonl")
    assert lines[-1]["reward"] > lines[0]["reward"] + 0.15
    assert {"tiou", "refusal", "over_refusal", "length", "spread", "live", "learning_rate"} <= set(lines[-1])
    assert [line["step"] for line in lines] == [1, 5, 10, 15, 20, 25, 30]


@pytest.mark.parametrize(
    "options",
    [
        {"method": "lora", "beta": 0.05},
        {"method": "full", "beta": 0.05},
        {"method": "lora", "gradient_checkpointing": True},
        {"method": "lora", "num_iterations": 2, "learning_rate": 1e-2},
        {"method": "full", "constrained": False, "max_new_tokens": 12},
        {"method": "full", "constrained": False, "thinking": True, "max_new_tokens": 12},
        {"method": "full", "train_vision": True},
        {"method": "full", "inject_refusal": "irrelevant"},
        {"method": "full", "skip_uniform_groups": False, "loss_type": "grpo"},
    ],
    ids=lambda options: "-".join(f"{name}" for name in options),
)
def test_every_setting_runs_and_changes_only_what_it_should(
    engine: Any, tmp_path: Path, options: dict
) -> None:
    config = config_of(**options)
    before = model_of(engine, config)
    after = trained(engine, config, tmp_path)
    changed = {
        name for name, value in learned(after).items() if not torch.equal(value, learned(before)[name])
    }
    frozen = {name for name, p in before.named_parameters() if not p.requires_grad}
    assert all(
        torch.equal(dict(after.named_parameters())[name], dict(before.named_parameters())[name])
        for name in frozen
    )
    assert any(".visual." in name for name in changed) == config.train_vision
    if config.constrained:
        assert changed
    lines = read_lines(tmp_path / "curves.jsonl")
    assert len(lines) == 4
    assert all(line.get("kl", 0) >= 0 for line in lines)
    if config.beta:
        assert lines[0]["kl"] == pytest.approx(0, abs=1e-6)
        assert lines[-1]["kl"] > 0


@pytest.mark.parametrize("where", ["irrelevant", "always"])
def test_a_refusal_is_shown_where_nobody_refuses_and_is_not_counted_as_the_models(
    engine: Any, tmp_path: Path, where: str
) -> None:
    """A model that would never refuse: irrelevant groups teach that it should, relevant ones that it should not."""
    encoder = Encoder.of(engine.loaded, sample=sampled)
    grammar = encoder.encode(ROWS[0]).video.grammar
    trainer = trainer_of(engine, config_of(inject_refusal=where, groups=4), tmp_path)
    model = cast(Any, trainer.model)
    head, hidden = model.lm_head, model.lm_head.forward

    def never_refuses(states: torch.Tensor) -> torch.Tensor:
        logits = hidden(states)
        logits[..., grammar.refusal_ids[0]] = -30.0
        return logits

    head.forward = never_refuses
    unshown = 0
    for place in range(4):
        item = trainer.dataset[place]
        group = trainer.generate_group(model, item["place"], item["encoded"])
        choices = torch.bincount(group.row.completion_idx).tolist()
        if where == "irrelevant" and item["encoded"].truth:
            assert 1 not in choices
            unshown += 1
            continue
        assert choices.count(1) == 1  # only the refusal is decided by a single choice
        gain = float(group.advantages[choices.index(1)])
        assert gain < 0 if item["encoded"].truth else gain > 0
    assert trainer.counts["groups"] == 4
    assert (trainer.counts["refusal"], trainer.counts["over_refusal"]) == (0, 0)
    assert trainer.counts["rollouts"] == 4 * (trainer.config.num_generations - 1) + unshown


def test_four_bits_with_an_adapter(engine_nf4: Any, tmp_path: Path) -> None:
    config = config_of(method="lora", beta=0.01)
    model = trained(engine_nf4, config, tmp_path)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    assert any(value.abs().sum() > 0 for name, value in learned(model).items() if "lora_B" in name)


class Killed(Exception):
    """Stands for a kill: nothing after it runs."""


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("updates", [1, 2])
def test_a_killed_run_ends_as_one_that_was_not(
    engine: Any, tmp_path: Path, method: str, updates: int
) -> None:
    config = config_of(method=method, steps=6, num_iterations=updates)
    whole = learned(trained(engine, config, tmp_path / "whole"))

    def kill(line: dict[str, Any]) -> None:
        if line["step"] == 3:
            raise Killed

    with pytest.raises(Killed):
        trained(engine, config, tmp_path / "killed", on_progress=kill)
    torn = tmp_path / "killed" / "states" / "checkpoint-4"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"cut short")
    again = learned(trained(engine, config, tmp_path / "killed"))
    assert all(torch.equal(again[name], value) for name, value in whole.items())
    lines = [read_lines(tmp_path / name / "curves.jsonl") for name in ("whole", "killed")]
    for line in (*lines[0], *lines[1]):
        line.pop("seconds")
    assert lines[0] == lines[1]

    def broken(example: Any) -> Any:
        raise AssertionError("a run that has ended reads no clip")

    encoder = Encoder.of(engine.loaded, sample=broken)
    loaded = run_pir_grpo(model_of(engine, config), encoder, ROWS, config, tmp_path / "killed")
    assert all(torch.equal(learned(loaded)[name], value) for name, value in whole.items())


def test_a_run_can_be_stopped_and_goes_on(engine: Any, tmp_path: Path) -> None:
    config = config_of(steps=6, num_iterations=2, save_steps=2)
    cancel = threading.Event()

    def stop(line: dict[str, Any]) -> None:
        if line["step"] == 2:
            cancel.set()

    with pytest.raises(Cancelled, match="step 2 of 6"):
        trained(engine, config, tmp_path / "a", on_progress=stop, cancel=cancel)
    stopped = learned(trained(engine, config, tmp_path / "a"))
    whole = learned(trained(engine, config, tmp_path / "b"))
    assert all(torch.equal(stopped[name], value) for name, value in whole.items())


@pytest.mark.parametrize("num_iterations", [1, 2])
def test_a_run_stops_while_it_samples_and_ends_with_the_same_weights(
    engine: Any, tmp_path: Path, num_iterations: int
) -> None:
    """Between two tokens of a rollout; within a block of iterations it goes on from the block's beginning."""
    config = config_of(num_iterations=num_iterations, method="lora")
    encoder = Encoder.of(engine.loaded, sample=sampled)

    def model_with_passes(cancel: threading.Event, at: int) -> tuple[Any, list[int]]:
        model = model_of(engine, config)
        return model, cancel_in_layer(model, cancel, at=at)

    model, passes = model_with_passes(threading.Event(), 0)
    passes_by_step = list[int]()
    run_pir_grpo(
        model,
        encoder,
        ROWS,
        config,
        tmp_path / "whole",
        on_progress=lambda line: passes_by_step.append(len(passes)),
    )
    # the second pass of step 4 reads a token behind the first group's prompt, or is of the second iteration
    cancel, at = threading.Event(), passes_by_step[2] + 2
    stopped, passes = model_with_passes(cancel, at)
    whole_steps = 3 if num_iterations == 1 else 2
    with pytest.raises(Cancelled, match=f"Stopped at step {whole_steps} of 4"):
        run_pir_grpo(stopped, encoder, ROWS, config, tmp_path / "stopped", cancel=cancel)
    assert len(passes) == at
    resumed = run_pir_grpo(model_of(engine, config), encoder, ROWS, config, tmp_path / "stopped")
    assert all(torch.equal(learned(resumed)[name], value) for name, value in learned(model).items())


@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_stops_on_a_plateau_also_when_it_is_killed_before_the_result_is_written(
    engine: Any, tmp_path: Path, method: str
) -> None:
    config = config_of(steps=40, patience=2, min_gain=10.0, save_steps=40, method=method)
    first = learned(trained(engine, config, tmp_path))
    marker = tmp_path / "done.json"
    assert json.loads(marker.read_text())["steps"] == 4
    marker.unlink()
    shutil.rmtree(tmp_path / ("checkpoint" if method == "full" else "adapter"))
    again = dict(trained(engine, config, tmp_path).named_parameters())
    assert json.loads(marker.read_text())["steps"] == 4
    assert all(torch.equal(again[name], value) for name, value in first.items())


def test_a_run_belongs_to_the_weights_that_it_began_with(engine: Any, tmp_path: Path) -> None:
    config = config_of(method="lora", steps=2)
    trained(engine, config, tmp_path)
    encoder = Encoder.of(engine.loaded, sample=sampled)
    other = model_of(engine, config)
    next(p for p in other.parameters() if p.requires_grad).data.add_(1)
    with pytest.raises(InputError, match="differs in start"):
        run_pir_grpo(other, encoder, ROWS, config, tmp_path)


def test_groups_that_agree_change_nothing(engine: Any, tmp_path: Path) -> None:
    config = config_of(temperature=0.01, steps=2)
    before, after = learned(model_of(engine, config)), learned(trained(engine, config, tmp_path))
    assert all(line["live"] == 0 for line in read_lines(tmp_path / "curves.jsonl"))
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_every_row_comes_once_an_epoch_and_the_seed_decides() -> None:
    order = row_order(5, 12, seed=1)
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert row_order(5, 7, seed=1) == order[:7]
    assert row_order(5, 12, seed=2) != order
    order = row_order(4, 4000, seed=0, weights=[0, 1, 3, 0])
    assert set(order) == {1, 2}
    assert order.count(2) / len(order) == pytest.approx(0.75, abs=0.03)
    for weights in ([1, 2], [0] * 5, [1, 1, 1, 1, -1], [1, 1, 1, 1, float("nan")]):
        with pytest.raises(InputError, match="Sampling weights"):
            row_order(5, 5, seed=0, weights=weights)


def test_updates_repeat_a_block_of_groups(encoder: Encoder) -> None:
    groups = Groups(ROWS, encoder, config_of(steps=4, groups=2, num_iterations=2), devices=1)
    assert [groups.place(item) for item in range(8)] == [0, 1, 0, 1, 2, 3, 2, 3]
    assert [groups[item]["place"] for item in range(8)] == [0, 1, 0, 1, 2, 3, 2, 3]
    groups.close()


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "no training rows"),
        (
            [Example(row_id="v", video=Path("v"), query="q", duration_s=1.0, moments=(), split="val")],
            "held|split",
        ),
    ],
)
def test_rows_that_must_not_teach_are_refused(engine: Any, tmp_path: Path, rows: list, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        trained(engine, config_of(), tmp_path, rows)


@pytest.mark.parametrize(
    "options",
    [
        {"num_generations": 1},
        {"num_iterations": 3},
        {"temperature": 0},
        {"beta": -1},
        {"thinking": True},
        {"inject_refusal": "always", "constrained": False},
        {"inject_refusal": "sometimes"},
        {"epsilon": (1.5, 0.2)},
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict) -> None:
    with pytest.raises(InputError, match="PirGrpoConfig"):
        config_of(**options)
