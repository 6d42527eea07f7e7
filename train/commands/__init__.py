"""One module per command: `add_parser` says what it takes, `run` does it."""

from train.commands import adapters, curves, experiment, sft, shapeworld

COMMANDS = (shapeworld, sft, curves, adapters, experiment)
