"""Where PIR-GRPO is meant to pay: after supervised training that saw relevant pairs only (Tempo-R0's two stages).

Arms start from the same cold model and get the same processor minutes: PIR-GRPO with hard negatives, PIR-GRPO with
another clip's queries, further supervised training on the relevant rows, and further supervised training on the very
rows of the first arm, refusals included. Scored on held-out clips with tempo_core.metrics; paired bootstrap over clips.
"""

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tempo_core.errors import InputError
from tempo_core.loading import LoadedModel, load_model
from tempo_core.metrics.evaluation import compare
from tempo_core.metrics.rows import PredictionRow, TruthRow
from train.configuration import SftConfig
from train.examples import Example
from train.experiments.pairs import PairsPlan, ShapePairs
from train.experiments.world import MEASURES, Reading, WorldPlan, headline, held_out, score, truth_rows
from train.negatives import NegativeShares, with_negatives
from train.pir_config import PirGrpoConfig
from train.scratch.recipe import Mixture, Phase, ScratchRecipe
from train.shapeworld.queries import QueryMix

Report = Callable[[str], None]

HARD = NegativeShares(edited=1.0, same_video=0.0, shuffled=0.25)
EASY = NegativeShares(edited=0.0, same_video=0.0, shuffled=1.0)
ARMS = ("pir-hard", "pir-shuffled", "sft-relevant", "sft-hard")
"""The first is the claim, the others are what it is compared with."""
PILOT_STEPS = 4
"""Steps from which an arm's processor seconds a step are known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stages:
    """The experiment's size."""

    minutes: float = 12.0
    """Processor minutes of every arm."""
    clips: int = 400
    """Clips to train on, with five relevant rows each."""
    held_out_clips: int = 200
    cold_steps: int = 900
    """Steps of the cold start from random language weights."""
    learning_rate: float = 3e-5
    sft_rate: float = 2e-4
    groups: int = 16


def cold_recipe(seed: int, steps: int, *, tokenizer_seed: int) -> ScratchRecipe:
    """The cold start: relevant pairs only, so that the model never once saw a refusal."""
    only = QueryMix(irrelevant=0.0, hard_share=0.0, hard_kinds=())
    mixture = Mixture(
        videos=8, questions=8, ticks=(10, 24), rich_share=0.6, query_mix=only, other_budgets=0.0
    )
    phase = Phase(first_step=0, mixture=mixture, vision_rate=0.25, vision_weight=0.5)
    return ScratchRecipe(
        name="relevant-only", seed=seed, tokenizer_seed=tokenizer_seed, vision_steps=0, joint_steps=steps,
        phases=(phase,), four_bit_share=0.0, loader_processes=int(steps > 10),
    )  # fmt: skip


def run_stages(
    start: Path, out: Path, plan: Stages, *, seeds: Sequence[int], report: Report = lambda line: None
) -> dict[str, Any]:
    """Every arm with every seed; finished ones are kept in `out`, so that the same command goes on.

    `start` is the folder of a finished from-scratch run (its vision tower is used) or a checkpoint folder to be taken
    as the cold model. Returns, and writes to `out/stages.json`, figures per arm and differences from the first.
    """
    clips = held_out(WorldPlan(clips=plan.held_out_clips, seed=11))
    found: dict[str, Any] = {}
    for seed in seeds:
        cold = _cold(start, out, plan, seed, report)
        for arm in ("cold", *ARMS):
            folder = out / f"{arm}-{seed}"
            result = folder / "result.json"
            if not result.exists():
                folder.mkdir(parents=True, exist_ok=True)
                made, facts = _train_arm(arm, cold, plan, seed, folder, report)
                rows, evaluation = score(made, clips, _reading(made))
                facts |= headline(evaluation) | {"predictions": [asdict(row) for row in rows]}
                result.write_text(json.dumps(facts))
                report(f"{arm}, seed {seed}: " + _figures(facts["measures"]))
            found[f"{arm}-{seed}"] = json.loads(result.read_text())
    whole = {
        "plan": asdict(plan),
        "arms": {
            arm: {
                name: [found[f"{arm}-{seed}"]["measures"][name]["value"] for seed in seeds]
                for name in MEASURES
            }
            | {"cpu_seconds": [found[f"{arm}-{seed}"].get("cpu_seconds") for seed in seeds]}
            for arm in ("cold", *ARMS)
        },
        "differences": _differences(found, seeds, truth_rows(clips)),
    }
    (out / "stages.json").write_text(json.dumps(whole, indent=1))
    return whole


