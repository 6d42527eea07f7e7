"""`python -m train COMMAND`: make shapeworld sets, train (`--help`)."""

import argparse
import logging
import sys
from collections.abc import Sequence

from tempo_core.errors import TempoError
from train.commands import COMMANDS


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    whole = argparse.ArgumentParser(
        prog="python -m train", description="Learning: videos with known truth, and training."
    )
    subparsers = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 2 and one line on bad input, 130 when interrupted."""
    args = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # On some CPUs it warns that a package is missing which nothing here needs.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        return int(args.run(args))
    except TempoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last saved state.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
