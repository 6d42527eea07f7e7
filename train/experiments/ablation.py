"""Do SAA and ETA help? The same run with one thing changed, several seeds, scored on the same held-out clips.

`allocation`: every arm goes on from the same trained model with its own allocator, then reads held-out clips with it:
SAA, uniform, SAA's sharing on random frames, SAA's sharing two frames late (resolution inside the events, no cue where
they begin and end). That model learned with SAA in four fifths of its batches and with uniform in one fifth, which
favours SAA. `stamps`: every arm starts from the same vision tower and a language model of random weights.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tempo_core.errors import InputError
from tempo_core.loading import LoadedModel, load_model
from tempo_core.metrics.rows import PredictionRow, TruthRow
from train.checkpoints import exclusive_lock, open_run, write_json
from train.experiments.world import (
    HeldClip,
    Reading,
    WorldPlan,
    gains,
    headline,
    held_out,
    loaded,
    score,
    spread,
    truth_rows,
)
from train.recipes import tempo_tiny
from train.scratch.recipe import Mixture, Phase, ScratchRecipe
from train.scratch.run import run as train
from train.scratch.start import Start, start_in
from train.shapeworld.queries import QueryMix

Report = Callable[[str], None]

UNTRAINED = "untrained"
"""The start as it is, read as each arm reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ablation:
    """Arms that differ in one thing; the first is what ships, and the others are compared with it."""

    name: str
    arms: tuple[tuple[str, Reading], ...]
    steps: int
    mixture: Mixture
    """What every arm learns from, read as the arm reads."""
    tiers: tuple[str, ...]
    """Scored on clips of these."""
    fresh_language: bool = False
    rate: float = 1.0


ABLATIONS = {
    "allocation": Ablation(
        name="allocation",
        arms=tuple(
            (name, Reading(allocator=name, tokens_per_frame=4.0, min_tokens=1))
            for name in ("saa", "uniform", "random", "shifted")
        ),
        steps=250,
        mixture=replace(tempo_tiny().phases[-1].mixture, rich_share=0.5, sparse_share=0.5),
        tiers=("rich", "sparse"),
        rate=0.15,
    ),
    "stamps": Ablation(
        name="stamps",
        arms=tuple((name, Reading(stamps=name)) for name in ("interleaved", "unpadded", "once", "none")),
        steps=360,
        mixture=Mixture(
            videos=8, questions=8, ticks=(8, 16), rich_share=0.0, beat_s=1.0, odd_clocks=0.0,
            query_mix=QueryMix(irrelevant=0.42, negatives=(0.4, 0.2, 0.15, 0.25)),
        ),
        tiers=("plain",),
        fresh_language=True,
    ),
}  # fmt: skip


def recipe_of(
    ablation: Ablation, reading: Reading, seed: int, steps: int, *, tokenizer_seed: int = 0
) -> ScratchRecipe:
    """The arm's training: every batch is read as the arm reads; the tokenizer stays the one of the run before."""
    mixture = replace(
        ablation.mixture, tokens_per_frame=reading.tokens_per_frame, min_tokens=reading.min_tokens,
        max_tokens=reading.max_tokens, other_budgets=0.0, allocators=((reading.allocator, 1.0),),
        stamps=reading.stamps,
    )  # fmt: skip
    phase = Phase(first_step=0, mixture=mixture, rate=ablation.rate, vision_rate=0.25, vision_weight=0.5)
    return ScratchRecipe(
        name=f"ablation-{ablation.name}", seed=seed, tokenizer_seed=tokenizer_seed, vision_steps=0,
        joint_steps=steps, batches_from=100_000, phases=(phase,), four_bit_share=0.0,
        loader_processes=int(steps > 10), threads=1,
    )  # fmt: skip


def run_ablation(
    ablation: Ablation, start: Path, out: Path, *, seeds: Sequence[int], clips: int, steps: int | None = None,
    report: Report = lambda line: None,
) -> dict[str, Any]:  # fmt: skip
    """Train and score every arm with every seed; `start` is the folder of a finished from-scratch run or, where
    the language model is made anew, a checkpoint.

    Finished arms are kept in `out`, so that the same command goes on; results of another start or other clips are
    refused (InputError). Returns (and writes to `out/NAME.json`) for each tier the arms' figures, means and spreads,
    and paired differences from the first arm; and where the language model is not made anew also those of the start
    itself, read as each arm reads (`untrained`).
    """
    steps = ablation.steps if steps is None else steps
    if clips < 1 or steps < 1:
        raise InputError(f"Clips and steps must be positive whole numbers; got {clips} and {steps}.")
    found = start_in(start, fresh_language=ablation.fresh_language)
    mixture = ablation.mixture
    plan = WorldPlan(clips=clips, seed=12, ticks=mixture.ticks, beat_s=mixture.beat_s, mix=_asked())
    worlds = {tier: held_out(replace(plan, tier=tier)) for tier in ablation.tiers}
    with exclusive_lock(out / ablation.name):
        return _run(ablation, found, out, seeds, steps, plan, worlds, report)


