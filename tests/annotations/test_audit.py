"""The audit log: what is in it, that nobody can edit it, and that an erased person's entries stay."""

import dataclasses
import hashlib

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from annotations import audit, checks
from annotations.audit import AuditEntry
from annotations.records import Account
from annotations.store import Store
from tempo_core.errors import InputError
from tests.annotations.conftest import Clock, Operations

ADA = Account(name="ada", role="annotator", password_hash="h", disabled=False, created_at_ms=5)


def actions(store: Store) -> list[tuple[str, str | None, str | None, dict[str, object]]]:
    """Everything in the log, the oldest first."""
    rows = [(e.action, e.actor, e.person, dict(e.detail)) for e in store.audit_entries()]
    return rows[::-1]


def test_an_entry_comes_back_as_it_was_written(store: Store, clock: Clock) -> None:
    store.record_event("exported", actor="ada", detail={"dataset": "qvh", "rows": 3})
    assert store.audit_entries() == [
        AuditEntry(
            position=1,
            at_ms=clock.now_ms,
            action="exported",
            actor="ada",
            person=None,
            detail={"dataset": "qvh", "rows": 3},
        )
    ]
    with pytest.raises(InputError, match="must be one of"):
        store.record_event("looked", actor="ada")


def test_changes_of_accounts_are_logged_with_the_write(store: Store, op: Operations) -> None:
    store.save_account(ADA, op_id="add", actor="root")
    store.save_account(ADA, op_id="add", actor="root")  # a repetition
    promoted = dataclasses.replace(ADA, role="researcher", disabled=True)
    store.save_account(promoted, op_id=op(), actor="root")
    store.save_account(dataclasses.replace(promoted, password_hash="new"), op_id=op(), actor="ada")
    reset = dataclasses.replace(promoted, password_hash="temporary", password_expires_at_ms=9)
    store.save_account(reset, op_id=op(), actor="root")
    rehashed = dataclasses.replace(reset, password_hash="of the same")
    store.save_account(rehashed, op_id=op(), actor="ada", is_same_password=True)
    assert actions(store) == [
        ("account added", "root", "ada", {"role": "annotator"}),
        ("role changed", "root", "ada", {"from": "annotator", "to": "researcher"}),
        ("account disabled", "root", "ada", {}),
        ("password changed", "ada", "ada", {}),
        ("password reset", "root", "ada", {}),
    ]
    assert checks.problems(store) == []


def test_archiving_is_logged(filled: Store, op: Operations) -> None:
    filled.archive("qvh", op_id=op(), actor="root")
    filled.archive("qvh", op_id=op(), actor="root", archived=False)
    assert actions(filled) == [
        ("dataset archived", "root", None, {"dataset": "qvh"}),
        ("dataset restored", "root", None, {"dataset": "qvh"}),
    ]


def test_entries_are_filtered_and_paged(store: Store) -> None:
    for person in ("ada", "bo", "ada"):
        store.record_event("signed in", actor=person, person=person)
    store.record_event("password reset", actor="bo", person="ada")
    assert [entry.position for entry in store.audit_entries(person="ada")] == [4, 3, 1]
    assert [entry.position for entry in store.audit_entries(person="bo", action="signed in")] == [2]
    assert [entry.position for entry in store.audit_entries(limit=2)] == [4, 3]
    assert [entry.position for entry in store.audit_entries(limit=2, before=3)] == [2, 1]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            "UPDATE audit_log SET action = 'signed out' WHERE position = 2",
            "Entry 2 of the audit log is not what",
        ),
        ("UPDATE audit_log SET person = NULL WHERE position = 2", "Entry 2 of the audit log is not what"),
        ("DELETE FROM audit_log WHERE position = 2", "Entries 2 to 2 of the audit log are gone."),
        (
            "UPDATE audit_names SET name = 'eve' WHERE name = 'ada'",
            "'eve' stands in the audit log for somebody",
        ),
        (
            "UPDATE audit_names SET name = 'x', salt = NULL WHERE name = 'ada'",
            "'x' stands in the audit log for a",
        ),
        (
            "DELETE FROM audit_names WHERE name = 'ada'",
            "The name of a person in entry 1 of the audit log is gone.",
        ),
    ],
)
def test_verify_tells_a_change_behind_the_triggers(store: Store, change: str, problem: str) -> None:
    for person in ("ada", "bo", "bo"):
        store.record_event("signed in", actor=person, person=person)
    with store.database.engine.begin() as connection:
        for table in ("audit_log", "audit_names"):
            if store.database.is_sqlite:
                connection.execute(text(f"DROP TRIGGER {table}_no_update"))
                connection.execute(text(f"DROP TRIGGER {table}_no_delete"))
            else:
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only"))
        connection.execute(text(change))
    problems = checks.problems(store)
    assert any(sentence.startswith(problem) for sentence in problems), problems


@pytest.mark.parametrize("change", ["name = 'eve'", "salt = 'x'", "salt = NULL, key = 'x'"])
def test_a_name_cannot_be_changed_while_its_person_is_there(store: Store, change: str) -> None:
    store.record_event("signed in", actor="ada")
    with pytest.raises(DBAPIError, match="append-only"), store.database.engine.begin() as connection:
        connection.execute(text(f"UPDATE audit_names SET {change}"))


def test_an_erased_name_leaves_the_chain_as_it_was(store: Store) -> None:
    store.record_event("signed in", actor="ruth", person="ruth")
    store.record_event("password reset", actor="bo", person="ruth")
    with store.database.read() as connection:
        before = audit.head(connection)
    for transaction in store.database.transactions():
        with transaction as connection:
            audit.append(connection, "person erased", at_ms=1, actor="bo", person="ruth")
            audit.erase_name(connection, "ruth", "erased-1")
    assert [(entry.actor, entry.person) for entry in store.audit_entries()] == [
        ("bo", "erased-1"),
        ("bo", "erased-1"),
        ("erased-1", "erased-1"),
    ]
    with store.database.read() as connection:
        dump = str([tuple(row) for row in connection.execute(text("SELECT * FROM audit_names"))])
        second = connection.execute(text("SELECT sha256 FROM audit_log WHERE position = 2")).scalar_one()
    assert "ruth" not in dump  # no digest spells it: r, u, t and h are no hexadecimal digits
    assert hashlib.sha256(b":ruth").hexdigest() not in dump
    assert before == (2, second)
    assert checks.problems(store) == []
    store.record_event("signed in", actor="ruth", person="ruth")  # somebody else of that name
    assert checks.problems(store) == []
    assert [entry.position for entry in store.audit_entries(person="ruth")] == [4]
