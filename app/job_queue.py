"""Job queues: heavy work off the event loop, one job at a time, in order, with a limit and a place in the queue.

Jobs live in this process, and a job that nobody follows any more is cancelled.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tempo_core.errors import Cancelled, InputError, TempoError

logger = logging.getLogger(__name__)

FOLLOW_EVERY_S = 0.1


class Busy(InputError):
    """The queue is full."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a piece of work stands."""

    stage: str
    """"queued", or the stage that the work itself named."""
    fraction: float = 0.0
    """Of the stage, 0 to 1."""
    position: int = 0
    """How many jobs are before this one; 0 when it runs."""


class Job:
    """One piece of work in a queue."""

    def __init__(
        self, owner: str, cancel: threading.Event | None = None, network: str = "", title: str = ""
    ) -> None:
        self.owner, self.network, self.title = owner, network, title
        self.cancel = cancel or threading.Event()
        self.progress = Progress(stage="queued")
        self.future: Future[Any] = Future()

    def report(self, stage: str, fraction: float = 0.0) -> None:
        """Say where the work stands; called from the queue's thread."""
        self.progress = Progress(stage=stage, fraction=min(1.0, max(0.0, fraction)))


class JobQueue:
    """One worker thread and its queue."""

    def __init__(self, name: str, *, limit: int = 16, per_owner: int = 4) -> None:
        self.name, self.limit, self.per_owner = name, limit, per_owner
        self._jobs: list[Job] = []
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"tempo-{name}")

    def submit(
        self,
        owner: str,
        work: Callable[[Job], Any],
        *,
        cancel: threading.Event | None = None,
        network: str = "",
        title: str = "",
    ) -> Job:
        """Queue `work`. Raises Busy when the queue or this owner's share of it is full.

        `title` says what the work is, for those who wait behind it.
        `network` is where an anonymous visitor comes from (`User.network`). Visitors of one network have twice the
        share of one person, whatever cookies they hold, and all visitors together half of the queue.
        """
        job = Job(owner, cancel, network, title)
        with self._lock:
            visitors = [other for other in self._jobs if other.network]
            if len(self._jobs) >= self.limit or (network and len(visitors) >= max(1, self.limit // 2)):
                raise Busy(
                    f"{len(self._jobs)} questions are already waiting, which is the limit. "
                    "Try again in a minute."
                )
            if sum(other.owner == owner for other in self._jobs) >= self.per_owner:
                raise Busy(
                    f"You already have {self.per_owner} questions waiting. Let one finish, or cancel it."
                )
            if network and sum(other.network == network for other in visitors) >= 2 * self.per_owner:
                raise Busy(
                    f"{2 * self.per_owner} questions from your address are waiting, which is the limit without an "
                    "account. Try again in a minute."
                )
            self._jobs.append(job)
            job.future = self._pool.submit(self._run, job, work)
        return job

    def submit_in_turn(self, owner: str, works: Mapping[str, Callable[[Job], None]]) -> None:
        """Queue works that nobody waits for, by name: one after the other, each behind what people ask meanwhile.

        One that fails is logged, and the next begins. A full queue or a cancelled job ends the turn.
        """
        if not works:
            return
        (name, first), *rest = works.items()

        def run(job: Job) -> None:
            try:
                first(job)
            except Cancelled:
                raise
            except TempoError as error:
                logger.warning("%s was not made in advance: %s", name, error)
            self.submit_in_turn(owner, dict(rest))

        try:
            self.submit(owner, run)
        except Busy:
            logger.info("the queue is full; %s and %s more are not made in advance", name, len(rest))

    def _run(self, job: Job, work: Callable[[Job], Any]) -> Any:
        try:
            if job.cancel.is_set():
                raise Cancelled("Cancelled before it began.")
            return work(job)
        finally:
            self._forget(job)

    def _forget(self, job: Job) -> None:
        with self._lock:
            if job in self._jobs:
                self._jobs.remove(job)

    def __len__(self) -> int:
        """How many jobs wait or run."""
        with self._lock:
            return len(self._jobs)

    def position(self, job: Job) -> int:
        """How many jobs are before this one."""
        with self._lock:
            return self._jobs.index(job) if job in self._jobs else 0

    def first(self) -> Job | None:
        """The job that runs, or is the next to run."""
        with self._lock:
            return self._jobs[0] if self._jobs else None

    async def follow(self, job: Job) -> AsyncIterator[Progress]:
        """Each change of the job's progress until it is done. Leaving early cancels the job."""
        last = None
        try:
            while not job.future.done():
                now = job.progress
                if now.stage == "queued":
                    now = Progress(stage="queued", position=self.position(job))
                    self._drop_if_cancelled(job)
                if now != last:
                    yield now
                    last = now
                await asyncio.sleep(FOLLOW_EVERY_S)
        finally:
            if not job.future.done():
                job.cancel.set()
                self._drop_if_cancelled(job)

    def _drop_if_cancelled(self, job: Job) -> None:
        """Take a cancelled job that has not begun out of the queue at once."""
        if job.cancel.is_set() and job.future.cancel():
            self._forget(job)

    def close(self) -> None:
        """Cancel everything and let the thread end; does not wait for it."""
        with self._lock:
            for job in self._jobs:
                job.cancel.set()
        self._pool.shutdown(wait=False, cancel_futures=True)


class JobQueues:
    """The queues of one running app: each kind of work waits for its own kind only."""

    def __init__(self) -> None:
        self.clips = JobQueue("clips")
        """Normal copies of the clips that people upload."""
        self.copies = JobQueue("copies", limit=64, per_owner=8)
        """Normal copies of clips that were answered about as they were uploaded."""
        self.dataset_clips = JobQueue("dataset-clips")
        """Normal copies of datasets' clips: an annotator's next row waits for no visitor's upload."""
        self.dataset_films = JobQueue("dataset-films", limit=64, per_owner=64)
        """Normal copies of datasets' long clips, beside the short ones."""
        self.strips = JobQueue("strips", limit=64, per_owner=64)
        """Film strips, beside the questions that they belong to."""
        self.model = JobQueue("model")
        """Everything that the model is asked."""
        self.data = JobQueue("data")
        """Imports, exports and comparisons."""
        self.downloads = JobQueue("downloads", per_owner=16)
        """Checkpoints from the model hub."""

    def all(self) -> list[JobQueue]:
        """Every queue."""
        return [
            self.clips,
            self.copies,
            self.dataset_clips,
            self.dataset_films,
            self.strips,
            self.model,
            self.data,
            self.downloads,
        ]

    def close(self) -> None:
        """Stop all work."""
        for queue in self.all():
            queue.close()


def result_of(job: Job) -> Any:
    """What the finished job returned; raises what it raised, and Cancelled when it never began."""
    try:
        return job.future.result(timeout=0)
    except CancelledError as error:
        raise Cancelled("Cancelled before it began.") from error
