"""One person's data: all of it is told, and a pseudonym takes their place with the logs still sound."""

import json

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from annotations import checks, operation_log
from annotations.projects import ProjectPlan
from annotations.records import Account
from annotations.store import Store
from tests.annotations.conftest import Operations, edit

NAME = "ada.lovelace"


@pytest.fixture
def worked(filled: Store, op: Operations) -> Store:
    """A store in which two people did everything that leaves a name."""
    for name, role in ((NAME, "researcher"), ("bo", "administrator")):
        account = Account(name=name, role=role, password_hash="h", disabled=False, created_at_ms=1)
        filled.save_account(account, op_id=op(), actor=NAME)
    filled.link_identity("https://id.example", "0001", NAME, op_id=op(), actor=NAME)
    filled.next_query(NAME, op_id=op())
    plan = ProjectPlan(name="p", people=(NAME, "bo"))
    filled.add_project(plan, op_id=op(), actor=NAME)
    first = filled.submit(1, edit((1, 2), note="mine"), annotator=NAME, parent_id=None, op_id=op())
    filled.submit(1, edit((1, 3), (4, 5)), annotator=NAME, parent_id=first.id, op_id=op())
    other = filled.submit(1, edit(), annotator="bo", parent_id=None, op_id=op())
    filled.revert(2, to_id=None, annotator=NAME, parent_id=None, op_id=op())
    filled.adjudicate(1, correction_id=other.id, adjudicator=NAME, parent_id=None, op_id=op())
    filled.adjudicate(2, correction_id=4, adjudicator="bo", parent_id=None, op_id="bulk-1:2")
    filled.withdraw_verdicts("bulk-1", op_id=op(), actor=NAME)
    filled.record_snapshot(sha256="s", path="p", counts={}, actor=NAME)
    filled.record_event("exported", actor=NAME, detail={"dataset": "qvh"})
    assert checks.problems(filled) == []
    return filled


def dump(store: Store) -> str:
    """Every row of every table, as text."""
    with store.database.read() as connection:
        if store.database.is_sqlite:
            names = "SELECT name FROM sqlite_master WHERE type = 'table'"
        else:
            names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        tables = connection.execute(text(names)).scalars().all()
        return "\n".join(str(list(connection.execute(text(f'SELECT * FROM "{name}"')))) for name in tables)


def test_everything_of_a_person_is_told_and_nothing_of_others(worked: Store) -> None:
    data = worked.person_data(NAME)
    assert {key: len(rows) for key, rows in data.items() if key != "name"} == {
        "accounts": 1,
        "identities": 1,
        "corrections": 3,
        "verdicts": 1,
        "verdict_withdrawals": 1,
        "assignments": 1,
        "plants": 0,
        "projects": 1,
        "snapshots": 1,
        "correction_moments": 3,
        "project_members": 1,
        "operations": 10,
        "audit_log": 4,
    }
    written = json.dumps(data)
    assert "mine" in written
    assert '"bo"' not in written
    assert "password_hash" not in written
    assert data["accounts"][0]["has_password"] is True
    assert not any(worked.person_data("nobody")[key] for key in data if key != "name")


def test_erasing_keeps_the_work_and_leaves_no_name(worked: Store, op: Operations) -> None:
    before = [(c.id, c.revision, c.edit) for c in worked.corrections(1)]
    counts = worked.erase_person(NAME, "erased-1", op_id=op(), actor="bo")
    assert (counts["corrections"], counts["operations"], counts["accounts"]) == (3, 10, 1)
    assert NAME not in dump(worked)
    assert [(c.id, c.revision, c.edit) for c in worked.corrections(1)] == before
    assert {c.annotator for c in worked.corrections(1)} == {"erased-1", "bo"}
    assert [account.name for account in worked.accounts()] == ["bo"]
    assert worked.identity("https://id.example", "0001") is None
    assert [v.adjudicator for v in worked.verdicts(1)] == ["erased-1"]
    entry = worked.audit_entries(limit=1)[0]
    assert (entry.action, entry.actor, entry.person) == ("person erased", "bo", "erased-1")


def test_the_logs_hold_and_their_digests_are_those_of_before(worked: Store, op: Operations) -> None:
    with worked.database.read() as connection:
        position, sha256 = operation_log.head(connection)
    worked.erase_person(NAME, "erased-1", op_id=op(), actor="bo")
    assert checks.problems(worked) == []
    with worked.database.read() as connection:
        at_before = text("SELECT sha256 FROM operation_log WHERE position = :position")
        assert connection.execute(at_before, {"position": position}).scalar_one() == sha256
    worked.submit(3, edit((1, 2)), annotator="bo", parent_id=None, op_id=op())
    worked.erase_person("bo", "erased-2", op_id=op(), actor="root")
    assert checks.problems(worked) == []
    assert "'bo'" not in dump(worked)


def test_erasing_oneself_leaves_no_name_either(worked: Store, op: Operations) -> None:
    worked.erase_person(NAME, "erased-1", op_id=op(), actor=NAME)
    assert NAME not in dump(worked)
    assert checks.problems(worked) == []


def test_a_repetition_changes_nothing(worked: Store) -> None:
    first = worked.erase_person(NAME, "erased-1", op_id="once", actor="bo")
    before = dump(worked)
    assert worked.erase_person(NAME, "erased-1", op_id="once", actor="bo") == first
    assert dump(worked) == before


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE operations SET actor = 'eve' WHERE actor = 'erased-1'", "is not what was left of it"),
        ("UPDATE redactions SET sha256 = 'x'", "are not those that it made"),
        ("DELETE FROM redactions", "are not those that it made"),
        ("UPDATE redactions SET erased_by = (SELECT min(op_id) FROM operations)", "no operation did that"),
    ],
)
def test_verify_tells_what_was_changed_since(
    worked: Store, op: Operations, change: str, problem: str
) -> None:
    worked.erase_person(NAME, "erased-1", op_id=op(), actor="bo")
    with worked.database.engine.begin() as connection:
        for table in ("operations", "redactions"):
            if worked.database.is_sqlite:
                connection.execute(text(f"DROP TRIGGER {table}_no_update"))
                connection.execute(text(f"DROP TRIGGER {table}_no_delete"))
            else:
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only"))
        connection.execute(text(change))
    assert any(problem in sentence for sentence in checks.problems(worked))


def test_afterwards_the_store_refuses_changes_as_before(worked: Store, op: Operations) -> None:
    worked.erase_person(NAME, "erased-1", op_id=op(), actor="bo")
    for table in ("operations", "corrections", "verdicts", "snapshots"):
        column = {"operations": "actor", "snapshots": "path"}.get(table, "id")
        with pytest.raises(DBAPIError, match="is append-only"), worked.database.engine.begin() as connection:
            connection.execute(text(f"UPDATE {table} SET {column} = {column}"))
