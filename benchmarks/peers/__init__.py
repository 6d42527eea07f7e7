"""Rows of work that Tempo and well-known tools both do, measured in turn: `python -m benchmarks peers`.

`rows` says what is done and by whom, `environments` makes each peer its own environment, `worker` is the process that
does one side's work in it, `clips` makes the videos, and `runner` measures A B A B and writes the table.
"""

from benchmarks.peers.runner import run

__all__ = ["run"]
