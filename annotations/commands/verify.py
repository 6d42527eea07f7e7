"""`verify`: is everything still what was written?"""

import argparse

from annotations.checks import problems
from annotations.commands import common


def add_parser(subparsers: common.Subparsers) -> None:
    common.add_parser(
        subparsers,
        "verify",
        run,
        "Check the database and its snapshots; exit code 1 when something is wrong.\n\n"
        "File integrity, references, append-only triggers, hashes of originals, corrections and snapshots.",
    )


def run(args: argparse.Namespace) -> int:
    """Show every problem."""
    with common.open_store(args) as store:
        found = problems(store)
    common.show(args, {"problems": found}, "\n".join(found) or "Everything is as it was written.")
    return 1 if found else 0
