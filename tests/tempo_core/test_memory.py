"""The memory plan of published sizes, and of the test model against what loading really takes."""

import json
from pathlib import Path
from typing import Any

import pytest
from bitsandbytes.nn import Linear4bit

from tempo_core.errors import CheckpointError
from tempo_core.loading import load_model
from tempo_core.memory import plan, published

SEVEN = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")


@pytest.mark.parametrize(
    ("name", "parameters", "quantised", "cache_per_token"),
    [
        ("Qwen2-VL-2B-Instruct", 2_208_985_600, 1_310_195_712, 28 * 2 * 2 * 128 * 2),
        ("Qwen2-VL-7B-Instruct", 8_291_375_616, 6_525_288_448, 28 * 2 * 4 * 128 * 2),
    ],
)
def test_the_published_models(name: str, parameters: int, quantised: int, cache_per_token: int) -> None:
    memory_plan = plan(name, device="cuda")
    assert memory_plan.parameters == parameters
    assert memory_plan.quantised_parameters == quantised
    assert len(memory_plan.quantised_modules) == 28 * 7
    assert not [
        module for module in memory_plan.quantised_modules if "visual" in module or "lm_head" in module
    ]
    assert memory_plan.lora_targets == SEVEN
    rest = 2 * (parameters - quantised)
    assert memory_plan.weight_bytes == pytest.approx(rest + quantised * 0.516, rel=0.001)
    assert memory_plan.cache_bytes == (memory_plan.context_tokens + 256) * cache_per_token
    whole = plan(name, device="cuda", four_bit=False)
    assert whole.weight_bytes == 2 * parameters
    assert whole.quantised_modules == ()
    json.dumps(memory_plan.to_dict())
    assert "4-bit layers  196" in memory_plan.describe()


def test_seven_billion_fit_a_card_of_twelve_gigabytes() -> None:
    assert plan("Qwen2-VL-7B-Instruct", device="cuda").total_bytes < 12e9


@pytest.mark.parametrize("four_bit", [False, True])
def test_the_plan_is_what_loading_takes(checkpoint: Path, four_bit: bool) -> None:
    memory_plan = plan(checkpoint, four_bit=four_bit)
    model = load_model(checkpoint, four_bit=four_bit, device="cpu").model
    dense = (
        4 * memory_plan.quantised_parameters
    )  # beside the codes of a small model; transformers counts weights alone
    footprint = model.get_memory_footprint() + dense
    assert memory_plan.weight_bytes == pytest.approx(footprint, rel=0.03)
    real = {name for name, module in model.named_modules() if isinstance(module, Linear4bit)}
    assert set(memory_plan.quantised_modules) == real


def test_the_plan_of_no_qwen(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(CheckpointError, match="holds a 'llama' model; families that run here"):
        plan(tmp_path)


def test_a_configuration_object_is_enough(tokenizer: Any) -> None:
    from tests.tempo_core.conftest import tiny_config

    assert plan(tiny_config(tokenizer)).lora_targets == SEVEN
    assert {"Qwen2-VL-2B-Instruct", "Qwen2-VL-7B-Instruct"} <= set(published())
