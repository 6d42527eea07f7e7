"""Processor seconds and memory of a process tree. Standard library alone: any environment can import it. Linux."""

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


def rss_mib(pid: int) -> float:
    """MiB that a process and all that it started hold in memory now; what two of them share counts twice."""
    pages, pending = 0, [pid]
    while pending:
        process = Path("/proc", str(pending.pop()))
        try:
            pages += int((process / "statm").read_text().split()[1])
            for children in (process / "task").glob("*/children"):
                pending += map(int, children.read_text().split())
        except OSError:  # it has ended
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