def _cold(start: Path, out: Path, plan: Stages, seed: int, report: Report) -> LoadedModel:
    """The model that all arms start from."""
    if (start / "config.json").is_file():
        return load_model(start, four_bit=False, device="cpu")
    if not (start / "state.pt").is_file():
        raise InputError(
            f"{start} holds neither a checkpoint nor the state.pt of a finished `train sft --recipe` run."
        )
    from train.scratch.export import export
    from train.scratch.run import run as train

    folder = out / f"cold-start-{seed}"
    if not (folder / "checkpoint" / "config.json").is_file():
        report(f"cold start, seed {seed}: {plan.cold_steps} steps")
        before = json.loads((start / "recipe.json").read_text())["seed"]
        recipe = cold_recipe(seed, plan.cold_steps, tokenizer_seed=before)
        model, tokenizer = train(recipe, folder, start=start / "state.pt", fresh_language=True)
        export(model, tokenizer, recipe, folder / "checkpoint")
    return load_model(folder / "checkpoint", four_bit=False, device="cpu")


def _train_arm(
    arm: str, cold: LoadedModel, plan: Stages, seed: int, folder: Path, report: Report
) -> tuple[LoadedModel, dict[str, Any]]:
    """The arm's model, and what it cost."""
    if arm == "cold":
        return cold, {"cpu_seconds": 0.0}
    pairs = ShapePairs(PairsPlan(clips=plan.clips, seed=seed))
    shares = {"pir-hard": HARD, "sft-hard": HARD, "pir-shuffled": EASY}.get(arm)
    rows = (
        pairs.examples
        if shares is None
        else with_negatives(pairs.examples, shares, seed=seed, world=pairs).examples
    )
    _, pilot_s = _steps(arm, cold, pairs, rows, plan, seed, PILOT_STEPS, folder / "pilot")
    steps = max(1, round(plan.minutes * 60 / (pilot_s / PILOT_STEPS)))
    report(f"{arm}, seed {seed}: {steps} steps on {len(rows)} rows")
    model, cpu_s = _steps(arm, cold, pairs, rows, plan, seed, steps, folder / "run")
    return replace(cold, model=model.eval()), {
        "cpu_seconds": round(cpu_s, 1),
        "steps": steps,
        "rows": len(rows),
    }


def _steps(
    arm: str, cold: LoadedModel, pairs: ShapePairs, rows: Sequence[Example], plan: Stages, seed: int, steps: int,
    folder: Path,
) -> tuple[Any, float]:  # fmt: skip
    """So many steps of an arm from the cold model, and the processor seconds they took."""
    from train.pir_grpo import run_pir_grpo
    from train.sft import adapt, run_sft

    encoder = pairs.encoder(cold.tokenizer, cold.defaults, cold.normaliser)
    config: Any = _sft(plan, seed, steps) if arm.startswith("sft") else _pir(plan, seed, steps)
    model = adapt(copy.deepcopy(cold.model), config)
    train: Any = run_sft if arm.startswith("sft") else run_pir_grpo
    began_s = time.process_time()
    model = train(model, cold.tokenizer, encoder, rows, config, folder)
    return model, time.process_time() - began_s


def _sft(plan: Stages, seed: int, steps: int) -> SftConfig:
    return SftConfig(
        method="full", seed=seed, learning_rate=plan.sft_rate, steps=steps, questions=10, rows=8,
        save_every=max(5, steps // 25 * 5), record_every=5, threads=1,
    )  # fmt: skip


def _pir(plan: Stages, seed: int, steps: int) -> PirGrpoConfig:
    return PirGrpoConfig(
        method="full", seed=seed, learning_rate=plan.learning_rate, steps=steps, groups=plan.groups, rollouts=8,
        save_every=max(5, steps // 25 * 5), record_every=5, threads=1,
    )  # fmt: skip


def _reading(model: LoadedModel) -> Reading:
    """Held-out clips are read as the model's own defaults say."""
    defaults = model.defaults
    return Reading(
        tokens_per_frame=defaults.tokens_per_frame or 8.0, min_tokens=defaults.min_tokens,
        max_tokens=defaults.max_tokens,
    )  # fmt: skip


def _differences(found: dict[str, Any], seeds: Sequence[int], truth: list[TruthRow]) -> dict[str, Any]:
    """The first arm's gain over the cold model and every other arm: a paired bootstrap over clips, seeds together."""
    whole = [replace(row, qid=f"{seed}-{row.qid}") for seed in seeds for row in truth]

    def said(arm: str) -> list[PredictionRow]:
        rows = [(seed, row) for seed in seeds for row in found[f"{arm}-{seed}"]["predictions"]]
        return [
            PredictionRow(
                **row
                | {name: tuple(map(tuple, row[name])) for name in ("windows", "moments")}
                | {"qid": f"{seed}-{row['qid']}"}
            )
            for seed, row in rows
        ]

    out: dict[str, Any] = {}
    for arm in ("cold", *ARMS[1:]):
        gaps = compare(said(arm), said(ARMS[0]), whole)
        out[f"{ARMS[0]} - {arm}"] = {
            name: {"gain": gap.second - gap.first, "low": gap.low, "high": gap.high, "p": gap.p_value}
            for name, gap in gaps.items()
            if name in MEASURES
        }
    return out


def _figures(measures: dict[str, Any]) -> str:
    shown = {name: measures[name]["value"] for name in ("miou", "refused_f1", "over_refusal")}
    return ", ".join(f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in shown.items())