def _run(
    ablation: Ablation, start: Start, out: Path, seeds: Sequence[int], steps: int, plan: WorldPlan,
    worlds: dict[str, list[HeldClip]], report: Report,
) -> dict[str, Any]:  # fmt: skip
    begins = start.digest
    found: dict[str, Any] = {}
    for seed in seeds:
        for arm, reading in ablation.arms:
            folder = out / ablation.name / f"{arm}-{seed}"
            result = folder / "result.json"
            recipe = recipe_of(ablation, reading, seed, steps, tokenizer_seed=start.tokenizer_seed)
            open_run(folder, {"recipe": asdict(recipe), "start": begins, "asked": asdict(plan)})
            if not result.exists():
                _run_arm(ablation, f"{arm}, seed {seed}", reading, recipe, start, worlds, folder, report)
            found[f"{arm}-{seed}"] = json.loads(result.read_text())
    whole = {"ablation": ablation.name, "trained": _table(ablation, found, seeds, worlds)}
    if not ablation.fresh_language:
        before = load_model(start.folder / "checkpoint", four_bit=False, device="cpu")
        for arm, reading in ablation.arms:
            result = out / ablation.name / f"{arm}-{UNTRAINED}" / "result.json"
            open_run(result.parent, {"start": begins, "asked": asdict(plan)})
            if not result.exists():
                write_json(result, _scored(before, arm, reading, worlds, report))
            found[f"{arm}-{UNTRAINED}"] = json.loads(result.read_text())
        whole[UNTRAINED] = _table(ablation, found, [UNTRAINED], worlds)
    write_json(out / f"{ablation.name}.json", whole)
    return whole


def _asked() -> QueryMix:
    return QueryMix(hard_share=0.0, hard_kinds=(), held_out_words=True)


def _run_arm(
    ablation: Ablation, name: str, reading: Reading, recipe: ScratchRecipe, start: Start,
    worlds: dict[str, list[HeldClip]], folder: Path, report: Report,
) -> None:  # fmt: skip
    report(f"{name}: {recipe.joint_steps} steps")
    model, tokenizer = train(recipe, folder, start=start, fresh_language=ablation.fresh_language)
    scored = _scored(loaded(model, tokenizer, reading), name, reading, worlds, report)
    write_json(folder / "result.json", scored)
    (folder / "state.pt").unlink()


def _scored(
    model: LoadedModel, name: str, reading: Reading, worlds: dict[str, list[HeldClip]], report: Report
) -> dict[str, Any]:
    scored = {}
    for tier, clips in worlds.items():
        rows, evaluation = score(model, clips, reading)
        scored[tier] = headline(evaluation) | {"predictions": [asdict(row) for row in rows]}
        report(f"{name}, {tier}: mIoU {scored[tier]['measures']['miou']['value']:.3f}")
    return scored


def _table(
    ablation: Ablation, found: dict[str, Any], seeds: Sequence[int | str], worlds: dict[str, list[HeldClip]]
) -> dict[str, Any]:
    """Per tier: the arms' figures, and what the first arm gains on each other one, in all and on small things."""
    out: dict[str, Any] = {}
    for tier, clips in worlds.items():
        truth = truth_rows(clips)
        small = [row for row in truth if row.fields["size"] in ("tiny", "small")]
        out[tier] = {
            "arms": _summary(ablation, found, seeds, tier),
            "differences": _differences(ablation, found, seeds, truth, tier),
            "differences, tiny and small": _differences(ablation, found, seeds, small, tier) if small else {},
        }
    return out


def _summary(
    ablation: Ablation, found: dict[str, Any], seeds: Sequence[int | str], tier: str
) -> dict[str, Any]:
    """Per arm: mean and standard deviation over seeds of each measure, in all and by size."""
    out: dict[str, Any] = {}
    for arm, _ in ablation.arms:
        runs = [found[f"{arm}-{seed}"][tier] for seed in seeds]
        sizes = sorted(set.intersection(*(set(run["groups"]["size"]) for run in runs)))
        out[arm] = {
            name: spread([run["measures"][name]["value"] for run in runs]) for name in runs[0]["measures"]
        }
        for size in sizes:
            ious = [run["groups"]["size"][size]["miou"]["value"] for run in runs]
            out[arm][f"miou, {size}"] = spread(ious)
    return out


def _differences(
    ablation: Ablation, found: dict[str, Any], seeds: Sequence[int | str], truth: list[TruthRow], tier: str
) -> dict[str, Any]:
    """Each further arm against the first: a paired bootstrap over videos, all seeds' answers together."""
    whole = [replace(row, qid=f"{seed}-{row.qid}") for seed in seeds for row in truth]

    def said(arm: str) -> list[PredictionRow]:
        rows = [(seed, row) for seed in seeds for row in found[f"{arm}-{seed}"][tier]["predictions"]]
        known = {row.qid for row in truth}
        return [
            PredictionRow(**row | _tuples(row) | {"qid": f"{seed}-{row['qid']}"})
            for seed, row in rows
            if row["qid"] in known
        ]

    first, *others = (arm for arm, _ in ablation.arms)
    out: dict[str, Any] = {}
    for arm in others:
        out[f"{first} - {arm}"] = gains(said(arm), said(first), whole)
    return out


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(map(tuple, row[name])) for name in ("windows", "moments")}
