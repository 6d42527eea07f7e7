"""The commands of `python -m tempo_core`: each module has one of them."""
