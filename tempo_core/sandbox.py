"""Work on foreign files in a short-lived child process with limits; the child's death is a clear error here.

The child is never a fork of this process, so it inherits no locks, models or sockets: it is a fresh interpreter, or on
Linux the fork of one that has only loaded libraries (`tempo_core.forkserver`). It gets the opened file rather than its
path, one JSON job, and a file to fill with bulk data; it answers in JSON lines. Memory, CPU seconds and wall seconds
are limited, and the whole process group is killed when time is up or the person who asked has gone.

On Linux the child also bounds itself before it opens the file (`tempo_core.confinement`): no network, no new process,
no signal to another one, and no file but Python, the libraries, the one that it is about, the one that it writes and
a folder of its own. It still runs as the same user; elsewhere the limits alone hold.
"""

import contextlib
import errno
import functools
import importlib
import json
import logging
import mimetypes
import os
import resource
import selectors
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tempo_core import forkserver
from tempo_core.confinement import PARTS, confine
from tempo_core.errors import Cancelled, InputError, TempoError, VideoError

logger = logging.getLogger(__name__)

# `-I -S` keeps the environment and site hooks out and saves a third of the start-up.
BOOT = (
    "import json,sys;job=json.loads(sys.stdin.readline());sys.path[:]=job['sys_path'];"
    "from tempo_core import sandbox;sandbox.child_main(job)"
)
POLL_S = 0.05
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
CAUSES: dict[int, str] = {signal.SIGXCPU: "time", signal.SIGXFSZ: "size", signal.SIGKILL: "memory"}
"""`ChildDied.cause` by the signal that ended the child."""
ERRORS: dict[str, type[TempoError]] = {"video": VideoError, "input": InputError}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildLimits:
    """What one child may use before it is ended."""

    memory_bytes: int = 3 * 2**30
    """Address space, decoder and output together."""
    cpu_s: int = 900
    """Processor seconds, all threads together."""
    wall_s: float = 1200.0
    """Seconds by the clock, counted from the start of the child."""
    output_bytes: int = 2**30
    """Bulk data handed back, or the largest file that the child may write."""
    confined: bool = True
    """Whether the child bounds itself where the system can; the results are the same without, and a test says so."""


class ChildDied(VideoError):
    """The child ended without an answer: it crashed, or a limit ended it."""

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        """"memory", "time", "size", "crash" (by the decoder itself, so that another one may do better), or ""."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildAnswer:
    """What a child handed back."""

    result: dict[str, Any]
    """The task's own JSON object."""
    output: int
    """An open file descriptor with the bulk data; the caller closes it."""


