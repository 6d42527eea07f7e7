"""`python -m annotations COMMAND`: import, export, snapshot, stats and the rest (`--help`)."""

import argparse
import sys
from collections.abc import Sequence

from annotations.commands import COMMANDS
from tempo_core.errors import TempoError


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    whole = argparse.ArgumentParser(
        prog="python -m annotations", description="The store of corrections (cQvH)."
    )
    subparsers = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 2 and one line on bad input."""
    args = parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except TempoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
