"""Difficulty-controlled PIR-GRPO: rows are drawn as they were measured, once or every epoch; a stop changes nothing."""

import copy
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tempo_core.errors import Cancelled, InputError
from tests.train.conftest import example_of, sampled
from train.checkpoints import read_lines
from train.config import PirGrpoConfig
from train.data.encoding import Encoder
from train.grpo.curriculum import rounds, run_curriculum
from train.grpo.difficulty import Difficulty, sampling_weights
from train.trainer import adapt

pytestmark = pytest.mark.filterwarnings(  # peft asks a transformers property by its old name
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",
    "ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning",
)

ROWS = [
    example_of(1, moments=[(1, 4)]),
    example_of(1, query="night"),
    example_of(2, moments=[(0, 2), (5, 8)]),
    example_of(3, query="two squares"),
]


def config_of(rule: str | None, **options: Any) -> PirGrpoConfig:
    usual = {
        "steps": 4,
        "groups": 2,
        "num_generations": 4,
        "rank": 4,
        "save_steps": 1,
        "logging_steps": 1,
        "threads": 1,
    }
    return PirGrpoConfig(difficulty=rule, learning_rate=1e-2, **{**usual, **options})


def run(engine: Any, rule: str | None, folder: Path, **options: Any) -> Any:
    encoder = Encoder.of(engine.loaded, sample=sampled)
    config = config_of(rule)
    model = adapt(copy.deepcopy(engine.loaded.model), config)
    return run_curriculum(model, encoder, ROWS, config, folder, **options)


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def measured(folder: Path) -> list[list[Difficulty]]:
    """Every measurement that the run made, rows in their order."""
    files = sorted((folder / "difficulty").glob("*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
    return [[Difficulty(**json.loads(line)) for line in file.read_text().splitlines()] for file in files]


@pytest.mark.parametrize(
    ("rule", "examples", "devices", "steps"),
    [
        ("timelens", 3, 1, [10]),
        ("time-r1", 99, 1, [10]),
        ("time-r1", 6, 1, [3, 3, 3, 1]),
        ("time-r1", 6, 2, [2, 2, 2, 2, 2]),
    ],
)
def test_a_rule_that_measures_every_epoch_has_a_round_for_each(
    rule: str, examples: int, devices: int, steps: list[int]
) -> None:
    plan = rounds(config_of(rule, steps=10), examples, devices=devices)
    assert [part.steps for part in plan] == steps
    assert len({part.seed for part in plan}) == len(plan)
    twice = rounds(
        replace(config_of(rule, steps=20), num_iterations=2, save_steps=2), examples, devices=devices
    )
    assert [part.steps for part in twice] == [2 * step for step in steps]  # an epoch takes as many more steps


def test_rows_are_drawn_as_they_were_measured(engine: Any, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    run(engine, "timelens2", tmp_path, on_measured=lambda done, total: reports.append((done, total)))
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]
    (difficulties,) = measured(tmp_path)
    assert [difficulty.row_id for difficulty in difficulties] == [row.row_id for row in ROWS]
    decided = json.loads((tmp_path / "run.json").read_text())
    assert decided["weights"] == sampling_weights(difficulties, "timelens2")
    assert len(set(decided["weights"])) > 1


@pytest.mark.slow
def test_time_r1_measures_again_before_every_epoch_and_a_stop_changes_nothing(
    engine: Any, tmp_path: Path
) -> None:
    lines: list[dict[str, Any]] = []
    run(engine, "time-r1", tmp_path / "whole", on_progress=lines.append)
    assert [(line["round"], line["step"], line["steps"]) for line in lines] == [
        (1, 1, 4),
        (1, 2, 4),
        (2, 3, 4),
        (2, 4, 4),
    ]
    assert read_lines(tmp_path / "whole" / "curves.jsonl") == lines
    first, second = measured(tmp_path / "whole")
    assert first != second
    whole = adapter(tmp_path / "whole")
    assert whole.keys() == adapter(tmp_path / "whole" / "round-2").keys()

    cancel = threading.Event()

    def stop(line: dict[str, Any]) -> None:
        if (line["round"], line["step"]) == (2, 3):
            cancel.set()

    with pytest.raises(Cancelled):
        run(engine, "time-r1", tmp_path / "stopped", on_progress=stop, cancel=cancel)
    assert not (tmp_path / "stopped" / "adapter").exists()
    run(engine, "time-r1", tmp_path / "stopped")
    again = adapter(tmp_path / "stopped")
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
    assert measured(tmp_path / "stopped") == [first, second]


def test_a_plateau_is_seen_across_rounds_and_ends_the_run(engine: Any, tmp_path: Path) -> None:
    """No round alone has records enough to tell; nothing counts as moving."""
    encoder = Encoder.of(engine.loaded, sample=sampled)
    config = config_of("time-r1", steps=8, patience=2, min_gain=1.0)
    assert len(rounds(config, len(ROWS))) == 4
    model = adapt(copy.deepcopy(engine.loaded.model), config)
    run_curriculum(model, encoder, ROWS, config, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("round-*")) == ["round-1", "round-2"]
    assert adapter(tmp_path).keys() == adapter(tmp_path / "round-2").keys()
    assert [line["step"] for line in read_lines(tmp_path / "curves.jsonl")] == [1, 2, 3, 4]


def test_without_a_rule_nothing_is_measured(engine: Any, tmp_path: Path) -> None:
    run(engine, None, tmp_path)
    assert not (tmp_path / "difficulty").exists()
    assert (tmp_path / "adapter").is_dir()


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(InputError, match=r"difficulty.*tvg-r1"):
        config_of("hardest")
