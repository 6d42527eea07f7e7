"""Training as a child process: one at a time, with its own session, so that it outlives the app that started it.

    <home>/training/lock            held by the child as long as it lives, however it ends
    <home>/training/current.json    the job that the page shows
    <home>/training/<job>/          the run's own folder (`train.refresh.run`), and the child's log.txt

Whether a job runs is asked of the lock, never of a process number: numbers are used again. A job that was killed, or
whose machine went down, is resumed by starting the same command again.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.home import Home
from app.http.errors import without_paths
from app.job_queue import Busy
from tempo_core.errors import InputError
from train.checkpoints import read_curves, write_json

ENDED = ("done", "failed", "cancelled")
FIRST_STATE = {
    "state": "running",
    "stage": "reading",
    "stages": [],
    "message": "Starting.",
    "step": 0,
    "steps": 0,
}
NOTHING_YET = "No training has run yet."
STOPPING = "Stopping: it saves its state first."
FINISHING = "Finishing."
LOOKS_S = 0.02
"""How long to wait for somebody who only looks whether a job runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshRequest:
    """What somebody wants trained."""

    snapshot: Path
    folder: Path
    """Of the run: equal wishes share it, and go on where the last one stopped."""
    recipe: str
    checkpoint: Path | None
    seed: int = 0
    by: str = "app"


Command = Callable[[RefreshRequest, Home], list[str]]


