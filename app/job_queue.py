"""Job queues: heavy work off the event loop, one job at a time, with a limit, a place in the queue and a wait.

People with an account and anonymous visitors take turns, and so do those of each kind: somebody's second job waits
until everybody's first has begun. Whoever has an account waits for one job of a visitor's at most.

Jobs that a `Batch` makes alike are done in one go: when the turn of one comes, those of its key that wait go with it.

Jobs live in this process, and a job that nobody follows any more is cancelled.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from operator import attrgetter
from typing import Any

from tempo_core.errors import Cancelled, InputError, TempoError
from tempo_core.wording import plural

logger = logging.getLogger(__name__)

FOLLOW_EVERY_S = 0.1
BATCH_JOBS = 8
"""Most jobs that are done in one go."""


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
    wait_s: float | None = None
    """Seconds until it begins, by what the last jobs took; None before one has ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What lets a job be done together with others that wait."""

    key: Hashable
    """Jobs with the same key go together."""
    item: Any
    """What this job asks for."""
    run: Callable[[Sequence["Job"]], Sequence[Any]]
    """Does jobs with one key, which hold their items: for each its result or its Exception. Called with one job too."""


class Job:
    """One piece of work in a queue."""

    def __init__(
        self,
        owner: str,
        cancel: threading.Event | None = None,
        network: str = "",
        title: str = "",
        batch: Batch | None = None,
    ) -> None:
        self.owner, self.network, self.title, self.batch = owner, network, title, batch
        self.cancel = cancel or threading.Event()
        self.progress = Progress(stage="queued")
        self.future: Future[Any] = Future()
        self.work: Callable[[Job], Any] | None = None
        self.turn = 0
        """Jobs of one share have different turns, those of different shares may have the same."""

    @property
    def share(self) -> str:
        """Whose turn it is: a person's, or that of all visitors of one network."""
        return self.network or self.owner

    def report(self, stage: str, fraction: float = 0.0) -> None:
        """Say where the work stands; called from the queue's thread."""
        self.progress = Progress(stage=stage, fraction=min(1.0, max(0.0, fraction)))


