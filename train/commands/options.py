"""Options that the fine-tuning commands share, and what they open."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from tempo_core.command_line import show
from tempo_core.errors import InputError
from tempo_core.protocols.base import Protocol
from tempo_core.wording import plural
from train.config import PirGrpoConfig, RefreshConfig, SftConfig
from train.data.example_files import read_examples
from train.data.examples import ExampleSplit, SkippedRows
from train.data.sayable import with_sayable_rows
from train.recipes import FINE_TUNING

_DATA = typer.Option(metavar="SNAPSHOT|JSONL", help="a snapshot's folder or a file of rows")
Data = Annotated[Path, _DATA]
OptionalData = Annotated[Path | None, _DATA]
Out = Annotated[Path, typer.Option(help="folder for state, curves and the result")]
Seed = Annotated[int, typer.Option()]
Videos = Annotated[Path | None, typer.Option(metavar="DIR", help="folder with the rows' clips")]
Checkpoint = Annotated[
    str | None, typer.Option(metavar="DIR", help="the base (default: the shipped tempo-tiny)")
]
Adapter = Annotated[
    Path | None, typer.Option(metavar="DIR", help="go on from this adapter: a folder or hub name[@revision]")
]
ProtocolName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="how the model is asked and answers, which is what it is taught (default: as it is served)",
    ),
]
Steps = Annotated[int | None, typer.Option(help="optimizer steps instead of the recipe's")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="print rows, tokens, memory and time; train nothing")]
Devices = Annotated[int, typer.Option(metavar="N", help="GPUs that a dry run shares the work out among")]
JsonLines = Annotated[
    bool, typer.Option("--json", help="print curves as JSON lines instead of a progress bar")
]


def fine_tuning(name: str, seed: int) -> RefreshConfig:
    """A recipe for further training. Raises InputError."""
    if name not in FINE_TUNING:
        raise InputError(f"There is no recipe {name!r}. Use one of: {', '.join(sorted(FINE_TUNING))}.")
    return FINE_TUNING[name](seed)


def read_rows(data: Path, videos: Path | None, config: RefreshConfig, protocol: Protocol) -> ExampleSplit:
    """The rows of --data that the protocol's answers can say; what is left out is said on stderr. Raises InputError
    without a training row."""
    split = read_examples(
        data, videos=videos, held_out_share=config.held_out_share, original_weight=config.original_weight
    )
    split = with_sayable_rows(split, protocol)
    print_left_out(split)
    if not split.training:
        held_out = (
            f" {plural(len(split.held_out), 'row is', 'rows are')} of val or test." if split.held_out else ""
        )
        unsayable = sum(map(len, split.skipped.values()))
        left_out = (
            f" {plural(unsayable, 'row is', 'rows are')} left out: {', '.join(split.skipped)}."
            if unsayable
            else ""
        )
        raise InputError(f"{data} has no row to train on.{held_out}{left_out}")
    return split


def print_left_out(split: ExampleSplit) -> None:
    """On stderr: how many rows are not used, and why."""
    print_skipped(split.skipped)


def print_skipped(skipped: SkippedRows) -> None:
    """On stderr: how many rows are not used, by reason."""
    for reason, rows in skipped.items():
        print(f"{plural(len(rows), 'row')} left out: {reason} (first: {rows[0]})", file=sys.stderr)


def show_plan(
    split: ExampleSplit,
    config: RefreshConfig,
    stages: tuple[str, ...],
    *,
    checkpoint: str | None,
    protocol: Protocol,
    devices: int,
    as_json: bool,
) -> None:
    """Print the dry run."""
    from train.dry_run import dry_run

    devices = device_count(devices)
    by_name = checkpoint is not None and not Path(checkpoint).is_dir()  # for a machine that has it
    device = "cuda" if by_name or _has_gpu() else "cpu"
    plan = dry_run(
        split.training,
        config,
        checkpoint=checkpoint,
        protocol=protocol,
        device=device,
        stages=stages,
        devices=devices,
    )
    show(asdict(plan), plan.describe(), as_json=as_json)


def device_count(devices: int) -> int:
    """--devices. Raises InputError."""
    if devices < 1:
        raise InputError(f"--devices is {devices}; give 1 or more.")
    return devices


def taught_protocol(
    checkpoint: str | None, adapter: Path | None, named: str | None, *, dry_run: bool = False
) -> Protocol:
    """The protocol that --checkpoint with --adapter is served with, or --protocol. A dry run downloads nothing for a
    published checkpoint's name. Raises CheckpointError, InputError."""
    from tempo_core.checkpoint import find_adapter, find_checkpoint
    from tempo_core.loading import protocol_for, serving_choice
    from tempo_core.memory import published, read_model_config
    from tempo_core.protocols import choose_protocol

    is_name = checkpoint is not None and not Path(checkpoint).is_dir()
    if dry_run and is_name and str(checkpoint).rpartition("/")[2] in published():
        model_type = read_model_config(checkpoint)[0].model_type
        if adapter is not None and adapter.is_dir():
            return protocol_for(model_type, named, Path(str(checkpoint)), adapter).protocol
        adapter_name = None if adapter is None else str(adapter)
        return choose_protocol(model_type, named=named, adapter=adapter_name).protocol
    folder = None if adapter is None else find_adapter(adapter)
    return serving_choice(find_checkpoint(checkpoint), folder, named).protocol


def load_base(
    checkpoint: str | None,
    adapter: Path | None,
    stage: SftConfig | PirGrpoConfig,
    protocol: Protocol,
    *,
    four_bit: bool,
) -> tuple[Any, Any]:
    """--checkpoint, and an encoder of its rows as the stage reads them. Raises CheckpointError, also for --adapter."""
    from tempo_core.checkpoint import check_adapter, find_adapter
    from tempo_core.loading import load_model
    from train.data.encoding import Encoder

    # accelerate gives each of its processes a GPU; else the loader chooses.
    rank = os.environ.get("LOCAL_RANK")
    device = f"cuda:{rank}" if rank is not None and _has_gpu() else None
    loaded = load_model(checkpoint, four_bit=four_bit, device=device)
    if adapter is not None:
        check_adapter(find_adapter(adapter), loaded.fingerprint)
    encoder = Encoder.of(loaded, protocol=protocol, token_budget=stage.token_budget, thinking=stage.thinking)
    return loaded, encoder


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@contextmanager
def curve_bar(as_json: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A progress bar (or JSON lines on stdout): the function that takes a run's lines."""
    with tqdm(unit="step", file=sys.stderr, disable=as_json) as bar:

        def on_progress(line: dict[str, Any]) -> None:
            bar.total = line["steps"]
            bar.update(line["step"] - bar.n)
            names = [
                name for name in ("loss", "exact", "refuses", "shape_f1", "reward", "tiou") if name in line
            ]
            bar.set_postfix({name: line[name] for name in names})
            if as_json:
                print(json.dumps(line), flush=True)

        yield on_progress
