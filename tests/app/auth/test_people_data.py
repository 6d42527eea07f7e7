"""`python -m app accounts export` and `erase`: all that is known of a person, and their way out."""

import json
import stat
from pathlib import Path
from uuid import uuid4

import pytest

from annotations import checks
from annotations.rows import Row
from annotations.snapshot import take_snapshot
from annotations.store import Store
from tests.annotations.conftest import edit
from tests.app.commands.test_accounts import can_sign_in, home, refused, run

__all__ = ["home"]  # the fixture

NAME = "ada.lovelace"


@pytest.fixture
def person(home: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Somebody who corrected a row, promoted an adapter and started a training; there is a second administrator."""
    run(capsys, "add", "root", "--role", "administrator", "--generate")
    words = run(capsys, "add", NAME, "--role", "administrator", "--generate").split()
    run(capsys, "key", NAME)
    with Store(home / "cqvh.sqlite3") as store:
        rows = [
            Row(qid="1", query="a dog runs", vid="v", duration_s=9.0, windows=((0.0, 2.0),), split="train")
        ]
        store.import_rows(rows, dataset="d", op_id="rows")
        store.submit(1, edit((1, 2)), annotator=NAME, parent_id=None, op_id=str(uuid4()))
        take_snapshot(store, home / "snapshots", actor=NAME)
    history = [{"at_ms": 1, "action": "promote", "base": "b", "name": "x", "by": NAME}]
    files = {
        "adapters/promoted.json": {"bases": {}, "history": history},
        "training/current.json": {"wish": {"by": NAME, "recipe": NAME}},
        "training/refresh/begun.json": {"by": "root"},
    }
    for path, content in files.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(json.dumps(content))
    return words[-1]


def test_an_export_is_one_file_for_its_owner(
    home: Path, person: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ada.json"
    output = run(capsys, "export", NAME, str(out))
    assert "1 corrections" in output
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    data = json.loads(out.read_text())
    assert (data["name"], len(data["corrections"]), len(data["sessions"])) == (NAME, 1, 1)
    assert data["sessions"][0]["browser"] == "a program's key"
    assert "argon2" not in out.read_text()
    assert "cannot be written" in refused(capsys, "export", NAME, str(out)), "nothing is overwritten"
    assert "Nothing is known of 'eve'" in refused(capsys, "export", "eve", str(tmp_path / "eve.json"))
    assert not (tmp_path / "eve.json").exists()
    with Store(home / "cqvh.sqlite3") as store:
        entry = store.audit_entries(limit=1)[0]
    assert (entry.action, entry.actor, entry.person) == ("person exported", "root@server", NAME)


def test_a_dry_run_says_what_would_go_and_changes_nothing(
    home: Path, person: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = json.loads(run(capsys, "erase", NAME, "--dry-run", "--json"))
    assert answer["pseudonym"] == ""
    assert (answer["rows"]["accounts"], answer["rows"]["corrections"], answer["rows"]["sessions"]) == (
        1,
        1,
        1,
    )
    assert answer["files"] == ["adapters/promoted.json", "training/current.json"]
    assert {Path(path).parts[0] for path in answer["still_named_in"]} == {"snapshots"}
    assert can_sign_in(home, NAME, person)
    assert NAME in (home / "adapters" / "promoted.json").read_text()


def test_erasing_leaves_the_work_and_no_name(
    home: Path, person: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = run(capsys, "erase", NAME)
    assert "still named in snapshots/" in output
    pseudonym = output.split("is erased, and ")[1].split()[0]
    assert pseudonym.startswith("erased-")
    with Store(home / "cqvh.sqlite3") as store:
        assert [c.annotator for c in store.corrections(1)] == [pseudonym]
        assert [account.name for account in store.accounts()] == ["root"]
        assert checks.problems(store) == []
    for file in ("cqvh.sqlite3", "sessions.sqlite3", "adapters/promoted.json"):
        assert NAME.encode() not in (home / file).read_bytes(), f"not even in free pages of {file}"
    assert json.loads((home / "training/current.json").read_text()) == {
        "wish": {"by": pseudonym, "recipe": NAME}
    }
    assert "Nothing is known" in refused(capsys, "erase", NAME)
    assert "cannot be an account's name" in refused(capsys, "add", pseudonym, "--generate")


def test_who_cannot_be_erased(home: Path, person: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "erase", NAME)
    assert "the last administrator" in refused(capsys, "erase", "root")
    assert "is no person" in refused(capsys, "erase", "model")
