"""What a save and the next row cost the server: CPU time and SQL statements, by the store and through the app's routes.

Requests go straight into the app, one after the other, so that no client and no socket is measured. The measure beside
them is a bare transaction on a file of the same kind: five rows by the driver alone, with the same synchronisation.
CPU times of a shared machine differ from hour to hour; the ratio to the bare transaction does so less.
"""

import asyncio
import itertools
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from sqlalchemy import event

from tempo_core.command_line import AsJson

TARGETS = {"Store.submit, answer": 5.0, "POST edits, answer": 8.0}
"""The most CPU milliseconds that each should take, the mean of drafts and answers being less."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one kind of operation took."""

    cpu_ms: float
    """Of all threads, the median of batches."""
    statements: float
    """Mean of an operation: what is sent to the database, without COMMIT and ROLLBACK."""


def run(
    saves: Annotated[int, typer.Option(help="of each kind")] = 200,
    rows: Annotated[int, typer.Option(help="in the store")] = 2000,
    as_json: AsJson = False,
) -> int:
    """CPU time and SQL statements of a save and of the next row. Exit code 1 where a save is over its target."""
    from tests.app.workplace import open_workplace

    with tempfile.TemporaryDirectory(prefix="save-") as folder:
        costs = {"bare transaction": _bare(Path(folder, "bare.sqlite3"), saves)}
        with open_workplace(Path(folder, "home"), rows=rows) as workplace:
            costs |= _measure(workplace, saves)
    bare_ms = costs["bare transaction"].cpu_ms
    if as_json:
        report = {
            name: {"cpu_ms": cost.cpu_ms, "statements": cost.statements, "ratio": cost.cpu_ms / bare_ms}
            for name, cost in costs.items()
        }
        print(json.dumps(report))
    else:
        print(f"{'':28}{'CPU ms':>10}{'to bare':>10}{'statements':>12}")
        for name, cost in costs.items():
            ratio = cost.cpu_ms / bare_ms
            print(f"{name:28}{cost.cpu_ms:>10.2f}{ratio:>10.1f}{cost.statements:>12.1f}")
    return int(any(costs[name].cpu_ms > most for name, most in TARGETS.items()))


def _measure(workplace: Any, saves: int) -> dict[str, Cost]:
    from annotations.records import Edit, EditedMoment

    store, numbers = workplace.store, itertools.count()
    draft = Edit(verdict="moments", moments=(EditedMoment(start_ms=1000, end_ms=2000),), submitted=False)
    answer = Edit(verdict="moments", moments=draft.moments)
    parents: dict[int, int] = {}

    def submit(edit: Edit) -> Callable[[], object]:
        def work() -> None:
            query_id = 1 + next(numbers) % 40
            correction = store.submit(
                query_id, edit, annotator="bob", parent_id=parents.get(query_id), op_id=str(uuid4())
            )
            parents[query_id] = correction.id

        return work

    versions: dict[int, int] = {}
    with asyncio.Runner() as runner:

        def post(path: str, body: dict[str, Any]) -> Any:
            return runner.run(workplace.post(f"/annotate/api{path}", body))

        def save(submitted: bool) -> Callable[[], object]:
            def work() -> None:
                query_id = 41 + next(numbers) % 40
                values = {
                    "verdict": "moments",
                    "moments": [{"start_ms": 1000, "end_ms": 2000}],
                    "submitted": submitted,
                }
                body = {"op_id": str(uuid4()), "parent_id": versions.get(query_id), "edit": values}
                versions[query_id] = post(f"/queries/{query_id}/edits", body)["correction_id"]

            return work

        def answered_and_next() -> None:
            item = post("/next", {"op_id": str(uuid4()), "besides": []})["item"]
            body = {"op_id": str(uuid4()), "parent_id": item["edit"]["parent_id"]}
            body["edit"] = {"verdict": "moments", "moments": [{"start_ms": 1000, "end_ms": 2000}]}
            post(f"/queries/{item['edit']['query_id']}/edits", body)

        works: dict[str, Callable[[], object]] = {
            "Store.submit, draft": submit(draft),
            "Store.submit, answer": submit(answer),
            "POST edits, draft": save(False),
            "POST edits, answer": save(True),
            "POST next and its answer": answered_and_next,
        }
        return {name: _cost(work, saves, store.database.engine) for name, work in works.items()}


def _cost(work: Callable[[], object], times: int, engine: Any) -> Cost:
    """Batches of 20, timed; then a batch with its statements counted."""
    batches_ms = []
    for batch in range(1 + max(1, times // 20)):
        start_s = time.process_time()
        for _ in range(20):
            work()
        if batch:  # the first one fills caches
            batches_ms.append((time.process_time() - start_s) * 1000 / 20)
    counted: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counted.append(statement)

    event.listen(engine, "before_cursor_execute", count)
    for _ in range(20):
        work()
    event.remove(engine, "before_cursor_execute", count)
    return Cost(cpu_ms=statistics.median(batches_ms), statements=len(counted) / 20)


def _bare(path: Path, times: int) -> Cost:
    """One transaction of five rows, as the driver makes it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")

        def work() -> None:
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(5):
                connection.execute("INSERT INTO rows (text) VALUES (?)", ("x" * 200,))
            connection.execute("COMMIT")

        batches_ms = []
        for _ in range(max(2, times // 20)):
            start_s = time.process_time()
            for _ in range(20):
                work()
            batches_ms.append((time.process_time() - start_s) * 1000 / 20)
    return Cost(cpu_ms=statistics.median(batches_ms), statements=6)
