"""Recipes for further training: whole configurations, plans without training, and commands that say what is wrong."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.app.fakes import write_clip
from tests.train.data.test_examples import line, video, write_rows
from train.__main__ import main
from train.data.examples import Example
from train.dry_run import dry_run
from train.recipes import FINE_TUNING, RECIPES, tempo_tiny_refresh

CONFIGS = Path(__file__).parents[2] / "train" / "configs"
ROWS = [
    Example(
        row_id=str(n), video=Path(f"v{n // 4}"), query="q", duration_s=150.0, moments=(), clip_id=f"v{n // 4}"
    )
    for n in range(40)
]


@pytest.mark.parametrize("name", FINE_TUNING)
def test_every_recipe_says_its_name_and_takes_its_seed(name: str) -> None:
    recipe = FINE_TUNING[name](3)
    assert name not in RECIPES
    assert recipe.name == recipe.sft.name == name
    assert recipe.seed == recipe.sft.seed == 3
    assert recipe.pir is not None
    assert (recipe.pir.name, recipe.pir.seed, recipe.pir.rank) == (name, 3, recipe.sft.rank)
    assert FINE_TUNING[name](3) == recipe


@pytest.mark.parametrize(
    ("recipe", "checkpoint", "gigabytes"),
    [
        ("tempo-tiny-refresh", None, (0.0, 1.0)),
        ("qwen2-vl-2b", "Qwen2-VL-2B-Instruct", (1.5, 24.0)),
        ("qwen2-vl-7b", "Qwen2-VL-7B-Instruct", (5.0, 40.0)),
        ("qwen2-vl-7b-gpus", "Qwen2-VL-7B-Instruct", (15.0, 80.0)),
    ],
)
def test_a_plan_fits_the_machine_that_the_recipe_is_for(
    recipe: str, checkpoint: str | None, gigabytes: tuple[float, float]
) -> None:
    device = "cpu" if checkpoint is None else "cuda"
    planned = dry_run(ROWS, FINE_TUNING[recipe](0), checkpoint=checkpoint, device=device)
    assert planned.rows["rows"] == 40
    assert planned.steps.keys() == planned.tokens.keys() == planned.seconds.keys() == {"sft", "pir-grpo"}
    assert gigabytes[0] < planned.memory_bytes / 1e9 < gigabytes[1]
    assert json.loads(json.dumps(asdict(planned)))["memory_bytes"] == planned.memory_bytes
    assert "memory" in planned.describe()


def test_a_plan_counts_what_the_run_does() -> None:
    config = replace(tempo_tiny_refresh(), pir=None)
    one, two = (
        dry_run(ROWS, replace(config, sft=replace(config.sft, epochs=epochs)), device="cpu")
        for epochs in (1.0, 2.0)
    )
    assert two.tokens["sft"] == pytest.approx(2 * one.tokens["sft"], rel=0.01)
    assert one.steps["sft"] == 3  # ten clips, four rows a batch
    assert dry_run([], config, device="cpu").steps == {}


def test_the_lora_weights_are_counted_as_peft_makes_them() -> None:
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    from tempo_core.checkpoint import SHIPPED, read_config
    from train.trainer import adapt

    config = Qwen2VLConfig.from_dict(read_config(SHIPPED))
    with torch.device("meta"):
        model = Qwen2VLForConditionalGeneration(config)
    sft = tempo_tiny_refresh().sft
    adapted = adapt(model, sft)
    learns = sum(value.numel() for name, value in adapted.named_parameters() if "lora" in name)
    assert dry_run(ROWS, tempo_tiny_refresh(), device="cpu").trained == learns


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_its_configurations(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config: Any = load_config_from_file(str(path))
    assert config.num_processes == 4
    assert yaml.safe_load(path.read_text())["mixed_precision"] == "bf16"


def test_a_dry_run_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video(tmp_path / "videos", "a")
    rows = write_rows(tmp_path / "rows.jsonl", line(1), line(2, vid="gone"))
    for command, stages in (("sft", ["sft"]), ("pir-grpo", ["pir-grpo"])):
        assert (
            main([command, "--data", str(rows), "--out", str(tmp_path / "out"), "--dry-run", "--json"]) == 0
        )
        output = capsys.readouterr()
        assert list(json.loads(output.out)["steps"]) == stages
        assert "1 row left out: the clip was never there (first: rows/2)" in output.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        (["--adapter", "zeqianli/UniTime"], "1 row left out: nothing matches, which UniTime's answers"),
        (["--checkpoint", "Qwen/Qwen2.5-VL-3B-Instruct"], "which Qwen2.5-VL's answers cannot say"),
        (["--checkpoint", "Qwen/Qwen2.5-VL-3B-Instruct", "--protocol", "tempo"], None),
        (["--protocol", "marlin"], "The protocol 'marlin' is for qwen3_5; this checkpoint is qwen2_vl."),
    ],
)
def test_a_dry_run_says_what_the_served_protocol_cannot_teach(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], left_out: str | None
) -> None:
    video(tmp_path / "videos", "a")
    rows = write_rows(tmp_path / "rows.jsonl", line(1), line(2, relevant_windows=[]))
    shared = ["sft", "--data", str(rows), "--out", "x", "--recipe", "qwen2-vl-2b", "--dry-run", "--json"]
    code = main([*shared, "--checkpoint", "Qwen/Qwen2-VL-2B-Instruct", *words])
    output = capsys.readouterr()
    if left_out is None:
        assert "left out" not in output.err
    else:
        assert left_out in output.err
    if "marlin" in words:
        assert code == 2
    else:
        assert json.loads(output.out)["rows"]["rows"] == (2 if left_out is None else 1)


def test_a_plan_for_several_gpus_shares_the_work_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video(tmp_path / "videos", "a")
    rows = write_rows(tmp_path / "rows.jsonl", *(line(n) for n in range(40)))
    words = ["sft", "--data", str(rows), "--out", "x", "--recipe", "qwen2-vl-7b-gpus", "--dry-run", "--json"]
    words += ["--checkpoint", "Qwen/Qwen2-VL-7B-Instruct"]
    seconds = []
    for devices in ("1", "4"):
        assert main([*words, "--devices", devices]) == 0
        planned = json.loads(capsys.readouterr().out)
        assert planned["device"] == "cuda"
        seconds.append(planned["seconds"]["sft"])
    assert seconds[1] == pytest.approx(seconds[0] / 4, rel=0.2)  # steps are rounded up
    assert main([*words, "--devices", "0"]) == 2


@pytest.mark.slow
def test_training_by_command(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SFT makes an adapter, PIR-GRPO goes on from it; without irrelevant rows it says what cannot be learned."""
    recipe = tempo_tiny_refresh()
    assert recipe.pir is not None
    few_groups = replace(recipe, pir=replace(recipe.pir, groups=2))
    monkeypatch.setitem(FINE_TUNING, recipe.name, lambda seed: few_groups)
    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos" / "a.mp4", hue=20)
    rows = str(
        write_rows(tmp_path / "rows.jsonl", *(line(n, duration=4, relevant_windows=[[1, 3]]) for n in (1, 2)))
    )
    usual = ["--data", rows, "--checkpoint", str(checkpoint), "--steps", "1", "--json"]
    assert main(["sft", "--out", str(tmp_path / "sft"), *usual]) == 0
    cold = str(tmp_path / "sft" / "adapter")
    assert main(["pir-grpo", "--out", str(tmp_path / "pir"), "--adapter", cold, *usual]) == 0
    output = capsys.readouterr()
    assert "No row is irrelevant, so refusing cannot be learned here." in output.err
    assert f"adapter: {tmp_path / 'pir' / 'adapter'}" in output.out
    assert (tmp_path / "pir" / "adapter" / "adapter_model.safetensors").is_file()
    assert main(["curves", str(tmp_path / "pir"), "--plot", str(tmp_path / "c.html")]) == 0
    assert "over_refusal" in capsys.readouterr().out
    assert "what is earned" in (tmp_path / "c.html").read_text()
    assert main(["pir-grpo", "--out", str(tmp_path / "pir"), *usual]) == 2
    assert "holds another run (it differs in start)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sft", "--out", "x"], "Give --data to fine-tune on rows, or --recipe"),
        (["sft", "--data", "nowhere", "--out", "x"], "nowhere does not exist"),
        (
            ["sft", "--data", "nowhere", "--recipe", "tempo-tiny", "--out", "x"],
            "There is no recipe 'tempo-tiny'",
        ),
        (["pir-grpo", "--data", "nowhere", "--out", "x", "--recipe", "magic"], "There is no recipe 'magic'"),
        (["refresh", "--data", "nowhere", "--adapters", "{tmp}/adapters"], "nowhere does not exist"),
        (["experiment", "loop", "--out", "{tmp}", "--batches", "99"], "are more than 144 rows"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.replace("{tmp}", str(tmp_path)) for word in words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_file_without_training_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video(tmp_path / "videos", "a")
    rows = write_rows(tmp_path / "rows.jsonl", line(1, split="val"))
    assert main(["sft", "--data", str(rows), "--out", str(tmp_path / "out")]) == 2
    assert "has no row to train on. 1 row is of val or test." in capsys.readouterr().err
