"""The chained log of operations: every write is in it, once, and nothing can be taken out of it unseen."""

import hashlib
import json
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from annotations import checks, migrations, operation_log
from annotations.store import Store
from tests.annotations.conftest import ROWS, Operations, edit


def head(store: Store) -> tuple[int, str]:
    with store.database.read() as connection:
        return operation_log.head(connection)


def test_a_write_is_one_operation_and_a_repetition_none(filled: Store) -> None:
    assert head(filled)[0] == 1
    filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id="a")
    two = head(filled)
    filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id="a")
    assert head(filled) == two
    assert two[0] == 2
    assert checks.problems(filled) == []


def test_the_digest_of_an_operation_covers_the_one_before(filled: Store) -> None:
    filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id="a")
    statement = (
        "SELECT l.sha256, o.op_id, o.kind, o.request_sha256, o.result, o.actor, o.created_at_ms "
        "FROM operation_log l JOIN operations o ON o.op_id = l.op_id ORDER BY l.position"
    )
    with filled.database.read() as connection:
        rows = connection.execute(text(statement)).all()
    before = ""
    for sha256, op_id, kind, request_sha256, result, actor, created_at_ms in rows:
        result = json.loads(result) if isinstance(result, str) else result
        values = [before, op_id, kind, request_sha256, result, actor, created_at_ms]
        written = json.dumps(values, sort_keys=True, separators=(",", ":"))
        before = hashlib.sha256(written.encode()).hexdigest()
        assert sha256 == before


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            "UPDATE operations SET actor = 'eve' WHERE op_id = 'b'",
            "Operation 3 of the log is not what was written",
        ),
        ("DELETE FROM operation_log WHERE op_id = 'b'", "Operations 3 to 3 of the log are gone."),
        ("UPDATE operation_log SET sha256 = 'x' WHERE op_id = 'b'", "Operation 4 of the log is not what"),
    ],
)
def test_verify_tells_a_change_behind_the_triggers(filled: Store, change: str, problem: str) -> None:
    parent_id = None
    for name in ("a", "b", "c"):
        parent_id = filled.submit(1, edit((1, 2)), annotator="ada", parent_id=parent_id, op_id=name).id
    with filled.database.engine.begin() as connection:
        for table in ("operations", "operation_log"):
            if filled.database.is_sqlite:
                connection.execute(text(f"DROP TRIGGER {table}_no_update"))
                connection.execute(text(f"DROP TRIGGER {table}_no_delete"))
            else:
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only"))
        connection.execute(text(change))
    problems = checks.problems(filled)
    assert any(sentence.startswith(problem) for sentence in problems), problems


def test_an_operation_that_another_program_wrote_is_told(filled: Store) -> None:
    with filled.database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO operations (op_id, kind, request_sha256, actor, created_at_ms) "
                "VALUES ('x', 'submit', 'y', 'eve', 1)"
            )
        )
    assert "1 operations are not in the log: they were added by another program." in checks.problems(filled)


def test_the_operations_of_an_older_database_are_logged_in_their_order(
    tmp_path: Path, op: Operations
) -> None:
    """The clock of the older program went back once; the order is that of writing."""
    path = tmp_path / "old.sqlite3"
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for number, at_ms in ((1, 1000), (2, 500), (3, 2000)):
            connection.execute(
                text("INSERT INTO operations VALUES (:op_id, 'next', 'sha', :result, 'ada', :at_ms)"),
                {"op_id": f"z{9 - number}", "result": '{"query_id": 1}', "at_ms": at_ms},
            )
    engine.dispose()
    with Store(path) as store:
        with store.database.read() as connection:
            logged = connection.execute(text("SELECT position, op_id FROM operation_log ORDER BY position"))
            assert [tuple(row) for row in logged] == [(1, "z8"), (2, "z7"), (3, "z6")]
        store.import_rows(ROWS, dataset="qvh", op_id=op())
        assert checks.problems(store) == []
        assert head(store)[0] == 4
