"""Training as a child process: one at a time, with its own session, so that it outlives the app that started it.

    <home>/training/lock            held by the child as long as it lives, however it ends
    <home>/training/current.json    the job that the page shows
    <home>/training/<job>/          the run's own folder (`train.refresh.run`), and the child's log.txt

Whether a job runs is asked of the lock, never of a process number: numbers are used again. A job that was killed, or
whose machine went down, is resumed by starting the same command again. Every JSON file is replaced in one step
(`train.checkpoints.write_json`), so a reader finds the old state or the new one, whole.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel

from app.home import Home
from app.http.errors import without_paths
from app.job_queue import Busy
from app.training.runs import read_report
from tempo_core.errors import InputError
from train.checkpoints import read_lines, write_json
from train.refresh.progress import BLANK, STOPPED

END_STATES = ("done", "failed", "cancelled")
FIRST_STATE = {**BLANK, "stage": "reading", "stages": [], "message": "Starting.", "at_ms": 0}
NOTHING_YET = "No training has run yet."
STOPPING = "Stopping: it saves its state first."
FINISHING = "Finishing."
INTERRUPTED = "It was interrupted. It can go on from its last saved state."
LOCK_RETRY_S = 0.02
"""A start tries again after so long, while somebody only asks whether a job runs."""


class RefreshRequest(BaseModel, frozen=True):
    """What somebody wants trained."""

    snapshot: Path
    folder: Path
    """Of the run: equal requests share it, and go on where the last one stopped."""
    recipe: str
    checkpoint: Path | None
    """None: the model that ships."""
    adapter: Path | None = None
    """What training goes on from; None: the promoted adapter, or the bare model."""
    protocol: str | None = None
    """What is taught; None: how the model is asked by itself."""
    seed: int = 0
    pir: bool = True
    """Whether PIR-GRPO follows SFT, where the recipe has it."""
    by: str = "app"


Command = Callable[[RefreshRequest, Home], list[str]]


def refresh_command(request: RefreshRequest, home: Home) -> list[str]:
    """`python -m train refresh` for a request."""
    options: dict[str, object] = {
        "--data": request.snapshot,
        "--out": request.folder,
        "--recipe": request.recipe,
        "--seed": request.seed,
        "--adapters": home.adapters,
        "--by": request.by,
    }
    if request.checkpoint is not None:
        options["--checkpoint"] = request.checkpoint
    if request.adapter is not None:
        options["--adapter"] = request.adapter
    if request.protocol is not None:
        options["--protocol"] = request.protocol
    words = [str(word) for option in options.items() for word in option]
    if not request.pir:
        words.append("--no-pir")
    return [sys.executable, "-m", "train", "refresh", "--json", *words]


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
    """Units of work that are done, and all of them; 0: not known yet."""
    unit: str = ""
    batch: int = 0
    batches: int = 1
    """Of a learning step: the parts of the next one that are done, and all of them."""
    seconds_left: float | None = None
    """Of this part of the stage; None where nobody can say."""
    seconds_to_come: float | None = None
    """Of what comes after it, as estimated."""
    stopping: bool = False
    """Whether it was asked to stop and still runs."""

    @property
    def can_resume(self) -> bool:
        return self.state in ("cancelled", "stopped", "failed")

    @property
    def share_done(self) -> float:
        """Of the steps of this part, the share that is done."""
        return (self.step + self.batch / self.batches) / self.steps if self.steps else 0.0


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
            request.folder.mkdir(parents=True, exist_ok=True)
            write_json(request.folder / "state.json", FIRST_STATE)
            nice = shutil.which("nice")
            with (request.folder / "log.txt").open("ab") as log:
                log_offset = log.tell()
                child = subprocess.Popen(
                    [*([nice, "-n", "10"] if nice else []), *self._command(request, self.home)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(lock,),  # the child holds the lock from now on
                    env={**os.environ, "TEMPO_HOME": str(self.home.root), "HF_HUB_OFFLINE": "1"},
                )
            threading.Thread(target=child.wait, name="tempo-reap", daemon=True).start()
            started_at_ms = time.time_ns() // 1_000_000
            job = {"wish": request.model_dump(mode="json"), "pid": child.pid, "started_at_ms": started_at_ms}
            write_json(self.root / "current.json", {**job, "logged": log_offset})
        return self.status()

    def resume(self, by: str) -> JobStatus:
        """Start the job that stopped again; it goes on where it was. Raises Busy, InputError."""
        job = self._current()
        if job is None:
            raise InputError("There is no job to go on with. Start one.")
        return self.start(RefreshRequest.model_validate({**job["wish"], "by": by}))

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
        # Asked before the state is read: a job that ends in between is seen as ended on the next look.
        running = self.running()
        values = {**FIRST_STATE, **(read_report(folder, "state") or {})}
        state, message = values["state"], values["message"]
        stopping = running and bool(job.get("stopping"))
        if running:
            message = FINISHING if state in END_STATES else STOPPING if stopping else message
            state = "running"
        elif state not in END_STATES and job.get("stopping"):
            state, message = "cancelled", STOPPED  # it was asked so early that it could not say so itself
        elif state not in END_STATES:
            state = "stopped"
            log = folder / "log.txt"
            text = log.read_bytes()[job.get("logged", 0) :].decode(errors="replace") if log.is_file() else ""
            # `python -m train refresh` begins an error that a person can mend with its own name.
            errors = [line for line in text.splitlines() if line.startswith("refresh: ")]
            message = errors[-1].removeprefix("refresh: ") if errors else INTERRUPTED
        seconds_left = values["seconds_left"] if running else None
        if (
            seconds_left is not None
        ):  # what a long step has taken since it was told; more than that is a guess
            seconds_left -= time.time() - values["at_ms"] / 1000
        return JobStatus(
            state=state,
            message=without_paths(str(message)),
            stopping=stopping,
            folder=folder,
            recipe=job["wish"]["recipe"] + ("" if job["wish"].get("pir", True) else " without PIR-GRPO"),
            by=job["wish"]["by"],
            started_at_ms=job["started_at_ms"],
            stage=str(values["stage"]),
            stages=tuple(values["stages"]),
            step=int(values["step"]),
            steps=int(values["steps"]),
            unit=str(values["unit"]),
            batch=int(values["batch"]),
            batches=int(values["batches"]),
            seconds_left=seconds_left if seconds_left is not None and seconds_left > 0 else None,
            seconds_to_come=values["seconds_to_come"] if running else None,
        )

    def curves(self) -> list[dict[str, Any]]:
        """The lines of both stages, SFT's first; after each the part of a step that has been made since."""
        folder = self.status().folder
        if folder is None:
            return []
        lines = list[dict[str, Any]]()
        for name, stage in (("sft", "sft"), ("pir", "pir-grpo")):
            whole_steps = read_lines(folder / name / "curves.jsonl")
            last_step = max((line["step"] for line in whole_steps), default=0)
            lines += whole_steps
            lines += [line for line in self.progress() if line["stage"] == stage and line["step"] > last_step]
        return lines

    def progress(self) -> list[dict[str, Any]]:
        """How far every stage had come when (`train.refresh.progress`)."""
        job = self._current()
        return [] if job is None else read_lines(Path(job["wish"]["folder"]) / "progress.jsonl")

    def report(self, name: str) -> dict[str, Any] | None:
        """`rows`, `scores` or `outcome` of the present job, once it is there."""
        job = self._current()
        return None if job is None else read_report(Path(job["wish"]["folder"]), name)

    def _current(self) -> dict[str, Any] | None:
        return read_report(self.root, "current")

    @contextmanager
    def _lock(self, kind: int = fcntl.LOCK_EX) -> Iterator[int]:
        """The lock's file descriptor, held here and by whoever inherits it. Raises Busy."""
        with (self.root / "lock").open("a") as file:
            while not _locks(file, kind):
                # Those who only look share it, a job does not.
                if kind == fcntl.LOCK_SH or not _locks(file, fcntl.LOCK_SH):
                    raise Busy("A training job runs already. Wait for it, or cancel it.")
                fcntl.flock(file, fcntl.LOCK_UN)
                time.sleep(LOCK_RETRY_S)
            yield file.fileno()


def _locks(file: IO[str], kind: int) -> bool:
    """Lock a file, and say whether that could be done at once."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
