"""A tiny run of tempo-tiny-natural: it begins with the checkpoint that ships, resumes exactly, and can be carried."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

from tempo_core.checkpoint import SHIPPED
from tempo_core.errors import InputError
from tempo_core.vocabulary import read_vocabulary
from train.checkpoints import read_lines
from train.naturalworld.assets import Assets
from train.recipes import RECIPES, tempo_tiny_natural
from train.scratch.architecture import tiny_config
from train.scratch.checkpoint import checkpoint_start, export
from train.scratch.recipe import ScratchRecipe
from train.scratch.run import SMALL_STATE, STATE, is_natural, run
from train.scratch.tokenizer import build_tokenizer


def tiny_recipe() -> ScratchRecipe:
    """One vision step and four joint steps, of both worlds."""
    whole = tempo_tiny_natural()
    few = replace(whole.phases[0].mixture, videos=2, questions=2, ticks=(8, 8), natural_share=0.5)
    return replace(
        whole,
        vision_steps=1,
        vision_frames=8,
        joint_steps=4,
        phases=(replace(whole.phases[0], mixture=few),),
        threads=1,
        loader_processes=0,
        save_every=1,
        record_every=1,
    )


@pytest.mark.slow
def test_a_run_resumes_exactly_and_goes_on_elsewhere_from_its_small_state(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = build_tokenizer(
        0, sentences=["a wine glass", "no dog is on screen", "the camera zooms in"] * 9
    )
    monkeypatch.setattr(
        "train.scratch.run.build_tokenizer", lambda seed, sentences: tokenizer
    )  # once for three runs
    recipe, start = tiny_recipe(), checkpoint_start(SHIPPED)
    assert len({is_natural(step, 0.5, recipe.seed) for step in range(4)}) == 2, "both worlds are seen"
    whole, resumed, carried = (tmp_path / name for name in ("whole", "resumed", "carried"))

    def copy_states(line: dict) -> None:
        """At the third step's line the folder holds the second step's state."""
        if line["stage"] == "joint" and line["step"] == 3 and not resumed.exists():
            for folder, name in ((resumed, STATE), (carried, SMALL_STATE)):
                folder.mkdir()
                shutil.copyfile(whole / name, folder / name)
                shutil.copyfile(whole / "curves.jsonl", folder / "curves.jsonl")

    model, tokenizer = run(recipe, whole, start=start, assets=assets, on_progress=copy_states)
    again, _ = run(recipe, resumed, start=start, assets=assets)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    elsewhere, _ = run(recipe, carried, start=start, assets=assets)
    lines = read_lines(carried / "curves.jsonl")
    assert [(line["stage"], line["step"]) for line in lines] == [
        ("vision", 1),
        *(("joint", step) for step in (1, 2, 3, 4)),
    ]
    moved = [
        float((weight - elsewhere.state_dict()[name]).abs().max())
        for name, weight in model.state_dict().items()
    ]
    assert max(moved) < 0.5, "only the optimizers' memory and rounding differ"
    assert (whole / SMALL_STATE).stat().st_size < 20e6

    folder = export(model, tokenizer, recipe, tmp_path / "checkpoint", assets=assets)
    vocabulary = read_vocabulary(folder)
    assert vocabulary is not None
    for query in ("A red circle!", "no dog is on screen", "the camera zooms in"):
        assert vocabulary.understanding(query).is_understood, query
    assert not vocabulary.understanding("a giraffe").is_understood


def test_a_checkpoint_without_shapes_knows_no_shapes(assets: Assets, tmp_path: Path) -> None:
    recipe = RECIPES["tempo-tiny-footage"]()
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED)
    model = Qwen2VLForConditionalGeneration(tiny_config(tokenizer))
    folder = export(model, tokenizer, recipe, tmp_path, assets=assets)
    vocabulary = read_vocabulary(folder)
    assert vocabulary is not None
    assert vocabulary.understanding("Find where it fades to black!").is_understood
    assert vocabulary.understanding("a red circle").words == ("red", "circle")
    assert vocabulary.is_general
    assert not recipe.shows_shapes
    assert RECIPES["tempo-tiny-natural"]().shows_shapes


def test_what_a_recipe_needs_is_said(tmp_path: Path, assets: Assets) -> None:
    with pytest.raises(InputError, match="needs a checkpoint to begin with, and naturalworld's assets"):
        run(tiny_recipe(), tmp_path, start=checkpoint_start(SHIPPED))
    with pytest.raises(InputError, match="is no checkpoint such as"):
        checkpoint_start(tmp_path)
