"""Children for a fuzzer: forked from this process, which has the libraries loaded, instead of started anew.

A start costs ten times what a small file does. Everything after it is the product's: the parent's side of
`tempo_core.sandbox`, and in the child `child_main` with its limits and bounds.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

from tempo_core import sandbox


class ForkedChild:
    """What `sandbox` uses of subprocess.Popen."""

    def __init__(
        self, args: Sequence[str], *, pass_fds: Sequence[int], env: dict[str, str], **_: Any
    ) -> None:
        reader, writer = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._become_child(reader, pass_fds, env)
        os.close(reader)
        self.stdin = open(writer, "wb")  # noqa: SIM115

    def _become_child(self, stdin: int, pass_fds: Sequence[int], env: dict[str, str]) -> None:
        """Never returns."""
        try:
            os.setsid()
            os.dup2(stdin, 0)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            first = 3
            for fd in sorted(pass_fds):
                os.closerange(first, fd)
                first = fd + 1
            os.closerange(first, 4096)
            os.environ.clear()
            os.environ.update(env)
            sys.stdin = open(0, closefd=False)  # noqa: SIM115
            sandbox.tempfile.tempdir = None
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            sandbox.child_main(json.loads(sys.stdin.readline()))
        finally:
            os._exit(99)

    def wait(self, timeout: float | None = None) -> int:
        """The code of its end. Raises subprocess.TimeoutExpired."""
        deadline_s = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, 0 if deadline_s is None else os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif deadline_s is not None and time.monotonic() > deadline_s:
                raise subprocess.TimeoutExpired("child", timeout or 0)
            else:
                time.sleep(0.001)
        return self.returncode


@contextlib.contextmanager
def forked_children() -> Iterator[None]:
    """Inside, `sandbox.run_child` forks. Only for a process without threads."""
    stand_in = SimpleNamespace(
        Popen=ForkedChild,
        PIPE=subprocess.PIPE,
        DEVNULL=subprocess.DEVNULL,
        TimeoutExpired=subprocess.TimeoutExpired,
    )
    with mock.patch.object(sandbox, "subprocess", stand_in):
        yield
