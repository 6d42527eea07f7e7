"""The commands of `python -m tempo_core`: each module adds one parser and runs it."""
