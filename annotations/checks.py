"""`verify`: is every record still what was written, and does everything that refers to something find it?"""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, func, select, text

from annotations import reading, tables
from annotations.records import Correction, digest
from annotations.snapshot import open_snapshot
from annotations.store import Store
from tempo_core.errors import InputError


def problems(store: Store) -> list[str]:
    """One sentence for each thing that is wrong; empty when nothing is. Reads everything, writes nothing."""
    with store.database.read() as connection:
        found = [*_integrity(connection), *_triggers(connection), *_queries(connection)]
        found += [*_corrections(connection), *_queue(connection)]
        snapshots = connection.execute(select(tables.snapshots.c.path)).scalars().all()
    return [*found, *(problem for path in snapshots for problem in _snapshot(Path(path)))]


def _integrity(connection: Connection) -> Iterator[str]:
    """SQLite's own checks; PostgreSQL keeps its pages and keys itself."""
    if connection.dialect.name != "sqlite":
        return
    for (said,) in connection.execute(text("PRAGMA integrity_check")):
        if said != "ok":
            yield f"The database file is damaged: {said}."
    for broken in connection.execute(text("PRAGMA foreign_key_check")):
        yield f"Table {broken[0]}, row {broken[1]} refers to a row of {broken[2]} that is not there."


def _triggers(connection: Connection) -> Iterator[str]:
    sqlite = "SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger'"
    postgresql = (
        "SELECT relname, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
        "WHERE NOT tgisinternal AND tgenabled <> 'D'"
    )
    there = connection.execute(text(sqlite if connection.dialect.name == "sqlite" else postgresql)).all()
    wanted = ["no_update", "no_delete", "no_replace"]
    if connection.dialect.name != "sqlite":
        wanted = ["append_only", "no_truncate"]
    names = {name for _, name in there}
    for table in tables.APPEND_ONLY:
        for kind in wanted:
            if f"{table}_{kind}" not in names:
                yield f"Trigger {table}_{kind} is gone, so {table} can be changed. Make it again."


def _queries(connection: Connection) -> Iterator[str]:
    table = tables.queries
    statement = select(table.c.id, table.c.content, table.c.raw, table.c.row_sha256)
    for each in connection.execution_options(yield_per=1000).execute(statement):
        if digest([each.content, each.raw]) != each.row_sha256:
            yield f"Query {each.id} is not what was imported: its hash differs."


def _corrections(connection: Connection) -> Iterator[str]:
    query_ids = connection.execute(select(tables.queries.c.id).order_by(tables.queries.c.id)).scalars().all()
    for ids in reading.chunks(query_ids):
        for versions in reading.corrections(connection, ids, drafts=True).values():
            yield from _chain(versions)
            sent = _requests(connection, [each.op_id for each in versions])
            for each in versions:
                if each.op_id in sent and sent[each.op_id] != _request(each):
                    yield f"Correction {each.id} is not what {each.annotator} sent: its hash differs."
    moments, table = tables.correction_moments, tables.corrections
    count = select(func.count()).where(moments.c.correction_id == table.c.id).scalar_subquery()
    for (broken,) in connection.execute(select(table.c.id).where(count != table.c.moment_count)):
        yield f"Correction {broken} does not have the moments that it was written with."


def _chain(versions: list[Correction]) -> Iterator[str]:
    """Each annotator's versions must follow one another without a gap."""
    last: dict[str, Correction] = {}
    for each in versions:
        before = last.get(each.annotator)
        expected = (1, None) if before is None else (before.revision + 1, before.id)
        if (each.revision, each.parent_id) != expected:
            yield f"Correction {each.id} does not follow {each.annotator}'s version before it."
        last[each.annotator] = each


def _requests(connection: Connection, op_ids: list[str]) -> dict[str, str]:
    """Request hash of each of these operations that was a submission."""
    table = tables.operations
    found: dict[str, str] = {}
    for some in reading.chunks(op_ids):
        statement = select(table.c.op_id, table.c.request_sha256).where(
            table.c.op_id.in_(some), table.c.kind == "submit"
        )
        found.update((each.op_id, each.request_sha256) for each in connection.execute(statement))
    return found


def _request(each: Correction) -> str:
    return digest(["submit", each.annotator, [each.query_id, each.edit.to_request(), each.parent_id]])


def _queue(connection: Connection) -> Iterator[str]:
    query, place, dataset = tables.queries, tables.queue, tables.datasets
    joined = query.join(dataset, dataset.c.name == query.c.dataset)
    joined = joined.outerjoin(place, place.c.query_id == query.c.id)
    statement = select(query.c.id).select_from(joined).where(~dataset.c.archived, place.c.query_id.is_(None))
    for (lost,) in connection.execute(statement):
        yield f"Query {lost} is not in the queue; run `python -m annotations queue --renew`."


def _snapshot(folder: Path) -> list[str]:
    """Snapshots that were moved away or deleted are nobody's fault; those that are there must be whole."""
    if not folder.is_dir():
        return []
    try:
        return open_snapshot(folder).problems()
    except InputError as error:
        return [str(error)]
