"""PIR-GRPO against the same processor minutes of further supervised training, in one of `scenarios.SCENARIOS`.

Treatments start from the same initial model. Scored on held-out clips with tempo_core.metrics; paired bootstrap over
clips.
"""

import copy
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tempo_core.errors import InputError
from tempo_core.files import move
from tempo_core.loading import LoadedModel, load_model
from train.checkpoints import exclusive_lock, open_run, read_json, write_json
from train.config import PirGrpoConfig, SftConfig, as_dict, require
from train.data.encoding import Encoder
from train.data.examples import Example
from train.data.negatives import with_negatives
from train.experiments.rows import ShapePairs, with_noise
from train.experiments.scenarios import ColdStart, Scenario, Treatment
from train.experiments.world import (
    MEASURES,
    ReadingConfig,
    gains,
    held_out_clips,
    run_once,
    saved_predictions,
    score_worlds,
    truth_rows,
)
from train.scratch.checkpoint import start_in
from train.scratch.recipe import Mixture, Phase, ScratchRecipe
from train.sft.packing import plan_batches

INITIAL = Treatment(name="cold", method="none")
"""The initial model itself; `cold` is its name in folders and results."""
PILOTS, PILOT_CLIPS = (2, 6), 8
"""Steps of two pilots on a few clips: what the longer one takes more are steps about clips that were looked at already,
and what is left of the shorter one is looking at them for the first time."""
TOLERANCE = 0.1
"""Share of the minutes that a treatment may miss; one that misses more begins anew, once, with the steps that its own
run says they are worth."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """The experiment's size."""

    minutes: float = 12.0
    """Processor minutes of every treatment."""
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
        for name in ("held_out_clips", "cold_steps"):
            value = getattr(self, name)
            require(value is None or value > 0, self, name, "a positive whole number, or None")


def cold_recipe(cold_start: ColdStart, steps: int | None, *, tokenizer_seed: int) -> ScratchRecipe:
    """The cold start's training; where its world has relevant pairs only, the model never once saw a refusal."""
    mixture = Mixture(
        videos=8,
        questions=8,
        ticks=cold_start.ticks,
        rich_share=cold_start.rich_share,
        query_mix=cold_start.mix,
        other_budgets=0.0,
    )
    phase = Phase(first_step=0, mixture=mixture, rate=cold_start.rate, vision_rate=0.25, vision_weight=0.5)
    steps = steps or cold_start.steps
    return ScratchRecipe(
        name=cold_start.name,
        tokenizer_seed=tokenizer_seed,
        vision_steps=0,
        joint_steps=steps,
        phases=(phase,),
        four_bit_share=0.0,
        loader_processes=int(steps > 10),
        threads=1,
    )


