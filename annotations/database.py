"""Engines set up for many readers and writers, and write transactions that are tried again.

SQLite is opened with a write-ahead log, full synchronisation, a busy timeout and BEGIN IMMEDIATE for writes:
a deferred transaction that reads and then writes fails with "database is locked" whatever the timeout.
Any other SQLAlchemy URL is used as it is; the tests run on PostgreSQL too.
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import StaticPool

from annotations import migrations
from annotations.errors import StoreError
from tempo_core.errors import InputError

BUSY_TIMEOUT_MS = 30_000
"""How long SQLite waits for another writer before it reports that the database is locked."""
WRITE_TIMEOUT_S = 120.0
"""How long a write is tried again before it fails with StoreError."""
MAX_RACES = 5
"""How often a write that lost a race for a unique key runs again: the next run sees the winner's row."""
_WRITE = "cqvh_write"
_BUSY_TEXTS = ("database is locked", "database table is locked", "database schema is locked")
_BUSY_STATES = ("40001", "40P01", "55P03")  # serialization failure, deadlock, lock not available


def default_url() -> str:
    """The store of TEMPO_HOME (`./data` unless the environment says otherwise)."""
    return f"sqlite:///{Path(os.environ.get('TEMPO_HOME', 'data')) / 'cqvh.sqlite3'}"


def parse_url(url: str | Path) -> URL:
    """A SQLAlchemy URL of a URL or of a SQLite file's path. Raises InputError on another text."""
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except ArgumentError as error:
        raise InputError(f"{url!r} is no database URL; give one like sqlite:///data/cqvh.sqlite3.") from error
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


class Database:
    """An engine with two ways in: `read` for one consistent state, `transactions` for one whole write.

    with database.read() as connection:
        connection.execute(select(tables.queries.c.id))

    for transaction in database.transactions():
        with transaction as connection:
            connection.execute(insert(tables.datasets), {"name": "qvh", "archived": False})
    """

    def __init__(self, url: str | Path, *, migrate: bool = True) -> None:
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.in_memory = self.is_sqlite and self.url.database in (None, "", ":memory:")
        options: dict[str, Any] = {}
        if self.in_memory:
            options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        elif self.is_sqlite:
            folder = Path(self.url.database or "").parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"The folder {folder} cannot be made: {error.strerror}.") from error
        self.engine = create_engine(self.url, **options)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _set_up_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        # Threads of one process wait here, in turn, rather than in SQLite's unfair busy handler.
        self._write_lock: AbstractContextManager[Any] = threading.RLock() if self.is_sqlite else nullcontext()
        self._read_lock: AbstractContextManager[Any] = self._write_lock if self.in_memory else nullcontext()
        if migrate:
            self.migrate()

    def migrate(self) -> bool:
        """Bring the schema up to this program's; True when something changed. Raises DatabaseTooNew."""
        with self.read() as connection:
            if migrations.current(connection) == migrations.HEAD:
                return False
        for transaction in self.transactions():
            with transaction as connection:
                has_changed = migrations.upgrade(connection)
        return has_changed

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in a transaction that sees one state of the database; it must not write."""
        with self._read_lock, self._connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def transactions(self) -> Iterator[AbstractContextManager[Connection]]:
        """Attempts at one write transaction; the iteration ends when one is committed.

        The loop's body runs again, on a clean transaction, when another writer holds the database (up to
        WRITE_TIMEOUT_S, then StoreError) and, up to MAX_RACES times, when another writer took a unique key
        first. Any other error ends the iteration, and nothing is written.
        """
        give_up_at_s, num_races, pause_s = time.monotonic() + WRITE_TIMEOUT_S, 0, 0.005
        while True:
            failures: list[DBAPIError] = []
            yield self._attempt(failures)
            if not failures:
                return
            error = failures[0]
            if isinstance(error, IntegrityError):
                num_races += 1
                if num_races > MAX_RACES:
                    raise error
            elif time.monotonic() > give_up_at_s:
                raise StoreError(
                    f"The database stayed busy for {WRITE_TIMEOUT_S:.0f} s; nothing was written. "
                    "Look for a program that holds it in a long transaction, and try again."
                ) from error
            time.sleep(pause_s * random.random())
            pause_s = min(2 * pause_s, 0.5)

    @contextmanager
    def _attempt(self, failures: list[DBAPIError]) -> Iterator[Connection]:
        """One transaction; a failure that is worth another attempt is noted in `failures`, not raised."""
        try:
            with self._write_lock, self._connect() as connection:
                # The first statement begins the transaction, so that a busy database fails inside the loop.
                yield connection.execution_options(**{_WRITE: True})
                connection.commit()
        except DBAPIError as error:
            is_busy = getattr(error.orig, "sqlstate", None) in _BUSY_STATES or (
                isinstance(error, OperationalError) and any(text in str(error.orig) for text in _BUSY_TEXTS)
            )
            if not is_busy and not isinstance(error, IntegrityError):
                raise
            failures.append(error)

    def _connect(self) -> Connection:
        try:
            return self.engine.connect()
        except OperationalError as error:
            address = self.url.render_as_string(hide_password=True)
            raise StoreError(f"The database {address} cannot be opened: {error.orig}.") from error

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: `_begin_sqlite` does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # survives a power cut, not only a killed process
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