class JobQueue:
    """One worker thread and its queue."""

    def __init__(self, name: str, *, limit: int = 16, per_owner: int = 4) -> None:
        self.name, self.limit, self.per_owner = name, limit, per_owner
        self._jobs: list[Job] = []
        """In the order in which they came; the one that runs is among them."""
        self._running: list[Job] = []
        """One, or the jobs of a batch."""
        self._ran_visitor = True
        """Whether the job that began last is a visitor's; at first it is a person's turn."""
        self._turns = {False: 0, True: 0}
        """The turn of the job that began last, of people and of visitors."""
        self._mean_s: float | None = None
        self._is_closed = False
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"tempo-{name}")

    def submit(
        self,
        owner: str,
        work: Callable[[Job], Any] | Batch,
        *,
        cancel: threading.Event | None = None,
        network: str = "",
        title: str = "",
    ) -> Job:
        """Queue `work`; a Batch is done with others of its key. Raises Busy when the queue or this owner's share of it
        is full, Cancelled after `close`.

        `title` says what the work is, for those who wait behind it.
        `network` is where an anonymous visitor comes from (`User.network`). Visitors of one network have twice the
        share of one person, whatever cookies they hold, and all visitors together half of the queue.
        """
        job = Job(owner, cancel, network, title, work if isinstance(work, Batch) else None)
        with self._lock:
            if self._is_closed:
                raise Cancelled("The server is stopping, so nothing more is begun.")
            visitors = [other for other in self._jobs if other.network]
            if len(self._jobs) >= self.limit or (network and len(visitors) >= max(1, self.limit // 2)):
                raise Busy(
                    f"{plural(len(self._jobs), 'question is', 'questions are')} already waiting, which is the limit. "
                    f"Try again in {self._wait_text(len(self._jobs))}."
                )
            if sum(other.owner == owner for other in self._jobs) >= self.per_owner:
                raise Busy(
                    f"You already have {plural(self.per_owner, 'question')} waiting. Let one finish, or cancel it."
                )
            if network and sum(other.network == network for other in visitors) >= 2 * self.per_owner:
                raise Busy(
                    f"{2 * self.per_owner} questions from your address are waiting, which is the limit without an "
                    f"account. Try again in {self._wait_text(2 * self.per_owner)}."
                )
            own_turns = [other.turn for other in self._jobs if other.share == job.share]
            job.work = None if isinstance(work, Batch) else work
            job.turn = max([self._turns[bool(network)], *(turn + 1 for turn in own_turns)])
            self._jobs.append(job)
            self._begin_next()
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

    def _begin_next(self) -> None:
        """Begin the job whose turn it is, if one waits and none runs; the lock is held."""
        if self._running or self._is_closed:
            return
        for job in self._in_turn():
            first = self._running[0] if self._running else job
            goes_along = first is job or (job.batch is not None and _batch_key(job) == _batch_key(first))
            if goes_along and job.future.set_running_or_notify_cancel():
                self._running.append(job)
            if self._running and (self._running[0].batch is None or len(self._running) == BATCH_JOBS):
                break
        if self._running:
            first = self._running[0]
            self._ran_visitor = bool(first.network)
            self._turns[self._ran_visitor] = first.turn
            self._pool.submit(self._run, list(self._running))

    def _run(self, jobs: list[Job]) -> None:
        begun_s = time.monotonic()
        results: dict[Job, Any] = {
            job: Cancelled("Cancelled before it began.") for job in jobs if job.cancel.is_set()
        }
        rest = [job for job in jobs if job not in results]
        try:
            if rest and (batch := rest[0].batch) is not None:
                results |= zip(rest, batch.run(rest), strict=True)
            elif rest:
                assert rest[0].work is not None
                results[rest[0]] = rest[0].work(rest[0])
        except BaseException as error:  # whoever waits for the jobs gets it
            results |= dict.fromkeys(rest, error)
        with self._lock:
            if any(not isinstance(result, BaseException) for result in results.values()):
                took_s = (time.monotonic() - begun_s) / len(jobs)
                self._mean_s = took_s if self._mean_s is None else 0.7 * self._mean_s + 0.3 * took_s
            self._running = []
            for job in jobs:
                self._jobs.remove(job)
            self._begin_next()
        for job, result in results.items():
            if isinstance(result, BaseException):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)

    def _in_turn(self) -> list[Job]:
        """The waiting jobs in the order in which they will run; the lock is held."""
        waiting = [job for job in self._jobs if job not in self._running and not job.future.cancelled()]
        waiting.sort(key=attrgetter("turn"))  # stable: of the same turn, who came first is first
        people, visitors = ([job for job in waiting if bool(job.network) is lane] for lane in (False, True))
        lanes = (people, visitors) if self._ran_visitor else (visitors, people)
        return [job for pair in zip_longest(*lanes) for job in pair if job is not None]

    def _wait_text(self, num_jobs: int) -> str:
        """How long so many jobs take, in words."""
        return "a minute" if self._mean_s is None else seconds_text(num_jobs * self._mean_s)

    def __len__(self) -> int:
        """How many jobs wait or run."""
        with self._lock:
            return len(self._jobs)

    def position(self, job: Job) -> int:
        """How many jobs are before this one."""
        with self._lock:
            return self._position(job)

    def _position(self, job: Job) -> int:
        waiting = self._in_turn()
        return waiting.index(job) + bool(self._running) if job in waiting else 0

    def place(self, job: Job) -> Progress:
        """Where a waiting job stands."""
        with self._lock:
            position = self._position(job)
            wait_s = None if self._mean_s is None or not position else position * self._mean_s
        return Progress(stage="queued", position=position, wait_s=wait_s)

    def first(self) -> Job | None:
        """The job that runs, or is the next to run."""
        with self._lock:
            return next(iter([*self._running, *self._in_turn()]), None)

    async def follow(self, job: Job) -> AsyncIterator[Progress]:
        """Each change of the job's progress until it is done. Leaving early cancels the job."""
        last = None
        try:
            while not job.future.done():
                now = job.progress
                if now.stage == "queued":
                    now = self.place(job)
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
            with self._lock:
                if job in self._jobs:
                    self._jobs.remove(job)

    def close(self) -> None:
        """Cancel everything and let the thread end; does not wait for it."""
        with self._lock:
            self._is_closed = True
            for job in self._jobs:
                job.cancel.set()
                job.future.cancel()  # of those that wait
        self._pool.shutdown(wait=False, cancel_futures=True)


def _batch_key(job: Job) -> Hashable | None:
    return None if job.batch is None else job.batch.key


def seconds_text(seconds: float) -> str:
    """A wait in words: "5 seconds", "2 minutes"."""
    count, unit = (max(1, round(seconds)), "second") if seconds < 90 else (round(seconds / 60), "minute")
    return plural(count, unit)


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
        self.dataset_shots = JobQueue("dataset-shots", limit=64, per_owner=64)
        """Shot changes of datasets' clips, which nobody waits for."""
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
            self.dataset_shots,
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
