"""`python -m train sft`: supervised training, from random weights by recipe, or on rows from a checkpoint."""

import argparse
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from tempo_core.errors import InputError
from train.checkpoints import exclusive_lock
from train.commands.options import (
    add_data_options,
    curve_bar,
    fine_tuning,
    gather,
    load_base,
    show_plan,
)
from train.recipes import FINE_TUNING, RECIPES
from train.scratch.recipe import ScratchRecipe

if TYPE_CHECKING:
    from train.scratch.start import Start

OF_DATA = ("dry_run", "steps", "checkpoint", "adapter", "videos", "full")
BESIDE_WEIGHTS = ("tempo.json", "preprocessor_config.json")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser(
        "sft",
        help="supervised training, resumable",
        description="Train into OUT; the same command resumes, and curves.jsonl grows meanwhile. Without --data: the "
        "recipe's model from random weights, into OUT/checkpoint. With --data: fine-tune a checkpoint on the rows, "
        "into OUT/adapter (or OUT/checkpoint with --full).",
    )
    names = ", ".join((*sorted(RECIPES), *sorted(FINE_TUNING)))
    command.add_argument("--recipe", help=f"one of: {names} (with --data: tempo-tiny-refresh)")
    command.add_argument("--out", type=Path, required=True, help="folder for state, curves and the result")
    command.add_argument(
        "--start",
        metavar="RUN",
        type=Path,
        help="folder of the finished run that a recipe such as tempo-tiny-motion follows",
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "--json", action="store_true", help="print curves as JSON lines instead of a progress bar"
    )
    add_data_options(command, required=False)
    command.add_argument("--full", action="store_true", help="train every weight, not an adapter")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.data is not None:
        if args.start is not None:
            raise InputError(
                "--start belongs to recipes from random weights; with --data, give --checkpoint or --adapter."
            )
        return _fine_tune(args)
    if args.recipe is None:
        raise InputError("Give --data to fine-tune on rows, or --recipe to train from random weights.")
    if args.recipe in FINE_TUNING:
        raise InputError(f"{args.recipe} fine-tunes on rows: give --data.")
    if args.recipe not in RECIPES:
        raise InputError(f"There is no recipe {args.recipe!r}. Use one of: {', '.join(sorted(RECIPES))}.")
    of_data = [name for name in OF_DATA if getattr(args, name) not in (None, False)]
    if of_data or args.devices != 1:
        name = of_data[0].replace("_", "-") if of_data else "devices"
        raise InputError(
            f"--{name} belongs to --data; a recipe from random weights decides everything itself. Leave it out."
        )
    return _from_scratch(args)


def _from_scratch(args: argparse.Namespace) -> int:
    from train.scratch.export import export
    from train.scratch.run import run as train

    recipe = RECIPES[args.recipe](args.seed)
    start = _start(args.start, recipe)
    with tqdm(
        total=recipe.vision_steps + recipe.joint_steps, unit="step", file=sys.stderr, disable=args.json
    ) as bar:

        def show(line: dict) -> None:
            bar.update(line["step"] + (recipe.vision_steps if line["stage"] == "joint" else 0) - bar.n)
            bar.set_postfix({k: line[k] for k in ("exact", "refuses", "shape_f1") if k in line})
            if args.json:
                print(json.dumps(line), flush=True)

        with exclusive_lock(args.out):
            model, tokenizer = train(recipe, args.out, start=start, progress=show)
    print(f"checkpoint: {export(model, tokenizer, recipe, args.out / 'checkpoint')}")
    return 0


def _start(folder: Path | None, recipe: ScratchRecipe) -> "Start | None":
    """What to begin with. Raises InputError unless --start names a run that the recipe follows."""
    from train.scratch.start import start_in

    if recipe.follows is None:
        if folder is not None:
            raise InputError(
                f"--start was given, but {recipe.name} begins with random weights. Leave it out."
            )
        return None
    remedy = (
        f"{recipe.name} goes on from a finished `sft --recipe {recipe.follows}` run: name its --out folder."
    )
    if folder is None:
        raise InputError(f"No --start was given. {remedy}")
    if not (folder / "state.pt").is_file() or not (folder / "recipe.json").is_file():
        raise InputError(f"{folder} holds no state.pt with its recipe.json. {remedy}")
    found = json.loads((folder / "recipe.json").read_text())
    if (found["name"], found["seed"]) != (recipe.follows, recipe.seed):
        raise InputError(f"{folder} is a run of {found['name']} with seed {found['seed']}. {remedy}")
    return start_in(folder, fresh_language=False)


def _fine_tune(args: argparse.Namespace) -> int:
    recipe = fine_tuning(args.recipe or "tempo-tiny-refresh", args.seed)
    sft = replace(recipe.sft, method="full" if args.full else "lora")
    sft = sft if args.steps is None else replace(sft, steps=args.steps)
    recipe = replace(recipe, sft=sft, four_bit=recipe.four_bit and not args.full)
    found = gather(args, recipe)
    if args.dry_run:
        return show_plan(args, found, recipe, ("sft",))
    from train.sft.trainer import run_sft
    from train.trainer import adapt

    loaded, encoder = load_base(args, sft, four_bit=recipe.four_bit)
    bar, show = curve_bar(args.json)
    with bar:
        model = adapt(loaded.model, sft, parent=args.adapter)
        run_sft(model, loaded.tokenizer, encoder, found.training, sft, args.out, on_progress=show)
    if args.full:
        for name in BESIDE_WEIGHTS:
            if (loaded.folder / name).is_file():
                shutil.copyfile(loaded.folder / name, args.out / "checkpoint" / name)
    print(
        f"{'checkpoint' if args.full else 'adapter'}: {args.out / ('checkpoint' if args.full else 'adapter')}"
    )
    return 0
