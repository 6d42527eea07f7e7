"""Which processes of this one's go on."""

import os
import time
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and not waited for."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    """Whether a process is there and no corpse."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def lasting_children(within_s: float = 30.0) -> list[int]:
    """This process's children that do not end in time, and those of its fork servers, which themselves stay."""
    deadline = time.monotonic() + within_s
    while True:
        own = [pid for pid in children_of(os.getpid()) if is_running(pid)]
        servers = [pid for pid in own if b"forkserver.serve" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        children = {*own, *(child for pid in servers for child in children_of(pid))} - {*servers}
        lasting = sorted(filter(is_running, children))
        if not lasting or time.monotonic() > deadline:
            return lasting
        time.sleep(0.01)
