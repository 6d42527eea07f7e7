"""PIR-GRPO against the same processor minutes of further supervised training, in one of `scenarios.SCENARIOS`.

Arms start from the same cold model. Scored on held-out clips with tempo_core.metrics; paired bootstrap over clips.
Long because an arm's rows, minutes, training and scores stand here in their order.
"""

import copy
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tempo_core.errors import InputError
from tempo_core.loading import LoadedModel, load_model
from tempo_core.metrics.rows import PredictionRow, TruthRow
from tempo_core.moments import Moment, merge
from train.checkpoints import exclusive_lock, open_run, write_json
from train.config import require
from train.data.examples import Example
from train.data.negatives import with_negatives
from train.experiments.pairs import ShapePairs
from train.experiments.scenarios import Arm, Cold, Noise, Scenario
from train.experiments.world import (
    MEASURES,
    HeldClip,
    Reading,
    WorldPlan,
    gains,
    headline,
    held_out,
    score,
    truth_rows,
)
from train.grpo.config import PirGrpoConfig
from train.scratch.recipe import Mixture, Phase, ScratchRecipe
from train.scratch.start import Start, start_in
from train.sft.config import SftConfig
from train.sft.packing import plan_batches

Report = Callable[[str], None]

COLD = Arm(name="cold", method="none")
PILOTS, PILOT_CLIPS = (2, 6), 8
"""Steps of two pilots on a few clips: what the longer one takes more are steps about clips that were looked at already,
and what is left of the shorter one is looking at them for the first time."""
TOLERANCE = 0.1
"""Share of the minutes that an arm may miss; one that misses more begins anew, once, with the steps that its own run
says they are worth."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """The experiment's size."""

    minutes: float = 12.0
    """Processor minutes of every arm."""
    held_out_clips: int | None = None
    """In every world; None: the scenario's own."""
    cold_steps: int | None = None
    """Steps of the cold start; None: the scenario's own."""
    learning_rate: float = 1e-4
    sft_rate: float = 2e-4
    groups: int = 64
    """In a PIR-GRPO step. At 16, six of which can teach, Adam follows noise: reward falls (docs/experiments.md)."""

    def __post_init__(self) -> None:
        require(self.minutes > 0, self, "minutes", "above 0")
        clips = self.held_out_clips
        require(clips is None or clips > 0, self, "held_out_clips", "a positive whole number, or None")
        steps = self.cold_steps
        require(steps is None or steps > 0, self, "cold_steps", "a positive whole number, or None")


def cold_recipe(cold: Cold, steps: int | None, *, tokenizer_seed: int, seed: int = 0) -> ScratchRecipe:
    """The cold start; where its world has relevant pairs only, the model never once saw a refusal."""
    mixture = Mixture(
        videos=8, questions=8, ticks=cold.ticks, rich_share=cold.rich_share, query_mix=cold.mix, other_budgets=0.0
    )  # fmt: skip
    phase = Phase(first_step=0, mixture=mixture, rate=cold.rate, vision_rate=0.25, vision_weight=0.5)
    steps = steps or cold.steps
    return ScratchRecipe(
        name=cold.name, seed=seed, tokenizer_seed=tokenizer_seed, vision_steps=0, joint_steps=steps,
        phases=(phase,), four_bit_share=0.0, loader_processes=int(steps > 10), threads=1,
    )  # fmt: skip


def run_scenario(
    scenario: Scenario, start: Path, out: Path, effort: Effort, *, seeds: Sequence[int],
    report: Report = lambda line: None,
) -> dict[str, Any]:  # fmt: skip
    """Every arm with every seed; finished ones are kept in `out`, so that the same command goes on.

    `start` is the folder of a finished from-scratch run or a checkpoint folder: where the scenario's cold model has a
    new language model its vision tower is used, else a checkpoint is taken as the cold model. The cold start is made
    once; seeds decide rows, their order and rollouts. Returns, and writes to `out/SCENARIO.json`, figures per world and
    arm and differences from the first arm. Raises InputError where `out` holds results of another start or effort.
    """
    plans = {
        name: plan if effort.held_out_clips is None else replace(plan, clips=effort.held_out_clips)
        for name, plan in scenario.worlds
    }
    worlds = {name: held_out(plan) for name, plan in plans.items()}
    with exclusive_lock(out / scenario.name):
        return _run(scenario, start, out, effort, plans, worlds, seeds, report)


