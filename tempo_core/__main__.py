"""`python -m tempo_core COMMAND`: grounding from a terminal. Bad input is one line on stderr and exit code 2."""

import sys
from collections.abc import Sequence

from tempo_core import command_line
from tempo_core.commands.allocate import allocate
from tempo_core.commands.ask import ask
from tempo_core.commands.calibrate import calibrate
from tempo_core.commands.conform import conform
from tempo_core.commands.evaluate import evaluate
from tempo_core.commands.frames import FramesCommand, frames
from tempo_core.commands.ground import ground
from tempo_core.commands.index import index
from tempo_core.commands.models import models
from tempo_core.commands.predict import predict

app = command_line.new_app("python -m tempo_core", "Ask a video when something happens.")
app.command()(ground)
app.command()(index)
app.command()(ask)
app.command(cls=FramesCommand)(frames)
app.command()(allocate)
app.command()(predict)
app.command()(evaluate)
app.command()(calibrate)
app.command()(conform)
app.add_typer(models)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 2 after an error that a person can mend, or 130 after Ctrl-C."""
    return command_line.main(app, argv)


if __name__ == "__main__":
    sys.exit(main())
