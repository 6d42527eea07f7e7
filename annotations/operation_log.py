"""The log of operations: each write in its place, bound to all before it by a chained SHA-256.

A row's digest covers the operation and the digest before it, so that whoever knows the number of operations and the
last digest (a backup's report names both) can tell whether one was changed, removed or added since.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, text

from annotations import tables
from annotations.reading import chunks
from annotations.records import digest

BEGINNING = ""
"""Stands for the digest before the first operation."""
FIELDS = ("op_id", "kind", "request_sha256", "result", "actor", "created_at_ms")
# Built once, as in `annotations.reading`.
LOCK = text("SELECT pg_advisory_xact_lock(20260118)")
LAST = (
    select(tables.operation_log.c.position, tables.operation_log.c.sha256)
    .order_by(tables.operation_log.c.position.desc())
    .limit(1)
)
INSERT_OPERATION, INSERT_PLACE = insert(tables.operations), insert(tables.operation_log)


def append(connection: Connection, *records: dict[str, Any]) -> None:
    """Write operations (rows of `operations`) in this order, inside the caller's write transaction."""
    if not records:
        return
    if connection.dialect.name == "postgresql":
        # Until commit nobody else may take the next place. SQLite has one writer anyway.
        connection.execute(LOCK)
    position, sha256 = head(connection)
    places = []
    for record in records:
        position, sha256 = position + 1, chained(sha256, record)
        places.append({"position": position, "op_id": record["op_id"], "sha256": sha256})
    connection.execute(INSERT_OPERATION, list(records))
    connection.execute(INSERT_PLACE, places)


def chained(before: str, record: dict[str, Any]) -> str:
    """The digest of an operation behind the digest before it."""
    return digest([before, *(record[name] for name in FIELDS)])


def head(connection: Connection) -> tuple[int, str]:
    """How many operations there are, and the last one's digest. Read-only."""
    row = connection.execute(LAST).one_or_none()
    return (0, BEGINNING) if row is None else (row.position, row.sha256)


def positions(connection: Connection, op_ids: Sequence[str]) -> dict[str, int]:
    """The place of each operation among all, by id. Read-only."""
    log = tables.operation_log
    places: dict[str, int] = {}
    for ids in chunks(op_ids):
        statement = select(log.c.op_id, log.c.position).where(log.c.op_id.in_(ids))
        places.update((row.op_id, row.position) for row in connection.execute(statement))
    return places


def problems(connection: Connection) -> Iterator[str]:
    """One sentence for each place where the chain does not hold. Read-only."""
    log, operation = tables.operation_log, tables.operations
    columns = [log.c.position, log.c.op_id.label("logged_op_id"), log.c.sha256]
    columns += [operation.c[name] for name in FIELDS]
    joined = log.outerjoin(operation, operation.c.op_id == log.c.op_id)
    statement = select(*columns).select_from(joined).order_by(log.c.position)
    expected_position, before = 1, BEGINNING
    for row in connection.execution_options(yield_per=1000).execute(statement):
        if row.position != expected_position:
            yield f"Operations {expected_position} to {row.position - 1} of the log are gone."
        elif row.op_id is None:
            yield f"Operation {row.position} of the log, {row.logged_op_id!r}, is gone."
        elif chained(before, dict(row._mapping)) != row.sha256:
            yield f"Operation {row.position} of the log is not what was written: its digest differs."
        expected_position, before = row.position + 1, row.sha256
    unlogged = select(func.count()).select_from(operation.outerjoin(log, log.c.op_id == operation.c.op_id))
    number = connection.execute(unlogged.where(log.c.op_id.is_(None))).scalar_one()
    if number:
        yield f"{number} operations are not in the log: they were added by another program."
