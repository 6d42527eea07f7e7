"""Stores of every older schema are opened by this program, also when the first attempt ended in the middle.

`TEMPO_MIGRATION_KILLS=all` kills a process at each statement from the oldest schema, and so in each migration, and at
every eleventh from the others; without it at every eleventh from the oldest.
"""

import os
import shutil
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext as ForkServer
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from annotations import checks, migrations
from annotations.__main__ import main
from annotations.database import parse_url
from annotations.store import Store
from annotations.tables import APPEND_ONLY
from tests.annotations import old_stores
from tests.annotations.conftest import create_database, drop_database, edit, postgresql_url
from tests.conftest import SHARED
from tests.forkserver import processes_with

ALL = os.environ.get("TEMPO_MIGRATION_KILLS") == "all"
ROWS = 12 if ALL else 4
KILLED_REVISIONS = old_stores.REVISIONS if ALL else old_stores.REVISIONS[:1]
STEP = 11

Content = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module", autouse=True)
def revisions_read_once() -> Iterator[None]:
    """Alembic reads the scripts of the revisions once, not for each of hundreds of upgrades."""
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER))
    scripts = ScriptDirectory.from_config(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", lambda _: scripts)
        yield


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    """What a store of today holds after work of every kind on real rows."""
    path = tmp_path_factory.mktemp("today") / "cqvh.sqlite3"
    return old_stores.filled_store(path, old_stores.real_rows(SHARED, ROWS))


class Databases:
    """Makes databases of older schemas and copies of them; each is an URL."""

    def __init__(
        self, folder: Path, content: Content, socket: str = "", admin: Connection | None = None
    ) -> None:
        """On SQLite without `admin`."""
        self.folder, self.content, self.socket, self.admin = folder, content, socket, admin
        self.names: list[str] = []

    def _new(self, template: str | None) -> str:
        name = f"migrating_{len(self.names)}"
        self.names.append(name)
        if self.admin is None:
            path = self.folder / f"{name}.sqlite3"
            if template:
                shutil.copy(template.removeprefix("sqlite:///"), path)
            return f"sqlite:///{path}"
        source = parse_url(template).database if template else "template0"
        create_database(self.admin, name, template=str(source))
        return postgresql_url(self.socket, name)

    def old(self, revision: str) -> str:
        """A database of an older schema."""
        url = self._new(None)
        old_stores.make_old(url, revision, self.content)
        return url

    def copy(self, url: str) -> str:
        """A copy of a database that nobody has open."""
        return self._new(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path, content: Content) -> Iterator[Databases]:
    if request.param == "sqlite":
        yield Databases(tmp_path, content)
        return
    admin = request.getfixturevalue("postgresql_admin")
    databases = Databases(tmp_path, content, request.getfixturevalue("postgresql_socket"), admin)
    yield databases
    for name in databases.names:
        drop_database(admin, name)


@pytest.fixture(scope="module")
def processes() -> ForkServer:
    """Makes processes that start in milliseconds, everything imported."""
    return processes_with("tests.annotations.old_stores", "alembic.command", "psycopg")


def opened(url: str) -> dict[str, Any]:
    """What a database holds once a store has opened it; `verify` finds nothing wrong there."""
    with Store(url) as store:
        assert checks.problems(store) == []
    return old_stores.dump(url)


@pytest.mark.parametrize("revision", old_stores.REVISIONS)
def test_every_older_store_is_brought_up_to_date_with_all_that_it_held(
    databases: Databases, content: Content, revision: str
) -> None:
    url = databases.old(revision)
    before = old_stores.dump(url)
    after = opened(url)
    for table in (table for table in APPEND_ONLY if table in before):
        names = before[table][0].keys() if before[table] else ()
        assert (
            sorted(({name: row[name] for name in names} for row in after[table]), key=repr) == before[table]
        )
    assert len(after["operation_log"]) == len(content["operations"])
    assert len(after["queue"]) == len(content["queries"])
    with Store(url) as store:
        latest = store.latest(1, "ada")
        assert latest is not None
        store.submit(1, edit((0, 1234)), annotator="ada", parent_id=latest.id, op_id="goes on")
        assert checks.problems(store) == []


@pytest.mark.slow
@pytest.mark.parametrize("revision", ["0001", "0006"])
def test_a_migration_that_fails_at_any_statement_leaves_the_old_store(
    databases: Databases, revision: str
) -> None:
    url = databases.old(revision)
    before = old_stores.dump(url)
    expected = opened(databases.copy(url))
    statement_idx = 0
    while True:
        with old_stores.at_statement(statement_idx, old_stores.fail) as statements:
            try:
                Store(url).close()
            except old_stores.Interrupted:
                pass
            else:
                break
        # The one file or database bears every failure so far.
        assert old_stores.dump(url) == before, f"after failing at {statements[-1]}"
        statement_idx += 1
    assert statement_idx > 10
    assert statements.count("COMMIT") >= 1
    assert opened(url) == expected


@pytest.mark.slow
@pytest.mark.parametrize("revision", KILLED_REVISIONS)
def test_a_migration_that_is_killed_at_any_statement_goes_on_or_begins_again(
    databases: Databases, processes: ForkServer, tmp_path: Path, revision: str
) -> None:
    url = databases.old(revision)
    expected = opened(databases.copy(url))
    count_file = tmp_path / "statements"
    whole = processes.Process(
        target=old_stores.open_until_killed, args=(databases.copy(url), -1, str(count_file))
    )
    whole.start()
    whole.join()
    count = int(count_file.read_text())
    assert count > 10
    for statement_idx in range(0, count, 1 if ALL and revision == old_stores.REVISIONS[0] else STEP):
        copy = databases.copy(url)
        process = processes.Process(target=old_stores.open_until_killed, args=(copy, statement_idx))
        process.start()
        process.join()
        assert process.exitcode == -9
        Store(copy).close()
        assert old_stores.dump(copy) == expected, f"killed at statement {statement_idx} of {count}"


def test_the_command_migrate_works_out_the_queue_too(databases: Databases) -> None:
    """It once left the places of the old formula, and nothing worked them out afterwards."""
    url = databases.old("0006")
    expected = opened(databases.copy(url))
    assert main(["migrate", "--database", url]) == 0
    assert old_stores.dump(url) == expected
