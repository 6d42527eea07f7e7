"""Every family: our visual tokens, positions, logits and answers are those of transformers' own model."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bitsandbytes.nn import Linear4bit
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb_vision

from tempo_core import decoding
from tempo_core.decoding import feed, read_prompt, share_cache
from tempo_core.engine import Engine, load_engine
from tempo_core.errors import CheckpointError
from tempo_core.families import check_model_type, family_named, family_of
from tempo_core.families.base import rotate
from tempo_core.memory import plan, quantisable_layers
from tempo_core.positions import grid_sizes, mrope_positions, next_position
from tempo_core.protocols.base import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START, special_id
from tempo_core.vision import encode_frames, image_inputs, pixel_values
from tests.tempo_core.conftest import make_video
from tests.tempo_core.family_checkpoints import ALL, family_config, save_checkpoint
from tests.tempo_core.plain import encode_frames_plain

STILL, GROUP = 1, 2
TIGHT = {"atol": 1e-5, "rtol": 1e-5}
GRIDS = [(1, 2), (3, 5), (2, 2), (3, 5), (4, 3)]
"""Rows and columns of tokens: mixed, some larger than a window, some not a whole number of windows."""


@pytest.fixture(scope="module", params=ALL)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp(request.param), request.param, tokenizer)


@pytest.fixture(scope="module")
def family_engine(folder: Path) -> Engine:
    return load_engine(folder, four_bit=False, device="cpu")


def _units(engine: Engine, frames_per_unit: int) -> tuple[Any, Any]:
    """Noise frames and the sizes of the units in GRIDS; the last group lacks its second frame."""
    count = len(GRIDS) * frames_per_unit - (frames_per_unit - 1)
    frames = np.random.default_rng(0).integers(0, 256, (count, 70, 90, 3), dtype=np.uint8)
    return frames, np.array(GRIDS) * engine.loaded.normaliser.token_px


def _prompt(engine: Engine, frames_per_unit: int) -> list[int]:
    """A text before each unit of GRIDS, and a question behind."""
    tokenizer = engine.loaded.tokenizer
    pad = special_id(tokenizer, IMAGE_PAD if frames_per_unit == STILL else VIDEO_PAD)
    marks = [special_id(tokenizer, mark) for mark in (VISION_START, VISION_END)]
    ids = []
    for number, (rows, columns) in enumerate(GRIDS):
        ids += [*tokenizer(f"00{number}2.0")["input_ids"], marks[0], *[pad] * (rows * columns), marks[1]]
    return [*ids, *tokenizer("Query: a red circle appears.")["input_ids"]]


def _vision(engine: Engine, frames_per_unit: int) -> dict[str, torch.Tensor]:
    """The arguments of the model's own forward for the units."""
    frames, sizes = _units(engine, frames_per_unit)
    pixels, grids = image_inputs(
        engine.loaded.model, frames, sizes, engine.loaded.normaliser, frames_per_unit=frames_per_unit
    )
    if frames_per_unit == STILL:
        return {"pixel_values": pixels, "image_grid_thw": grids}
    return {"pixel_values_videos": pixels, "video_grid_thw": grids}


def _positions(engine: Engine, frames_per_unit: int) -> Any:
    pad = special_id(engine.loaded.tokenizer, IMAGE_PAD if frames_per_unit == STILL else VIDEO_PAD)
    return mrope_positions(_prompt(engine, frames_per_unit), GRIDS, image_token_id=pad)


