"""Stores of older schemas with real rows, what a database holds as a value, and migrations that end in the middle."""

import os
import signal
import sqlite3.dbapi2
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from annotations import formats, migrations, tables
from annotations.database import parse_url
from annotations.projects import ProjectPlan
from annotations.records import Account, Prediction, ProposedMoment, Video
from annotations.rows import Row
from annotations.store import Store
from tests.annotations.conftest import ROWS, Clock, Operations, edit

REVISIONS = [f"{number:04}" for number in range(1, int(migrations.HEAD))]
"""Every schema that a released program has written, but for today's."""


POSTGRESQL_SCHEMA = """
SELECT attrelid::regclass::text, attname, attnum::text, format_type(atttypid, atttypmod), attnotnull::text,
    attidentity::text, pg_get_expr(adbin, adrelid)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S') AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid), '', '', ''
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT tablename, indexname, 'index', indexdef, '', '', '' FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT tgrelid::regclass::text, tgname, 'trigger', pg_get_triggerdef(oid), '', '', ''
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT '', proname, 'function', prosrc, '', '', '' FROM pg_proc WHERE proname LIKE 'cqvh%'
ORDER BY 1, 3, 2
"""
"""Columns, constraints, indexes, triggers and functions, in few milliseconds."""


def real_rows(folder: Path, count: int) -> list[Row]:
    """The first rows of QVHighlights' val split where it lies beside the checkout, else the three of the fixtures."""
    file = folder / "qvhighlights" / "highlight_val_release.jsonl"
    return list(formats.read(file).rows[:count]) if file.is_file() else ROWS


def fill(store: Store, rows: list[Row]) -> None:
    """Work of every kind: imports, proposals, drafts, versions, conflicts settled, decisions, loans, a project."""
    op = Operations()
    for name, role in (("ada", "annotator"), ("bob", "annotator"), ("lea", "researcher")):
        account = Account(name=name, role=role, password_hash="hash", disabled=False, created_at_ms=1)
        store.save_account(account, op_id=op(), actor="lea")
    for dataset in ("qvh", "sample"):
        store.import_rows(rows, dataset=dataset, op_id=op())
    store.save_proposer("qvh", "tiny", op_id=op(), actor="lea")
    for number in range(1, 2 * len(rows) + 1, 2):
        guess = ProposedMoment(start_ms=1000, end_ms=9000 + number, confidence=0.5)
        proposal = store.propose(number, Prediction(model_id="tiny", moments=(guess,)), op_id=op())
        draft = edit((0, 5000), submitted=False)
        first = store.submit(number, draft, annotator="ada", parent_id=None, op_id=op())
        change = edit((0, 5000 + number), (6000, 7000), proposal_id=proposal.id, note=f"row {number} – ça")
        last = store.submit(number, change, annotator="ada", parent_id=first.id, op_id=op())
        store.submit(number, edit(), annotator="bob", parent_id=None, op_id=op())
        if number % 4 == 1:
            store.adjudicate(number, correction_id=last.id, adjudicator="lea", parent_id=None, op_id=op())
            store.revert(number, to_id=first.id, annotator="ada", parent_id=last.id, op_id=op())
    store.save_blind_share(0.2, op_id=op(), actor="lea")
    store.add_project(ProjectPlan(name="pilot", people=("bob",)), op_id=op(), actor="lea")
    store.next_query("ada", op_id=op(), answers_per_row=5)
    clip = Video(vid=rows[0].vid, sha256="0" * 64, path="/clips/a.mp4", size_bytes=1, modified_ns=2)
    store.save_videos([clip], op_id=op(), actor="lea")
    store.link_identity("https://id.example", "0001", "ada", op_id=op(), actor="lea")
    store.record_event("exported", actor="lea", detail={"dataset": "qvh"})
    store.record_snapshot(sha256="1" * 64, path="/snapshots/1", counts={"rows": 3}, actor="lea")