def _run(
    scenario: Scenario, start: Path, out: Path, effort: Effort, plans: dict[str, WorldPlan],
    worlds: dict[str, list[HeldClip]], seeds: Sequence[int], report: Report,
) -> dict[str, Any]:  # fmt: skip
    cold = _cold(scenario, start, out, effort, report)
    found: dict[str, Any] = {}
    arms = (COLD, *scenario.arms)
    for seed in seeds:
        for arm in arms:
            folder = out / scenario.name / (arm.name if arm is COLD else f"{arm.name}-{seed}")
            asked = {"cold": cold.fingerprint, "worlds": {name: asdict(plan) for name, plan in plans.items()}}
            taught = {
                "arm": asdict(arm), "effort": asdict(effort), "teach": asdict(scenario.teach),
                "noise": asdict(scenario.noise), "seed": seed, "training": _training(arm, effort, seed),
            }  # fmt: skip
            open_run(folder, asked if arm is COLD else asked | taught)
            if not (folder / "result.json").exists():
                _run_arm(scenario, arm, cold, effort, seed, worlds, folder, report)
            found[f"{arm.name}-{seed}"] = json.loads((folder / "result.json").read_text())
    whole = {
        "scenario": scenario.name,
        "effort": asdict(effort),
        "seeds": list(seeds),
        "arms": {
            world: {
                arm.name: {
                    name: [found[f"{arm.name}-{seed}"]["worlds"][world]["measures"][name]["value"] for seed in seeds]
                    for name in MEASURES
                }
                for arm in arms
            }
            for world in worlds
        },
        "cpu_seconds": {arm.name: [found[f"{arm.name}-{seed}"]["cpu_seconds"] for seed in seeds] for arm in arms},
        "differences": {
            world: _differences(found, scenario.arms, seeds, truth_rows(clips), world)
            for world, clips in worlds.items()
        },
    }  # fmt: skip
    write_json(out / f"{scenario.name}.json", whole)
    return whole


def _run_arm(
    scenario: Scenario, arm: Arm, cold: LoadedModel, effort: Effort, seed: int,
    worlds: dict[str, list[HeldClip]], folder: Path, report: Report,
) -> None:  # fmt: skip
    made, facts = _train_arm(scenario, arm, cold, effort, seed, folder, report)
    facts["worlds"] = {}
    for world, clips in worlds.items():
        rows, evaluation = score(made, clips, _reading(made))
        facts["worlds"][world] = headline(evaluation) | {"predictions": [asdict(row) for row in rows]}
        report(f"{arm.name}, seed {seed}, {world}: " + _figures(facts["worlds"][world]["measures"]))
    write_json(folder / "result.json", facts)


def _cold(scenario: Scenario, start: Path, out: Path, effort: Effort, report: Report) -> LoadedModel:
    """The model that all arms start from."""
    if not (scenario.cold and scenario.cold.fresh_language) and (start / "config.json").is_file():
        return load_model(start, four_bit=False, device="cpu")
    if scenario.cold is None:
        raise InputError(f"The scenario {scenario.name} starts from a checkpoint; {start} holds none.")
    if not (start / "state.pt").is_file() and not (start / "config.json").is_file():
        raise InputError(
            f"{start} holds neither a checkpoint nor the state.pt of a finished `train sft --recipe` run."
        )
    begins = start_in(start, fresh_language=scenario.cold.fresh_language)
    folder = out / f"cold-{scenario.cold.name}"
    with exclusive_lock(folder, wait=True):  # scenarios may share it
        return _made_cold(scenario.cold, begins, folder, effort, report)


