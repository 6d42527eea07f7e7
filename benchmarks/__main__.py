"""`python -m benchmarks NAME [options]`: each module here is a benchmark, but for what several of them use."""

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tempo_core import command_line

SHARED = {"__main__", "cpu"}
NAMES = sorted({module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])} - SHARED)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark; 1 where it misses its target, 2 on bad input."""
    argv = sys.argv[1:] if argv is None else argv
    app = command_line.new_app("python -m benchmarks", "What the project's parts cost.")
    # Only the benchmark that is named is imported: another one's libraries would count as its memory.
    for name in [name for name in NAMES if name in argv[:1]] or NAMES:
        app.command(name)(importlib.import_module(f"benchmarks.{name}").run)
    return command_line.main(app, argv)


if __name__ == "__main__":
    sys.exit(main())
