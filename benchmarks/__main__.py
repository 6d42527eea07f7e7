"""`python -m benchmarks [NAME] [options]`: each module here with a `run(arguments)` is a benchmark."""

import importlib
import pkgutil
import sys
from pathlib import Path

from tempo_core.errors import TempoError


def names() -> list[str]:
    """The benchmarks there are."""
    found = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in found if not module.name.startswith("_"))


def main(arguments: list[str]) -> int:
    """Run one benchmark; without a name, list them."""
    if not arguments or arguments[0] not in names():
        print("python -m benchmarks NAME [options], where NAME is one of:")
        for name in names():
            text = importlib.import_module(f"benchmarks.{name}").__doc__ or ""
            print(f"  {name:16}{text.strip().splitlines()[0] if text else ''}")
        return 0 if not arguments or arguments[0] in ("-h", "--help") else 2
    module = importlib.import_module(f"benchmarks.{arguments[0]}")
    try:
        return int(module.run(arguments[1:]) or 0)
    except TempoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
