"""Children of `tempo_core.sandbox` that are forked from a server with the libraries loaded, not started anew.

A start costs ten times what a small file does. Everything after it is the product's: the parent's side of
`tempo_core.sandbox`, and in the child `child_main` with its limits and bounds. The server is a process of its own, so
that the parent may have threads and whatever it likes in memory.
"""

import contextlib
import fcntl
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from tempo_core import sandbox

PRELOADED = (
    "annotations.formats.child",
    "tempo_core.picture_clip",
    "tempo_core.video_tasks",
)
"""What holds the tasks, with all that it imports."""
BOOT = (
    "import json,sys;sys.path[:]=json.loads(sys.argv[1]);"
    "from tests import forked_children;forked_children.serve(int(sys.argv[2]))"
)
MOST_FDS = 16
ROOT = Path(__file__).resolve().parents[1]


def children_of(pid: int) -> list[str]:
    """The processes that a process has started and not waited for."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


class ChildServer:
    """The server's side that asks. It starts the server for the first child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.requests: socket.socket | None = None

    def fork(self, args: Sequence[str], **options: Any) -> "ForkedChild":
        """In place of subprocess.Popen."""
        with self._lock:
            if self.requests is None:
                self.requests = self._start()
        return ForkedChild(self.requests, **options)

    def _start(self) -> socket.socket:
        requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            paths = json.dumps([str(ROOT), *sys.path])
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", BOOT, paths, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={
                    "PATH": os.defpath,
                    "OPENBLAS_NUM_THREADS": "1",
                    "MALLOC_ARENA_MAX": "2",
                    "LC_ALL": "C.UTF-8",
                },
            )
        return requests

    def children(self) -> list[str]:
        """Which of this process's children stay, whether the server forked them or not."""
        own = children_of(os.getpid())
        if self._process is None:
            return own
        return [pid for pid in own if pid != str(self._process.pid)] + children_of(self._process.pid)

    def close(self) -> None:
        if self.requests is not None and self._process is not None:
            self.requests.close()
            self._process.wait()


class ForkedChild:
    """What `sandbox` uses of subprocess.Popen."""

    def __init__(
        self, requests: socket.socket, *, pass_fds: Sequence[int], env: dict[str, str], **_: Any
    ) -> None:
        reader, writer = os.pipe()
        self._reports, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            request = json.dumps({"env": env, "fds": [*pass_fds]}).encode()
            socket.send_fds(requests, [request], [theirs.fileno(), reader, *pass_fds])
        os.close(reader)
        self.stdin = open(writer, "wb")  # noqa: SIM115
        self.returncode: int | None = None
        self.pid = self._report()

    def _report(self) -> int:
        """The next number that the server or the child sends. Raises TimeoutError."""
        report = self._reports.recv(32)
        assert report, "the server of forked children has ended"
        return int(report)

    def wait(self, timeout: float | None = None) -> int:
        """The code of its end. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._reports.settimeout(timeout)
            try:
                self.returncode = self._report()
            except TimeoutError:
                raise subprocess.TimeoutExpired("child", timeout or 0) from None
            self._reports.close()
        return self.returncode


@contextlib.contextmanager
def forked_children() -> Iterator[ChildServer]:
    """Inside, `sandbox.run_child` forks. Without Linux's file descriptors of processes it starts children as ever."""
    with contextlib.closing(ChildServer()) as server:
        stand_in = SimpleNamespace(
            Popen=server.fork if hasattr(os, "pidfd_open") else subprocess.Popen,
            PIPE=subprocess.PIPE,
            DEVNULL=subprocess.DEVNULL,
            TimeoutExpired=subprocess.TimeoutExpired,
        )
        with mock.patch.object(sandbox, "subprocess", stand_in):
            yield server


# The server's side.


def serve(fd: int) -> None:
    """Fork a child for each request and report its end, until nobody is left who could ask or waits for one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    with socket.socket(fileno=fd) as requests, selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                if key.data is None:
                    request, fds, _, _ = socket.recv_fds(requests, 1 << 16, MOST_FDS)
                    if not request:
                        selector.unregister(requests)
                        continue
                    pid = os.fork()
                    if pid == 0:
                        become_child(json.loads(request), fds)
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, fds[0]))
                    for passed in fds[1:]:
                        os.close(passed)
                else:
                    pid, reports = key.data
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    with contextlib.suppress(BrokenPipeError), socket.socket(fileno=reports) as sender:
                        sender.send(str(code).encode())


def become_child(request: dict[str, Any], fds: list[int]) -> None:
    """Never returns. `fds` are where it reports its number, its standard input, and what `request["fds"]` numbers."""
    try:
        os.setsid()
        os.write(fds[0], str(os.getpid()).encode())
        targets = [0, 1, 2, *request["fds"]]
        quiet = os.open(os.devnull, os.O_WRONLY)
        # Beyond all targets first, so that none is overwritten before its turn.
        sources = [
            fcntl.fcntl(fd, fcntl.F_DUPFD, max(targets) + 1) for fd in (fds[1], quiet, quiet, *fds[2:])
        ]
        for source, target in zip(sources, targets, strict=True):
            os.dup2(source, target)
        first = 3
        for target in sorted(request["fds"]):
            os.closerange(first, target)
            first = target + 1
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))
        os.environ.clear()
        os.environ.update(request["env"])
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sandbox.tempfile.tempdir = None
        signal.signal(signal.SIGINT, signal.default_int_handler)
        job = json.loads(sys.stdin.readline())
        sys.path[:] = job["sys_path"]
        sandbox.child_main(job)
    finally:
        os._exit(99)
