"""One door to the database: engines set up for many readers and writers, and transactions that retry.

SQLite is opened with a write-ahead log, full synchronisation, a busy timeout and BEGIN IMMEDIATE for writes:
a deferred transaction that reads and then writes fails with "database is locked" whatever the timeout.
Any other SQLAlchemy URL is used as it is; PostgreSQL is the one that the tests run on.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import StaticPool

from annotations import migrations
from annotations.errors import StoreError
from tempo_core.errors import InputError

T = TypeVar("T")

BUSY_TIMEOUT_MS = 30_000
"""How long one attempt waits for another writer."""
PATIENCE_S = 120.0
"""How long a write is attempted again before the caller hears of it."""
RACES = 5
"""How often a write that lost a race on a unique key runs again: the next run sees the winner."""
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
    """An engine with two ways in: `read` for one consistent look, `write` for one whole transaction."""

    def __init__(self, url: str | Path, *, migrate: bool = True) -> None:
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.in_memory = self.is_sqlite and self.url.database in (None, "", ":memory:")
        self.engine = _sqlite_engine(self.url, self.in_memory) if self.is_sqlite else create_engine(self.url)
        # Threads of one process wait here, in turn, rather than in SQLite's unfair busy handler.
        self._writing: AbstractContextManager[Any] = threading.RLock() if self.is_sqlite else nullcontext()
        self._reading: AbstractContextManager[Any] = self._writing if self.in_memory else nullcontext()
        if migrate:
            self.migrate()

    def migrate(self) -> bool:
        """Bring the schema up to this program's; True when something was done. Raises DatabaseTooNew."""
        with self.read() as connection:
            if migrations.is_current(connection):
                return False
        return self.write(migrations.upgrade)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in a transaction that sees one moment of the database; it must not write."""
        level = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self._reading, _open(self.engine) as connection:
            yield connection.execution_options(**level)

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, committed. `work` may run several times, each on a clean transaction.

        It runs again when another writer holds the database (up to PATIENCE_S) and, up to RACES times, when
        another writer took a unique key first.
        """
        give_up_at_s, races, pause_s = time.monotonic() + PATIENCE_S, 0, 0.005
        while True:
            try:
                with self._writing, _open(self.engine) as connection:
                    return _commit(connection.execution_options(**{_WRITE: True}), work)
            except IntegrityError:
                races += 1
                if races > RACES:
                    raise
            except DBAPIError as error:
                if not _is_busy(error):
                    raise
                if time.monotonic() > give_up_at_s:
                    raise StoreError(
                        f"The database stayed busy for {PATIENCE_S:.0f} s; nothing was written. "
                        "Look for a program that holds it in a long transaction, and try again."
                    ) from error
            time.sleep(pause_s * random.random())
            pause_s = min(2 * pause_s, 0.5)

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def _commit(connection: Connection, work: Callable[[Connection], T]) -> T:
    with connection.begin():
        return work(connection)


def _is_busy(error: DBAPIError) -> bool:
    if isinstance(error, OperationalError) and any(text in str(error.orig) for text in _BUSY_TEXTS):
        return True
    return getattr(error.orig, "sqlstate", None) in _BUSY_STATES


@contextmanager
def _open(engine: Engine) -> Iterator[Connection]:
    """A connection; says which database could not be opened, and why."""
    try:
        connection = engine.connect()
    except OperationalError as error:
        shown = engine.url.render_as_string(hide_password=True)
        raise StoreError(f"The database {shown} cannot be opened: {error.orig}.") from error
    with connection:
        yield connection


def _sqlite_engine(url: URL, in_memory: bool) -> Engine:
    if in_memory:
        engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        _make_parent(Path(url.database or ""))
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_parent(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder {file.parent} cannot be made: {error.strerror}.") from error


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
