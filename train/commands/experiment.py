"""`python -m train experiment NAME`: the experiments of docs/experiments.md, each resumable and reproducible."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tempo_core.errors import InputError

SCENARIO_NAMES = ("stages", "few-1", "few-5", "noisy", "hard", "transfer")
"""Of train.experiments.scenarios, which the command line is not to load."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser(
        "experiment",
        help="repeat an experiment",
        description="Repeat one of the experiments of docs/experiments.md; figures go to OUT as JSON.",
    )
    names = command.add_subparsers(dest="experiment", required=True, metavar="NAME")
    run = "a finished `sft --recipe` run"
    for name, about, start in (
        ("allocation", "SAA against uniform, random and shifted allocation at equal budget", run),
        (
            "stamps",
            "ETA against unpadded stamps, stamps given once, and none",
            f"{run}, or a checkpoint such as tempo_core/checkpoints/tempo-tiny: its vision tower is used",
        ),
    ):
        ablation = names.add_parser(name, help=about, description=f"{about}.")
        ablation.add_argument("--start", type=Path, required=True, help=f"folder of {start}")
        ablation.add_argument("--out", type=Path, required=True, help="folder for the arms and their figures")
        ablation.add_argument("--seeds", default="0,1,2", help="seeds, separated by commas")
        ablation.add_argument("--clips", type=int, default=200, help="held-out clips of five questions each")
        ablation.add_argument(
            "--steps", type=int, help="training steps of each arm (default: the experiment's own)"
        )
        ablation.set_defaults(run=_run_ablation)
    _add_loop(names)
    _add_gains(names)


def _add_loop(names: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    about = "damaged labels, corrected through the store in suspicion and in random order, a refresh after each batch"
    loop = names.add_parser("loop", help=about, description=f"{about}.")
    loop.add_argument("--out", type=Path, required=True, help="folder for everything; the same one goes on")
    loop.add_argument("--checkpoint", metavar="DIR", help="the base (default: the shipped tempo-tiny)")
    loop.add_argument("--seeds", default="0", help="seeds, separated by commas (0)")
    loop.add_argument(
        "--clips", type=int, default=24, help="clips with damaged labels, six questions each (24)"
    )
    loop.add_argument("--held-out-clips", type=int, default=40, help="clean clips (40)")
    loop.add_argument("--batches", type=int, default=4, help="refreshes (4)")
    loop.add_argument("--batch-rows", type=int, default=24, help="corrections before each (24)")
    loop.add_argument(
        "--pir", action="store_true", help="PIR-GRPO after SFT in every refresh, as the recipe has it"
    )
    loop.add_argument("--json", action="store_true", help="print the curve as one JSON object")
    loop.set_defaults(run=_run_loop)


def _run_loop(args: argparse.Namespace) -> int:
    from train.experiments.loop import MEASURES, LoopPlan, run_loop
    from train.recipes import tempo_tiny_refresh

    pir = tempo_tiny_refresh().pir
    pir = None if pir is None else replace(pir, threads=1)
    plan = LoopPlan(
        clips=args.clips, held_out_clips=args.held_out_clips, batches=args.batches, batch_rows=args.batch_rows,
        pir=pir if args.pir else None,
    )  # fmt: skip
    result = run_loop(plan, args.out, seeds=_seeds(args.seeds), checkpoint=args.checkpoint, say=_report)
    if args.json:
        print(json.dumps({"points": result["points"], "differences": result["differences"]}))
        return 0
    for point in result["points"]:
        shown = "  ".join(f"{name} {point[name]:.3f}" for name in MEASURES if point[name] is not None)
        print(f"seed {point['seed']}  {point['order']:10s} {point['corrections']:5d} corrections  {shown}")
    for step in result["differences"]:
        for pair, gaps in step.items():
            if pair != "corrections":
                print(f"{step['corrections']:5d} corrections  {pair:18s} {_gaps(gaps)}")
    print(f"curve: {args.out / 'curve.html'}")
    return 0


def _add_gains(names: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    about = "PIR-GRPO against the same minutes of further SFT, in one scenario"
    gains = names.add_parser("gains", help=about, description=f"{about}.")
    gains.add_argument(
        "scenario", metavar="SCENARIO", choices=SCENARIO_NAMES, help=f"one of {', '.join(SCENARIO_NAMES)}"
    )
    gains.add_argument(
        "--start", type=Path, required=True,
        help="folder of a finished `sft --recipe` run, or a checkpoint: its vision tower where the cold model's "
        "language model is made anew, else the cold model itself",
    )  # fmt: skip
    gains.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for cold starts, arms and figures; scenarios may share it",
    )
    gains.add_argument("--seeds", default="0,1,2", help="seeds, separated by commas")
    gains.add_argument("--minutes", type=float, default=12.0, help="processor minutes of every arm")
    gains.add_argument(
        "--cold-steps", type=int, help="steps of making the cold model (default: the scenario's own)"
    )
    gains.add_argument(
        "--clips", type=int, help="held-out clips in every world (default: the scenario's own)"
    )
    gains.set_defaults(run=_run_gains)


def _run_gains(args: argparse.Namespace) -> int:
    from train.experiments.gains import Effort, run_scenario
    from train.experiments.scenarios import SCENARIOS
    from train.experiments.world import spread

    effort = Effort(minutes=args.minutes, held_out_clips=args.clips, cold_steps=args.cold_steps)
    whole = run_scenario(
        SCENARIOS[args.scenario], args.start, args.out, effort, seeds=_seeds(args.seeds), report=_report
    )
    for world, arms in whole["arms"].items():
        print(f"{world}:")
        for arm, values in arms.items():
            print(
                f"  {arm:20s}" + "  ".join(f"{name} {_shown(spread(each))}" for name, each in values.items())
            )
        for pair, gaps in whole["differences"][world].items():
            print(f"  {pair}: {_gaps(gaps)}")
    return 0


def _run_ablation(args: argparse.Namespace) -> int:
    from train.experiments.ablation import ABLATIONS, UNTRAINED, run_ablation

    whole = run_ablation(
        ABLATIONS[args.experiment], args.start, args.out, seeds=_seeds(args.seeds), clips=args.clips,
        steps=args.steps, report=_report,
    )  # fmt: skip
    for when in ("trained", UNTRAINED):
        for tier, table in whole.get(when, {}).items():
            print(f"{tier}, {when}:")
            for arm, values in table.pop("arms").items():
                print(f"  {arm:12s}" + "  ".join(f"{name} {_shown(value)}" for name, value in values.items()))
            for name, pairs in table.items():
                for pair, gaps in pairs.items():
                    print(f"  {name}: {pair}: {_gaps(gaps)}")
    return 0


def _seeds(text: str) -> list[int]:
    rule = f"--seeds takes whole numbers from 0 on separated by commas, such as 0,1,2; got {text!r}."
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(rule) from error
    if min(seeds) < 0:
        raise InputError(rule)
    return seeds


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _shown(value: dict[str, Any] | None) -> str:
    return "-" if value is None else f"{value['mean']:.3f}±{value['sd']:.3f}"


def _gaps(gaps: dict[str, dict[str, float | None]]) -> str:
    known = {name: gap for name, gap in gaps.items() if gap["gain"] is not None}
    return "  ".join(
        f"{name} {gap['gain']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]" for name, gap in known.items()
    )
