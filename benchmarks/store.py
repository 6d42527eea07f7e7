"""The store at 100,000 queries and 300,000 corrections: pages, next rows, writes and a snapshot, timed."""

import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from sqlalchemy import Connection, insert

from annotations import tables
from annotations.queue import QueueFilter
from annotations.records import Edit, EditedMoment, digest
from annotations.rows import Row
from annotations.snapshot import take_snapshot
from annotations.store import Store

ANNOTATORS = 6


def run(
    queries: Annotated[int, typer.Option()] = 100_000,
    corrections: Annotated[int, typer.Option()] = 300_000,
    database: Annotated[
        str | None, typer.Option(help="an empty database (default: a temporary SQLite file)")
    ] = None,
) -> int:
    """Pages, next rows, writes and a snapshot of a large store, timed. Building it takes about two minutes.

    Exit code 1 when a figure misses its target.
    """
    scratch = tempfile.TemporaryDirectory(prefix="cqvh-bench-")
    with scratch as folder, Store(database or Path(folder, "cqvh.sqlite3")) as store:
        build(store, queries, corrections)
        return 0 if measure(store, Path(folder, "snapshots")) else 1


def build(store: Store, queries: int, corrections: int) -> None:
    """Fill an empty store: rows by the store itself, corrections in bulk (one by one they take an hour)."""
    rng = random.Random(0)
    _print_seconds(
        "import", lambda: store.import_rows(_rows(rng, queries), dataset="bench", op_id=str(uuid4()))
    )
    _print_seconds("fill with corrections", lambda: _correct(store, rng, queries, corrections))
    _print_seconds("work out the whole queue", store.renew_queue)


def measure(store: Store, folder: Path) -> bool:
    """Print each figure with its target; whether all were met."""
    first_page = store.queue(limit=50)
    item = store.next_query("annotator-0", op_id=str(uuid4()), answers_per_row=10)
    assert item is not None
    query_id, last_id = item.query_id, first_page[-1].query_id
    edit = Edit(verdict="moments", moments=(EditedMoment(start_ms=1000, end_ms=9000),))
    one_clip_hole, review = QueueFilter(reason="one-clip-hole"), QueueFilter(review=True)

    def submit() -> None:
        annotator, op_id = f"new-{uuid4()}", str(uuid4())
        store.submit(query_id, edit, annotator=annotator, parent_id=None, op_id=op_id)

    operations: list[tuple[str, int, Callable[[], object]]] = [
        ("first page of the queue (50 rows)", 100, lambda: store.queue(limit=50)),
        ("the same for one reason", 100, lambda: store.queue(one_clip_hole, limit=50)),
        ("first page for one annotator", 100, lambda: store.queue(QueueFilter(unseen_by="annotator-1"))),
        ("page after the first", 100, lambda: store.queue(limit=50, after=last_id)),
        ("first page of the review queue", 100, lambda: store.queue(review)),
        ("next row, new annotator", 50, lambda: _next(store, f"new-{uuid4()}", 10)),
        ("next row, annotator with half of all done", 50, lambda: _next(store, "annotator-0", 10)),
        ("next row, one review wanted", 50, lambda: _next(store, f"new-{uuid4()}", 1)),
        ("submit a correction", 50, submit),
    ]
    met = [_show(name, limit_ms, _median_ms(work), "ms") for name, limit_ms, work in operations]
    start_s = time.monotonic()
    snapshot = take_snapshot(store, folder, actor="bench")
    met.append(_show("snapshot", 60, time.monotonic() - start_s, "s"))
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    met.append(_show("peak memory, building included", 1024, peak_mib, "MiB"))
    print(f"snapshot holds {dict(snapshot.counts)}")
    return all(met)


def _rows(rng: random.Random, count: int) -> list[Row]:
    rows = []
    for number in range(count):
        windows, at_s = [], 0
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
            start_s = at_s + rng.choice((2, 4, 10, 20))
            at_s = start_s + rng.choice((2, 6, 12, 20))
            windows.append((float(start_s), float(min(at_s, 150))))
            if at_s >= 126:
                break
        split = "val" if number % 5 == 0 else "train"
        rows.append(
            Row(
                qid=str(number),
                qid_is_int=True,
                query=f"Person {rng.randrange(10_000)} does thing number {number}.",
                vid=f"v{number // 2}_60.0_210.0",
                duration_s=150.0,
                split=split,  # type: ignore[arg-type]
                windows=tuple(windows),
                raw=f'{{"qid": {number}, "relevant_windows": {[list(window) for window in windows]}}}',
            )
        )
    return rows


def _correct(store: Store, rng: random.Random, queries: int, corrections: int) -> None:
    """`annotator-0` did half of all rows; the others share the rest; some rows have none."""
    pairs = [(query_id, 0) for query_id in range(1, queries // 2 + 1)]
    unique = set(pairs)
    while len(pairs) < corrections:
        pair = (rng.randrange(1, int(queries * 0.97)), rng.randrange(1, ANNOTATORS))
        if pair not in unique:
            unique.add(pair)
            pairs.append(pair)
    for start in range(0, len(pairs), 20_000):
        batch = list(enumerate(pairs[start : start + 20_000], start=start + 1))
        for transaction in store.database.transactions():
            with transaction as connection:
                _insert(connection, rng=rng, batch=batch)


def _insert(connection: Connection, *, rng: random.Random, batch: list[tuple[int, tuple[int, int]]]) -> None:
    operations, corrections, moments = [], [], []
    for number, (query_id, annotator) in batch:
        start_ms = rng.randrange(0, 120_000)
        moment = EditedMoment(start_ms=start_ms, end_ms=start_ms + rng.randrange(500, 30_000))
        content = Edit(verdict="moments", moments=(moment,)).to_dict()
        name, op_id = f"annotator-{annotator}", f"bench-{number}"
        request = digest(["submit", name, [query_id, content, None]])
        at_ms = 1_700_000_000_000 + number
        operations.append(
            {"op_id": op_id, "kind": "submit", "request_sha256": request, "result": number}
            | {"actor": name, "created_at_ms": at_ms}
        )
        moment_values = content.pop("moments")[0]
        moments.append({**moment_values, "correction_id": number, "position": 0})
        corrections.append(
            {**content, "id": number, "op_id": op_id, "query_id": query_id, "annotator": name, "revision": 1}
            | {"parent_id": None, "restores_id": None, "moment_count": 1, "created_at_ms": at_ms}
        )
    connection.execute(insert(tables.operations), operations)
    connection.execute(insert(tables.corrections), corrections)
    connection.execute(insert(tables.correction_moments), moments)


def _next(store: Store, annotator: str, answers_per_row: int) -> None:
    """A fresh row each time: its lease ends at once."""
    item = store.next_query(annotator, op_id=str(uuid4()), answers_per_row=answers_per_row, lease_s=0)
    assert item is not None


def _median_ms(work: Callable[[], object], times: int = 15) -> float:
    durations_ms = []
    for _ in range(times):
        start_s = time.perf_counter()
        work()
        durations_ms.append((time.perf_counter() - start_s) * 1000)
    return statistics.median(durations_ms)


def _print_seconds(name: str, work: Callable[[], object]) -> None:
    start_s = time.monotonic()
    work()
    print(f"{name}: {time.monotonic() - start_s:.1f} s", file=sys.stderr)


def _show(name: str, limit: float, value: float, unit: str) -> bool:
    print(
        f"{'ok  ' if value < limit else 'SLOW'}  {name}: {value:.1f} {unit} (target under {limit:g} {unit})"
    )
    return value < limit
