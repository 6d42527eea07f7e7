"""Children of `tempo_core.sandbox` that are forked from a process with the libraries loaded, instead of started anew.

To load what reads a video takes an interpreter ten times as long as to read a small one. A fork server loads it once.
It is a fresh interpreter itself, has one thread, and never opens a foreign file, so that a fork of it inherits no
locks, models or sockets of the program and nothing of another file. In the child everything is as in a started one:
a session, an environment and descriptors of its own, and then `sandbox.child_main` with its limits and bounds.

Linux only (`AVAILABLE`): a process is waited for by its file descriptor. The plain twin is `subprocess.Popen` in
`sandbox.start_child`, and a test holds both to the same answers.
"""

import atexit
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
from collections.abc import Mapping, Sequence
from typing import IO, Any

AVAILABLE = sys.platform == "linux" and hasattr(os, "pidfd_open")
"""Whether this system can have a fork server."""
BOOT = (
    "import json,sys;sys.path[:]=json.loads(sys.argv[1]);"
    "from tempo_core import forkserver;forkserver.serve(int(sys.argv[2]))"
)
MOST_FDS = 16


class ForkServer:
    """The program's side. Threads may share it. The server ends with the program."""

    def __init__(self, *, sys_path: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a server that imports with these paths and this environment."""
        self.requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", BOOT, json.dumps([*sys_path]), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=env,
            )


class ForkedChild:
    """What `sandbox` uses of subprocess.Popen."""

    def __init__(self, server: ForkServer, module: str, fds: Sequence[int], env: Mapping[str, str]) -> None:
        """A child that has `module` loaded, these open descriptors under their numbers, and this environment.

        Raises OSError.
        """
        reader, writer = os.pipe()
        self.stdin: IO[bytes] | None = open(writer, "wb")  # noqa: SIM115
        self.returncode: int | None = None
        self._reports, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                request = json.dumps({"module": module, "env": {**env}, "fds": [*fds]}).encode()
                socket.send_fds(server.requests, [request], [theirs.fileno(), reader, *fds])
            self.pid = self._report()
        except BaseException:
            self.stdin.close()
            self._reports.close()
            raise
        finally:
            os.close(reader)

    def _report(self) -> int:
        """The next number that the child or the server sends. Raises TimeoutError, ConnectionError."""
        report = self._reports.recv(32)
        if not report:
            raise ConnectionError("the fork server has ended")
        return int(report)

    def wait(self, timeout: float | None = None) -> int:
        """The code of its end, negative for a signal. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._reports.settimeout(timeout)
            try:
                self.returncode = self._report()
            except TimeoutError:
                raise subprocess.TimeoutExpired("child", timeout or 0) from None
            except ConnectionError:  # nobody knows; what ended the server has most likely ended it too
                self.returncode = -signal.SIGKILL
            self._reports.close()
        return self.returncode


_lock = threading.Lock()
_servers: dict[str, ForkServer] = {}


def fork_child(
    module: str, fds: Sequence[int], env: Mapping[str, str], *, sys_path: Sequence[str]
) -> ForkedChild:
    """A `ForkedChild`. Each package has a server of its own, which its first child starts.

    Raises OSError where no child can be had; the next call tries with a new server.
    """
    package = module.partition(".")[0]
    with _lock:
        if package not in _servers:
            of_all = {
                name: value for name, value in env.items() if name != "TMPDIR"
            }  # which is each child's own
            _servers[package] = ForkServer(sys_path=sys_path, env=of_all)
        server = _servers[package]
    try:
        return ForkedChild(server, module, fds, env)
    except ConnectionError:  # it has ended; what else may fail here is not its fault
        with _lock:
            if _servers.get(package) is server:
                del _servers[package]
                server.requests.close()
                server.process.wait()
        raise


def close_servers(*, wait: bool = True) -> None:
    """Let all servers of this process end, once their children have; the next child starts another."""
    with _lock:
        servers = [*_servers.values()]
        _servers.clear()
    for server in servers:
        server.requests.close()
        if wait:
            server.process.wait()


atexit.register(
    close_servers, wait=False
)  # a thread may still wait for a child, which then leaves with this process


# The server's side.


def serve(fd: int) -> None:
    """Fork a child for each request and report its end, until nobody is left who could ask or waits for one."""
    with socket.socket(fileno=fd) as requests, selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                if key.fileobj is requests:
                    message, fds, _, _ = socket.recv_fds(requests, 1 << 16, MOST_FDS)
                    if not message:
                        selector.unregister(requests)
                        continue
                    request = json.loads(message)
                    load(request["module"])
                    pid = os.fork()
                    if pid == 0:
                        become_child(request, fds)
                    reports, *passed = fds
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, reports))
                    for of_child in passed:
                        os.close(of_child)
                elif (
                    key.fd == key.data[1]
                ):  # the program has closed its side: nobody asks for the child any more
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    os.waitpid(key.data[0], 0)
                else:
                    pid, reports = key.data
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    # Its number stays taken, so that the program kills no other process by it.
                    end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
                    assert end is not None
                    code = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
                    with contextlib.suppress(BrokenPipeError):
                        os.write(reports, str(code).encode())
                    selector.register(reports, selectors.EVENT_READ, (pid, reports))


def load(module: str) -> None:
    """Import a task's module for the child that comes and all after it. What fails here fails there, and is told."""
    if module not in sys.modules:
        with contextlib.suppress(Exception):
            importlib.import_module(module)
        gc.freeze()  # a collection in a child would copy every page


def become_child(request: dict[str, Any], fds: list[int]) -> None:
    """Never returns. `fds` are where it reports its number, its standard input, and what `request["fds"]` numbers."""
    from tempo_core import sandbox

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
        job = json.loads(sys.stdin.readline())
        sys.path[:] = job["sys_path"]
        sandbox.tempfile.tempdir = None  # an import may have asked for it
        sandbox.child_main(job)
    finally:
        os._exit(99)