def refresh_command(request: RefreshRequest, home: Home) -> list[str]:
    """`python -m train refresh` for a request."""
    checkpoint = [] if request.checkpoint is None else ["--checkpoint", str(request.checkpoint)]
    return [
        *(sys.executable, "-m", "train", "refresh", "--data", str(request.snapshot)),
        *("--out", str(request.folder), "--recipe", request.recipe, "--seed", str(request.seed)),
        *("--adapters", str(home.adapters), "--by", request.by, "--json", *checkpoint),
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobStatus:
    """Where the job stands."""

    state: str
    """idle, running, done, failed, cancelled, or stopped (it was killed; it can go on)."""
    message: str
    folder: Path | None = None
    recipe: str = ""
    by: str = ""
    started_at_ms: int = 0
    stage: str = ""
    stages: tuple[str, ...] = ()
    step: int = 0
    steps: int = 0
    stopping: bool = False
    """Whether it was asked to stop and still runs."""

    @property
    def can_resume(self) -> bool:
        return self.state in ("cancelled", "stopped", "failed")


class TrainingJobs:
    """The training job of one home. Processes may share it; threads may, too."""

    def __init__(self, home: Home, *, command: Command = refresh_command) -> None:
        self.home, self._command = home, command
        self.root = home.root / "training"
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._starting = threading.Lock()

    def start(self, request: RefreshRequest) -> JobStatus:
        """Begin a job. Raises Busy while another runs."""
        with self._starting, self._lock() as lock:
            self._launch(request, lock)
        return self.status()

    def resume(self, by: str) -> JobStatus:
        """Start the job that stopped again; it goes on where it was. Raises Busy, InputError."""
        job = self._current()
        if job is None:
            raise InputError("There is no job to go on with. Start one.")
        request = RefreshRequest(**{**job["wish"], **_paths(job["wish"]), "by": by})
        with self._starting, self._lock() as lock:
            self._launch(request, lock)
        return self.status()

    def cancel(self) -> JobStatus:
        """Ask the running job, once, to stop; it saves its state first. Raises InputError when none runs."""
        with self._starting:
            job = self._current()
            if job is None or not self.running():
                raise InputError("No job runs, so there is nothing to cancel.")
            if not job.get("stopping"):
                write_json(self.root / "current.json", {**job, "stopping": True})
                try:
                    os.killpg(int(job["pid"]), signal.SIGTERM)  # a second one would end it without saving
                except ProcessLookupError as error:
                    raise InputError("The job has just ended.") from error
        return self.status()

    def running(self) -> bool:
        """Whether a job runs, whoever started it."""
        try:
            with self._lock(fcntl.LOCK_SH):  # those who only look do not shut each other out
                return False
        except Busy:
            return True

    def status(self) -> JobStatus:
        """Where the job stands, from its own files."""
        job = self._current()
        if job is None:
            return JobStatus(state="idle", message=NOTHING_YET)
        folder = Path(job["wish"]["folder"])
        running = self.running()
        state = {**FIRST_STATE, **(_read(folder / "state.json") or {})}
        ended = state["state"] if state["state"] in ENDED else "stopped"
        message = state["message"] if ended != "stopped" else _last_words(folder, job.get("logged", 0))
        stopping = running and bool(job.get("stopping"))
        if running:
            message = FINISHING if ended != "stopped" else STOPPING if stopping else state["message"]
            ended = "running"
        return JobStatus(
            state=ended, message=without_paths(str(message)), stopping=stopping, folder=folder,
            recipe=job["wish"]["recipe"], by=job["wish"]["by"], started_at_ms=job["started_at_ms"],
            stage=str(state["stage"]), stages=tuple(state["stages"]),
            step=int(state["step"]), steps=int(state["steps"]),
        )  # fmt: skip

    def curves(self) -> list[dict[str, Any]]:
        """The lines of both stages, SFT's first."""
        folder = self.status().folder
        if folder is None:
            return []
        return read_curves(folder / "sft" / "curves.jsonl") + read_curves(folder / "pir" / "curves.jsonl")

    def report(self, name: str) -> dict[str, Any] | None:
        """`rows`, `scores` or `outcome` of the present job, once it is there."""
        job = self._current()
        return None if job is None else _read(Path(job["wish"]["folder"]) / f"{name}.json")

    def answers(self, row_set: str, who: str) -> dict[str, dict[str, Any]]:
        """What the old or the new model said of each held-out row, by row id."""
        job = self._current()
        path = None if job is None else Path(job["wish"]["folder"]) / "answers" / f"{row_set}-{who}.jsonl"
        return {} if path is None else {each["qid"]: each for each in read_curves(path)}

    def _launch(self, request: RefreshRequest, lock: int) -> None:
        request.folder.mkdir(parents=True, exist_ok=True)
        write_json(request.folder / "state.json", FIRST_STATE)
        gently = [shutil.which("nice") or "", "-n", "10"] if shutil.which("nice") else []
        with (request.folder / "log.txt").open("ab") as log:
            logged = log.tell()
            child = subprocess.Popen(
                [*gently, *self._command(request, self.home)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, pass_fds=(lock,), env={**os.environ, "TEMPO_HOME": str(self.home.root)},
            )  # fmt: skip
        threading.Thread(target=child.wait, name="tempo-reap", daemon=True).start()
        now_ms = time.time_ns() // 1_000_000
        job = {"wish": _plain(request), "pid": child.pid, "started_at_ms": now_ms, "logged": logged}
        write_json(self.root / "current.json", job)

    def _current(self) -> dict[str, Any] | None:
        return _read(self.root / "current.json")

    @contextmanager
    def _lock(self, kind: int = fcntl.LOCK_EX) -> Iterator[int]:
        """The lock's file descriptor, held here and by whoever inherits it. Raises Busy."""
        with (self.root / "lock").open("a") as file:
            for waits in (True, True, True, True, False):
                try:
                    fcntl.flock(file, kind | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if kind == fcntl.LOCK_SH or not waits:
                        raise Busy("A training job runs already. Wait for it, or cancel it.") from error
                    time.sleep(LOOKS_S)
            yield file.fileno()


def _plain(request: RefreshRequest) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(request).items()}


def _paths(values: dict[str, Any]) -> dict[str, Path | None]:
    names = ("snapshot", "folder", "checkpoint")
    return {name: None if values[name] is None else Path(values[name]) for name in names}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return values


def _last_words(folder: Path, since: int) -> str:
    """Why a job ended without saying so: the last line of its log after byte `since`, if that is an error of ours."""
    log = folder / "log.txt"
    written = log.read_bytes()[since:].decode("utf-8", errors="replace") if log.is_file() else ""
    lines = written.strip().splitlines()
    said = next(
        (line.removeprefix("error: ") for line in reversed(lines) if line.startswith("error: ")), None
    )
    return said or "It was interrupted. It can go on from its last saved state."
