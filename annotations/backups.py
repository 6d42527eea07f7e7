"""Backups of a SQLite store: one file that holds every operation acknowledged before it began.

Copying the file of a store in use misses what its write-ahead log holds. SQLite's online backup reads both, while
writers go on. The file is made read-only; a store without write permission is opened as an archive, also where
nothing can be written. PostgreSQL has pg_dump and pg_restore for this.
"""

import os
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from annotations import audit, checks, operation_log
from annotations.database import Database, is_in_use_or_copied
from annotations.errors import StoreError
from annotations.store import Store
from tempo_core.errors import InputError
from tempo_core.files import make_folder, move, sync

ARCHIVE_MODE = 0o400
"""A backup holds accounts with their passwords' hashes: only its owner reads it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backup:
    """What a backup file holds."""

    path: Path
    operations: int
    head_sha256: str
    """Of the last operation (`annotations.operation_log`)."""
    audit_entries: int
    audit_sha256: str
    """Of the last entry of the audit log."""


def back_up(database: Database, target: Path) -> Backup:
    """Write a backup, whole or not at all; writers go on meanwhile.

    Raises InputError for a file that exists and for a database that is no SQLite file.
    """
    source = _file_of(database)
    if target.exists():
        raise InputError(f"{target} exists; a backup overwrites nothing. Name another file.")
    try:
        make_folder(target.parent)
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as folder:
            copy = Path(folder) / "copy.sqlite3"
            with closing(sqlite3.connect(source)) as store, closing(sqlite3.connect(copy)) as file:
                store.backup(file)
                file.execute("PRAGMA journal_mode = DELETE")
            backup = _check(copy, target)
            copy.chmod(ARCHIVE_MODE)
            sync(copy)
            os.link(copy, target)  # unlike a rename, never over a file that somebody made meanwhile
            sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"The backup {target} could not be written: {error}.") from error
    return backup


def restore(backup: Path, database: Database) -> Backup:
    """Put a backup in the place of a store, which stays beside it as `<name>.before-restore`.

    No server may have the store open. Raises InputError for what is no whole backup.
    """
    target = _file_of(database)
    database.close()
    if not backup.is_file():
        raise InputError(f"There is no file {backup}. Name a file that `backup` wrote.")
    if is_in_use_or_copied(backup):
        raise InputError(
            f"{backup} is a store in use, or was copied from one without its write-ahead log. "
            "Name a file that `backup` wrote."
        )
    before = target.with_name(f"{target.name}.before-restore")
    if before.exists():
        raise InputError(f"{before} exists from an earlier restore. Move it away first.")
    try:
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=target.parent) as folder:
            copy = Path(folder) / "copy.sqlite3"
            archive = f"{backup.absolute().as_uri()}?mode=ro&immutable=1"
            with closing(sqlite3.connect(archive, uri=True)) as store, closing(sqlite3.connect(copy)) as file:
                if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'operations'").fetchone():
                    raise InputError(f"{backup} holds no store. Name a file that `backup` wrote.")
                store.backup(file)
            restored = _check(copy, target)
            copy.chmod(0o600)
            if target.exists():
                _take_out_of_use(target)
                os.link(target, before)
                # Before the backup has its name the log of the old store must have gone from the disk too: SQLite
                # would write it into the backup.
                sync(target.parent)
            move(copy, target)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{backup} could not be restored: {error}.") from error
    return restored


def _file_of(database: Database) -> Path:
    if not database.is_sqlite or database.in_memory:
        raise InputError(
            "Only a SQLite file is backed up here. Use `pg_dump --format=custom` for PostgreSQL, and pg_restore."
        )
    return Path(database.url.database or "")


def _take_out_of_use(path: Path) -> None:
    """Bring the write-ahead log into the file. Raises StoreError while a program has it open."""
    with closing(sqlite3.connect(path, timeout=0)) as store:
        try:
            store.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:
            raise StoreError(f"A program has {path.name} open. Stop the server, then restore.") from error


def _check(copy: Path, path: Path) -> Backup:
    """What the copy holds. Raises StoreError when it is not whole."""
    with Store(copy) as store:
        problems = checks.problems(store, snapshots=False)
        with store.database.read() as connection:
            operations, sha256 = operation_log.head(connection)
            audit_entries, audit_sha256 = audit.head(connection)
    if problems:
        raise StoreError(f"The copy is not whole: {problems[0]} Run `verify` on the store.")
    return Backup(
        path=path,
        operations=operations,
        head_sha256=sha256,
        audit_entries=audit_entries,
        audit_sha256=audit_sha256,
    )