@pytest.mark.parametrize("frames_per_unit", [STILL, GROUP])
@torch.no_grad()
def test_visual_tokens_are_the_models_own(family_engine: Engine, frames_per_unit: int) -> None:
    model, normaliser = family_engine.loaded.model, family_engine.loaded.normaliser
    frames, sizes = _units(family_engine, frames_per_unit)
    fast = encode_frames(model, frames, sizes, normaliser, frames_per_unit=frames_per_unit)
    twin = encode_frames_plain(model, frames, sizes, normaliser, frames_per_unit=frames_per_unit)
    torch.testing.assert_close(fast, twin, **TIGHT)
    pixels, grids = _vision(family_engine, frames_per_unit).values()
    features = model.model.get_image_features if frames_per_unit == STILL else model.model.get_video_features
    together = family_of(model).features(features(pixels, grids, return_dict=True))
    torch.testing.assert_close(fast, together, **TIGHT)
    assert float(fast.std(dim=0).min()) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_heads_are_turned_as_transformers_turns_them(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    heads = torch.randn(2, 12, 6, 16, generator=generator).to(dtype)
    angles = torch.randn(12, 8, generator=generator).repeat(1, 2)
    turned = rotate(heads, angles.cos()[:, None], angles.sin()[:, None])
    query, key = apply_rotary_pos_emb_vision(*heads.chunk(2, dim=2), angles.cos(), angles.sin())
    assert turned.dtype == dtype
    # one rounding of bfloat16 may fall to the other side
    torch.testing.assert_close(turned, torch.cat([query, key], dim=2))


def test_a_patch_holds_both_frames_of_a_group_channel_by_channel(family_engine: Engine) -> None:
    """Against the definition, pixel by pixel: channel, frame, row, column; patches in 2 x 2 blocks."""
    normaliser = family_engine.loaded.normaliser
    side, patch = normaliser.token_px, normaliser.patch_px
    first, second = np.random.default_rng(1).integers(0, 256, (2, side, 2 * side, 3), dtype=np.uint8)
    patches = pixel_values(first, normaliser, second).reshape(8, 3, 2, patch, patch)
    corners = [
        (row, block * side + column) for block in (0, 1) for row in (0, patch) for column in (0, patch)
    ]
    for patch_values, (top, left) in zip(patches, corners, strict=True):
        for channel, (time, frame) in itertools.product(range(3), enumerate((first, second))):
            cut = frame[top : top + patch, left : left + patch, channel] / 255
            expected = (cut - normaliser.mean[channel]) / normaliser.std[channel]
            np.testing.assert_allclose(patch_values[channel, time], expected, atol=1e-5)


@pytest.mark.parametrize("frames_per_unit", [STILL, GROUP])
def test_positions_are_the_models_own(family_engine: Engine, frames_per_unit: int) -> None:
    ids, vision = (
        torch.tensor([_prompt(family_engine, frames_per_unit)]),
        _vision(family_engine, frames_per_unit),
    )
    pad = special_id(family_engine.loaded.tokenizer, IMAGE_PAD if frames_per_unit == STILL else VIDEO_PAD)
    grid = {name: value for name, value in vision.items() if name.endswith("grid_thw")}
    theirs, _ = family_engine.loaded.model.model.get_rope_index(
        ids, (ids == pad).int() * frames_per_unit, **grid
    )
    np.testing.assert_array_equal(_positions(family_engine, frames_per_unit), theirs[:, 0].numpy())


@pytest.mark.parametrize("piece", [7, 10_000])
@pytest.mark.parametrize("frames_per_unit", [STILL, GROUP])
@torch.no_grad()
def test_logits_behind_the_cache_are_the_forwards(
    family_engine: Engine, monkeypatch: pytest.MonkeyPatch, frames_per_unit: int, piece: int
) -> None:
    monkeypatch.setattr(decoding, "PREFILL_TOKENS", piece)
    model, ids = family_engine.loaded.model, _prompt(family_engine, frames_per_unit)
    frames, sizes = _units(family_engine, frames_per_unit)
    tokens = encode_frames(
        model, frames, sizes, family_engine.loaded.normaliser, frames_per_unit=frames_per_unit
    )
    positions = _positions(family_engine, frames_per_unit)
    cut = len(ids) - 5
    cache, hidden = read_prompt(model, ids[:cut], positions[:, :cut], tokens)
    before = model.lm_head(hidden)
    after = feed(model, torch.tensor([ids[cut:]]), int(positions[0, cut]), cache)

    row = torch.tensor([ids])
    pads = [special_id(family_engine.loaded.tokenizer, pad) for pad in (IMAGE_PAD, VIDEO_PAD)]
    types = (row == pads[0]).int() + 2 * (row == pads[1]).int()
    vision = _vision(family_engine, frames_per_unit)
    theirs = model(input_ids=row, mm_token_type_ids=types, use_cache=False, **vision).logits
    scale = float(theirs.abs().max())
    torch.testing.assert_close(before[0] / scale, theirs[0, cut - 1] / scale, **TIGHT)
    torch.testing.assert_close(after[0] / scale, theirs[0, -1] / scale, **TIGHT)


@torch.no_grad()
def test_a_context_is_read_in_equal_pieces(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short last piece would have the weights unpacked for a handful of tokens."""
    context = engine.encode(make_video(0))
    monkeypatch.setattr(decoding, "PREFILL_TOKENS", context.prefix_tokens - 1)
    stages: list[tuple[str, float]] = []
    engine.encode(make_video(0), on_progress=lambda *step: stages.append(step))
    half = math.ceil(context.prefix_tokens / 2) / context.prefix_tokens
    read = [share for stage, share in stages if stage == "encoding"][-2:]
    assert read == [pytest.approx(0.5 + half / 2), 1.0]


@pytest.mark.parametrize(
    ("model_type", "times", "after", "installed"),
    [
        ("qwen2_vl", tuple(range(20)), [22, 23, 24], [4, 5, 6]),
        ("qwen2_5_vl", tuple(2 * idx for idx in range(20)), [41, 42, 43], [4, 5, 6]),
    ],
)
def test_text_after_a_video_block_stands_after_its_last_group(
    tokenizer: Any, model_type: str, times: tuple[int, ...], after: list[int], installed: list[int]
) -> None:
    """As the checkpoints were trained (transformers 4.57.6 gives `after`). The installed transformers 5.23 counts the
    block's largest side only and puts text inside the video's own times; when that is mended, `installed` changes."""
    family, config = family_named(model_type), family_config(model_type, tokenizer)
    with torch.device("meta"):
        model = family.model_class(config)
    pad = config.video_token_id
    ids = [8, 8, *[pad] * (20 * 2 * 2), 9, 9, 9]
    seconds = [float(idx) for idx in range(20)]
    assert family.temporal_positions(config, seconds) == times
    ours = mrope_positions(ids, [(2, 2)] * 20, image_token_id=pad, times=[times])
    row = torch.tensor([ids])
    theirs, _ = model.model.get_rope_index(
        row, (row == pad).int() * 2, video_grid_thw=torch.tensor([[20, 4, 4]])
    )
    np.testing.assert_array_equal(ours[:, :-3], theirs[:, 0, :-3].numpy())
    assert ours[:, -3:].tolist() == [after] * 3
    assert theirs[:, 0, -3:].tolist() == [installed] * 3


def test_times_of_uneven_groups_are_their_own(tokenizer: Any) -> None:
    config = family_config("qwen2_5_vl", tokenizer)
    times = family_named("qwen2_5_vl").temporal_positions(config, [1.5, 2.0, 3.9, 4.0 - 1e-9])
    assert times == (0, 1, 4, 5)
    assert family_named("qwen2_vl").temporal_positions(config, [1.5, 2.0, 3.9]) == (0, 1, 2)


# --- asking


def test_a_context_is_asked_again_and_again_with_the_same_answers(family_engine: Engine) -> None:
    video = make_video(0)
    context = family_engine.encode(video)
    first = family_engine.ask(context, "a red circle", n_best=3)
    family_engine.ask(context, "two blue squares that meet", n_best=5)
    again = family_engine.ask(context, "a red circle", n_best=3)
    fresh = family_engine.ask(family_engine.encode(video), "a red circle", n_best=3)
    for other in (again, fresh):
        assert (other.text, other.relevance, other.ranked) == (first.text, first.relevance, first.ranked)
    plain = family_engine.ask_plain(video, "a red circle", n_best=3)
    assert plain.text == first.text
    assert plain.relevance == pytest.approx(first.relevance, abs=1e-4)
    assert [moment for moment, _ in plain.ranked] == [moment for moment, _ in first.ranked]


@torch.no_grad()
def test_a_question_leaves_the_cache_as_it_was(family_engine: Engine) -> None:
    context = family_engine.encode(make_video(0))
    model, ids = family_engine.loaded.model, torch.tensor([[300, 301, 302]])
    before = feed(model, ids, context.position, share_cache(context.cache))
    twin = share_cache(context.cache)
    for token in range(300, 304):  # one at a time, as an answer is written
        feed(model, torch.tensor([[token]]), context.position + token - 300, twin)
    torch.testing.assert_close(
        feed(model, ids, context.position, share_cache(context.cache)), before, atol=0, rtol=0
    )
    assert context.cache_bytes() > 0


def test_four_bits_load_and_take_what_the_plan_says(folder: Path) -> None:
    engine = load_engine(folder, four_bit=True, device="cpu")
    model, memory_plan = engine.loaded.model, plan(folder, four_bit=True)
    real = {name for name, module in model.named_modules() if isinstance(module, Linear4bit)}
    assert set(memory_plan.quantised_modules) == real == set(quantisable_layers(model))
    dense = 4 * memory_plan.quantised_parameters  # a small model's, beside the codes
    assert memory_plan.weight_bytes == pytest.approx(model.get_memory_footprint() + dense, rel=0.03)
    context = engine.encode(make_video(0))
    per_token = plan(folder).cache_bytes / (plan(folder).context_tokens + engine.defaults.max_new_tokens)
    assert engine.ask(context, "a red circle").text
    if family_of(model).packs_rows:
        assert context.cache_bytes() == pytest.approx(per_token * context.prefix_tokens, rel=0.01)


def test_the_plan_of_a_linear_cache_is_what_it_takes(tmp_path: Path, tokenizer: Any) -> None:
    engine = load_engine(save_checkpoint(tmp_path, "qwen3_5", tokenizer), four_bit=False, device="cpu")
    context = engine.encode(make_video(0))
    text = engine.loaded.model.config.get_text_config()
    assert family_named("qwen3_5").cache_bytes(text, context.prefix_tokens, 4) == context.cache_bytes()


# --- published sizes and refusals


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen2.5-VL-3B-Instruct", 3_754_622_976),
        ("Qwen2.5-VL-7B-Instruct", 8_292_166_656),
        ("Qwen3-VL-2B-Instruct", 2_127_532_032),
        ("Qwen3-VL-4B-Instruct", 4_437_815_808),
        ("Qwen3-VL-8B-Instruct", 8_767_123_696),
    ],
)
def test_published_sizes_are_the_hubs(name: str, parameters: int) -> None:
    """The numbers of parameters that the hub shows for these checkpoints' safetensors."""
    assert plan(name, device="cuda").parameters == parameters


@pytest.mark.parametrize("kind", ["qwen2_audio", "llama", None, 3])
def test_an_unknown_model_type_is_refused_with_the_families_there_are(kind: Any) -> None:
    with pytest.raises(CheckpointError, match=r"holds a .*qwen2_vl, qwen2_5_vl, qwen3_vl, qwen3_5"):
        check_model_type(kind, "model")


def test_grids_are_in_the_familys_tokens() -> None:
    assert grid_sizes(np.array([[32, 64]]), 32) == [(1, 2)]
    assert next_position(mrope_positions([5, 5], [(1, 2)], image_token_id=5)) == 2
