"""Processor seconds of a process tree. Standard library alone, so that any environment can import it. Linux."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int | None = None) -> float:
    """CPU seconds of a process (None: this one) and of all that it started, those that have ended too."""
    usage: dict[int, tuple[int, int]] = {}
    """By process, its parent and its ticks."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        usage[int(stat.parent.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    tree = {os.getpid() if pid is None else pid}
    while more := {child for child, (parent, _) in usage.items() if parent in tree and child not in tree}:
        tree |= more
    return sum(usage[member][1] for member in tree if member in usage) / TICKS
