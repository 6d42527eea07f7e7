"""`python -m train sft`: supervised training, from random weights by recipe, or on rows from a checkpoint."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tempo_core.defaults import FILE_NAME
from tempo_core.errors import InputError
from train.checkpoints import exclusive_lock, read_json, write_json
from train.commands import options
from train.recipes import FINE_TUNING, RECIPES

PREPROCESSOR = "preprocessor_config.json"
RECIPE_NAMES = ", ".join((*sorted(RECIPES), *sorted(FINE_TUNING)))


def sft(
    out: options.Out,
    recipe: Annotated[
        str | None, typer.Option(help=f"one of: {RECIPE_NAMES} (with --data: tempo-tiny-refresh)")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="folder of the finished run that a recipe such as tempo-tiny-motion follows"
        ),
    ] = None,
    assets: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="photographs and pictures of tempo-tiny-natural, made there if need be (default: OUT/assets)",
        ),
    ] = None,
    seed: options.Seed = 0,
    data: options.OptionalData = None,
    videos: options.Videos = None,
    checkpoint: options.Checkpoint = None,
    adapter: options.Adapter = None,
    protocol: options.ProtocolName = None,
    steps: options.Steps = None,
    full: Annotated[bool, typer.Option("--full", help="train every weight, not an adapter")] = False,
    dry_run: options.DryRun = False,
    devices: options.Devices = 1,
    as_json: options.JsonLines = False,
) -> None:
    """Supervised training, resumable.

    The same command resumes, and OUT/curves.jsonl grows meanwhile. Without --data: the recipe's model from random
    weights, into OUT/checkpoint. With --data: fine-tune a checkpoint on the rows, into OUT/adapter (or OUT/checkpoint
    with --full).
    """
    if data is None:
        of_data = {"dry-run": dry_run, "steps": steps, "checkpoint": checkpoint, "adapter": adapter}
        of_data |= {"videos": videos, "full": full, "devices": devices != 1, "protocol": protocol}
        _from_scratch(recipe, start, assets, seed, out, of_data, as_json)
        return
    if start is not None or assets is not None:
        raise InputError(
            "--start and --assets belong to recipes without --data; with --data, give --checkpoint or --adapter."
        )
    config = options.fine_tuning(recipe or "tempo-tiny-refresh", seed)
    stage = replace(config.sft, method="full" if full else "lora")
    stage = stage if steps is None else replace(stage, steps=steps)
    config = replace(config, sft=stage, four_bit=config.four_bit and not full)
    taught = options.taught_protocol(checkpoint, adapter, protocol, dry_run=dry_run)
    split = options.read_rows(data, videos, config, taught)
    if dry_run:
        options.show_plan(
            split,
            config,
            ("sft",),
            checkpoint=checkpoint,
            protocol=taught,
            devices=devices,
            as_json=as_json,
        )
        return
    from train.data.sayable import taught_rows
    from train.sft.trainer import run_sft
    from train.taught_words import write_taught_words
    from train.trainer import adapt

    loaded, encoder = options.load_base(checkpoint, adapter, stage, taught, four_bit=config.four_bit)
    rows, left_out = taught_rows(split.training, taught)
    options.print_skipped(left_out)
    with options.curve_bar(as_json) as on_progress:
        model = adapt(loaded.model, stage, parent=adapter)
        run_sft(model, encoder, rows, stage, out, on_progress=on_progress)
    result = "checkpoint" if full else "adapter"
    write_taught_words(out / result, adapter or loaded.folder, rows)
    if full:
        if (loaded.folder / PREPROCESSOR).is_file():
            shutil.copyfile(loaded.folder / PREPROCESSOR, out / result / PREPROCESSOR)
        defaults = loaded.folder / FILE_NAME
        own = read_json(defaults) if defaults.is_file() else {}
        own.pop("thinking_tokens", None)
        write_json(out / result / FILE_NAME, {**own, **encoder.settings})
    print(f"{result}: {out / result}")


def _from_scratch(
    name: str | None,
    start_folder: Path | None,
    assets_folder: Path | None,
    seed: int,
    out: Path,
    of_data: Mapping[str, object],
    as_json: bool,
) -> None:
    """Train a recipe's model from random weights. `of_data` are the options that belong to --data."""
    if name is None:
        raise InputError("Give --data to fine-tune on rows, or --recipe to train from random weights.")
    if name in FINE_TUNING:
        raise InputError(f"{name} fine-tunes on rows: give --data.")
    if name not in RECIPES:
        raise InputError(f"There is no recipe {name!r}. Use one of: {', '.join(sorted(RECIPES))}.")
    for option, value in of_data.items():
        if value not in (None, False):
            raise InputError(
                f"--{option} belongs to --data; a recipe from random weights decides everything itself. Leave it out."
            )
    from tempo_core.checkpoint import find_checkpoint
    from train.naturalworld.assets import prepare_assets
    from train.scratch.checkpoint import checkpoint_start, export, start_in
    from train.scratch.run import run

    recipe = RECIPES[name](seed)
    if assets_folder is not None and not recipe.needs_assets:
        raise InputError(f"--assets was given, but {recipe.name} is drawn without them. Leave it out.")
    if recipe.follows is None and start_folder is not None and not recipe.begins_with_checkpoint:
        raise InputError(f"--start was given, but {recipe.name} begins with random weights. Leave it out.")
    start = None
    if recipe.follows is not None:
        remedy = f"{recipe.name} goes on from a finished `sft --recipe {recipe.follows}` run: name its --out folder."
        if start_folder is None:
            raise InputError(f"No --start was given. {remedy}")
        if not (start_folder / "state.pt").is_file() or not (start_folder / "recipe.json").is_file():
            raise InputError(f"{start_folder} holds no state.pt with its recipe.json. {remedy}")
        before = read_json(start_folder / "recipe.json")
        if (before["name"], before["seed"]) != (recipe.follows, recipe.seed):
            raise InputError(
                f"{start_folder} is a run of {before['name']} with seed {before['seed']}. {remedy}"
            )
        start = start_in(start_folder, fresh_language=False)
    with exclusive_lock(out):
        assets = None
        if recipe.needs_assets:
            assets = prepare_assets(
                assets_folder or out / "assets", on_progress=lambda message: print(message, file=sys.stderr)
            )
        if recipe.begins_with_checkpoint:
            start = checkpoint_start(start_folder or find_checkpoint(None))
        with options.curve_bar(as_json) as on_progress:
            model, tokenizer = run(recipe, out, start=start, assets=assets, on_progress=on_progress)
    print(f"checkpoint: {export(model, tokenizer, recipe, out / 'checkpoint', assets=assets)}")
