"""The training commands: bad input is one line, curves are shown, a tiny run trains, resumes and ships a checkpoint."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch

from tempo_core.engine import load_engine
from train.__main__ import main
from train.commands.shapeworld import Questions, Tier
from train.config import DifficultyRule
from train.grpo.difficulty import WEIGHTS
from train.recipes import RECIPES, tempo_tiny
from train.scratch.architecture import new_model
from train.scratch.checkpoint import export, start_in
from train.scratch.recipe import Mixture, Phase, ScratchRecipe
from train.scratch.run import run
from train.shapeworld.clips import MIXES
from train.shapeworld.scene import TIERS


def small_recipe() -> ScratchRecipe:
    """Twelve steps of everything: both stages, two phases, 4-bit rounding at the end."""
    few = Mixture(videos=2, questions=2, ticks=(8, 9), rich_share=0.5)
    return replace(
        tempo_tiny(),
        vision_steps=4,
        vision_frames=12,
        joint_steps=8,
        phases=(
            Phase(first_step=0, mixture=few),
            Phase(first_step=4, mixture=few, rate=0.5, vision_rate=0.5),
        ),
        four_bit_share=0.3,
        bf16=False,
        threads=1,
        save_every=3,
        record_every=2,
        loader_processes=0,
    )


@pytest.fixture(scope="module")
def whole_run(
    narrow_runs: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, torch.Tensor], object, object]:
    folder = tmp_path_factory.mktemp("run")
    model, tokenizer = run(small_recipe(), folder)
    return folder, {k: v.clone() for k, v in model.state_dict().items()}, model, tokenizer


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights(whole_run, tmp_path: Path) -> None:
    _, weights, _, _ = whole_run

    class Kill(Exception):
        pass

    def killer(line: dict) -> None:
        if line["stage"] == "joint" and line["step"] == 4:
            raise Kill

    with pytest.raises(Kill):
        run(small_recipe(), tmp_path, on_progress=killer)
    # batches that are made beside the training are the same
    model, _ = run(replace(small_recipe(), loader_processes=1), tmp_path)
    again = model.state_dict()
    assert weights.keys() == again.keys()
    for name, value in weights.items():
        torch.testing.assert_close(again[name], value, msg=name, rtol=1e-5, atol=1e-6)
    steps = [json.loads(line)["step"] for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 2, 4, 6, 8]


@pytest.mark.slow
def test_the_checkpoint_loads_like_any_other(whole_run, tmp_path: Path) -> None:
    _, _, model, tokenizer = whole_run
    folder = export(model, tokenizer, small_recipe(), tmp_path / "checkpoint")
    engine = load_engine(folder, four_bit=True)
    assert engine.defaults.max_tokens == 16
    assert engine.describe()["four_bit"] is True


def test_a_checkpoint_of_the_shipped_size_is_small(shapeworld_tokenizer, tmp_path: Path) -> None:
    model = new_model(shapeworld_tokenizer, seed=0, whitened=False)
    folder = export(model, shapeworld_tokenizer, tempo_tiny(), tmp_path / "checkpoint")
    assert sum(p.stat().st_size for p in folder.iterdir()) < 20e6


@pytest.mark.slow
def test_curves_are_shown(whole_run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = whole_run[0]
    assert main(["curves", str(folder), "--plot", str(tmp_path / "c.html"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 8
    assert "Training curves" in (tmp_path / "c.html").read_text()


def test_a_recipe_that_follows_takes_only_the_run_it_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state.pt").touch()
    (tmp_path / "recipe.json").write_text(json.dumps({"name": "tempo-tiny", "seed": 7}))
    words = ["sft", "--recipe", "tempo-tiny-motion", "--start", str(tmp_path), "--out", str(tmp_path / "x")]
    assert main(words) == 2
    assert "is a run of tempo-tiny with seed 7" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_follows_begins_with_the_weights_before_and_other_clips(whole_run, tmp_path: Path) -> None:
    recipe = replace(small_recipe(), follows="tempo-tiny", vision_steps=0, joint_steps=2, batches_from=8)
    lines: list[dict] = []
    start = start_in(whole_run[0], fresh_language=False)
    model, _ = run(recipe, tmp_path, start=start, on_progress=lines.append)
    assert [line["stage"] for line in lines] == ["joint"]
    old = torch.load(whole_run[0] / "state.pt", weights_only=True)["model"]
    shifts = [float((value - old[name]).abs().mean()) for name, value in model.state_dict().items()]
    assert 0 < max(shifts) < 0.05


def test_every_recipe_starts_at_step_zero_and_says_its_name() -> None:
    for name, make in RECIPES.items():
        recipe = make(3)
        assert recipe.name == name
        assert recipe.seed == 3
        assert recipe.phase(0) is recipe.phases[0]
        assert recipe.phase(recipe.joint_steps - 1) is recipe.phases[-1]


def test_the_command_lines_choices_are_those_of_the_code() -> None:
    assert set(get_args(Tier)) == set(TIERS)
    assert set(get_args(Questions)) == set(MIXES)
    assert set(get_args(DifficultyRule)) == set(WEIGHTS)


def test_help_comes_without_torch() -> None:
    code = (
        "import sys; from train.__main__ import main; assert main(['refresh', '--help']) == 0; "
        "print('torch' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "False"


def test_an_interrupted_command_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("train.shapeworld.clips.make_set", interrupted)
    assert main(["shapeworld", "--out", "x"]) == 130
    assert "The same command goes on from the last saved state." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sft", "--recipe", "magic", "--out", "x"], "There is no recipe 'magic'"),
        (
            ["sft", "--recipe", "tempo-tiny", "--start", "y", "--out", "x"],
            "begins with random weights. Leave it out",
        ),
        (
            ["sft", "--recipe", "tempo-tiny-motion", "--out", "x"],
            "No --start was given. tempo-tiny-motion goes on from",
        ),
        (["sft", "--recipe", "tempo-tiny-motion", "--start", "y", "--out", "x"], "y holds no state.pt"),
        (
            ["sft", "--data", "z", "--start", "y", "--out", "x"],
            "--start and --assets belong to recipes without --data",
        ),
        (["curves", "nowhere"], "nowhere/curves.jsonl does not exist"),
        (["sft", "--recipe", "qwen2-vl-2b", "--out", "x"], "qwen2-vl-2b fine-tunes on rows: give --data"),
        (["sft", "--recipe", "tempo-tiny", "--out", "x", "--dry-run"], "--dry-run belongs to --data"),
        (["sft", "--recipe", "tempo-tiny", "--out", "x", "--steps", "5"], "--steps belongs to --data"),
        (["sft", "--data", "z", "--out", "x", "--seed", "-1"], "SftConfig.seed is -1"),
        (["sft", "--data", "z", "--out", "x", "--steps", "0"], "SftConfig.steps is 0"),
        (["pir-grpo", "--data", "z", "--out", "x", "--steps", "0"], "PirGrpoConfig.steps is 0"),
        (["refresh", "--data", "z", "--steps", "0"], "GrpoConfig.steps is 0"),
        (["experiment", "loop", "--out", "x", "--clips", "0"], "LoopPlan.clips is 0"),
        (["experiment", "loop", "--out", "x", "--seeds", "-1"], "whole numbers from 0 on"),
        (
            ["experiment", "gains", "noisy", "--start", "y", "--out", "x", "--minutes", "0"],
            "Budget.minutes is 0",
        ),
        (
            ["experiment", "stamps", "--start", "y", "--out", "x", "--clips", "0"],
            "positive whole numbers; got 0",
        ),
    ],
)
def test_bad_input_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    shutil.rmtree("x", ignore_errors=True)
