"""`snapshot`: an immutable, hashed copy of everything, for training and export."""

import argparse
from pathlib import Path

from annotations.commands import common
from annotations.snapshot import take_snapshot


def add_parser(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(
        subparsers,
        "snapshot",
        run,
        "Write everything the store holds now to a folder named by its hash.\n\n"
        "The same data gives the same folder.",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where (default: snapshots in TEMPO_HOME)")
    parser.add_argument("--dataset", action="append", metavar="NAME", help="only this one; may be repeated")


def run(args: argparse.Namespace) -> int:
    """Take the snapshot and name its folder."""
    with common.open_store(args) as store:
        root = args.out or common.home() / "snapshots"
        snapshot = take_snapshot(store, root, actor=common.actor(), datasets=args.dataset)
    answer = {"folder": str(snapshot.folder), "sha256": snapshot.sha256, "counts": dict(snapshot.counts)}
    counted = ", ".join(f"{count} {name}" for name, count in snapshot.counts.items())
    common.show(args, answer, f"{snapshot.folder}\nsha256 {snapshot.sha256}\n{counted}")
    return 0
