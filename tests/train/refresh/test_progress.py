"""Where a refresh stands: what is told, what is written, and how long it still takes, or nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from train.checkpoints import read_lines
from train.refresh.progress import Progress, progress_text


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(tmp_path: Path, clock: Clock) -> Progress:
    return Progress(tmp_path, clock=clock)


def written(progress: Progress) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((progress.folder / "state.json").read_text())
    return state


def test_time_left_is_the_pace_so_far_and_nothing_while_that_would_be_a_guess(
    progress: Progress, clock: Clock
) -> None:
    progress.begin("checking", "Looking.", unit="rows")
    left = []
    for row in range(1, 11):
        clock.now += 2
        progress.advance(row, 10)
        left.append(progress.state["seconds_left"])
    assert left == [None, None, 14, 12, 10, 8, 6, 4, 2, 0]


def test_units_that_take_no_time_are_no_pace_yet(progress: Progress, clock: Clock) -> None:
    progress.begin("checking", "Looking.", unit="rows")
    for row in range(1, 6):
        progress.advance(row, 100)
    assert progress.state["seconds_left"] is None


def test_what_an_earlier_process_has_done_is_no_part_of_the_pace(progress: Progress, clock: Clock) -> None:
    progress.begin("sft", "Learning.", unit="steps")
    progress.advance(50, 100)
    clock.now += 30
    progress.advance(53, 100)
    assert progress.state["seconds_left"] == 470


def test_batches_of_a_long_step_are_a_pace(progress: Progress, clock: Clock) -> None:
    """An hour before the first step ends, it is told how long all ten take."""
    progress.begin("pir-grpo", "Practising.", unit="steps", steps=10)
    progress.advance(0, 10, batch=0, batches=64)
    clock.now += 60
    progress.advance(0, 10, batch=4, batches=64, measures={"reward": 0.25})
    assert (progress.state["step"], progress.state["batch"], progress.state["batches"]) == (0, 4, 64)
    assert progress.state["seconds_left"] == pytest.approx(60 / 4 * 636)
    assert progress_text(progress.state).startswith("pir-grpo 0/10 steps (4/64 of the next) about 2.6 h left")
    line = read_lines(progress.folder / "progress.jsonl")[-1]
    assert (line["step"], line["seconds"], line["reward"]) == (0.0625, 60, 0.25)


def test_stages_to_come_take_what_the_dry_run_gives_at_the_pace_that_learning_has(
    progress: Progress, clock: Clock
) -> None:
    progress.begin("checking", "Loading.", unit="weights", share_to_come=1.0)
    assert progress.state["seconds_to_come"] is None, "nobody knows anything yet"
    progress.estimates = {"checking": 7, "sft": 20, "pir-grpo": 100, "comparing": 10}
    progress.begin("checking", "Loading.", unit="weights", share_to_come=1.0)
    assert progress.state["seconds_to_come"] == 137
    progress.begin("checking", "Looking.", unit="rows")
    assert progress.state["seconds_to_come"] == 130
    progress.begin("sft", "Learning.", unit="steps")
    clock.now += 15
    progress.advance(3, 12)
    assert progress.state["seconds_to_come"] == 110
    clock.now += 15
    progress.begin("sft", "Learning.", unit="steps")
    for step in range(1, 5):
        clock.now += 5
        progress.advance(step, 12)  # 60 seconds for all, three times the estimate
    assert progress.state["seconds_to_come"] == 330
    progress.begin("comparing", "Loading the new model.", unit="weights", share_to_come=0.5)
    assert progress.state["seconds_to_come"] == 15
    progress.end("done", "Made.")
    assert (progress.state["seconds_to_come"], progress.state["seconds_left"]) == (None, None)


def test_the_state_is_written_at_every_beginning_and_end_and_else_once_a_second(
    progress: Progress, clock: Clock
) -> None:
    steps: list[int] = []
    progress.on_progress = lambda state: steps.append(state["step"])
    progress.begin("reading", "Reading.", unit="rows", steps=0)
    for row in range(1, 4):
        clock.now += 0.6
        progress.advance(row, 1000)
        assert written(progress)["step"] == {1: 0, 2: 2, 3: 2}[row]
    progress.advance(1000, 1000)
    assert written(progress)["step"] == 1000
    assert steps == [0, 1, 2, 3, 1000]


def test_the_curve_has_so_many_points_and_what_is_done_again_is_drawn_again(
    tmp_path: Path, clock: Clock
) -> None:
    progress = Progress(tmp_path, clock=clock)
    progress.begin("reading", "Reading.", unit="rows")
    for row in range(1, 10_001):
        clock.now += 0.01
        progress.advance(row, 10_000)
    progress.begin("checking", "Looking.", unit="rows")
    progress.advance(1, 2)
    lines = read_lines(tmp_path / "progress.jsonl")
    assert [line["stage"] for line in lines].count("checking") == 1
    reading = [line for line in lines if line["stage"] == "reading"]
    assert (reading[0]["step"], reading[-1]["step"]) == (1, 10_000)
    assert 190 <= len(reading) <= 210

    clock.now += 1000  # nobody worked
    again = Progress(tmp_path, clock=clock)
    again.begin("checking", "Looking.", unit="rows")
    clock.now += 5
    again.advance(1, 2)
    lines = read_lines(tmp_path / "progress.jsonl")
    assert [(line["step"], line["seconds"]) for line in lines if line["stage"] == "checking"] == [(1, 105)]
