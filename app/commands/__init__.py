"""What `python -m app` does besides serving: one module for each command, with `add_parser` and `run`."""

from app.commands import accounts

COMMANDS = (accounts,)
