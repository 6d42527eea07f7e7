"""`python -m train adapters list|show|promote|rollback|merge`: trained adapters, and which one is served."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from tempo_core import command_line
from tempo_core.checkpoint import adapters_folder, find_checkpoint, fingerprint
from tempo_core.command_line import AsJson, show
from tempo_core.errors import InputError
from train.refresh.gate import AgainstGate, require_passed
from train.refresh.registry import Entry, Registry

app = command_line.new_app(
    "adapters",
    "List, promote, roll back and merge adapters.\n\nThose of TEMPO_HOME. The promoted one is what the app and "
    "`python -m tempo_core` use for its base.",
)
Adapters = Annotated[Path | None, typer.Option(metavar="DIR", help="default: TEMPO_HOME/adapters")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="as `list` shows it")]
By = Annotated[str, typer.Option(help="who does it, for the history")]


@app.command("list")
def list_adapters(adapters: Adapters = None, as_json: AsJson = False) -> None:
    """Every adapter, newest first."""
    registry = Registry(adapters or adapters_folder())
    lines = []
    for entry in registry.entries():
        # For each held-out set, mean set IoU before and after.
        gains = []
        scores = entry.lineage.scores
        for name, measures in (scores if isinstance(scores, dict) else {}).items():
            gain = measures.get("differences", {}).get("set_iou") if isinstance(measures, dict) else None
            if gain:
                gains.append(f"{name} {gain['first']:.3f} -> {gain['second']:.3f}")
        origin = entry.lineage.parent or entry.lineage.base
        lines.append(f"{'*' if entry.promoted else ' '} {entry.name}  from {origin}  {', '.join(gains)}")
    nothing = f"There are no adapters in {registry.folder}. `python -m train refresh` makes one."
    data = {"adapters": [entry.to_dict() for entry in registry.entries()]}
    show(data, "\n".join(lines) or nothing, as_json=as_json)


@app.command("show")
def show_adapter(name: Name, adapters: Adapters = None, as_json: AsJson = False) -> None:
    """One adapter with its whole lineage."""
    entry = Registry(adapters or adapters_folder()).entry(name).to_dict()
    show(entry, json.dumps(entry, indent=1), as_json=as_json)


@app.command()
def promote(
    name: Name,
    adapters: Adapters = None,
    by: By = "command line",
    yes: Annotated[bool, typer.Option("--yes", help="also one that did not pass")] = False,
    as_json: AsJson = False,
) -> None:
    """Serve its base with this adapter from now on.

    One that did not pass when old and new were compared is promoted only when you say so: at a terminal you are asked,
    elsewhere give --yes.
    """
    registry = Registry(adapters or adapters_folder())
    entry = registry.entry(name)
    if not yes and not entry.promoted:
        try:
            require_passed(name, entry.lineage)
        except AgainstGate as error:
            if as_json or not sys.stdin.isatty():
                raise InputError(f"{error} Give --yes to serve it all the same.") from error
            reasons = "".join(f"\n  {reason}" for reason in error.reasons)
            typer.echo(f"{name} did not pass:{reasons}", err=True)
            if not typer.confirm("Serve it all the same?", err=True):
                raise InputError(f"{name} was not promoted.") from error
    _show_promoted(registry.promote(name, by=by), as_json)


@app.command()
def rollback(
    checkpoint: Annotated[
        str | None, typer.Option(metavar="DIR", help="of which base (default: the shipped tempo-tiny)")
    ] = None,
    adapters: Adapters = None,
    by: By = "command line",
    as_json: AsJson = False,
) -> None:
    """Go back to what was promoted before, in the end to no adapter."""
    base = fingerprint(find_checkpoint(checkpoint))
    _show_promoted(Registry(adapters or adapters_folder()).rollback(base, by=by), as_json)


@app.command()
def merge(
    adapter: Annotated[
        str, typer.Argument(metavar="NAME", help="as `list` shows it, or a folder or hub name[@revision]")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="the folder to write; it must not be there")],
    checkpoint: Annotated[
        str | None, typer.Option(metavar="DIR", help="the base (default: the shipped tempo-tiny)")
    ] = None,
    adapters: Adapters = None,
    as_json: AsJson = False,
) -> None:
    """Write a checkpoint with the adapter added to its base's weights, for tools that load no adapters."""
    from train.merging import merge_adapter

    registered = (adapters or adapters_folder()) / adapter
    merge_adapter(checkpoint, registered if registered.is_dir() else adapter, out)
    show({"checkpoint": str(out)}, f"merged into {out}", as_json=as_json)


def _show_promoted(entry: Entry | None, as_json: bool) -> None:
    name = None if entry is None else entry.name
    show({"promoted": name}, f"served now: {name or 'the bare checkpoint'}", as_json=as_json)
