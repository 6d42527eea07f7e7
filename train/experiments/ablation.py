"""Do SAA and ETA help? The same run with one thing changed, several seeds, scored on the same held-out clips.

`allocation`: every arm goes on from the same trained model with its own allocator, then reads held-out clips with it:
SAA, uniform, SAA's sharing on random frames, SAA's sharing two frames late (resolution inside the events, no cue where
they begin and end). That model learned with SAA in four fifths of its batches and with uniform in one fifth, which
favours SAA. `stamps`: every arm starts from the same vision tower and a language model of random weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tempo_core.allocation import ALLOCATORS
from tempo_core.errors import InputError
from tempo_core.loading import LoadedModel, load_model
from train.checkpoints import exclusive_lock, write_json
from train.experiments.world import (
    HeldOutClip,
    ReadingConfig,
    WorldPlan,
    gains,
    held_out_clips,
    loaded,
    run_once,
    saved_predictions,
    score_worlds,
    spread,
    truth_rows,
)
from train.recipes import tempo_tiny
from train.scratch.checkpoint import start_in
from train.scratch.recipe import Mixture, Phase, ScratchRecipe
from train.scratch.run import run
from train.shapeworld.queries import QueryMix

UNTRAINED = "untrained"
"""The start as it is, read as each arm reads."""

Results = dict[str, dict[int | str, dict[str, Any]]]
"""By arm and seed: `score_worlds` as JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ablation:
    """Arms that differ in one thing; the first is what ships, and the others are compared with it."""

    name: str
    arms: dict[str, ReadingConfig]
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
        arms={name: ReadingConfig(allocator=name, tokens_per_frame=4.0, min_tokens=1) for name in ALLOCATORS},
        steps=250,
        mixture=replace(tempo_tiny().phases[-1].mixture, rich_share=0.5, sparse_share=0.5),
        tiers=("rich", "sparse"),
        rate=0.15,
    ),
    "stamps": Ablation(
        name="stamps",
        arms={name: ReadingConfig(stamps=name) for name in ("interleaved", "unpadded", "once", "none")},
        steps=360,
        mixture=Mixture(
            videos=8,
            questions=8,
            ticks=(8, 16),
            rich_share=0.0,
            beat_s=1.0,
            odd_clocks=0.0,
            query_mix=QueryMix(irrelevant=0.42, negatives=(0.4, 0.2, 0.15, 0.25)),
        ),
        tiers=("plain",),
        fresh_language=True,
    ),
}


def recipe_of(
    ablation: Ablation, reading: ReadingConfig, seed: int, steps: int, *, tokenizer_seed: int = 0
) -> ScratchRecipe:
    """The arm's training: every batch is read as the arm reads; the tokenizer stays the one of the run before."""
    mixture = replace(
        ablation.mixture,
        tokens_per_frame=reading.tokens_per_frame,
        min_tokens=reading.min_tokens,
        max_tokens=reading.max_tokens,
        other_budgets=0.0,
        allocators=((reading.allocator, 1.0),),
        stamps=reading.stamps,
    )
    phase = Phase(first_step=0, mixture=mixture, rate=ablation.rate, vision_rate=0.25, vision_weight=0.5)
    return ScratchRecipe(
        name=f"ablation-{ablation.name}",
        seed=seed,
        tokenizer_seed=tokenizer_seed,
        vision_steps=0,
        joint_steps=steps,
        batches_from=100_000,
        phases=(phase,),
        four_bit_share=0.0,
        loader_processes=int(steps > 10),
        threads=1,
    )


def run_ablation(
    ablation: Ablation,
    start: Path,
    out: Path,
    *,
    seeds: Sequence[int],
    clips: int,
    steps: int | None = None,
    on_progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
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
    weights = start_in(start, fresh_language=ablation.fresh_language)
    mixture = ablation.mixture
    plan = WorldPlan(clips=clips, seed=12, ticks=mixture.ticks, beat_s=mixture.beat_s)
    worlds = {tier: held_out_clips(replace(plan, tier=tier)) for tier in ablation.tiers}
    decides = {"start": weights.digest, "asked": asdict(plan)}

    def score(model: LoadedModel, reading: ReadingConfig, label: str) -> dict[str, Any]:
        scores = score_worlds(model, worlds, reading)
        for tier, result in scores.items():
            on_progress(f"{label}, {tier}: mIoU {result['measures']['miou']['value']:.3f}")
        return scores

    def train_and_score(
        folder: Path, recipe: ScratchRecipe, reading: ReadingConfig, label: str
    ) -> dict[str, Any]:
        on_progress(f"{label}: {recipe.joint_steps} steps")
        model, tokenizer = run(recipe, folder, start=weights, fresh_language=ablation.fresh_language)
        scores = score(loaded(model, tokenizer), reading, label)
        (folder / "state.pt").unlink()
        return scores

    with exclusive_lock(out / ablation.name):
        results: Results = {arm: {} for arm in ablation.arms}
        for seed in seeds:
            for arm, reading in ablation.arms.items():
                folder = out / ablation.name / f"{arm}-{seed}"
                recipe = recipe_of(ablation, reading, seed, steps, tokenizer_seed=weights.tokenizer_seed)
                work = partial(train_and_score, folder, recipe, reading, f"{arm}, seed {seed}")
                results[arm][seed] = run_once(folder, {"recipe": asdict(recipe), **decides}, work)
        summary = {"ablation": ablation.name, "trained": _table(results, worlds)}
        if not ablation.fresh_language:
            before = load_model(weights.folder / "checkpoint", four_bit=False, device="cpu")
            results = {}
            for arm, reading in ablation.arms.items():
                folder = out / ablation.name / f"{arm}-{UNTRAINED}"
                work = partial(score, before, reading, f"{arm}, {UNTRAINED}")
                results[arm] = {UNTRAINED: run_once(folder, decides, work)}
            summary[UNTRAINED] = _table(results, worlds)
        write_json(out / f"{ablation.name}.json", summary)
    return summary


def _table(results: Results, worlds: dict[str, list[HeldOutClip]]) -> dict[str, Any]:
    """Per tier: each arm's figures, in all and by size, mean and standard deviation over seeds; and what the first
    arm gains on each other one (a paired bootstrap over videos), in all and on small things."""
    tables: dict[str, Any] = {}
    first, *baselines = results
    for tier, clips in worlds.items():
        arms: dict[str, Any] = {}
        for arm, by_seed in results.items():
            scores = [result[tier] for result in by_seed.values()]
            arms[arm] = {
                name: spread([score["measures"][name]["value"] for score in scores])
                for name in scores[0]["measures"]
            }
            for size in sorted(set.intersection(*(set(score["groups"]["size"]) for score in scores))):
                ious = [score["groups"]["size"][size]["miou"]["value"] for score in scores]
                arms[arm][f"miou, {size}"] = spread(ious)
        predictions = {
            arm: {seed: saved_predictions(result[tier]) for seed, result in by_seed.items()}
            for arm, by_seed in results.items()
        }
        truth = truth_rows(clips)
        small = [row for row in truth if row.fields["size"] in ("tiny", "small")]
        tables[tier] = {"arms": arms}
        for name, rows in (("differences", truth), ("differences, tiny and small", small)):
            tables[tier][name] = {
                f"{first} - {arm}": gains(predictions[arm], predictions[first], rows)
                for arm in (baselines if rows else ())
            }
    return tables
