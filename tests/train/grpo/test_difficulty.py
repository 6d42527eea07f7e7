"""Weights of four papers by hand, the plateau, and offline rollouts that are kept by model and data."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_core.errors import Cancelled, InputError
from tests.train.conftest import example_of
from train.config import PirGrpoConfig
from train.data.encoding import Encoder
from train.grpo.difficulty import (
    Difficulty,
    filtered,
    measure,
    plateaued,
    sampling_weights,
    time_r1,
    timelens,
    timelens2,
)

SCORES = np.array([0.0, 0.05, 0.3, 0.5, 0.7, 0.9, 1.0])


def test_filtering_keeps_what_is_neither_solved_nor_hopeless() -> None:
    assert filtered(SCORES).tolist() == [0, 1, 1, 1, 0, 0, 0]


def test_timelens_prefers_hard_rows_whatever_their_number() -> None:
    scores = np.array([0.02] * 30 + [0.52] * 10 + [0.98] * 60)
    weights = timelens(scores)
    assert weights[0] == pytest.approx(np.exp(-0.5 * (0.03 / 0.2) ** 2) / 0.3)
    assert weights[30] == pytest.approx(np.exp(-0.5 * (0.47 / 0.2) ** 2) / 0.1)
    assert weights[:30].sum() > weights[30:40].sum() > weights[40:].sum()
    assert np.isfinite(timelens(SCORES)).all()


def test_timelens2_is_the_square_of_what_is_missing() -> None:
    assert timelens2(SCORES).tolist() == pytest.approx([1, 0.9025, 0.49, 0.25, 0.09, 0.01, 0])


def test_time_r1_peaks_at_three_tenths_and_drops_the_solved() -> None:
    weights = time_r1(SCORES)
    assert int(weights.argmax()) == 2
    assert weights[-2:].tolist() == [0, 0]
    assert weights[4] > 0


@pytest.mark.parametrize("rule", ["tvg-r1", "timelens", "timelens2", "time-r1"])
def test_sampling_weights_sum_to_one_even_when_all_is_solved(rule: str) -> None:
    def rows(*means: float) -> list[Difficulty]:
        return [Difficulty(row_id=str(idx), mean=mean, spread=0) for idx, mean in enumerate(means)]

    assert sum(sampling_weights(rows(0.1, 0.5, 0.9), rule)) == pytest.approx(1)
    assert sum(sampling_weights(rows(1.0, 1.0), rule)) == pytest.approx(1)
    assert sampling_weights([], rule) == []


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(InputError, match=r"'hardest'.*tvg-r1"):
        sampling_weights([Difficulty(row_id="a", mean=0.5, spread=0)], "hardest")


def records(rewards: list[float], spreads: list[float]) -> list[dict[str, float]]:
    return [{"reward": a, "spread": b} for a, b in zip(rewards, spreads, strict=True)]


@pytest.mark.parametrize(
    ("rewards", "spreads", "stop"),
    [
        ([0.5, 0.5, 0.5, 0.5], [0.2, 0.2, 0.2, 0.2], True),
        ([0.5, 0.5, 0.6, 0.6], [0.2, 0.2, 0.2, 0.2], False),  # the reward rises
        ([0.5, 0.5, 0.5, 0.5], [0.3, 0.3, 0.2, 0.2], False),  # the spread shrinks
        ([0.6, 0.6, 0.5, 0.5], [0.2, 0.2, 0.2, 0.2], True),  # it only falls
        ([0.5, 0.5, 0.5], [0.2, 0.2, 0.2], False),  # too early to tell
        ([0.1, 0.9, 0.5, 0.5], [0.2, 0.2, 0.2, 0.2], True),
    ],
)
def test_plateau(rewards: list[float], spreads: list[float], stop: bool) -> None:
    assert plateaued(records(rewards, spreads), patience=2, min_gain=0.01) is stop


FOUR = PirGrpoConfig(num_generations=4)
ROWS = [example_of(1, moments=[(1, 4)]), example_of(2), example_of(1, query="night", moments=[(0, 8)])]


def test_rows_are_measured_once_for_a_model_and_again_for_another(
    engine: Any, encoder: Encoder, tmp_path: Path
) -> None:
    def difficulties_of(name: str, rows: list = ROWS, **options: Any) -> list[Difficulty]:
        return measure(engine.loaded.model, encoder, rows, FOUR, model_id=name, cache=tmp_path, **options)

    first = difficulties_of("a")
    assert [difficulty.row_id for difficulty in first] == [row.row_id for row in ROWS]
    assert all(0 <= difficulty.mean <= 1 and difficulty.spread >= 0 for difficulty in first)
    files = list(tmp_path.iterdir())
    broken: Any = None
    assert measure(broken, encoder, ROWS, FOUR, model_id="a", cache=tmp_path) == first
    assert difficulties_of("b") == first
    assert difficulties_of("a", ROWS[:2]) == first[:2]
    assert len(list(tmp_path.iterdir())) == len(files) + 2


def test_free_texts_that_are_no_answers_score_nothing(engine: Any, encoder: Encoder, tmp_path: Path) -> None:
    free = replace(FOUR, constrained=False, max_new_tokens=3)
    free_difficulties = measure(engine.loaded.model, encoder, ROWS, free, model_id="a", cache=tmp_path)
    bound = measure(engine.loaded.model, encoder, ROWS, FOUR, model_id="a", cache=tmp_path)
    assert [difficulty.mean for difficulty in free_difficulties] == [0.0] * len(ROWS)
    assert any(difficulty.mean > 0 for difficulty in bound)


def test_a_stopped_measurement_goes_on(engine: Any, encoder: Encoder, tmp_path: Path) -> None:
    whole = measure(engine.loaded.model, encoder, ROWS, FOUR, model_id="a", cache=tmp_path / "whole")
    cancel, reports = threading.Event(), []

    def stop_after_one(done: int, total: int) -> None:
        reports.append((done, total))
        cancel.set()

    options: dict[str, Any] = {"config": FOUR, "model_id": "a", "cache": tmp_path}
    with pytest.raises(Cancelled):
        measure(engine.loaded.model, encoder, ROWS, **options, on_progress=stop_after_one, cancel=cancel)
    assert reports == [(1, 3)]
    (file,) = tmp_path.glob("*.jsonl")
    with file.open("a") as lines:
        lines.write('{"row_id": "cut sh')
    assert measure(engine.loaded.model, encoder, ROWS, **options) == whole
