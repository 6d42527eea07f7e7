"""Supervised fine-tuning: it learns, only answers count, and a killed run ends as one that was not."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tempo_core.checkpoint import check_adapter, fingerprint
from tempo_core.engine import load_engine
from tempo_core.errors import Cancelled, InputError
from tempo_core.loading import load_model
from tests.train.conftest import cancel_in_layer, example_of, sampled
from tests.train.grpo.plain import pixel_inputs
from train.checkpoints import last_state, read_lines
from train.config import SftConfig
from train.data.encoding import Encoder
from train.data.examples import Example
from train.sft.trainer import run_sft
from train.trainer import adapt

QUICK = SftConfig(
    rank=4,
    alpha=8,
    learning_rate=1e-2,
    steps=6,
    questions_per_row=2,
    per_device_train_batch_size=2,
    save_steps=2,
    logging_steps=2,
    threads=1,
)
ROWS = [
    example_of(0, query="a red circle appears", moments=[(2, 4)]),
    example_of(0, query="a green star"),
    example_of(1, query="a blue square", moments=[(0, 2), (4, 8)]),
    example_of(2, query="two circles meet", moments=[(5, 8)]),
]
ROWS = [replace(row, row_id=f"rows/{number}") for number, row in enumerate(ROWS)]


def train(
    checkpoint: Path, out: Path, config: SftConfig = QUICK, *, four_bit: bool = False, **options: Any
) -> Any:
    loaded = load_model(checkpoint, four_bit=four_bit, device="cpu")
    defaults = replace(loaded.defaults, tokens_per_frame=2.0)
    encoder = Encoder(loaded.tokenizer, defaults, loaded.normaliser, sample=sampled)
    model = adapt(loaded.model, config, parent=options.pop("parent", None))
    options.pop("on_model", lambda model: None)(model)
    return run_sft(model, encoder, options.pop("rows", ROWS), config, out, **options)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "adapter" / "adapter_model.safetensors")


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.fixture(scope="module")
def whole(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole")
    train(checkpoint, out)
    return out


def test_it_learns_and_writes_curves(whole: Path, checkpoint: Path) -> None:
    lines = read_lines(whole / "curves.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 4, 6]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert {"stage", "steps", "seconds", "exact", "length", "learning_rate"} <= lines[0].keys()
    base = fingerprint(checkpoint)
    assert check_adapter(whole / "adapter", base)
    engine = load_engine(checkpoint, adapter=whole / "adapter", four_bit=False)
    assert "+adapter@" in engine.model_id
    assert (
        json.loads((whole / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] is None
    )


def test_the_same_seed_twice_is_the_same_adapter(whole: Path, checkpoint: Path, tmp_path: Path) -> None:
    train(checkpoint, tmp_path)
    assert_same(weights(tmp_path), weights(whole))


@pytest.mark.parametrize("at", [1, 3, 5])
@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_adapter(
    whole: Path, checkpoint: Path, tmp_path: Path, at: int
) -> None:
    class Killed(Exception):
        pass

    lines = []

    def kill(line: dict[str, Any]) -> None:
        lines.append(line)
        if line["step"] >= at:
            raise Killed

    with pytest.raises(Killed):
        train(checkpoint, tmp_path, on_progress=kill)
    train(checkpoint, tmp_path)
    assert_same(weights(tmp_path), weights(whole))
    assert [line["step"] for line in read_lines(tmp_path / "curves.jsonl")] == [1, 2, 4, 6]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.slow
def test_a_run_stops_in_the_middle_of_a_step_and_ends_with_the_same_adapter(
    whole: Path, checkpoint: Path, tmp_path: Path, backward: bool
) -> None:
    """Neither the batch nor the step is gone through to its end, and no whole step is lost."""
    cancel, passes = threading.Event(), list[list[int]]()

    def watch(model: Any) -> None:
        passes.append(cancel_in_layer(model, cancel, at=4, backward=backward))

    with pytest.raises(Cancelled, match="Stopped at step 3 of 6"):
        train(checkpoint, tmp_path, on_model=watch, cancel=cancel)
    assert passes == [[1, 2, 3, 4]]
    train(checkpoint, tmp_path)
    assert_same(weights(tmp_path), weights(whole))


def test_every_batch_of_a_step_is_told(checkpoint: Path, tmp_path: Path) -> None:
    config = replace(QUICK, steps=2, gradient_accumulation_steps=2, per_device_train_batch_size=1)
    lines = list[dict[str, Any]]()
    train(checkpoint, tmp_path, config, on_batch=lines.append)
    places = [(line["step"], line["batch"]) for line in lines]
    assert places == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    assert {(line["steps"], line["batches"]) for line in lines} == {(2, 2)}
    assert lines[1]["loss"] > 0


@pytest.mark.slow
def test_a_stopped_run_of_every_weight_ends_with_the_same_weights(checkpoint: Path, tmp_path: Path) -> None:
    config = replace(QUICK, method="full", learning_rate=1e-3)
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        train(checkpoint, tmp_path / "stopped", config, on_progress=lambda line: cancel.set(), cancel=cancel)
    stopped = train(checkpoint, tmp_path / "stopped", config)
    assert_same(stopped.state_dict(), train(checkpoint, tmp_path / "whole", config).state_dict())


@pytest.mark.slow
def test_a_state_that_a_kill_cut_short_is_not_used(whole: Path, checkpoint: Path, tmp_path: Path) -> None:
    cancel = threading.Event()

    def stop(line: dict[str, Any]) -> None:
        if line["step"] == 4:
            cancel.set()

    with pytest.raises(Cancelled, match="Stopped at step 4 of 6"):
        train(checkpoint, tmp_path, on_progress=stop, cancel=cancel)
    broken = tmp_path / "states" / "checkpoint-5"
    broken.mkdir()
    (broken / "adapter_model.safetensors").write_bytes(b"half")
    state = last_state(tmp_path)
    assert state is not None
    assert state.name == "checkpoint-4"
    assert not broken.exists()
    train(checkpoint, tmp_path)
    assert_same(weights(tmp_path), weights(whole))


def test_an_ended_run_is_loaded_and_another_is_refused(whole: Path, checkpoint: Path) -> None:
    before = (whole / "curves.jsonl").read_text()
    model = train(checkpoint, whole)
    lora_weights = {name: value for name, value in model.named_parameters() if "lora" in name}
    for name, value in weights(whole).items():
        assert torch.equal(lora_weights[name.replace(".weight", ".default.weight")], value)
    assert (whole / "curves.jsonl").read_text() == before
    with pytest.raises(InputError, match="holds another run"):
        train(checkpoint, whole, replace(QUICK, learning_rate=1e-3))
    with pytest.raises(InputError, match="it differs in rows"):
        train(checkpoint, whole, rows=ROWS[:2])


def test_it_goes_on_from_a_parent(whole: Path, checkpoint: Path, tmp_path: Path) -> None:
    train(checkpoint, tmp_path, replace(QUICK, steps=1, learning_rate=1e-9), parent=whole / "adapter")
    for name, value in weights(tmp_path).items():
        torch.testing.assert_close(value, weights(whole)[name], atol=1e-6, rtol=0)


def test_a_four_bit_base_is_trained_on_and_stays_as_it_is(checkpoint: Path, tmp_path: Path) -> None:
    model = train(checkpoint, tmp_path, replace(QUICK, steps=2), four_bit=True)
    assert any("lora_B" in name and value.abs().sum() > 0 for name, value in model.named_parameters())
    base = {name for name, value in model.named_parameters() if value.requires_grad}
    assert base
    assert all("lora" in name for name in base)


def test_every_weight_can_be_trained(checkpoint: Path, tmp_path: Path) -> None:
    config = replace(QUICK, method="full", learning_rate=1e-4, steps=2)
    model = train(checkpoint, tmp_path, config)
    again = load_model(tmp_path / "checkpoint", four_bit=False, device="cpu").model
    before = load_model(checkpoint, four_bit=False, device="cpu").model.state_dict()
    after = again.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in model.state_dict().items())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("language_model" in name for name in changed)
    assert not any("visual" in name for name in changed)


@pytest.mark.slow
def test_gradient_checkpointing_and_accumulation_change_nothing_but_memory(
    checkpoint: Path, tmp_path: Path
) -> None:
    one = replace(QUICK, steps=2, save_steps=2)
    two_clips = ROWS[:3]  # one has two questions: what a step adds up must be weighed by tokens
    train(checkpoint, tmp_path / "plain", one, rows=two_clips)
    variants = {
        "checkpointed": replace(one, gradient_checkpointing=True),
        "accumulated": replace(one, per_device_train_batch_size=1, gradient_accumulation_steps=2),
    }
    for variant, config in variants.items():
        train(checkpoint, tmp_path / variant, config, rows=two_clips)
        for name, value in weights(tmp_path / variant).items():
            torch.testing.assert_close(value, weights(tmp_path / "plain")[name], atol=1e-6, rtol=1e-5)


def test_a_heavy_row_is_learned_and_a_light_one_is_not(checkpoint: Path, tmp_path: Path) -> None:
    """Two contradicting answers to one question: the one with the weight wins."""
    heavy = example_of(0, moments=[(2, 4)])
    light = replace(example_of(0), row_id="light", weight=0.02)
    encoder = Encoder(*terse_parts(checkpoint), sample=sampled)
    model = train(checkpoint, tmp_path, replace(QUICK, steps=20, save_steps=20), rows=[heavy, light])
    example_asked, example_refused = (encoder.encode(row) for row in (heavy, light))
    assert logprob(model, example_asked) > logprob(model, example_refused)


def terse_parts(checkpoint: Path) -> tuple[Any, Any, Any]:
    loaded = load_model(checkpoint, four_bit=False, device="cpu")
    return loaded.tokenizer, replace(loaded.defaults, tokens_per_frame=2.0), loaded.normaliser


@torch.no_grad()
def logprob(model: Any, encoded: Any) -> float:
    """Of the first token of the answer."""
    ids = torch.tensor([[*encoded.prompt_ids, encoded.answer_ids[0]]])
    output = model(input_ids=ids, use_cache=False, **pixel_inputs(model, encoded.video, ids))
    return float(output.logits[0, -2].log_softmax(-1)[encoded.answer_ids[0]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [([], "no training rows"), ([replace(ROWS[0], split="val")], "must not be trained on")],
)
def test_rows_that_may_not_teach(checkpoint: Path, tmp_path: Path, rows: list[Example], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(checkpoint, tmp_path, rows=rows)


@pytest.mark.parametrize(
    "fields",
    [
        {"rank": 0},
        {"steps": 0},
        {"learning_rate": 0.0},
        {"save_steps": 3},
        {"method": "some"},
        {"train_vision": True},
    ],
)
def test_a_configuration_checks_itself(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"SftConfig\.{next(iter(fields))}"):
        replace(QUICK, **fields)
