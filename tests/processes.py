"""Which processes of this one's go on."""

import os
import time
from contextlib import suppress
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and not waited for."""
    children: list[int] = []
    # Its first thread comes last: the children of a thread that ends meanwhile go to it.
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name) == pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            children += map(int, (task / "children").read_text().split())
    return [*dict.fromkeys(children)]


def fork_servers_of(pid: int) -> list[int]:
    """Those of a process's children that fork others (`tempo_core.forkserver`)."""
    servers = []
    for child in children_of(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"forkserver.serve" in Path(f"/proc/{child}/cmdline").read_bytes():
                servers.append(child)
    return servers


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
        servers = fork_servers_of(os.getpid())
        children = {pid for parent in (os.getpid(), *servers) for pid in children_of(parent)} - {*servers}
        lasting = sorted(filter(is_running, children))
        if not lasting or time.monotonic() > deadline:
            return lasting
        time.sleep(0.01)