def open_regular(video_path: str | os.PathLike[str], *, follow_links: bool = True) -> int:
    """Open a regular file for reading and return its descriptor; the caller closes it.

    Raises VideoError for a missing or unreadable file, a folder, a pipe, a socket or a device, and without
    `follow_links` for a symbolic link.
    """
    name = Path(video_path).name
    follow = 0 if follow_links else os.O_NOFOLLOW
    try:
        fd = os.open(video_path, os.O_RDONLY | follow | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if os.path.islink(video_path):
            raise VideoError(
                f"There is no file behind the symbolic link '{name}'. Mend the link, or give the file."
            ) from None
        raise VideoError(f"There is no file '{name}'. Give the path of an existing video file.") from None
    except ValueError as error:
        raise VideoError(f"{name!r} is not a file name ({error}). Give the path of a video file.") from None
    except OSError as error:
        if error.errno == errno.ELOOP:  # the file itself where links are not followed, else a circle of them
            raise VideoError(f"'{name}' is a symbolic link. Give the file that it points to.") from None
        raise VideoError(
            f"'{name}' cannot be opened ({error.strerror}). Give a readable video file."
        ) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise VideoError(f"'{name}' is a folder, pipe or device, not a regular file. Give a video file.")
    return fd


def run_child(
    task: str,
    job: dict[str, Any],
    *,
    name: str,
    file: int | None = None,
    limits: ChildLimits,
    cancel: threading.Event | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> ChildAnswer:
    """Run `task` ("module:function") with `job` in a child and return its answer.

    The function is called as `function(job, on_progress)`; `job["file"]` is a path to the opened `file`,
    `job["output"]` the descriptor to fill, `on_progress(fraction)` takes a share in [0, 1]. `job["out"]`, where the
    caller gives it, is the path of a file that is there already: beside its folder for temporary files the only one
    that the child may write. `job["readable"]` are paths that it may read beside `file`. `name` stands for the file in
    messages. Raises what the task raised (VideoError, InputError), ChildDied when it crashed or met a limit, Cancelled
    when `cancel` was set.
    """
    # Bulk data goes to an anonymous file: in memory where the system can, else an unlinked temporary file.
    if hasattr(os, "memfd_create"):
        output = os.memfd_create("tempo", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as temporary:
            output = os.dup(temporary.fileno())
    try:
        reader, writer = os.pipe()
        fd_folder = "/proc/self/fd" if Path("/proc/self/fd").is_dir() else "/dev/fd"
        sys_path = [str(Path(__file__).resolve().parents[1]), *filter(None, sys.path)]
        message = job | {
            "task": task,
            "sys_path": sys_path,
            "bounds": library_paths(tuple(sys_path)) if limits.confined else None,
            "answers": writer,
            "output": output,
            # The child opens the very file that was checked, with an offset of its own.
            "file": None if file is None else f"{fd_folder}/{file}",
            "limits": [limits.memory_bytes, limits.cpu_s, limits.output_bytes],
        }
        fds = [writer, output] + ([file] if file is not None else [])
        with (
            open(reader, "rb", buffering=0) as answers,
            tempfile.TemporaryDirectory(prefix="tempo-child-") as scratch,
            _child(task.partition(":")[0], writer, fds, scratch, sys_path) as child,
        ):
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(json.dumps(message).encode() + b"\n")
                child.stdin.flush()
            for answer in _messages(answers.fileno(), name, limits, cancel):
                if "progress" in answer:
                    if on_progress is not None:
                        on_progress(answer["progress"])
                elif "unbound" in answer:
                    _log_unbound(tuple(answer["unbound"].items()))
                elif "result" in answer:
                    return ChildAnswer(result=answer["result"], output=output)
                elif answer["error"] == "memory":
                    raise ChildDied(
                        f"Reading '{name}' needs more memory than its limit. Give a video with smaller"
                        " pictures, or ask for fewer.",
                        "memory",
                    )
                elif answer["error"] == "size":  # Python ignores the signal, and writing fails instead
                    raise ChildDied(_death(-signal.SIGXFSZ, name, limits), "size")
                elif answer["error"] in ERRORS:
                    raise ERRORS[answer["error"]](answer["message"])
                else:
                    logger.debug("The child failed on '%s':\n%s", name, answer["traceback"])
                    raise RuntimeError(f"A fault of ours while reading '{name}': {answer['traceback']}")
            code = _end(child)
            cause = "crash" if -code in CRASHES else CAUSES.get(-code, "")
            raise ChildDied(_death(code, name, limits), cause)
    except BaseException:
        os.close(output)
        raise


@functools.cache
def library_paths(sys_path: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What Python reads to import the packages of `sys_path`: (files and folders to read, folders to list).

    Installations are read whole. Of any other folder, such as the one that a program was started in, only the modules:
    data, accounts and clips may lie beside them.
    """
    # openpyxl asks for the system's media types when it is imported.
    readable = [sys.prefix, sys.base_prefix, *map(str, mimetypes.knownfiles)]
    listable: list[str] = []
    for folder in map(Path, sys_path):
        if any(folder.is_relative_to(prefix) for prefix in (sys.prefix, sys.base_prefix)):
            continue
        is_whole = folder.name in ("site-packages", "dist-packages") or not folder.is_dir()
        if is_whole or not os.access(folder, os.R_OK):
            readable.append(str(folder))
            continue
        listable.append(str(folder))
        for entry in folder.iterdir():
            is_module = (
                entry.suffix in (".py", ".so", ".libs", ".dist-info") or (entry / "__init__.py").is_file()
            )
            readable += [str(entry)] if is_module else []
    return readable, listable


@functools.cache
def _log_unbound(reasons: tuple[tuple[str, str], ...]) -> None:
    """Say once that children are less bound than they could be."""
    logger.warning(
        "The child processes that read foreign files are not bounded in every way here (%s). Their limits of memory, "
        "time and size hold.",
        "; ".join(f"{part}: {reason}" for part, reason in reasons),
    )


def unbound_parts() -> dict[str, str]:
    """What cannot be bounded in a child on this system: one of `confinement.PARTS` → why. Starts a child."""
    answer = run_child("tempo_core.sandbox:report_task", {}, name="nothing", limits=ChildLimits())
    os.close(answer.output)
    return {part: reason for part, reason in answer.result.items() if reason}


@contextlib.contextmanager
def _child(
    module: str, writer: int, fds: list[int], scratch: str, sys_path: list[str]
) -> Iterator[subprocess.Popen[bytes] | forkserver.ForkedChild]:
    """A running child whose whole process group is gone when the block is left."""
    try:
        child = start_child(module, fds, scratch, sys_path)
    finally:
        os.close(writer)
    try:
        yield child
    finally:
        _end(child, at_once=True)


def start_child(
    module: str, fds: list[int], scratch: str, sys_path: list[str], *, forked: bool = forkserver.AVAILABLE
) -> subprocess.Popen[bytes] | forkserver.ForkedChild:
    """A child that waits for its job, with these open descriptors and `scratch` for temporary files.

    `module` holds the task. Where no fork can be had, the child is a fresh interpreter.
    """
    env = {
        "PATH": os.defpath,
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": scratch,
    }
    if forked:
        try:
            return forkserver.fork_child(module, fds, env, sys_path=sys_path)
        except OSError as error:
            logger.warning("No child could be forked (%s); one is started instead.", error)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", BOOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=fds,
        start_new_session=True,
        env=env,
    )


def _end(child: subprocess.Popen[bytes] | forkserver.ForkedChild, *, at_once: bool = False) -> int:
    """Wait for a child that closed its answers, or kill it with everything that it started; the code of its end."""
    if not at_once:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(5)
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    if child.stdin is not None and not child.stdin.closed:
        with contextlib.suppress(OSError):
            child.stdin.close()
    return child.wait()


def _messages(
    fd: int, name: str, limits: ChildLimits, cancel: threading.Event | None
) -> Iterator[dict[str, Any]]:
    """The child's JSON messages as they come, until it closes its end. Raises ChildDied when time is up."""
    deadline = time.monotonic() + limits.wall_s
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while True:
            if cancel is not None and cancel.is_set():
                raise Cancelled(f"Reading '{name}' was stopped.")
            if time.monotonic() > deadline:
                raise ChildDied(
                    f"'{name}' was not read within {limits.wall_s:g} s, the limit. Give a shorter or"
                    " smaller video.",
                    "time",
                )
            if not selector.select(POLL_S):
                continue
            chunk = os.read(fd, 1 << 20)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            yield from (json.loads(line) for line in lines)


def _death(returncode: int, name: str, limits: ChildLimits) -> str:
    """One sentence for a child that ended without an answer."""
    remedy = "Re-encode it to an ordinary MP4 and try again."
    if returncode == -signal.SIGXCPU:
        return (
            f"'{name}' took more than {limits.cpu_s} s of processor time, the limit. Give a shorter or"
            " smaller video."
        )
    if returncode == -signal.SIGXFSZ:
        return (
            f"What was read from '{name}' is larger than {limits.output_bytes} bytes, the limit. Ask"
            " for less."
        )
    if returncode == -signal.SIGKILL:
        return f"Reading '{name}' was ended by the system, most likely for memory. Give a smaller video."
    if returncode < 0:
        return (
            f"The decoder crashed on '{name}' ({signal.Signals(-returncode).name}): it is damaged. {remedy}"
        )
    return f"The decoder ended on '{name}' without an answer (code {returncode}). {remedy}"


# The child's side.


def child_main(job: dict[str, Any]) -> None:
    """Entry point of the child: bound itself, set limits, run the task, answer in JSON lines, and leave."""
    job["reasons"] = dict.fromkeys(PARTS, "not asked for")
    if job["bounds"] is not None:  # before the first thread: later ones inherit it, an earlier one would not
        readable, listable = job["bounds"]
        read = [*readable, *job.get("readable", ()), *filter(None, [job["file"]])]
        written = [os.environ["TMPDIR"], *filter(None, [job.get("out")])]
        job["reasons"] = confine(read, listable, written)

    def leave_with_parent() -> None:
        sys.stdin.buffer.read()  # the parent keeps the other end open as long as it cares
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    with open(job["answers"], "wb", buffering=0) as answers:
        lock = threading.Lock()

        def send(message: dict[str, Any]) -> None:
            with lock:
                answers.write(json.dumps(message).encode() + b"\n")

        unbound = {part: reason for part, reason in job["reasons"].items() if reason}
        if unbound and job["bounds"] is not None:
            send({"unbound": unbound})
        shown = -1.0

        def report(fraction: float) -> None:
            nonlocal shown
            percent = round(min(1.0, fraction), 2)
            if percent != shown:  # a task may report after each of thousands of pictures
                shown = percent
                send({"progress": percent})

        send(_outcome(job, report))
    os._exit(0)  # decoders' threads and destructors are not worth waiting for


def _outcome(job: dict[str, Any], on_progress: Callable[[float], None]) -> dict[str, Any]:
    """Set the limits and run the task: its result, or the error that the parent is to raise."""
    memory_bytes, cpu_s, output_bytes = job["limits"]
    try:
        for limit, amount in (
            (resource.RLIMIT_AS, memory_bytes),
            (resource.RLIMIT_CPU, cpu_s),
            (resource.RLIMIT_FSIZE, output_bytes),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, 64),
        ):
            _, hard = resource.getrlimit(limit)
            # The hard limit too, so that nothing in the child lifts it. At the hard one of time the kernel kills
            # without saying why, so the soft one comes first.
            most = amount + 5 if limit == resource.RLIMIT_CPU else amount
            if hard != resource.RLIM_INFINITY:
                amount, most = min(amount, hard), min(most, hard)
            # macOS refuses some of them; the wall clock still holds.
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(limit, (amount, most))
        module, function = job["task"].split(":")
        return {"result": getattr(importlib.import_module(module), function)(job, on_progress)}
    except VideoError as error:
        return {"error": "video", "message": str(error)}
    except InputError as error:
        return {"error": "input", "message": str(error)}
    except MemoryError:
        return {"error": "memory"}
    except ImportError as error:  # a library that does not fit is reported as one that cannot be loaded
        if "failed to map segment" not in str(error) and "cannot allocate memory" not in str(error):
            return {"error": "internal", "traceback": traceback.format_exc()}
        return {"error": "memory"}
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            return {"error": "size"}
        if "can't start new thread" in str(error):  # there is no room for its stack
            return {"error": "memory"}
        return {"error": "internal", "traceback": traceback.format_exc()}


def report_task(job: dict[str, Any], on_progress: Callable[[float], None]) -> dict[str, Any]:
    """What bounds this child, as `confine` told it."""
    reasons: dict[str, Any] = job["reasons"]
    return reasons
