"""`python -m train refresh`: corrections into a better adapter, or into the finding that there is none."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from tempo_core.checkpoint import adapters_folder, find_adapter, find_checkpoint
from tempo_core.command_line import AsJson, show
from tempo_core.errors import Cancelled
from tempo_core.wording import plural
from train.commands import options
from train.refresh.progress import STOPPED, progress_text
from train.refresh.registry import Registry


def refresh(
    recipe: Annotated[str, typer.Option()] = "tempo-tiny-refresh",
    seed: options.Seed = 0,
    replay: Annotated[
        Path | None, typer.Option(metavar="JSONL", help="rows that the model knew before")
    ] = None,
    adapters: Annotated[
        Path | None, typer.Option(metavar="DIR", help="the registry (TEMPO_HOME/adapters)")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder of the run (TEMPO_HOME/training/RECIPE-...)")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="of the store that a snapshot is taken from (TEMPO_HOME's)")
    ] = None,
    no_promote: Annotated[bool, typer.Option("--no-promote", help="only register the adapter")] = False,
    no_pir: Annotated[bool, typer.Option("--no-pir", help="SFT only")] = False,
    by: Annotated[str, typer.Option(help="who asked for it, for the history")] = "command line",
    data: options.OptionalData = None,
    videos: options.Videos = None,
    checkpoint: options.Checkpoint = None,
    adapter: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="go on from this adapter, a folder or hub name[@revision], instead of the promoted one",
        ),
    ] = None,
    protocol: options.ProtocolName = None,
    steps: options.Steps = None,
    dry_run: options.DryRun = False,
    devices: options.Devices = 1,
    as_json: AsJson = False,
) -> None:
    """Train on corrections; promote what is better.

    Take the corrections of a snapshot, keep val and test out, mix in rows of what the model knew before, train an
    adapter on from the promoted one (SFT, then PIR-GRPO), compare old and new on held-out rows, and promote the new
    one only on a significant gain. The same command goes on where a stopped one was.
    """
    from train.refresh.run import Refresh, refresh_folder

    config = options.fine_tuning(recipe, seed)
    if steps is not None:
        pir = None if config.pir is None else replace(config.pir, steps=steps)
        config = replace(config, sft=replace(config.sft, steps=steps), pir=pir)
    if no_pir:
        config = replace(config, pir=None)
    registry = Registry(adapters or adapters_folder())
    home = registry.folder.parent
    cancel = threading.Event()
    with (
        tqdm(file=sys.stderr, disable=as_json or dry_run, bar_format="{desc}") as bar,
        _stop_on_sigterm(cancel) as stop,
    ):
        if data is None:
            from annotations.snapshot import take_snapshot
            from annotations.store import Store

            with Store(database) as store:
                data = take_snapshot(store, home / "snapshots", actor=by).folder
        base = find_checkpoint(checkpoint)
        parent = None if adapter is None else find_adapter(adapter)
        folder = out or refresh_folder(
            home / "training", data, config, base, replay, adapter=parent, protocol=protocol
        )
        run = Refresh(
            data,
            config,
            folder,
            registry,
            checkpoint=base,
            adapter=parent,
            protocol=protocol,
            videos=videos,
            replay=replay,
            promote=not no_promote,
            by=by,
            on_progress=lambda state: bar.set_description_str(progress_text(state)),
            cancel=cancel,
        )
        if dry_run:
            split = run.read_rows()
            plan = run.dry_run(split, devices=options.device_count(devices))
            if isinstance(plan, str):
                show({"message": plan}, plan, as_json=as_json)
                return
            options.print_left_out(plan[0])
            show(asdict(plan[1]), plan[1].describe(), as_json=as_json)
            return
        stop.may_interrupt = lambda: run.may_be_interrupted
        outcome = run.run()
    lines = [outcome.message]
    for name, measures in (outcome.scores or {}).items():
        gains = [
            f"{measure} {gap['first']:.3f} -> {gap['second']:.3f}"
            for measure in ("ra_iou", "set_iou", "refused_f1")
            if (gap := measures["differences"].get(measure)) and None not in (gap["first"], gap["second"])
        ]
        lines.append(f"{name} ({plural(measures['rows'], 'row')}): {', '.join(gains)}")
    lines.append(f"details: {folder}")
    show({**asdict(outcome), "folder": str(folder)}, "\n".join(lines), as_json=as_json)


class _Stop:
    """What SIGTERM does: it asks for a tidy end, and makes one at once where nothing needs to be saved."""

    def __init__(self, cancel: threading.Event) -> None:
        self._cancel = cancel
        self.may_interrupt: Callable[[], bool] = lambda: True

    def __call__(self, number: int, frame: Any) -> None:
        """The first one; a second one, or SIGKILL, loses the steps since the last that was saved."""
        if self._cancel.is_set():
            os._exit(130)
        self._cancel.set()
        if self.may_interrupt():
            raise Cancelled(STOPPED)


@contextlib.contextmanager
def _stop_on_sigterm(cancel: threading.Event) -> Iterator[_Stop]:
    stop = _Stop(cancel)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stop
    except Cancelled as error:
        sys.stderr.write(f"refresh: {error}\n")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(2)  # everything is saved, and taking torch and the model apart takes seconds
    finally:
        signal.signal(signal.SIGTERM, before)
