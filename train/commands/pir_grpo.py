"""`python -m train pir-grpo`: reinforcement learning on relevant and irrelevant pairs, after supervised training."""

import sys
from dataclasses import replace
from typing import Annotated, Literal

import typer

from tempo_core.errors import InputError
from train.commands import options
from train.config import DifficultyRule


def pir_grpo(
    data: options.Data,
    out: options.Out,
    recipe: Annotated[str, typer.Option()] = "tempo-tiny-refresh",
    seed: options.Seed = 0,
    difficulty: Annotated[
        Literal[DifficultyRule, "none"] | None,
        typer.Option(
            help="draw rows by how hard they are for the model, by this paper's rule (default: the recipe's)"
        ),
    ] = None,
    videos: options.Videos = None,
    checkpoint: options.Checkpoint = None,
    adapter: options.Adapter = None,
    protocol: options.ProtocolName = None,
    steps: options.Steps = None,
    dry_run: options.DryRun = False,
    devices: options.Devices = 1,
    as_json: options.JsonLines = False,
) -> None:
    """Reward right answers and refusals, resumable.

    Train an adapter by PIR-GRPO into OUT/adapter. The same command resumes, and OUT/curves.jsonl grows meanwhile.
    """
    config = options.fine_tuning(recipe, seed)
    if config.pir is None:
        raise InputError(f"The recipe {recipe} has no PIR-GRPO stage. Choose another.")
    pir = config.pir if steps is None else replace(config.pir, steps=steps)
    if difficulty is not None:
        pir = replace(pir, difficulty=None if difficulty == "none" else difficulty)
    config = replace(config, pir=pir)
    taught = options.taught_protocol(checkpoint, adapter, protocol, dry_run=dry_run)
    split = options.read_rows(data, videos, config, taught)
    if dry_run:
        options.show_plan(
            split,
            config,
            ("pir-grpo",),
            checkpoint=checkpoint,
            protocol=taught,
            devices=devices,
            as_json=as_json,
        )
        return
    from train.data.negatives import rows_with_negatives
    from train.data.sayable import taught_rows
    from train.grpo.curriculum import run_curriculum
    from train.taught_words import write_taught_words
    from train.trainer import adapt

    # pairs that are made are irrelevant: a protocol without a refusal cannot answer them
    shares = config.negatives if taught.refuses else None
    rows = rows_with_negatives(split.training, shares, out, seed=config.seed)
    if all(row.relevant for row in rows):
        print("No row is irrelevant, so refusing cannot be learned here.", file=sys.stderr)
    rows, left_out = taught_rows(rows, taught)
    options.print_skipped(left_out)
    loaded, encoder = options.load_base(checkpoint, adapter, pir, taught, four_bit=config.four_bit)
    with options.curve_bar(as_json) as on_progress:
        model = adapt(loaded.model, pir, parent=adapter)
        run_curriculum(model, encoder, rows, pir, out, on_progress=on_progress)
    write_taught_words(out / "adapter", adapter or loaded.folder, rows)
    print(f"adapter: {out / 'adapter'}")
