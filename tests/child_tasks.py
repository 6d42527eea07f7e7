"""Tasks for the sandbox's child: well-behaved, failing, greedy and stuck ones."""

import os
import signal
import subprocess
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
    import resource
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
    Path(job["pids"]).write_text(f"{os.getpid()} {helper.pid}")
    report(0.1)
    time.sleep(60)
    return {}
