"""Engines set up for many readers and writers, and write transactions that are tried again.

SQLite is opened with a write-ahead log, full synchronisation, a busy timeout and BEGIN IMMEDIATE for writes:
a deferred transaction that reads and then writes fails with "database is locked" whatever the timeout.
Any other SQLAlchemy URL is used as it is; the tests run on PostgreSQL too.
"""

import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import StaticPool

from annotations import migrations, suspicion
from annotations.errors import DatabaseAway, DiskFull, StoreError
from tempo_core.errors import InputError
from tempo_core.files import make_folder

BUSY_TIMEOUT_MS = 30_000
"""How long SQLite waits for another writer before it reports that the database is locked."""
WRITE_TIMEOUT_S = 120.0
"""How long a write is tried again before it fails with StoreError."""
MAX_RACES = 5
"""How often a write that lost a race for a unique key runs again: the next run sees the winner's row."""
_WRITE = "cqvh_write"
_BUSY_TEXTS = ("database is locked", "database table is locked", "database schema is locked")
_BUSY_STATES = ("40001", "40P01", "55P03")  # serialization failure, deadlock, lock not available
CONNECT_TIMEOUT_S = 10
"""How long PostgreSQL may take to accept a connection, unless the URL says otherwise."""
_FULL = "The server's disk is full; nothing was saved. Edits stay in the browser, which sends them when there is room."
_READ_ONLY = (
    "The server's database cannot be written just now; nothing was saved. Edits stay in the browser, which sends them "
    "again. Look whether its disk became read-only."
)


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
        self.read_only = False
        """Whether the file is an archive: nothing is written to it."""
        self.lacks_log = False
        """Whether the file was not closed and has no write-ahead log beside it, as a copy of a store in use."""
        self._has_written = False
        self._has_connected = False
        self.in_memory = self.is_sqlite and self.url.database in (None, "", ":memory:")
        url_in_use, options = self.url, dict[str, Any]()
        if self.in_memory:
            options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        elif not self.is_sqlite:
            # A server that was started again has ended the connections of before: each is tried before it is used.
            options = {"pool_pre_ping": True}
            if self.url.get_backend_name() == "postgresql" and "connect_timeout" not in self.url.query:
                options["connect_args"] = {"connect_timeout": CONNECT_TIMEOUT_S}
        elif self.is_sqlite:
            path = Path(self.url.database or "")
            self.lacks_log = is_in_use_or_copied(path) and not _log_of(path).exists()
            self.read_only = path.is_file() and not _can_write(path)
            if self.read_only:
                if _log_of(path).exists():
                    raise StoreError(
                        f"{path} has a write-ahead log beside it, which cannot be read where nothing can be written. "
                        "Copy both to a folder that can be written."
                    )
                query = {"mode": "ro", "immutable": "1", "uri": "true"}
                url_in_use = self.url.set(database=path.absolute().as_uri(), query=query)
            else:
                try:
                    make_folder(path.parent)
                except OSError as error:
                    raise StoreError(f"The folder {path.parent} cannot be made: {error.strerror}.") from error
        self.engine = create_engine(url_in_use, **options)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _set_up_archive if self.read_only else _set_up_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        # Threads of one process wait here, in turn, rather than in SQLite's unfair busy handler.
        self._write_lock: AbstractContextManager[Any] = threading.RLock() if self.is_sqlite else nullcontext()
        self._read_lock: AbstractContextManager[Any] = self._write_lock if self.in_memory else nullcontext()
        self._shared = threading.local()
        try:
            if migrate:
                self.migrate()
        except BaseException:
            self.engine.dispose()
            raise

    def migrate(self) -> bool:
        """Bring the schema up to this program's and work out the queue again, in one transaction.

        True when something changed. Raises DatabaseTooNew.
        """
        with self.read() as connection:
            if migrations.current(connection) == migrations.HEAD:
                return False
        if self.read_only:
            raise StoreError(
                f"{self.url.database} has an older schema and cannot be written. Copy it to a folder that can be "
                "written, and open the copy."
            )
        for transaction in self.transactions():
            with transaction as connection:
                has_changed = migrations.upgrade(connection)
                if has_changed:
                    # What counts as a reason may have changed. Afterwards would be too late: who is killed in between
                    # finds a new schema with the old places, and nothing that says so.
                    suspicion.renew_all(connection)
        return has_changed

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in a transaction that sees one state of the database; it must not write."""
        shared: Connection | None = getattr(self._shared, "connection", None)
        if shared is not None:
            yield shared
            return
        with self._read_lock, self._connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            try:
                yield connection
            except DBAPIError as error:
                raise self._in_words(error) or error from error

    @contextmanager
    def shared_read(self) -> Iterator[None]:
        """All reads of this thread inside see one state and share one connection; nothing may be written inside."""
        with self.read() as connection:
            outer = getattr(self._shared, "connection", None)
            self._shared.connection = connection
            try:
                yield
            finally:
                self._shared.connection = outer

    def transactions(self) -> Iterator[AbstractContextManager[Connection]]:
        """Attempts at one write transaction; the iteration ends when one is committed.

        The loop's body runs again, on a clean transaction, when another writer holds the database (up to
        WRITE_TIMEOUT_S, then StoreError) and, up to MAX_RACES times, when another writer took a unique key
        first. Any other error ends the iteration, and nothing is written.
        """
        if self.read_only:
            raise StoreError(f"{self.url.database} is an archive: nothing can be written to it.")
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
            self._has_written = True
        except DBAPIError as error:
            is_busy = getattr(error.orig, "sqlstate", None) in _BUSY_STATES or (
                isinstance(error, OperationalError) and any(text in str(error.orig) for text in _BUSY_TEXTS)
            )
            if not is_busy and not isinstance(error, IntegrityError):
                raise self._in_words(error) or error from error
            failures.append(error)

    def _connect(self) -> Connection:
        try:
            connection = self.engine.connect()
            self._has_connected = True
            return connection
        except PoolTimeout as error:  # as when a server accepts connections and answers nothing
            raise _away() from error
        except DBAPIError as error:
            if self._has_connected and not self.is_sqlite:
                raise _away() from error
            # To whoever starts a program; while it serves, no visitor reads an address.
            address = self.url.render_as_string(hide_password=True)
            raise self._in_words(error) or StoreError(
                f"The database {address} cannot be opened: {error.orig}."
            ) from error

    def _in_words(self, error: DBAPIError) -> StoreError | None:
        """What a failure of the disk or the file means for a person; None for every other error."""
        match getattr(error.orig, "sqlite_errorcode", 0) & 0xFF:
            case sqlite3.SQLITE_FULL:
                return DiskFull(_FULL)
            case sqlite3.SQLITE_READONLY:
                return StoreError(_READ_ONLY)
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return StoreError(
                    f"The database {self.url.database} is damaged ({error.orig}). Stop the server, keep the file, and "
                    "restore a backup: python -m annotations restore FILE."
                )
            case sqlite3.SQLITE_IOERR:
                return StoreError(
                    f"The disk of {self.url.database} failed ({error.orig}); nothing was written. Look at its health."
                )
        match getattr(error.orig, "sqlstate", None):
            case "53100":  # disk full
                return DiskFull(_FULL)
            case "25006":  # read-only transaction: a standby, or a database that was set so
                return StoreError(_READ_ONLY)
        return _away() if error.connection_invalidated else None

    def close(self) -> None:
        """Give every connection back. The last program to close a SQLite file leaves all of it in that one file."""
        self.engine.dispose()
        # A copy that was only looked at keeps the sign that it is one.
        is_store = self._has_written or not self.lacks_log
        if self.is_sqlite and not self.in_memory and not self.read_only and is_store:
            path = Path(self.url.database or "")
            if path.is_file():
                with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=0)) as connection:
                    connection.execute("PRAGMA journal_mode = DELETE")


def _away() -> DatabaseAway:
    return DatabaseAway(
        "The database does not answer. Edits stay in the browser, which sends them again when it is back."
    )


def is_in_use_or_copied(path: Path) -> bool:
    """Whether a SQLite file was not closed: a program has it open, was killed, or it was copied meanwhile.

    The header says so (bytes 18 and 19 are 2: a write-ahead log goes with the file, https://sqlite.org/fileformat2.html).
    """
    try:
        with path.open("rb") as file:
            return file.read(20)[18:20] == b"\x02\x02"
    except OSError:
        return False


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _can_write(path: Path) -> bool:
    """Whether the file and its folder can be written; a file without write permission is an archive, for root too."""
    return bool(path.stat().st_mode & 0o222) and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _set_up_archive(connection: Any, _record: object) -> None:
    connection.isolation_level = None


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
