"""The log of operations: each write in its place, bound to all before it by a chained SHA-256.

A row's digest covers the operation and the digest before it, so that whoever knows the number of operations and the
last digest (a backup's report names both) can tell whether one was changed, removed or added since.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, text

from annotations import tables
from annotations.reading import chunks
from annotations.records import digest

BEGINNING = ""
"""Stands for the digest before the first operation."""
ERASE = "erase"
"""The kind of an operation that takes a person's name out of others (`annotations.people`)."""
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


def content_digest(record: Mapping[str, Any]) -> str:
    """The digest of an operation by itself."""
    return digest([record[name] for name in FIELDS])


def redactions_digest(connection: Connection, op_id: str) -> str:
    """The digest of all that an erasing operation left of others. Read-only."""
    table = tables.redactions
    statement = select(table.c.op_id, table.c.sha256).where(table.c.erased_by == op_id)
    return digest(sorted([row.op_id, row.sha256] for row in connection.execute(statement)))


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
    """One sentence for each place where the chain does not hold. Read-only.

    An operation that a person's name was taken out of no longer gives the digest of its place. It is held to its
    redaction instead, and the redactions to the operation that made them.
    """
    log, operation, redaction = tables.operation_log, tables.operations, tables.redactions
    redacted = {row.op_id: row.sha256 for row in connection.execute(select(redaction))}
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
        elif row.op_id in redacted:
            if content_digest(dict(row._mapping)) != redacted[row.op_id]:
                yield f"Operation {row.position} of the log is not what was left of it: its digest differs."
        elif chained(before, dict(row._mapping)) != row.sha256:
            yield f"Operation {row.position} of the log is not what was written: its digest differs."
        expected_position, before = row.position + 1, row.sha256
    for row in connection.execute(select(operation).where(operation.c.kind == ERASE)):
        if row.result["redactions_sha256"] != redactions_digest(connection, row.op_id):
            yield f"The redactions of operation {row.op_id!r} are not those that it made."
    erasing = select(operation.c.op_id).where(operation.c.kind == ERASE)
    foreign = select(func.count()).select_from(redaction).where(redaction.c.erased_by.not_in(erasing))
    if number := connection.execute(foreign).scalar_one():
        yield f"{number} operations are redacted, and no operation did that."
    unlogged = select(func.count()).select_from(operation.outerjoin(log, log.c.op_id == operation.c.op_id))
    number = connection.execute(unlogged.where(log.c.op_id.is_(None))).scalar_one()
    if number:
        yield f"{number} operations are not in the log: they were added by another program."
