"""The database's door: settings, migrations, waiting for other writers, and what `verify` finds."""

import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, insert, inspect, text
from sqlalchemy.exc import IntegrityError

from annotations import checks, migrations
from annotations.database import MAX_RACES, Database, parse_url
from annotations.errors import DatabaseTooNew, StoreError
from annotations.queue import ALL
from annotations.records import Assignment, digest
from annotations.store import LEASE_S, Store
from annotations.tables import metadata, operations
from tempo_core.errors import InputError
from tests.annotations.conftest import ROWS, Operations, edit


def test_sqlite_is_set_up_for_many_writers_and_power_cuts(tmp_path: Path) -> None:
    database = Database(tmp_path / "deep" / "x.sqlite3")
    with database.read() as connection:
        read = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    database.close()
    assert read == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 30_000, "foreign_keys": 1}


def test_the_migrations_make_the_tables_as_they_are_declared(url: str) -> None:
    database = Database(url)
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    database.close()
    assert differences == []


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


def test_opening_migrates_once_and_refuses_a_newer_schema(url: str) -> None:
    database = Database(url)
    assert database.migrate() is False
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNew, match="has schema '9999'"):
        database.migrate()
    database.close()


def test_a_store_of_the_first_schema_goes_on(tmp_path: Path, op: Operations) -> None:
    path = tmp_path / "old.sqlite3"
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        columns = {column["name"] for column in inspect(connection).get_columns("correction_moments")}
        loan = {"query_id": 1, "annotator": "ada", "leased_until_ms": 5}
        request = [1, LEASE_S, [], None, ALL.to_request()]
        assert list(ALL.to_request()) == ["dataset", "split", "reason", "with_video", "unseen_by", "review"]
        lending = {
            "op_id": "lent-before",
            "kind": "next",
            "actor": "ada",
            "request_sha256": digest(["next", "ada", request]),
            "result": loan,
            "created_at_ms": 1,
        }
        connection.execute(insert(operations), lending)
    engine.dispose()
    assert "start_frame" not in columns
    with Store(path) as store:
        store.import_rows(ROWS, dataset="qvh", op_id=op())
        assert store.next_query("ada", op_id="lent-before") == Assignment(
            query_id=1, annotator="ada", arm=store.arm(1, "ada")
        )
        store.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
        assert store.corrections(1)[0].edit.moments[0].start_frame is None


def test_simultaneous_first_openings_migrate_once(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def open_it() -> None:
        try:
            Store(tmp_path / "new.sqlite3").close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_write_waits_for_another_program(sqlite_template: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    first, second = Database(file), Database(file)
    writing, waiting = threading.Event(), threading.Event()

    def hold() -> None:
        for transaction in first.transactions():
            with transaction as connection:
                connection.execute(text("SELECT 1"))
                writing.set()
                waiting.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    writing.wait()
    threading.Timer(0.3, waiting.set).start()
    runs = 0
    for transaction in second.transactions():
        with transaction as connection:
            runs += 1
            connection.execute(text("SELECT 1"))
            assert waiting.is_set()
    holder.join()
    assert runs == 1
    first.close()
    second.close()


def add_dataset(database: Database, runs: list[int], *, times: int = 1, fail: bool = False) -> None:
    """One write, which counts its runs."""
    for transaction in database.transactions():
        with transaction as connection:
            runs.append(len(runs))
            for _ in range(times if len(runs) == 1 else 1):
                connection.execute(text("INSERT INTO datasets (name, archived) VALUES ('qvh', false)"))
            if fail:
                raise StoreError("the write failed")


def count_of_datasets(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(text("SELECT count(*) FROM datasets")).scalar_one()


def test_a_write_that_lost_a_race_runs_again_on_a_clean_transaction(url: str) -> None:
    database, runs = Database(url), list[int]()
    add_dataset(database, runs, times=2)  # the second row of the first run meets the key of the first
    assert (len(runs), count_of_datasets(database)) == (2, 1)
    database.close()


def test_a_write_whose_key_is_taken_fails_after_some_runs(url: str) -> None:
    database, runs = Database(url), list[int]()
    add_dataset(database, [])
    with pytest.raises(IntegrityError):
        add_dataset(database, runs)
    assert len(runs) == MAX_RACES + 1
    database.close()


def test_a_write_that_fails_otherwise_runs_once_and_writes_nothing(url: str) -> None:
    database, runs = Database(url), list[int]()
    with pytest.raises(StoreError, match="the write failed"):
        add_dataset(database, runs, fail=True)
    assert (len(runs), count_of_datasets(database)) == (1, 0)
    database.close()


def test_readers_see_one_state_while_others_write(filled: Store, op: Operations) -> None:
    count = text("SELECT count(*) FROM corrections")
    with filled.database.read() as connection:
        before = connection.execute(count).scalar_one()
        filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
        assert connection.execute(count).scalar_one() == before
    with filled.database.read() as connection:
        assert connection.execute(count).scalar_one() == before + 1


def test_urls(tmp_path: Path) -> None:
    assert parse_url("data/x.sqlite3").render_as_string() == "sqlite:///data/x.sqlite3"
    assert parse_url("postgresql://h/d").drivername == "postgresql+psycopg"
    with pytest.raises(InputError, match="is no database URL"):
        parse_url("://")
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(StoreError, match="cannot be made"):
        Database(blocked / "x.sqlite3")
    with pytest.raises(StoreError, match="cannot be opened"):
        Database(tmp_path)


def test_verify_finds_nothing_in_a_sound_store(filled: Store, op: Operations) -> None:
    ada = filled.submit(1, edit((1, 2), (3, 4)), annotator="ada", parent_id=None, op_id=op())
    filled.submit(1, edit(), annotator="ada", parent_id=ada.id, op_id=op())
    filled.adjudicate(1, correction_id=ada.id, adjudicator="dee", parent_id=None, op_id=op())
    assert checks.problems(filled) == []


def test_verify_finds_what_somebody_changed_behind_the_triggers(filled: Store, op: Operations) -> None:
    filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
    tables = ("queries", "corrections", "correction_moments")
    with filled.database.engine.begin() as connection:
        for table in tables:
            if filled.database.is_sqlite:
                connection.execute(text(f"DROP TRIGGER {table}_no_update"))
            else:
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only"))
        connection.execute(text("UPDATE correction_moments SET end_ms = 99"))
        connection.execute(text("UPDATE queries SET raw = 'x' WHERE id = 2"))
        connection.execute(text("DELETE FROM queue WHERE query_id = 3"))
    problems = " ".join(checks.problems(filled))
    for table in tables:
        assert f"so {table} can be changed" in problems
    assert "Query 2 is not what was imported" in problems
    assert "Correction 1 is not what ada sent" in problems
    assert "Query 3 is not in the queue" in problems
    assert len(ROWS) == 3
