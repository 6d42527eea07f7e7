"""`python -m train pir-grpo`: reinforcement learning on relevant and irrelevant pairs, after supervised training."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tempo_core.errors import InputError
from train.commands.options import (
    add_data_options,
    curve_bar,
    fine_tuning,
    gather,
    load_base,
    show_plan,
)
from train.grpo.difficulty import WEIGHTS


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser(
        "pir-grpo",
        help="reward right answers and right refusals, resumable",
        description="Train an adapter by PIR-GRPO into OUT/adapter; the same command resumes, and curves.jsonl grows "
        "meanwhile.",
    )
    command.add_argument("--recipe", default="tempo-tiny-refresh", help="(tempo-tiny-refresh)")
    command.add_argument("--out", type=Path, required=True, help="folder for state, curves and the adapter")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "--json", action="store_true", help="print curves as JSON lines instead of a progress bar"
    )
    command.add_argument(
        "--difficulty", choices=(*WEIGHTS, "none"),
        help="draw rows by how hard they are for the model, by this paper's rule (default: the recipe's)",
    )  # fmt: skip
    add_data_options(command, required=True)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    recipe = fine_tuning(args.recipe, args.seed)
    if recipe.pir is None:
        raise InputError(f"The recipe {args.recipe} has no PIR-GRPO stage. Choose another.")
    pir = recipe.pir if args.steps is None else replace(recipe.pir, steps=args.steps)
    if args.difficulty is not None:
        pir = replace(pir, difficulty=None if args.difficulty == "none" else args.difficulty)
    recipe = replace(recipe, pir=pir)
    found = gather(args, recipe)
    if args.dry_run:
        return show_plan(args, found, recipe, ("pir-grpo",))
    from train.data.negatives import rows_with_negatives
    from train.grpo.curriculum import run_curriculum
    from train.trainer import adapt

    rows = rows_with_negatives(found.training, recipe.negatives, args.out, seed=recipe.seed)
    if all(row.relevant for row in rows):
        print("No row is irrelevant, so refusing cannot be learned here.", file=sys.stderr)
    loaded, encoder = load_base(args, pir, four_bit=recipe.four_bit)
    bar, show = curve_bar(args.json)
    with bar:
        model = adapt(loaded.model, pir, parent=args.adapter)
        run_curriculum(model, loaded.tokenizer, encoder, rows, pir, args.out, on_progress=show)
    print(f"adapter: {args.out / 'adapter'}")
    return 0