def _made_cold(cold: Cold, start: Start, folder: Path, effort: Effort, report: Report) -> LoadedModel:
    from train.scratch.export import export
    from train.scratch.run import run as train

    recipe = cold_recipe(cold, effort.cold_steps, tokenizer_seed=start.tokenizer_seed)
    open_run(folder, {"recipe": asdict(recipe), "start": start.digest})
    if not (folder / "checkpoint").is_dir():
        report(f"cold start, {cold.name}: {recipe.joint_steps} steps")
        model, tokenizer = train(recipe, folder, start=start, fresh_language=cold.fresh_language)
        partial = folder / "checkpoint.partial"
        shutil.rmtree(partial, ignore_errors=True)
        export(model, tokenizer, recipe, partial)
        partial.rename(folder / "checkpoint")
    return load_model(folder / "checkpoint", four_bit=False, device="cpu")


def with_noise(
    examples: Sequence[Example], noise: Noise, beat_s: Callable[[Example], float], *, seed: int
) -> list[Example]:
    """The rows with their edges moved by whole frames and some verdicts turned round, as the noise says."""
    rng = np.random.default_rng([seed, 19])
    out = []
    for example in examples:
        moments = example.moments
        if rng.random() < noise.wrong_verdicts:
            moments = () if moments else (_anywhere(example, beat_s(example), rng),)
        elif noise.jitter_frames and moments:
            moments = _jittered(example, beat_s(example), noise.jitter_frames, rng)
        out.append(replace(example, moments=moments))
    return out


def _anywhere(example: Example, beat_s: float, rng: np.random.Generator) -> Moment:
    start_s = beat_s * int(rng.integers(0, max(1, round(example.duration_s / beat_s) - 4)))
    return Moment(start_s, min(example.duration_s, start_s + beat_s * int(rng.integers(2, 5))))


def _jittered(example: Example, beat_s: float, frames: int, rng: np.random.Generator) -> tuple[Moment, ...]:
    def moved(edge_s: float) -> float:
        return edge_s + beat_s * float(rng.choice([-1, 1])) * int(rng.integers(1, frames + 1))

    found = []
    for moment in example.moments:
        start_s = min(max(0.0, moved(moment.start_s)), example.duration_s - beat_s)
        found.append(Moment(start_s, max(start_s + beat_s, min(example.duration_s, moved(moment.end_s)))))
    return tuple(merge(found))


def _train_arm(
    scenario: Scenario, arm: Arm, cold: LoadedModel, effort: Effort, seed: int, folder: Path, report: Report
) -> tuple[LoadedModel, dict[str, Any]]:
    """The arm's model, and what it cost."""
    if arm is COLD:
        return cold, {"cpu_seconds": 0.0}
    pairs = ShapePairs(replace(scenario.teach, seed=seed))
    rows: Sequence[Example] = with_noise(pairs.examples, scenario.noise, pairs.beat_s, seed=seed)
    if arm.negatives is not None:
        rows = with_negatives(rows, arm.negatives, seed=seed, world=pairs).examples
    budget = _budget(arm, cold, pairs, rows, effort, seed, folder)
    rows = [row for row, left in zip(rows, budget["left"], strict=True) if left]
    report(f"{arm.name}, seed {seed}: {budget['steps']} steps on {len(rows)} rows")
    spent = Spent(folder / "spent.json")
    model = _steps(arm, cold, pairs, rows, effort, seed, budget["steps"], folder / "run", spent)
    run_s, measured_s = spent.seconds, budget["measured_s"]
    cpu_s = measured_s + run_s
    steps = max(1, round(budget["steps"] * (effort.minutes * 60 - measured_s) / run_s))
    if (
        not budget["again"]
        and abs(cpu_s / (effort.minutes * 60) - 1) > TOLERANCE
        and steps != budget["steps"]
    ):
        report(f"{arm.name}, seed {seed}: {cpu_s:.0f} processor seconds; begins anew with {steps} steps")
        shutil.rmtree(folder / "run")
        spent.forget()
        write_json(folder / "budget.json", budget | {"steps": steps, "again": True})
        return _train_arm(scenario, arm, cold, effort, seed, folder, report)
    return replace(cold, model=model.eval()), {
        "cpu_seconds": round(cpu_s, 1),
        "steps": budget["steps"],
        "rows": len(rows),
    }


