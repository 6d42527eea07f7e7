"""`python -m train experiment NAME`: the experiments of docs/experiments.md, each resumable and reproducible."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tempo_core.errors import InputError


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser(
        "experiment",
        help="repeat an experiment",
        description="Repeat one of the experiments of docs/experiments.md; figures go to OUT as JSON.",
    )
    names = command.add_subparsers(dest="experiment", required=True, metavar="NAME")
    for name, about in (
        ("allocation", "SAA against uniform, random and shifted allocation at equal budget"),
        ("stamps", "ETA against unpadded stamps, stamps given once, and none"),
    ):
        ablation = names.add_parser(name, help=about, description=f"{about}.")
        ablation.add_argument(
            "--start", type=Path, required=True, help="folder of a finished `sft --recipe` run"
        )
        ablation.add_argument("--out", type=Path, required=True, help="folder for the arms and their figures")
        ablation.add_argument("--seeds", default="0,1,2", help="seeds, separated by commas")
        ablation.add_argument("--clips", type=int, default=200, help="held-out clips of five questions each")
        ablation.add_argument(
            "--steps", type=int, help="training steps of each arm (default: the experiment's own)"
        )
        ablation.add_argument("--tiers", default="rich", help="plain, rich or both, separated by a comma")
        ablation.set_defaults(run=_run_ablation)


def _run_ablation(args: argparse.Namespace) -> int:
    from train.experiments.ablation import ABLATIONS, run_ablation

    whole = run_ablation(
        ABLATIONS[args.experiment], args.start, args.out, seeds=_seeds(args.seeds), clips=args.clips,
        steps=args.steps, tiers=args.tiers.split(","), report=_report,
    )  # fmt: skip
    for tier, arms in whole["arms"].items():
        print(f"{tier}:")
        for arm, values in arms.items():
            print(f"  {arm:12s}" + "  ".join(f"{name} {_shown(value)}" for name, value in values.items()))
        for pair, gaps in whole["differences"][tier].items():
            print(f"  {pair}: " + json.dumps(gaps))
    return 0


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(
            f"--seeds takes whole numbers separated by commas, such as 0,1,2; got {text!r}."
        ) from error


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _shown(value: dict[str, Any] | None) -> str:
    return "-" if value is None else f"{value['mean']:.3f}±{value['sd']:.3f}"
