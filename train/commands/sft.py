"""`python -m train sft`: supervised fine-tuning by recipe; tempo-tiny's recipe starts from random weights."""

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from tempo_core.errors import InputError
from train.recipes import RECIPES


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser(
        "sft",
        help="train by a recipe, resumable",
        description="Train into OUT. The same command resumes; curves.jsonl grows meanwhile; the checkpoint is "
        "OUT/checkpoint.",
    )
    command.add_argument("--recipe", required=True, help=f"one of: {', '.join(sorted(RECIPES))}")
    command.add_argument("--out", type=Path, required=True, help="folder for state, curves and checkpoint")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "--json", action="store_true", help="print curves as JSON lines instead of a progress bar"
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.recipe not in RECIPES:
        raise InputError(f"There is no recipe {args.recipe!r}. Use one of: {', '.join(sorted(RECIPES))}.")
    from train.scratch.export import export
    from train.scratch.run import run as train

    recipe = RECIPES[args.recipe](args.seed)
    with tqdm(
        total=recipe.vision_steps + recipe.joint_steps, unit="step", file=sys.stderr, disable=args.json
    ) as bar:

        def show(line: dict) -> None:
            bar.update(line["step"] + (recipe.vision_steps if line["stage"] == "joint" else 0) - bar.n)
            bar.set_postfix({k: line[k] for k in ("exact", "refuses", "shape_f1") if k in line})
            if args.json:
                print(json.dumps(line), flush=True)

        model, tokenizer = train(recipe, args.out, progress=show)
    print(f"checkpoint: {export(model, tokenizer, recipe, args.out / 'checkpoint')}")
    return 0
