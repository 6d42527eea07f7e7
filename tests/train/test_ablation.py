"""The ablations' parts: controls that differ in one thing only, and a whole run at toy size."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from tempo_core.allocation import allocate
from tempo_core.checkpoint import SHIPPED
from tempo_core.errors import InputError
from tempo_core.loading import load_model
from train.experiments.ablation import ABLATIONS, Ablation, recipe_of, run_ablation
from train.experiments.world import ReadingConfig, WorldPlan, held_out_clips, truth_rows
from train.scratch.architecture import new_model
from train.scratch.batches import IGNORED, videos
from train.scratch.checkpoint import export, start_in
from train.scratch.recipe import Mixture, Phase, ScratchRecipe
from train.scratch.run import run
from train.scratch.stamp_styles import STYLES, styled_context

STAMPS = ["0000.0", "0002.0", "0004.0", "0006.0"]


def test_shifted_spends_what_saa_spends_two_frames_later():
    frames = np.zeros((12, 56, 56, 3), dtype=np.uint8)
    frames[6:] = 200
    budget = {"budget_tokens": 48, "min_tokens": 1, "max_tokens": 16}
    saa, shifted = (allocate(frames, allocator=name, **budget) for name in ("saa", "shifted"))
    assert saa.tokens[6] > saa.tokens[9]
    np.testing.assert_array_equal(
        np.flatnonzero(saa.tokens == saa.tokens.max()) + 2, np.flatnonzero(shifted.tokens >= 9)
    )
    assert shifted.tokens.sum() == saa.tokens.sum()


def test_styles_say_the_time_each_in_its_way(shapeworld_tokenizer):
    texts = {
        style: shapeworld_tokenizer.decode(styled_context(shapeworld_tokenizer, STAMPS, [1, 1, 1], style))
        for style in STYLES
    }
    assert texts["interleaved"].count("0002.0<|vision_start|>") == 1
    assert texts["unpadded"].count("2.0<|vision_start|>") == 1
    assert "0002.0" not in texts["unpadded"]
    assert "0000.0 0002.0 0004.0 0006.0 <|vision_start|>" in texts["once"]
    assert "." not in texts["none"]


@pytest.mark.parametrize("style", STYLES)
def test_attention_points_at_the_frame_whose_stamp_is_written(shapeworld_tokenizer, style):
    mixture = Mixture(videos=2, questions=4, ticks=(8, 8), rich_share=0.0, stamps=style)
    batch = videos(3, seed=0, mixture=mixture, tokenizer=shapeworld_tokenizer)
    pieces = set(shapeworld_tokenizer.convert_tokens_to_ids([f"{n:02d}" for n in range(100)]))
    pieces |= set(
        shapeworld_tokenizer.convert_tokens_to_ids([str(n) for n in range(10)] + [f".{n}" for n in range(10)])
    )
    written = batch.targets[batch.points[:, 0], batch.points[:, 1], batch.points[:, 2]]
    assert len(batch.points)
    assert set(written.tolist()) <= pieces - {IGNORED}


def test_arms_differ_in_nothing_but_the_arm():
    for ablation in ABLATIONS.values():
        recipes = [recipe_of(ablation, reading, 1, 10) for reading in ablation.arms.values()]
        mixtures = [recipe.phases[0].mixture for recipe in recipes]
        assert len({(m.allocators, m.stamps) for m in mixtures}) == len(ablation.arms)
        assert (
            len({(m.tokens_per_frame, m.min_tokens, m.max_tokens, m.ticks, m.beat_s) for m in mixtures}) == 1
        )


def test_held_out_clips_know_how_large_the_things_are_that_they_ask_for():
    clips = held_out_clips(WorldPlan(clips=6))
    sizes = [row.fields["size"] for row in truth_rows(clips)]
    assert len(sizes) == 30
    assert {"none"} < set(sizes) <= {"none", "tiny", "small", "large"}
    assert all(row.fields["size"] == "none" for row in truth_rows(clips) if not row.windows)


@pytest.mark.parametrize("name", list(ABLATIONS))
def test_a_start_without_weights_is_refused(name, tmp_path):
    for file_name in (None, "state.pt"):  # a state alone does not say what it is the state of
        if file_name:
            (tmp_path / file_name).touch()
        with pytest.raises(InputError, match=r"no state\.pt with its recipe\.json"):
            run_ablation(ABLATIONS[name], tmp_path, tmp_path, seeds=[0], clips=1)


@pytest.mark.slow
def test_a_checkpoint_lends_its_vision_tower_and_nothing_else(tmp_path):
    with pytest.raises(InputError, match=r"no state\.pt"):
        start_in(SHIPPED, fresh_language=False)
    start = start_in(SHIPPED, fresh_language=True)
    recipe = recipe_of(ABLATIONS["stamps"], ReadingConfig(), 3, 0, tokenizer_seed=start.tokenizer_seed)
    lent, tokenizer = run(recipe, tmp_path, start=start, fresh_language=True)
    fresh = new_model(tokenizer, seed=3, whitened=False).state_dict()
    shipped = load_model(SHIPPED, four_bit=False, device="cpu").model.state_dict()
    for name, weight in lent.state_dict().items():
        expected = shipped if ".visual." in name else fresh
        assert torch.equal(weight, expected[name]), name


@pytest.mark.slow
def test_a_checkpoint_with_another_tokenizer_is_refused(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "other")
    described = tmp_path / "other" / "tempo.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | {"seed": 99}))
    with pytest.raises(InputError, match="its tokenizer is another one"):
        start_in(tmp_path / "other", fresh_language=True)


@pytest.mark.slow
def test_a_whole_ablation_at_toy_size(narrow_runs, tmp_path):
    torch.manual_seed(0)
    tiny = Mixture(videos=1, questions=2, ticks=(8, 8), rich_share=0.0)
    first = ScratchRecipe(
        name="toy",
        vision_steps=1,
        vision_frames=16,
        joint_steps=1,
        phases=(Phase(first_step=0, mixture=tiny),),
        loader_processes=0,
        threads=1,
    )
    model, tokenizer = run(first, tmp_path / "first")
    export(model, tokenizer, first, tmp_path / "first" / "checkpoint")
    arms = {style: ReadingConfig(stamps=style) for style in ("interleaved", "none")}
    toy = Ablation(
        name="toy",
        arms=arms,
        steps=1,
        mixture=replace(tiny, beat_s=1.0, odd_clocks=0.0),
        tiers=("rich",),
        fresh_language=True,
    )
    whole = run_ablation(toy, tmp_path / "first", tmp_path / "out", seeds=[0], clips=1)
    assert set(whole["trained"]["rich"]["arms"]) == {"interleaved", "none"}
    assert set(whole["trained"]["rich"]["differences"]) == {"interleaved - none"}
    assert "untrained" not in whole
    assert json.loads((tmp_path / "out" / "toy.json").read_text()) == whole
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("result.json")}
    assert run_ablation(toy, tmp_path / "first", tmp_path / "out", seeds=[0], clips=1) == whole
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("result.json")}
    with pytest.raises(InputError, match="differs in asked"):
        run_ablation(toy, tmp_path / "first", tmp_path / "out", seeds=[0], clips=2)

    whole_language = replace(
        toy,
        name="whole language",
        arms={name: ABLATIONS["allocation"].arms[name] for name in ("saa", "uniform")},
        tiers=("sparse",),
        fresh_language=False,
    )
    whole = run_ablation(whole_language, tmp_path / "first", tmp_path / "out", seeds=[0], clips=2)
    for when in ("trained", "untrained"):
        table = whole[when]["sparse"]
        assert set(table["arms"]) == {"saa", "uniform"}
        assert set(table["differences, tiny and small"]) == {"saa - uniform"}
