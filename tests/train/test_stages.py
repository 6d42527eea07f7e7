"""The experiment on PIR-GRPO's place: fair arms, exact rows, and a whole run at toy size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_core.errors import InputError
from train.experiments.pairs import PairsPlan, ShapePairs
from train.experiments.stages import ARMS, EASY, HARD, Stages, cold_recipe, run_stages
from train.negatives import with_negatives
from train.shapeworld.queries import runs_of, truth


def test_rows_are_exact_and_their_clips_are_drawn_alike() -> None:
    pairs, again = (ShapePairs(PairsPlan(clips=12, seed=3)) for _ in range(2))
    assert pairs.examples == again.examples
    assert all(example.relevant for example in pairs.examples)
    for example in pairs.examples:
        scene, predicate = pairs.scene(example), pairs.predicate(example)
        assert scene is not None
        assert predicate is not None
        runs = [(m.start_s / scene.step_s, m.end_s / scene.step_s) for m in example.moments]
        assert runs == runs_of(truth(scene, predicate))
    video = pairs.sample(pairs.examples[0])
    assert np.array_equal(video.frames, again.sample(pairs.examples[0]).frames)
    assert video.end_s == pairs.examples[0].duration_s


@pytest.mark.parametrize(("shares", "kinds"), [(HARD, {"edited", "shuffled"}), (EASY, {"shuffled"})])
def test_arms_differ_in_their_negatives_only(shares: Any, kinds: set[str]) -> None:
    pairs = ShapePairs(PairsPlan(clips=12))
    mixed = with_negatives(pairs.examples, shares, seed=0, world=pairs)
    assert {pair.negative for pair in mixed.report.made} == kinds
    assert {pair.check for pair in mixed.report.made} == {"proved"}
    assert mixed.examples[: len(pairs.examples)] == pairs.examples


def test_the_cold_start_sees_no_refusal() -> None:
    recipe = cold_recipe(1, 900, tokenizer_seed=0)
    assert all(phase.mixture.query_mix.irrelevant == 0 for phase in recipe.phases)


def test_a_start_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither a checkpoint nor the state\.pt"):
        run_stages(tmp_path, tmp_path / "out", Stages(held_out_clips=1), seeds=[0])


def test_every_arm_runs_gets_its_minutes_and_is_not_made_twice(checkpoint: Path, tmp_path: Path) -> None:
    plan = Stages(minutes=0.01, clips=4, held_out_clips=2, groups=2)
    said: list[str] = []
    whole = run_stages(checkpoint, tmp_path, plan, seeds=[0], report=said.append)
    assert set(whole["arms"]) == {"cold", *ARMS}
    assert set(whole["differences"]) == {f"pir-hard - {arm}" for arm in ("cold", *ARMS[1:])}
    assert json.loads((tmp_path / "stages.json").read_text()) == whole
    assert len(said) == 1 + 2 * len(ARMS)
    said.clear()
    assert run_stages(checkpoint, tmp_path, plan, seeds=[0], report=said.append) == whole
    assert said == []
