"""`python -m train adapters list|show|promote|rollback`: trained adapters, and which one is served."""

import argparse
import json
from pathlib import Path

from tempo_core.checkpoint import adapters_folder, find_checkpoint, fingerprint
from train.refresh.registry import Entry, Registry


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser(
        "adapters",
        help="list, promote and roll back adapters",
        description="Adapters of TEMPO_HOME. The promoted one is what the app and `python -m tempo_core` use for its "
        "base.",
    )
    verbs = command.add_subparsers(dest="verb", required=True, metavar="VERB")
    each = [
        verbs.add_parser("list", help="every adapter, newest first"),
        verbs.add_parser("show", help="one adapter with its whole lineage"),
        verbs.add_parser("promote", help="serve its base with this adapter from now on"),
        verbs.add_parser("rollback", help="go back to what was promoted before, in the end to no adapter"),
    ]
    for verb in each:
        verb.add_argument("--adapters", type=Path, metavar="DIR", help="default: TEMPO_HOME/adapters")
        verb.add_argument("--json", action="store_true", help="print one JSON object")
    for verb in each[1:3]:
        verb.add_argument("name", metavar="NAME", help="as `list` shows it")
    for verb in each[2:]:
        verb.add_argument("--by", default="command line", help="who does it, for the history")
    each[3].add_argument(
        "--checkpoint", metavar="DIR", help="of which base (default: the shipped tempo-tiny)"
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    registry = Registry(args.adapters or adapters_folder())
    return {"list": _list, "show": _show, "promote": _promote, "rollback": _rollback}[args.verb](
        registry, args
    )


def _list(registry: Registry, args: argparse.Namespace) -> int:
    entries = registry.entries()
    if args.json:
        print(json.dumps({"adapters": [entry.to_dict() for entry in entries]}))
        return 0
    for entry in entries:
        print(_line(entry))
    if not entries:
        print(f"There are no adapters in {registry.folder}. `python -m train refresh` makes one.")
    return 0


def _show(registry: Registry, args: argparse.Namespace) -> int:
    entry = registry.entry(args.name)
    print(json.dumps(entry.to_dict(), indent=None if args.json else 1))
    return 0


def _promote(registry: Registry, args: argparse.Namespace) -> int:
    return _say(registry.promote(args.name, by=args.by), args)


def _rollback(registry: Registry, args: argparse.Namespace) -> int:
    base = fingerprint(find_checkpoint(args.checkpoint))
    return _say(registry.rollback(base, by=args.by), args)


def _say(entry: Entry | None, args: argparse.Namespace) -> int:
    name = None if entry is None else entry.name
    print(json.dumps({"promoted": name}) if args.json else f"served now: {name or 'the bare checkpoint'}")
    return 0


def _line(entry: Entry) -> str:
    lineage = entry.lineage
    gains = ", ".join(f"{name} {text}" for name, text in _gains(lineage.scores))
    return f"{'*' if entry.promoted else ' '} {entry.name}  from {lineage.parent or lineage.base}  {gains}"


def _gains(scores: object) -> list[tuple[str, str]]:
    """For each held-out set, mean set IoU before and after."""
    found = []
    for name, measures in (scores if isinstance(scores, dict) else {}).items():
        gain = measures.get("differences", {}).get("set_iou") if isinstance(measures, dict) else None
        if gain:
            found.append((name, f"{gain['first']:.3f} -> {gain['second']:.3f}"))
    return found
