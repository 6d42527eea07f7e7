"""`python -m tempo_core COMMAND`: grounding from a terminal. Bad input is one line on stderr and exit code
2."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from tempo_core.errors import TempoError

COMMANDS = ("ground", "frames", "allocate", "predict", "evaluate")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each lives in `tempo_core.commands` under its own name."""
    parser = argparse.ArgumentParser(
        prog="python -m tempo_core", description="Ask a video when something happens."
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"tempo_core.commands.{name}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 2 after an error that a person can mend, or 130 after Ctrl-C."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except TempoError as error:
        print(f"{args.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