class Spent:
    """Processor seconds of a run, also of one that was killed and goes on: what it had recorded counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before_s = float(json.loads(path.read_text())) if path.is_file() else 0.0
        self._began_s = time.process_time()

    @property
    def seconds(self) -> float:
        return self._before_s + time.process_time() - self._began_s

    def note(self, _: dict[str, Any]) -> None:
        write_json(self._path, round(self.seconds, 2))

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)


def _budget(
    arm: Arm, cold: LoadedModel, pairs: ShapePairs, rows: Sequence[Example], effort: Effort, seed: int, folder: Path
) -> dict[str, Any]:  # fmt: skip
    """Which rows the arm's rule leaves, and the steps that the minutes are enough for; measured once, then kept."""
    path = folder / "budget.json"
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text())
        return {"again": False, **found}
    for name in (*(f"pilot-{count}" for count in PILOTS), "run", "difficulty"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "spent.json").unlink(missing_ok=True)
    began_s = time.process_time()
    left = _left(arm, cold, pairs, rows, seed, folder / "difficulty")
    measured_s = time.process_time() - began_s if arm.difficulty else 0.0
    kept = [row for row, stays in zip(rows, left, strict=True) if stays]
    clips = list(dict.fromkeys(row.clip_id for row in kept))
    few = [row for row in kept if row.clip_id in clips[:PILOT_CLIPS]]
    taken_s = []
    for count in PILOTS:
        began_s = time.process_time()
        _steps(arm, cold, pairs, few, effort, seed, count, folder / f"pilot-{count}")
        taken_s.append(time.process_time() - began_s)
    a_step_s = max((taken_s[1] - taken_s[0]) / (PILOTS[1] - PILOTS[0]), taken_s[0] / PILOTS[0] / 20)
    a_look_s = max(0.0, taken_s[0] - PILOTS[0] * a_step_s) / min(PILOT_CLIPS, len(clips))
    if arm.method == "sft":  # so few clips fill every batch; the rows may not
        a_step_s *= _tokens_a_step(arm, cold, kept, effort, seed) / _tokens_a_step(
            arm, cold, few, effort, seed
        )
    steps = max(1, round((effort.minutes * 60 - measured_s - a_look_s * len(clips)) / a_step_s))
    budget = {"steps": steps, "measured_s": round(measured_s, 2), "left": left, "again": False}
    write_json(path, budget)
    return budget


def _tokens_a_step(arm: Arm, cold: LoadedModel, rows: Sequence[Example], effort: Effort, seed: int) -> float:
    """Of SFT on these rows, in the mean."""
    plan, steps = plan_batches(rows, _sft(arm, effort, seed, 100), cold.defaults)
    return sum(pack.tokens for batch in plan for pack in batch) / steps


def _left(
    arm: Arm, cold: LoadedModel, pairs: ShapePairs, rows: Sequence[Example], seed: int, cache: Path
) -> list[bool]:
    """Whether the arm's rule leaves each row."""
    if arm.difficulty is None:
        return [True] * len(rows)
    from train.grpo.difficulty import measure, sampling_weights

    encoder = pairs.encoder(cold.tokenizer, cold.defaults, cold.normaliser)
    found = measure(cold.model, encoder, rows, model_id=cold.fingerprint, cache=cache, seed=seed)
    return [weight > 0 for weight in sampling_weights(found, arm.difficulty)]


