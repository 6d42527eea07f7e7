"""One person's data: everything that the store has of them, and taking their name out of it.

Erasing keeps the work and takes the person away. A pseudonym stands where the name stood; passwords and identities go.
The operations that named them are rewritten, and a `redaction` holds each one's new digest. Their places in the log of
operations stay as they are, so that the last digest is still the one that an older backup names; the redactions are
bound to the log by the erasing operation, whose result is a digest of all of them. What a person wrote into a note, and
what an imported file says, stays as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from annotations import audit, operation_log, reading, tables
from annotations.records import digest

COLUMNS: tuple[tuple[Table, str], ...] = (
    (tables.corrections, "annotator"),
    (tables.verdicts, "adjudicator"),
    (tables.verdict_withdrawals, "actor"),
    (tables.assignments, "annotator"),
    (tables.plants, "annotator"),
    (tables.projects, "created_by"),
    (tables.snapshots, "actor"),
)
"""Where a name stands beside work; a pseudonym takes its place. `operations` are rewritten one by one."""
LOCKED = ("operations", "corrections", "verdicts", "verdict_withdrawals", "plants", "snapshots")
"""Tables of those that refuse changes."""


def person_data(connection: Connection, name: str) -> dict[str, Any]:
    """What the store has of a person, as JSON values; lists are empty where it has nothing. Read-only.

    Accounts come without the password's hash.
    """
    rows = {table.name: _rows(connection, table, table.c[column] == name) for table, column in COLUMNS}
    correction_ids = [row["id"] for row in rows["corrections"]]
    moment, member, operation = tables.correction_moments, tables.project_members, tables.operations
    moments: list[dict[str, Any]] = []
    for ids in reading.chunks(correction_ids):
        moments += _rows(connection, moment, moment.c.correction_id.in_(ids))
    accounts = _rows(connection, tables.accounts, tables.accounts.c.name == name)
    for account in accounts:
        account["has_password"] = account.pop("password_hash") is not None
    operations = _rows(connection, operation, operation.c.actor == name)
    return {
        "name": name,
        "accounts": accounts,
        "identities": _rows(connection, tables.identities, tables.identities.c.account == name),
        **rows,
        "correction_moments": moments,
        "project_members": _rows(connection, member, member.c.annotator == name),
        "operations": [{key: row[key] for key in ("op_id", "kind", "created_at_ms")} for row in operations],
        "audit_log": [
            {
                "position": entry.position,
                "at_ms": entry.at_ms,
                "action": entry.action,
                # who else took part is their business
                "by_them": entry.actor == name,
                "about_them": entry.person == name,
                "detail": dict(entry.detail),
            }
            for entry in audit.entries(connection, person=name)
        ],
    }


def erase(
    connection: Connection, name: str, pseudonym: str, *, op_id: str, at_ms: int, actor: str
) -> dict[str, Any]:
    """Put a pseudonym in a person's place, inside the caller's write transaction; the result of the operation `op_id`:
    how many rows of which table, and the digest of the redactions.
    """
    counts: dict[str, int] = {}
    correction = tables.corrections
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA secure_delete = ON"))  # or the name stays in free space of the file
    with _allow_changes(connection):
        for table, column in COLUMNS:
            statement = update(table).where(table.c[column] == name).values({column: pseudonym})
            counts[table.name] = connection.execute(statement).rowcount
        counts["operations"] = _redact_operations(connection, name, pseudonym, op_id)
    loans = update(tables.assignments).where(tables.assignments.c.annotator == pseudonym).values(loan=None)
    connection.execute(loans)
    for table, column in (
        (tables.project_members, "annotator"),
        (tables.identities, "account"),
        (tables.accounts, "name"),
    ):
        counts[table.name] = connection.execute(delete(table).where(table.c[column] == name)).rowcount
    audit.append(connection, audit.ERASED, at_ms=at_ms, actor=actor, person=name)
    audit.erase_name(connection, name, pseudonym)
    counts["correction_moments"] = connection.execute(
        select(func.count())
        .select_from(tables.correction_moments.join(correction))
        .where(correction.c.annotator == pseudonym)
    ).scalar_one()
    return {
        "pseudonym": pseudonym,
        "rows": {table: count for table, count in counts.items() if count},
        "redactions_sha256": operation_log.redactions_digest(connection, op_id),
    }


def _redact_operations(connection: Connection, name: str, pseudonym: str, erased_by: str) -> int:
    """Take a name out of the operations that it acted in; how many. What they asked for is known by its hash, which
    names the person as well: that of a submission is made anew, as `verify` makes it, and every other one is replaced.
    """
    operation, redaction = tables.operations, tables.redactions
    request_of = {}
    query_ids = (
        select(tables.corrections.c.query_id).where(tables.corrections.c.annotator == pseudonym).distinct()
    )
    for ids in reading.chunks(connection.execute(query_ids).scalars().all()):
        for versions in reading.corrections(connection, ids).values():
            for version in versions:
                if version.annotator == pseudonym:
                    request = [version.query_id, version.edit.to_request(), version.parent_id]
                    request_of[version.op_id] = digest(["submit", pseudonym, request])
    redacted = []
    for row in connection.execute(select(operation).where(operation.c.actor == name)).mappings().all():
        is_own_answer = row["kind"] == "submit" and row["op_id"] in request_of
        result = row["result"]
        if isinstance(result, dict) and result.get("annotator") == name:
            result = {**result, "annotator": pseudonym}
        request_sha256 = request_of[row["op_id"]] if is_own_answer else digest(["erased", row["op_id"]])
        redacted.append({**row, "actor": pseudonym, "result": result, "request_sha256": request_sha256})
    if redacted:
        changes: dict[str, Any] = {
            key: bindparam(f"new_{key}") for key in ("actor", "result", "request_sha256")
        }
        statement = update(operation).where(operation.c.op_id == bindparam("own_id")).values(changes)
        values = [{"own_id": row["op_id"], **{f"new_{key}": row[key] for key in changes}} for row in redacted]
        connection.execute(statement, values)
        connection.execute(
            insert(redaction),
            [
                {"op_id": row["op_id"], "erased_by": erased_by, "sha256": operation_log.content_digest(row)}
                for row in redacted
            ],
        )
    return len(redacted)


@contextmanager
def _allow_changes(connection: Connection) -> Iterator[None]:
    """Let the rows of `LOCKED` be changed until the end of the block; other connections see none of it."""
    if connection.dialect.name == "sqlite":
        names = [f"{table}_no_update" for table in LOCKED]
        statement = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = {row.name: row.sql for row in connection.execute(statement) if row.name in names}
        for trigger in triggers:
            connection.execute(text(f"DROP TRIGGER {trigger}"))
        yield
        for definition in triggers.values():
            connection.exec_driver_sql(definition)
        return
    for table in LOCKED:
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only"))
    yield
    for table in LOCKED:
        connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER {table}_append_only"))


def _rows(connection: Connection, table: Table, condition: ColumnElement[bool]) -> list[dict[str, Any]]:
    statement = select(table).where(condition).order_by(*table.primary_key.columns)
    return [dict(row) for row in connection.execute(statement).mappings()]