def run_scenario(
    scenario: Scenario,
    start: Path,
    out: Path,
    budget: Budget,
    *,
    seeds: Sequence[int],
    on_progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Every treatment with every seed; finished ones are kept in `out`, so that the same command goes on.

    `start` is the folder of a finished from-scratch run or a checkpoint folder: where the scenario's cold start has a
    new language model its vision tower is used, else a checkpoint is taken as the initial model. The cold start is
    made once; seeds decide rows, their order and rollouts. Returns, and writes to `out/SCENARIO.json`, figures per
    world and treatment and differences from the first treatment. Raises InputError where `out` holds results of
    another start or budget.
    """
    plans = scenario.worlds
    if budget.held_out_clips is not None:
        plans = {name: replace(plan, clips=budget.held_out_clips) for name, plan in plans.items()}
    worlds = {name: held_out_clips(plan) for name, plan in plans.items()}
    treatments = (INITIAL, *scenario.treatments)
    results: dict[str, dict[int, dict[str, Any]]] = {treatment.name: {} for treatment in treatments}

    def score(run: TreatmentRun) -> dict[str, Any]:
        model, result = initial, dict[str, Any](cpu_seconds=0.0)
        if run.treatment is not INITIAL:
            model, result = run.run()
        result["worlds"] = score_worlds(model, worlds, reading)
        for world, scores in result["worlds"].items():
            values = {
                name: scores["measures"][name]["value"] for name in ("miou", "refused_f1", "over_refusal")
            }
            figures = [f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in values.items()]
            on_progress(f"{run.treatment.name}, seed {run.seed}, {world}: {', '.join(figures)}")
        return result

    with exclusive_lock(out / scenario.name):
        initial = _initial_model(scenario, start, out, budget, on_progress)
        reading = ReadingConfig(  # held-out clips are read as the model's own defaults say
            tokens_per_frame=initial.defaults.tokens_per_frame or 8.0,
            min_tokens=initial.defaults.min_tokens,
            max_tokens=initial.defaults.max_tokens,
        )
        world_plans = {name: asdict(plan) for name, plan in plans.items()}
        for seed in seeds:
            for treatment in treatments:
                name = treatment.name
                folder = out / scenario.name / (name if treatment is INITIAL else f"{name}-{seed}")
                run = TreatmentRun(
                    scenario=scenario,
                    treatment=treatment,
                    initial=initial,
                    budget=budget,
                    seed=seed,
                    folder=folder,
                    on_progress=on_progress,
                )
                decides: dict[str, Any] = {"cold": initial.fingerprint, "worlds": world_plans}
                if treatment is not INITIAL:
                    training = as_dict(run.config(1))
                    del training["steps"], training["save_every"]
                    decides |= {
                        "arm": asdict(treatment),
                        "effort": asdict(budget),
                        "teach": asdict(scenario.teach),
                        "noise": asdict(scenario.noise),
                        "seed": seed,
                        "training": training,
                    }
                results[name][seed] = run_once(folder, decides, partial(score, run))

    summary: dict[str, Any] = {
        "scenario": scenario.name,
        "effort": asdict(budget),
        "seeds": list(seeds),
        "arms": {},
        "cpu_seconds": {
            name: [result["cpu_seconds"] for result in by_seed.values()] for name, by_seed in results.items()
        },
        "differences": {},
    }
    claim, *baselines = (treatment.name for treatment in scenario.treatments)
    for world, clips in worlds.items():
        summary["arms"][world] = {
            name: {
                measure: [
                    result["worlds"][world]["measures"][measure]["value"] for result in by_seed.values()
                ]
                for measure in MEASURES
            }
            for name, by_seed in results.items()
        }
        predictions = {
            name: {seed: saved_predictions(result["worlds"][world]) for seed, result in by_seed.items()}
            for name, by_seed in results.items()
        }
        truth = truth_rows(clips)
        summary["differences"][world] = {
            f"{claim} - {name}": gains(predictions[name], predictions[claim], truth)
            for name in (INITIAL.name, *baselines)
        }
    write_json(out / f"{scenario.name}.json", summary)
    return summary


def _initial_model(
    scenario: Scenario, start: Path, out: Path, budget: Budget, on_progress: Callable[[str], None]
) -> LoadedModel:
    """The model that all treatments start from."""
    from train.scratch.checkpoint import export
    from train.scratch.run import run

    cold_start, is_checkpoint = scenario.cold_start, (start / "config.json").is_file()
    if is_checkpoint and (cold_start is None or not cold_start.fresh_language):
        return load_model(start, four_bit=False, device="cpu")
    if cold_start is None:
        raise InputError(f"The scenario {scenario.name} starts from a checkpoint; {start} holds none.")
    if not is_checkpoint and not (start / "state.pt").is_file():
        raise InputError(
            f"{start} holds neither a checkpoint nor the state.pt of a finished `train sft --recipe` run."
        )
    weights = start_in(start, fresh_language=cold_start.fresh_language)
    recipe = cold_recipe(cold_start, budget.cold_steps, tokenizer_seed=weights.tokenizer_seed)
    folder = out / f"cold-{cold_start.name}"
    with exclusive_lock(folder, wait=True):  # scenarios may share it
        open_run(folder, {"recipe": asdict(recipe), "start": weights.digest})
        if not (folder / "checkpoint").is_dir():
            on_progress(f"cold start, {cold_start.name}: {recipe.joint_steps} steps")
            model, tokenizer = run(recipe, folder, start=weights, fresh_language=cold_start.fresh_language)
            partial = folder / "checkpoint.partial"
            shutil.rmtree(partial, ignore_errors=True)
            export(model, tokenizer, recipe, partial)
            move(partial, folder / "checkpoint")
        return load_model(folder / "checkpoint", four_bit=False, device="cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class TreatmentRun:
    """A treatment's training from the initial model, with one seed."""

    scenario: Scenario
    treatment: Treatment
    initial: LoadedModel
    budget: Budget
    seed: int
    folder: Path
    on_progress: Callable[[str], None]

    def run(self) -> tuple[LoadedModel, dict[str, Any]]:
        """The trained model, and what it cost."""
        pairs = ShapePairs(replace(self.scenario.teach, seed=self.seed))
        rows: Sequence[Example] = with_noise(
            pairs.examples, self.scenario.noise, pairs.beat_s, seed=self.seed
        )
        if self.treatment.negatives is not None:
            rows = with_negatives(rows, self.treatment.negatives, seed=self.seed, world=pairs).examples
        plan = self.plan_steps(pairs, rows)
        rows = [row for row, stays in zip(rows, plan["left"], strict=True) if stays]
        label = f"{self.treatment.name}, seed {self.seed}"
        budget_s = self.budget.minutes * 60
        while True:
            self.on_progress(f"{label}: {plan['steps']} steps on {len(rows)} rows")
            model, run_s = self.timed_training(pairs, rows, plan["steps"])
            cpu_s = plan["measured_s"] + run_s
            steps = max(1, round(plan["steps"] * (budget_s - plan["measured_s"]) / run_s))
            if plan["again"] or abs(cpu_s / budget_s - 1) <= TOLERANCE or steps == plan["steps"]:
                break
            self.on_progress(f"{label}: {cpu_s:.0f} processor seconds; begins anew with {steps} steps")
            shutil.rmtree(self.folder / "run")
            (self.folder / "spent.json").unlink(missing_ok=True)
            plan |= {"steps": steps, "again": True}
            write_json(self.folder / "budget.json", plan)
        costs = {"cpu_seconds": round(cpu_s, 1), "steps": plan["steps"], "rows": len(rows)}
        return replace(self.initial, model=model.eval()), costs

    def plan_steps(self, pairs: ShapePairs, rows: Sequence[Example]) -> dict[str, Any]:
        """Which rows the treatment's rule leaves, and the steps that the minutes are enough for; measured once."""
        path, initial = self.folder / "budget.json", self.initial
        if path.is_file():
            return {"again": False, **read_json(path)}
        for name in (*(f"pilot-{count}" for count in PILOTS), "run", "difficulty"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "spent.json").unlink(missing_ok=True)

        # Rows that are neither solved nor hopeless, where the treatment asks for them.
        stays, measured_s = [True] * len(rows), 0.0
        if self.treatment.difficulty is not None:
            from train.grpo.difficulty import measure, sampling_weights

            start_s = time.process_time()
            encoder = Encoder.of(initial, sample=pairs.sample)
            difficulties = measure(
                initial.model,
                encoder,
                rows,
                PirGrpoConfig(seed=self.seed),
                model_id=initial.fingerprint,
                cache=self.folder / "difficulty",
            )
            weights = sampling_weights(difficulties, self.treatment.difficulty)
            stays = [weight > 0 for weight in weights]
            measured_s = time.process_time() - start_s
        rows = [row for row, stay in zip(rows, stays, strict=True) if stay]

        # Seconds of a step, and of looking at a clip for the first time, from two pilots on a few clips.
        clips = list(dict.fromkeys(row.clip_id for row in rows))
        few_rows = [row for row in rows if row.clip_id in clips[:PILOT_CLIPS]]
        pilot_s = []
        for count in PILOTS:
            start_s = time.process_time()
            self.train(pairs, few_rows, count, self.folder / f"pilot-{count}")
            pilot_s.append(time.process_time() - start_s)
        step_s = max((pilot_s[1] - pilot_s[0]) / (PILOTS[1] - PILOTS[0]), pilot_s[0] / PILOTS[0] / 20)
        look_s = max(0.0, pilot_s[0] - PILOTS[0] * step_s) / min(PILOT_CLIPS, len(clips))
        if self.treatment.method == "sft":  # so few clips fill every batch; the rows may not
            mean_tokens = []
            for subset in (rows, few_rows):
                batches, steps = plan_batches(subset, self.config(100), initial.defaults)
                mean_tokens.append(sum(pack.tokens for batch in batches for pack in batch) / steps)
            step_s *= mean_tokens[0] / mean_tokens[1]
        steps = max(1, round((self.budget.minutes * 60 - measured_s - look_s * len(clips)) / step_s))
        plan = {"steps": steps, "measured_s": round(measured_s, 2), "left": stays, "again": False}
        write_json(path, plan)
        return plan

    def timed_training(self, pairs: ShapePairs, rows: Sequence[Example], steps: int) -> tuple[Any, float]:
        """The model, and processor seconds; what a run that was killed had recorded counts."""
        path, start_s = self.folder / "spent.json", time.process_time()
        earlier_s = float(read_json(path)) if path.is_file() else 0.0

        def cpu_s() -> float:
            return earlier_s + time.process_time() - start_s

        def record(_: dict[str, Any]) -> None:
            write_json(path, round(cpu_s(), 2))

        return self.train(pairs, rows, steps, self.folder / "run", record), cpu_s()

    def train(
        self,
        pairs: ShapePairs,
        rows: Sequence[Example],
        steps: int,
        folder: Path,
        on_progress: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> Any:
        """So many steps from the initial model."""
        from train.grpo.trainer import run_pir_grpo
        from train.sft.trainer import run_sft
        from train.trainer import adapt

        initial, config = self.initial, self.config(steps)
        encoder = Encoder.of(initial, sample=pairs.sample)
        model = adapt(copy.deepcopy(initial.model), config)
        train: Any = run_sft if self.treatment.method == "sft" else run_pir_grpo
        return train(model, encoder, rows, config, folder, on_progress=on_progress)

    def config(self, steps: int) -> Any:
        """The stage's configuration for so many steps."""
        treatment, budget = self.treatment, self.budget
        common: dict[str, Any] = {
            "method": "full",
            "seed": self.seed,
            "steps": steps,
            # A pilot saves nothing: one state among four steps would pass for a fifth of their time.
            "save_steps": 10 if steps in PILOTS else max(5, steps // 25 * 5),
            "logging_steps": 5,
            "threads": 1,
        }
        if treatment.method == "sft":
            rate = treatment.rate or budget.sft_rate
            return SftConfig(
                learning_rate=rate, questions_per_row=10, per_device_train_batch_size=8, **common
            )
        return PirGrpoConfig(
            learning_rate=treatment.rate or budget.learning_rate,
            groups=budget.groups,
            num_generations=8,
            beta=treatment.beta,
            inject_refusal=treatment.show_refusals,
            **common,
        )
