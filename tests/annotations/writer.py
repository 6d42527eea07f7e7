"""Writers for the durability tests: they write until done or killed, and note what was acknowledged."""

import os
import random
import sqlite3
from multiprocessing.synchronize import Barrier
from pathlib import Path

from annotations.errors import Conflict
from annotations.records import Edit, EditedMoment
from annotations.store import Store


def write_until_killed(database: str, acknowledged: str, name: str, queries: int) -> None:
    """Submit corrections for ever; each operation id goes to the file after its submit has returned."""
    seeded = random.Random(name)
    notes = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with Store(database) as store:
        number = 0
        while True:
            op_id = f"{name}-{number}"
            submit(store, seeded.randrange(1, queries + 1), name, op_id, seeded)
            os.write(notes, f"{op_id}\n".encode())
            number += 1


def write_many(
    database: str, report: str, name: str, annotator: str, queries: int, count: int, have_read: Barrier
) -> None:
    """Submit `count` corrections, starting again from the present version after each conflict.

    The first one is of the first query, once all writers have read it: two of one annotator conflict there. Writes the
    number of conflicts to the report; any other error ends the process with a traceback.
    """
    seeded = random.Random(name)
    conflicts = 0
    with Store(database) as store:
        for number in range(count):
            query_id = seeded.randrange(1, queries + 1) if number else 1
            parent = store.latest(query_id, annotator)
            if number == 0:
                have_read.wait(300)
            while True:
                try:
                    submit(
                        store, query_id, annotator, f"{name}-{number}", seeded, parent.id if parent else None
                    )
                    break
                except Conflict as conflict:
                    conflicts += 1
                    parent = conflict.theirs  # type: ignore[assignment]
    Path(report).write_text(str(conflicts))


_NEWEST = -1


def submit(
    store: Store,
    query_id: int,
    annotator: str,
    op_id: str,
    seeded: random.Random,
    parent_id: int | None = _NEWEST,
) -> None:
    """One correction of one to four moments."""
    if parent_id == _NEWEST:
        parent = store.latest(query_id, annotator)
        parent_id = None if parent is None else parent.id
    moments, at_ms = [], 0
    for _ in range(seeded.randrange(1, 5)):
        start_ms = at_ms + seeded.randrange(1, 10_000)
        at_ms = start_ms + seeded.randrange(1, 20_000)
        moments.append(EditedMoment(start_ms=start_ms, end_ms=at_ms))
    edit = Edit(verdict="moments", moments=tuple(moments), note=op_id)
    store.submit(query_id, edit, annotator=annotator, parent_id=parent_id, op_id=op_id)


def file_is_sound(database: Path) -> bool:
    """SQLite's own quick check of a database file."""
    with sqlite3.connect(database, timeout=30) as connection:
        (result,) = connection.execute("PRAGMA quick_check").fetchone()
    connection.close()
    return result == "ok"