def filled_store(path: Path, rows: list[Row]) -> dict[str, list[dict[str, Any]]]:
    """The rows of every table of a store of today's schema in which people have worked."""
    with Store(path, clock=Clock()) as store:
        fill(store, rows)
        with store.database.read() as connection:
            return {
                table.name: [dict(row._mapping) for row in connection.execute(sa.select(table))]
                for table in tables.metadata.sorted_tables
            }


def make_old(url: str, revision: str, content: dict[str, list[dict[str, Any]]]) -> None:
    """Make a database by the migrations up to a revision, with as much of `content` as its schema can hold.

    A column that later schemas dropped is zero.
    """
    engine = sa.create_engine(parse_url(url))
    with engine.begin() as connection:
        migrations.upgrade(connection, revision)
        inspector = sa.inspect(connection)
        for name in (name for name in content if inspector.has_table(name) and content[name]):
            today = tables.metadata.tables[name].c
            names = [column["name"] for column in inspector.get_columns(name)]
            columns = [sa.column(key, today[key].type if key in today else sa.Integer()) for key in names]
            boolean = {"finished": False}  # PostgreSQL takes no number for it
            rows = [{key: row.get(key, boolean.get(key, 0)) for key in names} for row in content[name]]
            connection.execute(sa.insert(sa.table(name, *columns)), rows)
            if connection.dialect.name == "postgresql" and "id" in names:
                counter = f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name}"
                connection.execute(sa.text(counter))
    engine.dispose()


def dump(url: str) -> dict[str, Any]:
    """Everything that a database is: its schema, its triggers, and every row of every table."""
    engine = sa.create_engine(parse_url(url))
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        names = sorted(inspector.get_table_names())
        content: dict[str, Any] = {}
        for name in names:
            rows = connection.execute(sa.text(f"SELECT * FROM {name}")).mappings()
            content[name] = sorted((dict(row) for row in rows), key=repr)
        if connection.dialect.name == "sqlite":
            statement = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
        else:
            statement = POSTGRESQL_SCHEMA
        content["triggers and schema"] = [tuple(row) for row in connection.execute(sa.text(statement))]
    engine.dispose()
    return content


class Interrupted(Exception):
    """The connection failed right at a statement."""


@contextmanager
def at_statement(number: int, interrupt: Callable[[], None]) -> Iterator[list[str]]:
    """Call `interrupt` before a statement, counted from 0; the list grows by each one, commits too."""
    statements: list[str] = []

    def on_statement(statement: str) -> None:
        statements.append(statement)
        if len(statements) == number + 1:
            interrupt()

    def on_execute(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        on_statement(statement)

    def on_commit(_connection: Any) -> None:
        on_statement("COMMIT")

    event.listen(Engine, "before_cursor_execute", on_execute)
    event.listen(Engine, "commit", on_commit)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", on_execute)
        event.remove(Engine, "commit", on_commit)


def fail() -> None:
    """Fail the statement in this process."""
    raise Interrupted


def die() -> None:
    """End this process as a power button would."""
    os.kill(os.getpid(), signal.SIGKILL)


def open_until_killed(url: str, number: int, statements_file: str | None = None) -> None:
    """Open a store and die right at a statement.

    On SQLite the driver's own trace counts: pragmas, every row of a bulk insert and the statements of triggers too.
    With `statements_file`, how many there were goes there, when it lived.
    """
    count = 0

    def on_statement(_statement: str) -> None:
        nonlocal count
        count += 1
        if count == number + 1:
            die()

    if url.startswith("sqlite"):
        connect = sqlite3.dbapi2.connect

        def traced(*args: Any, **options: Any) -> sqlite3.dbapi2.Connection:
            connection = connect(*args, **options)
            connection.set_trace_callback(on_statement)
            return connection

        sqlite3.dbapi2.connect = traced  # type: ignore[assignment]
        Store(url)
    else:
        with at_statement(number, die) as statements:
            Store(url)
        count = len(statements)
    if statements_file:
        Path(statements_file).write_text(str(count))
    os._exit(0)  # not closed either