def _steps(
    arm: Arm, cold: LoadedModel, pairs: ShapePairs, rows: Sequence[Example], effort: Effort, seed: int, steps: int,
    folder: Path, spent: Spent | None = None,
) -> Any:  # fmt: skip
    """So many steps of an arm from the cold model."""
    from train.grpo.trainer import run_pir_grpo
    from train.sft.trainer import run_sft
    from train.trainer import adapt

    encoder = pairs.encoder(cold.tokenizer, cold.defaults, cold.normaliser)
    config: Any = _config(arm, effort, seed, steps)
    model = adapt(copy.deepcopy(cold.model), config)
    train: Any = run_sft if arm.method == "sft" else run_pir_grpo
    note = (lambda line: None) if spent is None else spent.note
    return train(model, cold.tokenizer, encoder, rows, config, folder, on_progress=note)


def _training(arm: Arm, effort: Effort, seed: int) -> dict[str, Any]:
    """What decides an arm's training but for its steps, defaults of its method among it."""
    decides = {} if arm is COLD else asdict(_config(arm, effort, seed, 1))
    return {name: value for name, value in decides.items() if name not in ("steps", "save_every")}


def _config(arm: Arm, effort: Effort, seed: int, steps: int) -> SftConfig | PirGrpoConfig:
    return _sft(arm, effort, seed, steps) if arm.method == "sft" else _pir(arm, effort, seed, steps)


def _sft(arm: Arm, effort: Effort, seed: int, steps: int) -> SftConfig:
    return SftConfig(
        method="full", seed=seed, learning_rate=arm.rate or effort.sft_rate, steps=steps, questions_per_row=10,
        per_device_train_batch_size=8,
        save_steps=_save_every(steps), logging_steps=5, threads=1,
    )  # fmt: skip


def _save_every(steps: int) -> int:
    """A pilot saves nothing: one state among four steps would pass for a fifth of their time."""
    return 10 if steps in PILOTS else max(5, steps // 25 * 5)


def _pir(arm: Arm, effort: Effort, seed: int, steps: int) -> PirGrpoConfig:
    return PirGrpoConfig(
        method="full", seed=seed, learning_rate=arm.rate or effort.learning_rate, steps=steps,
        groups=effort.groups, num_generations=8, beta=arm.beta, inject_refusal=arm.show_refusals,
        save_steps=_save_every(steps), logging_steps=5, threads=1,
    )  # fmt: skip


def _reading(model: LoadedModel) -> Reading:
    """Held-out clips are read as the model's own defaults say."""
    defaults = model.defaults
    return Reading(
        tokens_per_frame=defaults.tokens_per_frame or 8.0, min_tokens=defaults.min_tokens,
        max_tokens=defaults.max_tokens,
    )  # fmt: skip


def _differences(
    found: dict[str, Any], arms: Sequence[Arm], seeds: Sequence[int], truth: list[TruthRow], world: str
) -> dict[str, Any]:
    """The first arm's gain over the cold model and every other arm: a paired bootstrap over clips, seeds together."""
    whole = [replace(row, qid=f"{seed}-{row.qid}") for seed in seeds for row in truth]

    def said(arm: Arm) -> list[PredictionRow]:
        return [
            PredictionRow(
                **row
                | {name: tuple(map(tuple, row[name])) for name in ("windows", "moments")}
                | {"qid": f"{seed}-{row['qid']}"}
            )
            for seed in seeds
            for row in found[f"{arm.name}-{seed}"]["worlds"][world]["predictions"]
        ]

    out: dict[str, Any] = {}
    for arm in (COLD, *arms[1:]):
        out[f"{arms[0].name} - {arm.name}"] = gains(said(arm), said(arms[0]), whole)
    return out


def _figures(measures: dict[str, Any]) -> str:
    shown = {name: measures[name]["value"] for name in ("miou", "refused_f1", "over_refusal")}
    return ", ".join(f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in shown.items())
