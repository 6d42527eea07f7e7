"""`python -m train refresh`: corrections into a better adapter, or into the finding that there is none."""

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tempo_core.checkpoint import adapters_folder, find_checkpoint
from train.commands.options import add_data_options, fine_tuning, say_left_out, show_plan
from train.data.examples import ExampleSplit
from train.refresh.config import RefreshConfig
from train.refresh.registry import Registry


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser(
        "refresh",
        help="train on corrections, compare, and promote what is better",
        description="Take the corrections of a snapshot, keep val and test out, mix in rows of what the model knew "
        "before, train an adapter on from the promoted one (SFT, then PIR-GRPO), compare old and new on held-out "
        "rows, and promote the new one only on a significant gain. The same command goes on where a stopped one was.",
    )
    command.add_argument("--recipe", default="tempo-tiny-refresh", help="(tempo-tiny-refresh)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--replay", type=Path, metavar="JSONL", help="rows that the model knew before")
    command.add_argument("--adapters", type=Path, metavar="DIR", help="the registry (TEMPO_HOME/adapters)")
    command.add_argument("--out", type=Path, help="folder of the run (TEMPO_HOME/training/RECIPE-...)")
    command.add_argument("--database", help="of the store that a snapshot is taken from (TEMPO_HOME's)")
    command.add_argument("--no-promote", action="store_true", help="only register the adapter")
    command.add_argument("--no-pir", action="store_true", help="SFT only")
    command.add_argument("--by", default="command line", help="who asked for it, for the history")
    command.add_argument("--json", action="store_true", help="print the outcome as one JSON object")
    add_data_options(command, required=False, adapter=False)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from train.refresh.data import refresh_folder
    from train.refresh.run import Refresh

    config = fine_tuning(args.recipe, args.seed)
    if args.steps is not None:
        pir = None if config.pir is None else replace(config.pir, steps=args.steps)
        config = replace(config, sft=replace(config.sft, steps=args.steps), pir=pir)
    if args.no_pir:
        config = replace(config, pir=None)
    registry = Registry(args.adapters or adapters_folder())
    home = registry.folder.parent
    data = args.data or _snapshot(args.database, home / "snapshots", args.by)
    base = find_checkpoint(args.checkpoint)
    folder = args.out or refresh_folder(home / "training", data, config, base, args.replay)
    if args.dry_run:
        refresh = Refresh(
            data, config, folder, registry, checkpoint=args.checkpoint, videos=args.videos, replay=args.replay
        )
        return _show_plan(args, refresh.planned(), config)
    cancel = threading.Event()
    with tqdm(file=sys.stderr, disable=args.json, bar_format="{desc}") as bar, _stopped_by_signals(cancel):
        outcome = Refresh(
            data, config, folder, registry, checkpoint=args.checkpoint, videos=args.videos, replay=args.replay,
            promote=not args.no_promote, by=args.by, on_progress=lambda state: bar.set_description_str(_line(state)),
            cancel=cancel,
        ).run()  # fmt: skip
    if args.json:
        print(json.dumps({**outcome.to_dict(), "folder": str(folder)}))
    else:
        print("\n".join([outcome.message, *_gains(outcome.scores or {}), f"details: {folder}"]))
    return 0


def _show_plan(args: argparse.Namespace, found: ExampleSplit | str, config: RefreshConfig) -> int:
    if isinstance(found, str):
        print(json.dumps({"message": found}) if args.json else found)
        return 0
    say_left_out(found)
    return show_plan(args, found, config, ("sft", "pir-grpo"))


def _snapshot(database: str | None, root: Path, by: str) -> Path:
    from annotations.snapshot import take_snapshot
    from annotations.store import Store

    with Store(database) as store:
        return take_snapshot(store, root, actor=by).folder


@contextlib.contextmanager
def _stopped_by_signals(cancel: threading.Event) -> Any:
    """SIGTERM asks for a tidy stop: the state is saved. A second one, or SIGKILL, loses the steps since the last."""

    def stop(number: int, frame: Any) -> None:
        if cancel.is_set():
            os._exit(130)
        cancel.set()

    before = (
        signal.signal(signal.SIGTERM, stop) if threading.current_thread() is threading.main_thread() else None
    )
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _line(state: dict[str, Any]) -> str:
    counted = f" {state['step']}/{state['steps']}" if state.get("steps") else ""
    return f"{state.get('stage', '')}{counted}: {state.get('message', '')}"


def _gains(scores: dict[str, Any]) -> list[str]:
    found = []
    for name, measures in scores.items():
        shown = [
            f"{measure} {gap['first']:.3f} -> {gap['second']:.3f}"
            for measure in ("ra_iou", "set_iou", "refused_f1")
            if (gap := measures["differences"].get(measure)) and None not in (gap["first"], gap["second"])
        ]
        found.append(f"{name} ({measures['rows']} rows): {', '.join(shown)}")
    return found
