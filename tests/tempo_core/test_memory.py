"""The memory plan of published sizes, and of the test model against what loading really takes."""

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bitsandbytes.nn import Linear4bit

from tempo_core.defaults import GroundingDefaults
from tempo_core.engine import encode_file, load_engine
from tempo_core.errors import CheckpointError
from tempo_core.loading import load_model
from tempo_core.memory import largest_context, plan, published, text_tokens
from tempo_core.protocols import protocol_named
from tempo_core.video import probe
from tests.tempo_core.family_checkpoints import save_checkpoint

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


def _clip(duration_s: float) -> Any:
    return SimpleNamespace(
        duration_s=duration_s,
        start_s=0.0,
        end_s=duration_s,
        width=1280,
        height=720,
        frame_rate=Fraction(30),
        frame_count=round(30 * duration_s),
    )


def test_the_context_is_that_of_the_protocol_and_the_clip() -> None:
    timelens2 = protocol_named("timelens2")
    memory_plan = plan("MCG-NJU/TimeLens2-8B", device="cuda", protocol=timelens2)
    assert memory_plan.context_tokens > 128_000
    assert memory_plan.clip_s == 1024  # 2,048 frames at two a second
    assert memory_plan.cache_bytes == (memory_plan.context_tokens + 1024) * 36 * 2 * 8 * 128 * 2
    assert memory_plan.asking_bytes == memory_plan.cache_bytes
    assert memory_plan.visual_bytes == 128_000 * 4 * 4096 * 2  # three layers of deepstack behind each token
    assert memory_plan.total_bytes > memory_plan.weight_bytes + 2 * 20e9
    assert "of 1,024 s or longer, as TimeLens2 is asked" in memory_plan.describe()
    short, long = (
        plan("MCG-NJU/TimeLens2-8B", device="cuda", protocol=timelens2, clip=_clip(length_s))
        for length_s in (30, 600)
    )
    assert short.context_tokens < 15_000
    assert 100_000 < long.context_tokens < 128_000
    assert "of 600 s, as TimeLens2 is asked" in long.describe()
    budget = plan(
        "MCG-NJU/TimeLens2-8B", device="cuda", protocol=timelens2, clip=_clip(600), token_budget=4000
    )
    assert (
        budget.context_tokens
        == long.context_tokens - timelens2.sampling.plan(_clip(600)).budget_tokens + 4000
    )  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "clip_s", "tokens"),
    [
        ("tempo", 150, 3584),
        ("time_r1", 384, 6144),
        ("tvg_r1", None, 2048),
        ("unitime", 128, 2 * 16384),
        ("marlin", 32, 32 * 196),
    ],
)
def test_the_largest_context_is_of_the_shortest_clip_that_has_it(
    name: str, clip_s: float | None, tokens: int
) -> None:
    protocol, defaults = protocol_named(name), GroundingDefaults()
    _, visual_tokens, longest_s = largest_context(protocol, defaults, None)
    assert (longest_s, visual_tokens) == (clip_s, tokens)
    for length_s in (7, 40, 100, 5000):
        assert largest_context(protocol, defaults, _clip(length_s))[1] <= visual_tokens
        assert largest_context(protocol, defaults, _clip(length_s), fps=1.0)[2] == length_s


@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        ("qwen2_vl", "tempo"),
        ("qwen2_5_vl", "time_r1"),
        ("qwen3_vl", "timelens_8b"),
        ("qwen3_vl", "timelens2"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"token_budget": 60}, {"fps": 1.0}], ids=["own", "budget", "fps"])
def test_a_planned_context_is_about_what_a_clip_takes(
    tmp_path: Path, tokenizer: Any, clip: Path, model_type: str, name: str, options: dict[str, Any]
) -> None:
    folder = save_checkpoint(tmp_path, model_type, tokenizer)
    engine = load_engine(folder, four_bit=False, device="cpu", protocol=name)
    context = encode_file(engine, clip, **options)
    memory_plan = plan(folder, protocol=engine.protocol, clip=probe(clip), **options)
    visual_tokens = int(context.allocation.tokens.sum())
    assert memory_plan.visual_bytes >= context.prompt.visual_tokens.nbytes  # type: ignore[union-attr]
    words = text_tokens(engine.protocol, 0)  # of the question, which is not in the context
    assert 0.8 * context.prefix_tokens <= memory_plan.context_tokens
    if name != "tempo":  # whose budget may exceed what so few frames take
        assert memory_plan.context_tokens - words <= context.prefix_tokens + 0.5 * visual_tokens + 40


def test_the_plan_of_no_qwen(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(CheckpointError, match="holds a 'llama' model; families that run here"):
        plan(tmp_path)


def test_a_configuration_object_is_enough(tokenizer: Any) -> None:
    from tests.tempo_core.conftest import tiny_config

    assert plan(tiny_config(tokenizer)).lora_targets == SEVEN
    assert {"Qwen2-VL-2B-Instruct", "Qwen2-VL-7B-Instruct"} <= set(published())
