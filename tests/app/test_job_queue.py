"""Job queues: one job at a time, in order, bounded, cancellable, off the event loop."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import pytest

from app.job_queue import Batch, Busy, Job, JobQueue, JobQueues, Progress, result_of, seconds_text
from tempo_core.errors import Cancelled


@pytest.fixture
def job_queue() -> Iterator[JobQueue]:
    job_queue = JobQueue("test", limit=3, per_owner=2)
    yield job_queue
    job_queue.close()


async def collect(job_queue: JobQueue, job: Job) -> list[Progress]:
    return [step async for step in job_queue.follow(job)]


def test_runs_off_the_event_loop_and_reports(job_queue: JobQueue) -> None:
    reported = threading.Event()

    def work(job: Job) -> str:
        job.report("encoding", 0.5)
        reported.wait(300)
        return threading.current_thread().name

    async def scene() -> list[Progress]:
        job = job_queue.submit("alice", work)
        steps = []
        async for step in job_queue.follow(job):
            steps.append(step)
            if step.stage == "encoding":
                reported.set()
        assert result_of(job).startswith("tempo-test")
        return steps

    assert asyncio.run(scene())[-1] == Progress(stage="encoding", fraction=0.5)


def test_one_at_a_time_in_order_with_positions(job_queue: JobQueue) -> None:
    gate, order = threading.Event(), []

    def work(name: str) -> None:
        gate.wait(300)
        order.append(name)

    async def scene() -> list[Progress]:
        jobs = [job_queue.submit(name, lambda job, name=name: work(name)) for name in ("a", "b", "c")]
        steps = []
        async for step in job_queue.follow(jobs[2]):
            steps.append(step)
            gate.set()  # nothing moves before the place in the queue was told
        assert [job.future.done() for job in jobs] == [True, True, True]
        return steps

    assert asyncio.run(scene())[0] == Progress(stage="queued", position=2)
    assert order == ["a", "b", "c"]


def test_refuses_when_full_and_when_one_person_takes_too_much(job_queue: JobQueue) -> None:
    gate = threading.Event()
    for owner in ("alice", "alice"):
        job_queue.submit(owner, lambda job: gate.wait(300))
    with pytest.raises(Busy, match="already have 2 questions"):
        job_queue.submit("alice", lambda job: None)
    last = job_queue.submit("bob", lambda job: gate.wait(300))
    with pytest.raises(Busy, match="3 questions are already waiting"):
        job_queue.submit("carol", lambda job: None)
    gate.set()
    last.future.result(300)


def test_leaving_cancels_what_runs_and_what_waits(job_queue: JobQueue) -> None:
    progress_sent = threading.Event()

    def long(job: Job) -> None:
        assert job.cancel.wait(300)
        progress_sent.set()
        raise Cancelled("Cancelled.")

    async def scene() -> tuple[Job, Job]:
        running, waiting = job_queue.submit("alice", long), job_queue.submit("alice", long)
        for job in (waiting, running):
            steps = job_queue.follow(job)
            await anext(steps)
            await steps.aclose()
        return running, waiting

    running, waiting = asyncio.run(scene())
    assert progress_sent.wait(300)
    with pytest.raises(Cancelled):
        running.future.result(300)
    assert waiting.future.cancelled()
    with pytest.raises(Cancelled):
        result_of(waiting)


def test_a_cancelled_waiting_job_ends_at_once(job_queue: JobQueue) -> None:
    gate = threading.Event()
    job_queue.submit("alice", lambda job: gate.wait(300))

    async def scene() -> None:
        waiting = job_queue.submit("bob", lambda job: "never")
        following = asyncio.create_task(collect(job_queue, waiting))
        await asyncio.sleep(0.15)
        waiting.cancel.set()
        await asyncio.wait_for(following, 300)
        with pytest.raises(Cancelled):
            result_of(waiting)

    asyncio.run(scene())
    gate.set()


def test_the_works_own_error_comes_back(job_queue: JobQueue) -> None:
    def broken(job: Job) -> None:
        raise ValueError("broken")

    async def scene() -> None:
        job = job_queue.submit("alice", broken)
        await collect(job_queue, job)
        with pytest.raises(ValueError, match="broken"):
            result_of(job)

    asyncio.run(scene())


def test_jobs_that_wait_for_the_same_go_together(job_queue: JobQueue) -> None:
    gate, batches = threading.Event(), list[list[str]]()

    def run(jobs: Sequence[Job]) -> list[str | Exception]:
        batches.append([job.batch.item for job in jobs if job.batch])
        return [ValueError(item) if item == "bad" else item.upper() for item in batches[-1]]

    def batch(key: str, item: str) -> Batch:
        return Batch(key=key, item=item, run=run)

    queue = JobQueue("batches")
    blocker = queue.submit("alice", lambda job: gate.wait(300))
    jobs = [
        queue.submit(owner, batch(key, item))
        for owner, key, item in [
            ("alice", "one", "a"),
            ("bob", "two", "b"),
            ("carol", "one", "c"),
            ("dora", "one", "bad"),
            ("erik", "one", "left"),
            ("fred", "one", "cancelled"),
        ]
    ]
    other = queue.submit("gina", lambda job: batches.append(["alone"]))
    jobs[4].cancel.set()
    assert jobs[5].future.cancel()
    assert [queue.position(job) for job in jobs[1:4]] == [1, 2, 3]
    gate.set()
    assert jobs[2].future.result(300) == "C"
    assert [jobs[idx].future.result(300) for idx in (0, 1)] == ["A", "B"]
    with pytest.raises(ValueError, match="bad"):
        jobs[3].future.result(300)
    with pytest.raises(Cancelled):
        jobs[4].future.result(300)
    other.future.result(300)
    assert sorted(batches) == [["alone"], ["b"], ["c", "bad", "a"]]
    assert blocker.future.done()
    queue.close()


def test_a_batch_that_fails_fails_for_all_of_it_and_has_a_limit() -> None:
    queue, gate, sizes = JobQueue("batches", per_owner=16), threading.Event(), list[int]()

    def run(jobs: Sequence[Job]) -> list[str]:
        sizes.append(len(jobs))
        raise ValueError("together")

    queue.submit("alice", lambda job: gate.wait(300))
    jobs = [queue.submit("bob", Batch(key=1, item=number, run=run)) for number in range(10)]
    gate.set()
    for job in jobs:
        with pytest.raises(ValueError, match="together"):
            job.future.result(300)
    assert sizes == [8, 2]
    queue.close()


def test_visitors_of_one_address_share_twice_what_one_person_has_whatever_cookies_they_hold() -> None:
    job_queue, gate = JobQueue("test", limit=20, per_owner=1), threading.Event()
    try:
        for number in range(2):
            job_queue.submit(f"visitor-{number}", lambda job: gate.wait(300), network="192.0.2.1")
        with pytest.raises(Busy, match="2 questions from your address are waiting"):
            job_queue.submit("visitor-9", lambda job: None, network="192.0.2.1")
        job_queue.submit("visitor-9", lambda job: None, network="192.0.2.2")
    finally:
        gate.set()
        job_queue.close()


def test_visitors_leave_half_of_the_places_to_people_with_an_account() -> None:
    job_queue, gate = JobQueue("test", limit=4), threading.Event()
    try:
        for number in range(2):
            job_queue.submit(f"visitor-{number}", lambda job: gate.wait(300), network=f"192.0.2.{number}")
        with pytest.raises(Busy, match="the limit"):
            job_queue.submit("visitor-9", lambda job: None, network="192.0.2.9")
        for name in ("ada", "bea"):
            job_queue.submit(name, lambda job: None)
    finally:
        gate.set()
        job_queue.close()


def test_an_annotators_clip_waits_for_no_visitors() -> None:
    queues, gate = JobQueues(), threading.Event()
    try:
        queues.clips.submit("visitor-1", lambda job: gate.wait(300), network="192.0.2.1")
        row = queues.dataset_clips.submit("datasets", lambda job: "ready")
        assert row.future.result(timeout=300) == "ready"
    finally:
        gate.set()
        queues.close()


def test_people_and_visitors_take_turns_and_nobodys_second_job_goes_before_anothers_first() -> None:
    job_queue, gate, order = JobQueue("test"), threading.Event(), list[str]()
    began = threading.Event()

    def first(job: Job) -> None:
        began.set()
        gate.wait(300)

    def submit(name: str, owner: str, network: str = "") -> Job:
        return job_queue.submit(owner, lambda job: order.append(name), network=network)

    try:
        job_queue.submit("ada", first)
        began.wait(300)
        jobs = [submit(f"a{number}", "eve", "192.0.2.1") for number in range(3)]
        jobs += [submit("b0", "mallory", "192.0.2.2"), submit("bob 0", "bob"), submit("bob 1", "bob")]
        jobs.append(submit("cyd", "cyd"))
        positions = {job_queue.position(job) for job in jobs}
        last = job_queue.position(jobs[2])
        gate.set()
        for job in jobs:
            job.future.result(300)
        assert order == ["a0", "bob 0", "b0", "cyd", "a1", "bob 1", "a2"]
        assert (positions, last) == ({1, 2, 3, 4, 5, 6, 7}, 7)
    finally:
        gate.set()
        job_queue.close()


def test_the_wait_is_told_once_a_job_has_shown_how_long_one_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.job_queue.time", SimpleNamespace(monotonic=lambda: 0.0))  # jobs take no time
    job_queue, gate = JobQueue("test", limit=2), threading.Event()
    try:
        job_queue.submit("ada", lambda job: None).future.result(300)
        job_queue.submit("bob", lambda job: gate.wait(300))
        waiting = job_queue.submit("cyd", lambda job: None)
        assert job_queue.place(waiting).wait_s is not None
        with pytest.raises(Busy, match="Try again in 1 second"):
            job_queue.submit("dan", lambda job: None)
    finally:
        gate.set()
        job_queue.close()


def test_closing_ends_whoever_waits() -> None:
    job_queue, gate = JobQueue("test"), threading.Event()
    job_queue.submit("ada", lambda job: gate.wait(300))
    waiting = job_queue.submit("bob", lambda job: None)
    job_queue.close()
    gate.set()
    with pytest.raises(Cancelled):
        result_of(waiting)
    with pytest.raises(Cancelled, match="stopping"):
        job_queue.submit("cyd", lambda job: None)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 second"), (20.4, "20 seconds"), (89, "89 seconds"), (95, "2 minutes")]
)
def test_a_wait_in_words(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
