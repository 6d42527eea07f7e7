"""Flags that the fine-tuning commands share, and what they open."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tempo_core.errors import InputError
from train.data.example_files import read_examples
from train.data.examples import ExampleSplit
from train.grpo.config import PirGrpoConfig
from train.recipes import FINE_TUNING
from train.refresh.config import RefreshConfig
from train.sft.config import SftConfig


def add_data_options(command: argparse.ArgumentParser, *, required: bool, adapter: bool = True) -> None:
    """--data, --videos, --checkpoint, --adapter, --steps, --dry-run, --devices."""
    command.add_argument(
        "--data",
        type=Path,
        required=required,
        metavar="SNAPSHOT|JSONL",
        help="a snapshot's folder or a file of rows",
    )
    command.add_argument("--videos", type=Path, metavar="DIR", help="folder with the rows' clips")
    command.add_argument("--checkpoint", metavar="DIR", help="the base (default: the shipped tempo-tiny)")
    if adapter:
        command.add_argument("--adapter", type=Path, metavar="DIR", help="go on from this adapter")
    command.add_argument("--steps", type=int, help="optimizer steps instead of the recipe's")
    command.add_argument(
        "--dry-run", action="store_true", help="print rows, tokens, memory and time; train nothing"
    )
    command.add_argument(
        "--devices",
        type=int,
        default=1,
        metavar="N",
        help="GPUs that a dry run shares the work out among (1)",
    )


def fine_tuning(name: str, seed: int) -> RefreshConfig:
    """A recipe for further training. Raises InputError."""
    if name not in FINE_TUNING:
        raise InputError(f"There is no recipe {name!r}. Use one of: {', '.join(sorted(FINE_TUNING))}.")
    return FINE_TUNING[name](seed)


def gather(args: argparse.Namespace, config: RefreshConfig) -> ExampleSplit:
    """The rows of --data; what is left out is said on stderr. Raises InputError without a training row."""
    found = read_examples(
        args.data,
        videos=args.videos,
        held_out_share=config.held_out_share,
        original_weight=config.original_weight,
    )
    say_left_out(found)
    if not found.training:
        held = f" {len(found.held_out)} rows are of val or test." if found.held_out else ""
        raise InputError(f"{args.data} has no row to train on.{held}")
    return found


def say_left_out(found: ExampleSplit) -> None:
    """On stderr: how many rows are not used, and why."""
    for reason, rows in found.skipped.items():
        print(f"{len(rows)} rows left out: {reason} (first: {rows[0]})", file=sys.stderr)


def show_plan(
    args: argparse.Namespace, found: ExampleSplit, config: RefreshConfig, stages: tuple[str, ...]
) -> int:
    """Print the dry run."""
    from train.dry_run import dry_run

    if args.devices < 1:
        raise InputError(f"--devices is {args.devices}; give 1 or more.")
    by_name = args.checkpoint is not None and not Path(args.checkpoint).is_dir()  # for a machine that has it
    planned = dry_run(
        found.training, config, checkpoint=args.checkpoint, device="cuda" if by_name or _has_gpu() else "cpu",
        stages=stages, devices=args.devices,
    )  # fmt: skip
    print(json.dumps(planned.to_dict()) if args.json else planned.describe())
    return 0


def load_base(
    args: argparse.Namespace, stage: SftConfig | PirGrpoConfig, *, four_bit: bool
) -> tuple[Any, Any]:
    """--checkpoint, and an encoder of its rows as the stage reads them. Raises CheckpointError, also for --adapter."""
    from tempo_core.checkpoint import check_adapter
    from tempo_core.loading import load_model
    from train.data.encoding import Encoder

    loaded = load_model(args.checkpoint, four_bit=four_bit, device=device_of_this_process())
    if args.adapter is not None:
        check_adapter(args.adapter, loaded.fingerprint)
    return loaded, Encoder.of(loaded, token_budget=stage.token_budget, thinking=stage.thinking)


def device_of_this_process() -> str | None:
    """The GPU that accelerate gave this process, or None to choose."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if rank is not None and _has_gpu() else None


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def curve_bar(as_json: bool) -> tuple[Any, Callable[[dict[str, Any]], None]]:
    """A progress bar (or JSON lines) and the function that feeds it a run's lines."""
    bar = tqdm(unit="step", file=sys.stderr, disable=as_json)

    def show(line: dict[str, Any]) -> None:
        bar.total = line["steps"]
        bar.update(line["step"] - bar.n)
        bar.set_postfix({name: line[name] for name in ("loss", "exact", "reward", "tiou") if name in line})
        if as_json:
            print(json.dumps(line), flush=True)

    return bar, show
