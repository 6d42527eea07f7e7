"""The database's door: settings, migrations, waiting for other writers, and what `verify` finds."""

import threading
import time
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from annotations import checks, migrations
from annotations.database import Database, parse_url
from annotations.errors import DatabaseTooNew, StoreError
from annotations.store import Store
from annotations.tables import metadata
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
        columns = {each["name"] for each in inspect(connection).get_columns("correction_moments")}
    engine.dispose()
    assert "start_frame" not in columns
    with Store(path) as store:
        store.import_rows(ROWS, dataset="qvh", op_id=op())
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
    one, other = Database(file), Database(file)
    entered = threading.Event()

    def hold(connection: object) -> None:
        entered.set()
        time.sleep(0.3)

    holder = threading.Thread(target=one.write, args=(hold,))
    holder.start()
    entered.wait()
    assert other.write(lambda connection: connection.execute(text("SELECT 1")).scalar_one()) == 1
    holder.join()
    one.close()
    other.close()


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
    found = " ".join(checks.problems(filled))
    for table in tables:
        assert f"so {table} can be changed" in found
    assert "Query 2 is not what was imported" in found
    assert "Correction 1 is not what ada sent" in found
    assert "Query 3 is not in the queue" in found
    assert len(ROWS) == 3
