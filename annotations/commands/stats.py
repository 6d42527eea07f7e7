"""`stats`: how much there is and how much is done."""

import argparse

from annotations.commands import common
from annotations.statistics import stats


def add_parser(subparsers: common.Subparsers) -> None:
    common.add_parser(
        subparsers, "stats", run, "Count queries, corrections, verdicts, proposals and suspicions."
    )


def run(args: argparse.Namespace) -> int:
    """Show the counts."""
    with common.open_store(args) as store:
        counts = stats(store)
    lines = []
    for name, value in counts.items():
        if isinstance(value, dict):
            lines += [(f"  {name.split('_by_')[-1]} {key}", number) for key, number in value.items()]
        else:
            lines.append((name.replace("_", " "), value))
    common.show(args, counts, common.table(lines))
    return 0
