"""One module per command: `add_parser` says what it takes, `run` does it."""

from train.commands import adapters, curves, experiment, pir_grpo, refresh, sft, shapeworld

COMMANDS = (shapeworld, sft, pir_grpo, refresh, adapters, curves, experiment)
