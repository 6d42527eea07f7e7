"""The experiment on PIR-GRPO's place: fair arms, exact rows, known noise, and whole runs at toy size."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_core.answers import answer_pieces
from tempo_core.errors import InputError
from train.__main__ import main
from train.commands.experiment import SCENARIO_NAMES
from train.data.negatives import with_negatives
from train.experiments.gains import Budget, TreatmentRun, cold_recipe, run_scenario
from train.experiments.rows import Noise, PairsPlan, ShapePairs, with_noise
from train.experiments.scenarios import EASY, HARD, SCENARIOS, Scenario, Treatment
from train.experiments.world import WorldPlan, held_out_clips, shaken
from train.grpo.difficulty import Difficulty
from train.scratch.batches import videos
from train.scratch.prompt import answer_ids
from train.shapeworld.queries import held_out as unseen
from train.shapeworld.queries import runs_of, say, truth


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
def test_treatments_differ_in_their_negatives_only(shares: Any, kinds: set[str]) -> None:
    pairs = ShapePairs(PairsPlan(clips=12))
    mixed = with_negatives(pairs.examples, shares, seed=0, world=pairs)
    assert {pair.negative for pair in mixed.pairs} == kinds
    assert {pair.check for pair in mixed.pairs} == {"proved"}
    assert mixed.examples[: len(pairs.examples)] == pairs.examples


def test_noise_moves_every_edge_a_little_and_turns_a_share_of_the_verdicts() -> None:
    pairs = ShapePairs(replace(SCENARIOS["noisy"].teach, clips=60))
    noisy = with_noise(pairs.examples, Noise(jitter_frames=2, wrong_verdicts=0.2), pairs.beat_s, seed=1)
    turned = [new.relevant != old.relevant for old, new in zip(pairs.examples, noisy, strict=True)]
    assert 0.14 < np.mean(turned) < 0.26
    shifts = [
        abs(new.moments[0].start_s - old.moments[0].start_s) / pairs.beat_s(old)
        for old, new in zip(pairs.examples, noisy, strict=True)
        if old.relevant and new.relevant and old.moments[0].start_s > 3 * pairs.beat_s(old)
    ]
    assert set(shifts) == {1.0, 2.0}
    for old, new in zip(pairs.examples, noisy, strict=True):
        assert (old.row_id, old.query) == (new.row_id, new.query)
        assert all(0 <= m.start_s < m.end_s <= new.duration_s for m in new.moments)
    assert with_noise(pairs.examples, Noise(), pairs.beat_s, seed=1) == list(pairs.examples)


def test_every_scenario_can_be_named_and_asks_of_other_clips_than_it_teaches() -> None:
    assert tuple(SCENARIOS) == SCENARIO_NAMES
    for scenario in SCENARIOS.values():
        training_clips = {
            example.clip_id for example in ShapePairs(replace(scenario.teach, clips=3)).examples
        }
        for world in scenario.worlds.values():
            test_clips = {clip.video.sha256 for clip in held_out_clips(replace(world, clips=2))}
            assert not test_clips & training_clips
        assert {treatment.method for treatment in scenario.treatments} == {"pir", "sft"}


def test_other_worlds_differ_from_home_in_one_thing() -> None:
    worlds = {
        name: held_out_clips(replace(plan, clips=12)) for name, plan in SCENARIOS["transfer"].worlds.items()
    }
    assert all(8 <= clip.scene.ticks <= 14 for clip in worlds["home"])
    assert all(24 <= clip.scene.ticks <= 40 for clip in worlds["lengths"])
    assert {clip.scene.tier.name for clip in worlds["pictures"]} == {"rich"}
    for still, moved in zip(worlds["home"], worlds["camera"], strict=True):
        assert (still.scene.seed, still.queries) == (moved.scene.seed, moved.queries)
        assert still.video.frames.shape == moved.video.frames.shape
        assert (still.video.frames != moved.video.frames).any()
    for predicate in (("light", "dim"), ("thing", ("red", None, None)), ("wall", "teal"), ("fade", "black")):
        even, odd = ({_said(predicate, half, seed) for seed in range(300)} for half in ("even", "odd"))
        assert min(len(even), len(odd)) >= 3
        assert not even & odd
    assert all(unseen(query.predicate) for clip in worlds["pairs"] for query in clip.queries)


def test_a_shaken_frame_is_the_frame_moved() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 40, 60, 3), dtype=np.uint8)
    assert shaken(frames, 0.0, seed=1) is frames
    moved = shaken(frames, 0.1, seed=1)
    assert (moved == shaken(frames, 0.1, seed=1)).all()
    places = []
    for before, after in zip(frames, moved, strict=True):
        inside = after[4:36, 6:54]  # what is still of the picture, however it was moved
        places += [
            (y, x) for y in range(9) for x in range(13) if (before[y : y + 32, x : x + 48] == inside).all()
        ]
    assert len(places) == 5
    assert len(set(places)) > 1


def _said(predicate: tuple[Any, ...], half: str, seed: int) -> str:
    return say(np.random.default_rng(seed), predicate, half).lower().rstrip(".?").replace("an ", "a ")


def test_the_cold_start_sees_no_refusal(shapeworld_tokenizer: Any) -> None:
    cold_start = SCENARIOS["stages"].cold_start
    assert cold_start is not None
    refusal = answer_ids(shapeworld_tokenizer, answer_pieces((), []))
    for mixed, refuses in ((cold_start.mix, False), (replace(cold_start.mix, irrelevant=0.3), True)):
        recipe = cold_recipe(replace(cold_start, mix=mixed), 900, tokenizer_seed=0)
        mixture = replace(recipe.phases[0].mixture, videos=4)
        targets = [
            videos(step, seed=0, mixture=mixture, tokenizer=shapeworld_tokenizer).targets for step in range(6)
        ]
        assert any(bool((target == refusal[0]).any()) for target in targets) == refuses


@pytest.mark.parametrize(
    ("name", "rule"),
    [("stages", r"neither a checkpoint nor the state\.pt"), ("hard", "starts from a checkpoint")],
)
def test_a_start_that_is_none_is_named(name: str, rule: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rule):
        run_scenario(SCENARIOS[name], tmp_path, tmp_path / "out", Budget(held_out_clips=1), seeds=[0])


@pytest.mark.slow
def test_every_treatment_runs_gets_its_minutes_and_is_not_made_twice(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.experiments.gains.TOLERANCE", float("inf"))
    scenario = _toy(SCENARIOS["stages"])
    names = [treatment.name for treatment in scenario.treatments]
    budget = Budget(minutes=0.01, groups=2)
    lines: list[str] = []
    summary = run_scenario(scenario, checkpoint, tmp_path, budget, seeds=[0], on_progress=lines.append)
    assert list(summary["arms"]["plain"]) == ["cold", *names]
    assert set(summary["differences"]["plain"]) == {f"pir-hard - {name}" for name in ("cold", *names[1:])}
    assert json.loads((tmp_path / "stages.json").read_text()) == summary
    assert len(lines) == 1 + 2 * len(names)
    lines.clear()
    assert (
        run_scenario(scenario, checkpoint, tmp_path, budget, seeds=[0], on_progress=lines.append) == summary
    )
    assert lines == []
    with pytest.raises(InputError, match="differs in effort"):
        run_scenario(scenario, checkpoint, tmp_path, replace(budget, minutes=1), seeds=[0])
    config = TreatmentRun.config
    with monkeypatch.context() as patch:
        patch.setattr(TreatmentRun, "config", lambda *args: replace(config(*args), max_grad_norm=0.5))
        with pytest.raises(InputError, match="differs in training"):
            run_scenario(scenario, checkpoint, tmp_path, budget, seeds=[0])
    _goes_on_after_its_pilot(scenario, checkpoint, tmp_path, budget)


def _goes_on_after_its_pilot(scenario: Scenario, checkpoint: Path, out: Path, budget: Budget) -> None:
    """As if it had been killed when the pilot had ended: the minutes are not measured again."""
    folder = out / scenario.name / "sft-hard-0"
    before = json.loads((folder / "result.json").read_text())
    assert json.loads((folder / "spent.json").read_text()) > 0
    (folder / "spent.json").write_text("1000.0")  # more than any run here takes
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "run")
    run_scenario(scenario, checkpoint, out, budget, seeds=[0])
    after = json.loads((folder / "result.json").read_text())
    assert after["steps"] == before["steps"]
    assert after["worlds"] == before["worlds"]
    assert 1000 < after["cpu_seconds"] < 2000  # what was lost was spent as well


@pytest.mark.slow
def test_a_treatment_that_misses_its_minutes_begins_anew_once(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = replace(_toy(SCENARIOS["stages"]), treatments=(Treatment(name="sft", method="sft"),))
    seconds = iter([10.0, 90.0])  # a second a step, and again; the second run is believed whatever it took
    timed_training = TreatmentRun.timed_training
    monkeypatch.setattr(
        TreatmentRun, "timed_training", lambda *args: (timed_training(*args)[0], next(seconds))
    )
    monkeypatch.setattr(TreatmentRun, "plan_steps", _ten_steps)
    lines: list[str] = []
    run_scenario(scenario, checkpoint, tmp_path, Budget(minutes=0.05), seeds=[0], on_progress=lines.append)
    assert [line.rpartition(": ")[2] for line in lines[1:4]] == [
        "10 steps on 20 rows",
        "10 processor seconds; begins anew with 3 steps",
        "3 steps on 20 rows",
    ]
    result = json.loads((tmp_path / "stages" / "sft-0" / "result.json").read_text())
    assert (result["steps"], result["cpu_seconds"]) == (3, 90.0)


def _ten_steps(run: TreatmentRun, pairs: ShapePairs, rows: Sequence[Any]) -> dict[str, Any]:
    return {"steps": 10, "measured_s": 0.0, "left": [True] * len(rows), "again": False}


@pytest.mark.slow
def test_a_treatment_with_a_rule_learns_from_the_rows_that_the_rule_leaves(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TVG-R1's rule: neither solved nor hopeless rows."""
    scenario = _toy(SCENARIOS["stages"])
    scenario = replace(scenario, treatments=(Treatment(name="pir", method="pir", difficulty="tvg-r1"),))
    measured_rows: list[str] = []

    def measured(model: Any, encoder: Any, rows: Any, config: Any, **_: Any) -> list[Difficulty]:
        measured_rows.extend(row.row_id for row in rows)
        return [
            Difficulty(row_id=row.row_id, mean=(0.0, 0.5, 1.0)[n % 3], spread=0) for n, row in enumerate(rows)
        ]

    monkeypatch.setattr("train.grpo.difficulty.measure", measured)
    run_scenario(scenario, checkpoint, tmp_path, Budget(minutes=0.01, groups=2), seeds=[0])
    facts = json.loads((tmp_path / "stages" / "pir-0" / "result.json").read_text())
    assert facts["rows"] == len(measured_rows[1::3]) > 0


def _toy(scenario: Scenario) -> Scenario:
    return replace(
        scenario,
        teach=replace(scenario.teach, clips=4),
        worlds={name: WorldPlan(clips=2, seed=plan.seed) for name, plan in scenario.worlds.items()},
    )


def test_a_command_tells_means_spreads_and_gains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gap = {"gain": 0.0625, "low": -0.125, "high": 0.25, "p": 0.5}
    nothing = dict.fromkeys(gap)
    summary = {
        "arms": {
            "rich": {
                "cold": {"miou": [0.5, 0.5]},
                "pir": {"miou": [0.5, 0.625], "over_refusal": [None, None]},
            }
        },
        "differences": {"rich": {"pir - cold": {"miou": gap, "over_refusal": nothing}}},
    }
    monkeypatch.setattr("train.experiments.gains.run_scenario", lambda *args, **kwargs: summary)
    assert main(["experiment", "gains", "hard", "--start", str(tmp_path), "--out", str(tmp_path)]) == 0
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert printed == [
        "rich:",
        "cold miou 0.500±0.000",
        "pir miou 0.562±0.088 over_refusal -",
        "pir - cold: miou +0.062 [-0.125, +0.250]",
    ]
