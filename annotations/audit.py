"""The audit log: who signed in, changed accounts, took data out, promoted or removed something. Nobody can edit it.

Its entries are chained as the operations are (`annotations.operation_log`), so that a change or a gap shows. People
stand in an entry by a key, the SHA-256 of their name and a random salt; both lie beside the log (`audit_names`). While
they do, the key proves the name. When a person is erased the salt goes and a pseudonym takes the name's place: the
entries and their chain stay as they are, and nobody can tell whom the key meant.

    with store.database.read() as connection:
        for entry in audit.entries(connection, action="promoted"):
            print(entry.at_ms, entry.actor, entry.detail)
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, or_, select, text, update

from annotations import tables
from annotations.records import Account, check_choice, digest

ACTIONS = (
    "signed in",
    "sign-in refused",
    "signed out",
    "sessions ended",
    "key issued",
    "account added",
    "identity linked",
    "account disabled",
    "account enabled",
    "role changed",
    "password changed",
    "password reset",
    "exported",
    "promoted",
    "rolled back",
    "model served",
    "dataset archived",
    "dataset restored",
    "model removed",
    "person exported",
    "person erased",
)
"""Everything that is logged."""
ERASED = "person erased"
BEGINNING = ""
"""Stands for the digest before the first entry."""
FIELDS = ("position", "at_ms", "action", "actor", "person", "detail")
LOCK = 20260119
"""Key of PostgreSQL's advisory lock."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """One entry, with the names that its keys stand for today."""

    position: int
    """1, 2, ... without a gap."""
    at_ms: int
    action: str
    """One of `ACTIONS`."""
    actor: str | None
    """Who did it; None: nobody who is known."""
    person: str | None
    """Whose account it is about, if it is about one."""
    detail: Mapping[str, Any]
    """What else there is to know, by name. It holds no person's name."""


def append(
    connection: Connection,
    action: str,
    *,
    at_ms: int,
    actor: str | None,
    person: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write an entry inside the caller's write transaction. Raises InputError for an unknown action."""
    check_choice("action", action, ACTIONS)
    if connection.dialect.name == "postgresql":
        # Until commit nobody else may take the next place. SQLite has one writer anyway.
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    position, before = head(connection)
    record = {
        "position": position + 1,
        "at_ms": at_ms,
        "action": action,
        "actor": None if actor is None else _key(connection, actor),
        "person": None if person is None else _key(connection, person),
        "detail": dict(detail or {}),
    }
    connection.execute(insert(tables.audit_log), {**record, "sha256": _chained(before, record)})


def account_changes(before: Account | None, after: Account) -> Iterator[tuple[str, dict[str, Any]]]:
    """What saving an account means to the log: actions and their details. A hash that only uses newer settings must not
    be handed in: it looks like a changed password.
    """
    if before is None:
        yield "account added", {"role": after.role}
        return
    if before.role != after.role:
        yield "role changed", {"from": before.role, "to": after.role}
    if before.disabled != after.disabled:
        yield "account disabled" if after.disabled else "account enabled", {}
    if before.password_hash != after.password_hash:
        yield "password changed" if after.password_expires_at_ms is None else "password reset", {}


def head(connection: Connection) -> tuple[int, str]:
    """How many entries there are, and the last one's digest. Read-only."""
    log = tables.audit_log
    row = connection.execute(
        select(log.c.position, log.c.sha256).order_by(log.c.position.desc()).limit(1)
    ).one_or_none()
    return (0, BEGINNING) if row is None else (row.position, row.sha256)


def entries(
    connection: Connection,
    *,
    action: str | None = None,
    person: str | None = None,
    before: int | None = None,
    limit: int | None = None,
) -> Iterator[AuditEntry]:
    """Entries, the newest first. `person` is a name, of who did it or whom it is about; `before` is a position."""
    log, actors, people = (
        tables.audit_log,
        tables.audit_names.alias("actors"),
        tables.audit_names.alias("people"),
    )
    columns: list[ColumnElement[Any]] = [log.c.position, log.c.at_ms, log.c.action, log.c.detail]
    columns += [actors.c.name.label("actor"), people.c.name.label("person")]
    joined = log.outerjoin(actors, actors.c.key == log.c.actor).outerjoin(
        people, people.c.key == log.c.person
    )
    statement = select(*columns).select_from(joined).order_by(log.c.position.desc()).limit(limit)
    if action is not None:
        statement = statement.where(log.c.action == action)
    if person is not None:
        statement = statement.where(or_(actors.c.name == person, people.c.name == person))
    if before is not None:
        statement = statement.where(log.c.position < before)
    for row in connection.execution_options(yield_per=1000).execute(statement):
        yield AuditEntry(**row._mapping)


def erase_name(connection: Connection, name: str, pseudonym: str) -> None:
    """Put the pseudonym in the name's place, for good, inside the caller's write transaction."""
    table = tables.audit_names
    connection.execute(update(table).where(table.c.name == name).values(name=pseudonym, salt=None))


def problems(connection: Connection) -> Iterator[str]:
    """One sentence for each thing about the log that is not as it was written. Read-only."""
    log, people = tables.audit_log, tables.audit_names
    names = {row.key: row for row in connection.execute(select(people))}
    expected_position, before, erased = 1, BEGINNING, set()
    statement = select(log).order_by(log.c.position)
    for row in connection.execution_options(yield_per=1000).execute(statement):
        if row.position != expected_position:
            yield f"Entries {expected_position} to {row.position - 1} of the audit log are gone."
        elif _chained(before, dict(row._mapping)) != row.sha256:
            yield f"Entry {row.position} of the audit log is not what was written: its digest differs."
        if {row.actor, row.person} - {None} - names.keys():
            yield f"The name of a person in entry {row.position} of the audit log is gone."
        if row.action == ERASED:
            erased.add(row.person)
        expected_position, before = row.position + 1, row.sha256
    for key, row in names.items():
        if row.salt is None and key not in erased:
            yield f"{row.name!r} stands in the audit log for a person whom nobody erased."
        elif row.salt is not None and _commitment(row.salt, row.name) != key:
            yield f"{row.name!r} stands in the audit log for somebody else: its key differs."


def _chained(before: str, record: Mapping[str, Any]) -> str:
    return digest([before, *(record[name] for name in FIELDS)])


def _key(connection: Connection, name: str) -> str:
    """The key of a name, made where there is none."""
    table = tables.audit_names
    key: str | None = connection.execute(select(table.c.key).where(table.c.name == name)).scalar_one_or_none()
    if key is None:
        salt = secrets.token_hex(16)
        key = _commitment(salt, name)
        connection.execute(insert(table), {"key": key, "name": name, "salt": salt})
    return key


def _commitment(salt: str, name: str) -> str:
    return hashlib.sha256(f"{salt}:{name}".encode()).hexdigest()
