"""`python -m annotations COMMAND`: import, export, snapshot, stats and the rest (`--help`)."""

import sys
from collections.abc import Sequence

from annotations.commands import app
from tempo_core import command_line


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 2 and one line on bad input."""
    return command_line.main(app, argv)


if __name__ == "__main__":
    sys.exit(main())
