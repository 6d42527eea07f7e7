"""`verify`: is every record still what was written, and does everything that refers to something find it?"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, func, select, text
from sqlalchemy.exc import DBAPIError

from annotations import audit, operation_log, reading, tables
from annotations.errors import StoreError
from annotations.records import Correction, digest
from annotations.snapshot import open_snapshot
from annotations.store import Store
from tempo_core.errors import InputError


def problems(store: Store, *, snapshots: bool = True) -> list[str]:
    """One sentence for each thing that is wrong; empty when nothing is. Reads everything, writes nothing.

    `snapshots` False leaves the folders of snapshots out: those of a backup are elsewhere.
    """
    sentences: list[str] = []
    folders: Sequence[str] = ()
    checks = {
        "database": _database_problems,
        "operation log": operation_log.problems,
        "audit log": audit.problems,
        "records": _record_problems,
    }
    for subject, check in checks.items():
        # In a damaged file one table may be readable and another not.
        try:
            with store.database.read() as connection:
                sentences += check(connection)
        except (StoreError, DBAPIError, LookupError, TypeError, ValueError) as error:
            sentences.append(f"The {subject} cannot be checked: {error}")
    if snapshots:
        try:
            with store.database.read() as connection:
                folders = connection.execute(select(tables.snapshots.c.path)).scalars().all()
        except (StoreError, DBAPIError) as error:
            sentences.append(f"The snapshots cannot be checked: {error}")
    for folder in map(Path, folders):
        # A snapshot that was moved away or deleted is no fault; one that is there must be whole.
        if folder.is_dir():
            try:
                sentences += open_snapshot(folder).problems()
            except InputError as error:
                sentences.append(str(error))
    return sentences


def copy_problem(store: Store) -> str | None:
    """A sentence for a file that looks like a copy of a store in use, without its write-ahead log; else None.

    A program that was killed in the moment of opening or closing its store leaves a file that looks the same and lacks
    nothing, so this is for a person to judge.
    """
    if not store.database.lacks_log:
        return None
    with store.database.read() as connection:
        operations, _ = operation_log.head(connection)
    return (
        "This file was not closed and has no write-ahead log beside it. If it was copied from a store in use, what "
        f"was written after its {operations} operations is missing: use `backup` to copy a store."
    )


def check_file(store: Store) -> None:
    """SQLite's quick check, as at a server's start. Raises StoreError, with the remedy, when the file is damaged."""
    if not store.database.is_sqlite:
        return
    with store.database.read() as connection:
        result = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
    if result != "ok":
        damage = " ".join(result.split())
        raise StoreError(
            f"The database {store.database.url.database} is damaged ({damage}). Keep the file, and restore a backup: "
            "python -m annotations restore FILE."
        )


def _database_problems(connection: Connection) -> Iterator[str]:
    """The file's pages and keys, and the triggers that keep records from being changed."""
    kinds: tuple[str, ...]
    if connection.dialect.name == "sqlite":
        for (result,) in connection.execute(text("PRAGMA integrity_check")):
            if result != "ok":
                yield f"The database file is damaged: {result}."
        for table, row_id, parent, *_ in connection.execute(text("PRAGMA foreign_key_check")):
            yield f"Table {table}, row {row_id} refers to a row of {parent} that is not there."
        statement = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        kinds = ("no_update", "no_delete", "no_replace")
    else:  # PostgreSQL checks its pages and keys itself
        statement = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"
        kinds = ("append_only", "no_truncate")
    names = set(connection.execute(text(statement)).scalars())
    for table in tables.APPEND_ONLY:
        for kind in kinds:
            if f"{table}_{kind}" not in names:
                yield f"Trigger {table}_{kind} is gone, so {table} can be changed. Make it again."


def _record_problems(connection: Connection) -> Iterator[str]:
    """Queries and corrections against the hashes that were stored with them, and the rows of the queue."""
    query, operation, place = tables.queries, tables.operations, tables.queue
    correction, moment = tables.corrections, tables.correction_moments
    statement: Select[Any]
    statement = select(query.c.id, query.c.content, query.c.raw, query.c.row_sha256)
    for row in connection.execution_options(yield_per=1000).execute(statement):
        if digest([row.content, row.raw]) != row.row_sha256:
            yield f"Query {row.id} is not what was imported: its hash differs."

    query_ids = connection.execute(select(query.c.id).order_by(query.c.id)).scalars().all()
    for ids in reading.chunks(query_ids):
        for versions in reading.corrections(connection, ids).values():
            request_hashes: dict[str, str] = {}
            for op_ids in reading.chunks([version.op_id for version in versions]):
                statement = select(operation.c.op_id, operation.c.request_sha256).where(
                    operation.c.op_id.in_(op_ids), operation.c.kind == "submit"
                )
                request_hashes.update(
                    {row.op_id: row.request_sha256 for row in connection.execute(statement)}
                )
            # Each annotator's versions must follow one another without a gap.
            latest: dict[str, Correction] = {}
            for version in versions:
                before = latest.get(version.annotator)
                expected = (1, None) if before is None else (before.revision + 1, before.id)
                if (version.revision, version.parent_id) != expected:
                    yield f"Correction {version.id} does not follow {version.annotator}'s version before it."
                latest[version.annotator] = version
                request = [version.query_id, version.edit.to_request(), version.parent_id]
                request_sha256 = digest(["submit", version.annotator, request])
                if request_hashes.get(version.op_id, request_sha256) != request_sha256:
                    yield f"Correction {version.id} is not what {version.annotator} sent: its hash differs."
    count = select(func.count()).where(moment.c.correction_id == correction.c.id).scalar_subquery()
    statement = select(correction.c.id).where(count != correction.c.moment_count)
    for correction_id in connection.execute(statement).scalars():
        yield f"Correction {correction_id} does not have the moments that it was written with."

    statement = (
        select(query.c.id)
        .join(tables.datasets, tables.datasets.c.name == query.c.dataset)
        .outerjoin(place, place.c.query_id == query.c.id)
        .where(~tables.datasets.c.archived, place.c.query_id.is_(None))
    )
    for query_id in connection.execute(statement).scalars():
        yield f"Query {query_id} is not in the queue; run `python -m annotations queue --renew`."
