"""`python -m train COMMAND`: make shapeworld sets, train (`--help`)."""

import logging
import sys
from collections.abc import Sequence

from tempo_core import command_line
from train.commands import adapters, experiment, naturalworld
from train.commands.curves import curves
from train.commands.pir_grpo import pir_grpo
from train.commands.refresh import refresh
from train.commands.sft import sft
from train.commands.shapeworld import shapeworld

app = command_line.new_app("python -m train", "Learning: videos with known truth, and training.")
for command in (shapeworld, sft, pir_grpo, refresh):
    app.command()(command)
app.add_typer(naturalworld.app)
app.add_typer(adapters.app)
app.command()(curves)
app.add_typer(experiment.app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 2 and one line on bad input, 130 when interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # On some CPUs it warns that a package is missing which nothing here needs.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    code = command_line.main(app, argv)
    if code == 130:
        print("Stopped. The same command goes on from the last saved state.", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
