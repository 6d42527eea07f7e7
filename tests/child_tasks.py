"""Tasks for the sandbox's child: well-behaved, failing, greedy and stuck ones."""

import contextlib
import errno
import os
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tempo_core.errors import InputError, VideoError

Report = Callable[[float], None]


def echo(job: dict[str, Any], report: Report) -> dict[str, Any]:
    report(0.25)
    report(1.5)
    os.write(job["output"], b"bulk")
    text = Path(job["file"]).read_text() if job["file"] else None
    return {"said": job["say"], "file": text, "pid": os.getpid(), "session": os.getsid(0)}


def inside(job: dict[str, Any], report: Report) -> dict[str, Any]:
    import sys

    names = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_CORE")
    heavy = [name for name in ("torch", "transformers", "decord", "av", "numpy") if name in sys.modules]
    return {"limits": [resource.getrlimit(getattr(resource, n))[0] for n in names], "heavy": heavy}


def refuse_video(job: dict[str, Any], report: Report) -> dict[str, Any]:
    raise VideoError("This is why.")


def refuse_input(job: dict[str, Any], report: Report) -> dict[str, Any]:
    raise InputError("That is why.")


def fault(job: dict[str, Any], report: Report) -> dict[str, Any]:
    return {"never": {}["there"]}


def crash(job: dict[str, Any], report: Report) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def leave(job: dict[str, Any], report: Report) -> dict[str, Any]:
    os._exit(3)


def eat_memory(job: dict[str, Any], report: Report) -> dict[str, Any]:
    return {"size": len(bytearray(2**30))}


def write_much(job: dict[str, Any], report: Report) -> dict[str, Any]:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    for _ in range(64):
        os.write(job["output"], bytes(2**20))
    return {}


def burn(job: dict[str, Any], report: Report) -> dict[str, Any]:
    while True:
        pass


def sleep_with_child(job: dict[str, Any], report: Report) -> dict[str, Any]:
    helper = subprocess.Popen(["/bin/sleep", "60"])
    written = Path(f"{job['pids']}.part")
    written.write_text(f"{os.getpid()} {helper.pid}")
    written.rename(job["pids"])
    report(0.1)
    time.sleep(60)
    return {}


def reach_out(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """Try, without harm, what a task that was taken over would: the name of each refusal, "done" for what went well."""
    outcomes: dict[str, str] = {}
    secret, scratch = Path(job["secret"]), Path(tempfile.gettempdir())
    thread = threading.Thread(target=lambda: outcomes.update(thread="done"))

    def read_the_file() -> None:
        assert Path(job["file"]).read_text() == "hello"

    def write_its_own() -> None:
        Path(job["out"]).write_text("mine")
        (scratch / "temporary").write_text("mine")
        (scratch / "temporary").unlink()

    attempts: dict[str, Callable[[], Any]] = {
        "socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
        "local socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close(),
        "pair of sockets": lambda: socket.socketpair(),
        "fork": lambda: os.fork() or os._exit(0),
        "program": lambda: subprocess.run(["/bin/true"], check=True),
        "posix_spawn": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
        "signal to the parent": lambda: os.kill(os.getppid(), 0),
        "limits of the parent": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE),
        "write a neighbour": lambda: secret.write_text("changed"),
        "make a file": lambda: secret.with_name("new").write_text("new"),
        "make a folder": lambda: secret.with_name("folder").mkdir(),
        "make a link": lambda: secret.with_name("link").symlink_to(secret),
        "remove a neighbour": secret.unlink,
        "rename a neighbour": lambda: secret.rename(scratch / "taken"),
        "read a neighbour": secret.read_text,
        "list its folder": lambda: os.listdir(secret.parent),
        "read accounts": lambda: Path("/etc/passwd").read_text(),
        "read the parent's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "rights of a neighbour": lambda: secret.chmod(0o777),
        "times of a neighbour": lambda: os.utime(secret, (0, 0)),
        "read the file": read_the_file,
        "write its own": write_its_own,
        "thread": lambda: (thread.start(), thread.join()),
        "signal to itself": lambda: os.kill(os.getpid(), 0),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            outcomes[name] = "done"
        except OSError as error:
            outcomes[name] = errno.errorcode[error.errno or 0]
    return outcomes


def surroundings(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """What a child has of the process that it came from."""
    descriptors = []
    for number in range(256):
        with contextlib.suppress(OSError):
            os.fstat(number)
            descriptors.append(number)
    own = [job["output"], job["answers"]]
    return {
        "descriptors": descriptors,
        "own": own,
        "environment": [*os.environ],
        "scratch": os.environ["TMPDIR"],
        "threads": threading.active_count(),
    }
