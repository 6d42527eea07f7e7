"""`python -m app accounts`: people are added, listed, changed and disabled."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annotations.store import Store
from app.__main__ import main
from app.auth.accounts import AccountService
from app.auth.sessions import Sessions
from app.auth.users import Authenticator
from app.home import open_home
from tests.app.people import PASSWORD, CheapHasher


class Terminal(io.StringIO):
    """A standard input that a person types at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEMPO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TEMPO_ACTOR", "root@server")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    monkeypatch.setattr("app.auth.passwords.PasswordHasher", CheapHasher)
    return tmp_path / "home"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["accounts", *words]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["accounts", *words]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    return output.err


def can_sign_in(home: Path, name: str, password: str) -> bool:
    with Store(home / "cqvh.sqlite3") as store:
        sessions = Sessions(open_home(home).sessions)
        accounts = AccountService(store, sessions)
        try:
            return accounts.of_session(accounts.sign_in(name, password, "here")) is not None
        finally:
            sessions.close()


def test_adding_with_a_password_from_standard_input(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = run(capsys, "add", "ada", "--role", "adjudicator")
    assert output == "Added ada (adjudicator).\n"
    assert can_sign_in(home, "ada", PASSWORD)


def test_a_made_up_password_is_printed_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = run(capsys, "add", "ada", "--generate")
    password = output.splitlines()[-1].removeprefix("Password, shown only now: ")
    assert can_sign_in(home, "ada", password)
    assert password not in run(capsys, "list")


def test_a_password_typed_twice(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["typed " + PASSWORD] * 2 + ["one " + PASSWORD, "two " + PASSWORD])
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(typed))
    run(capsys, "add", "ada")
    assert "differ" in refused(capsys, "password", "ada")
    assert can_sign_in(home, "ada", "typed " + PASSWORD)


def test_listing(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run(capsys, "add", "ada", "--generate")
    assert "everybody signs in" in run(capsys, "add", "bo", "--role", "researcher", "--generate")
    run(capsys, "disable", "ada")
    lines = run(capsys, "list").splitlines()
    assert [line.split()[:2] for line in lines] == [["ada", "annotator"], ["bo", "researcher"]]
    assert [line.endswith("disabled") for line in lines] == [True, False]
    listed: dict[str, Any] = json.loads(run(capsys, "list", "--json"))
    assert [sorted(account) for account in listed["accounts"]] == [
        ["created_at", "disabled", "name", "role"]
    ] * 2


def test_disabling_enabling_and_changing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "add", "ada", "--generate")
    with Store(home / "cqvh.sqlite3") as store:
        sessions = Sessions(open_home(home).sessions)
        accounts = AccountService(store, sessions)
        token = sessions.start("ada", "whatever")
        run(capsys, "disable", "ada")
        assert sessions.find(token) is None, "the command ends sessions of the running app"
        run(capsys, "enable", "ada")
        run(capsys, "role", "ada", "administrator")
        account = accounts.get("ada")
        assert (account.disabled, account.role) == (False, "administrator")
        with store.database.read() as connection:
            actors = connection.exec_driver_sql("SELECT DISTINCT actor FROM operations").scalars().all()
        assert actors == ["root@server"]
        sessions.close()


def test_a_forgotten_password(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "add", "ada", "--generate")
    changed = json.loads(run(capsys, "password", "ada", "--generate", "--json"))
    assert can_sign_in(home, "ada", changed["password"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add", "Ada"], "cannot be an account's name"),
        (["add", "model"], "cannot be an account's name"),
        (["disable", "eve"], "There is no account 'eve'; there are: none."),
        (["password", "eve"], "There is no account 'eve'"),
        (["role", "eve", "annotator"], "There is no account 'eve'"),
        (["list", "--home", "/dev/null/x"], "cannot write to its folder"),
        (["list", "--database", "nonsense://x"], "nonsense"),
    ],
)
def test_bad_input_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert message in refused(capsys, *words)


@pytest.mark.parametrize(("typed", "message"), [("", "no password"), ("short\n", "12 to 1024")])
def test_bad_passwords_are_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, typed: str, message: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert message in refused(capsys, "add", "ada")
    assert json.loads(run(capsys, "list", "--json"))["accounts"] == []


def test_options_stand_anywhere(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the command, before and after its arguments; the nearest one counts."""
    elsewhere = str(tmp_path / "elsewhere")
    assert main(["--home", elsewhere, "accounts", "add", "--generate", "ada", "--role", "researcher"]) == 0
    assert main(["accounts", "role", "--home", elsewhere, "ada", "adjudicator", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["role"] == "adjudicator"
    assert main(["--home", str(home), "accounts", "list", "--home", elsewhere]) == 0
    assert capsys.readouterr().out.startswith("ada ")
    assert main(["--home", elsewhere, "--database", str(tmp_path / "other.sqlite3"), "accounts", "list"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("words", [["add"], ["add", "ada", "--role", "king"], ["forget", "ada"], []])
def test_bad_usage_ends_with_two(home: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accounts", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_no_option_takes_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("add", "password"):
        assert main(["accounts", action, "--help"]) == 0
        options = [
            line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  --")
        ]
        assert "--password" not in options


def test_a_key_signs_a_program_in_until_the_account_is_disabled(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "add", "ada", "--role", "visitor")
    key = run(capsys, "key", "ada").strip()

    def holder() -> str | None:
        with Store(home / "cqvh.sqlite3") as store:
            sessions = Sessions(open_home(home).sessions)
            accounts = Authenticator(anonymous=False, local=False, accounts=AccountService(store, sessions))
            asking = SimpleNamespace(cookies={}, headers={"authorization": f"Bearer {key}"})
            user = accounts.resolve(asking)
            sessions.close()
        return None if user is None else user.id

    assert holder() == "ada"
    run(capsys, "disable", "ada")
    assert holder() is None
    assert "is disabled. Enable it first" in refused(capsys, "key", "ada")
    assert "There is no account 'bo'" in refused(capsys, "key", "bo")


def test_a_reset_makes_a_temporary_password(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "add", "ada", "--generate")
    output = run(capsys, "reset", "ada")
    assert "to be changed at the next sign-in" in output
    password = output.splitlines()[-1].removeprefix("Password, shown only now: ")
    assert can_sign_in(home, "ada", password)
    assert "temporary password" in refused(capsys, "key", "ada")
    assert "no account 'bo'" in refused(capsys, "reset", "bo")


def test_sessions_are_listed_and_ended(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "add", "ada", "--generate")
    run(capsys, "add", "bo", "--generate")
    keys = [run(capsys, "key", name).strip() for name in ("ada", "ada", "bo")]
    rows = json.loads(run(capsys, "sessions", "ada", "--json"))["sessions"]
    assert [(row["name"], row["browser"]) for row in rows] == [("ada", "a program's key")] * 2
    assert not any(key in json.dumps(rows) for key in keys)
    assert len(run(capsys, "sessions").splitlines()) == 3
    assert run(capsys, "sign-out", "ada", "--session", rows[0]["session"]) == "1 session of ada ended.\n"
    assert "has no session" in refused(capsys, "sign-out", "ada", "--session", rows[0]["session"])
    assert run(capsys, "sign-out", "ada") == "1 session of ada ended.\n"
    assert [line.split()[0] for line in run(capsys, "sessions").splitlines()] == ["bo"]
    assert "no account 'eve'" in refused(capsys, "sessions", "eve")


def test_the_audit_log_is_printed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "add", "ada", "--generate")
    run(capsys, "role", "ada", "researcher")

    def audit(*words: str) -> str:
        assert main(["audit", *words]) == 0
        return capsys.readouterr().out

    first, second = audit().splitlines()
    assert first.split()[2:] == [
        "root@server",
        "role",
        "changed",
        "ada",
        "from",
        "annotator,",
        "to",
        "researcher",
    ]
    assert second.split()[2:] == ["root@server", "account", "added", "ada", "role", "annotator"]
    assert json.loads(audit("--action", "role changed", "--json"))["entries"][0]["detail"] == {
        "from": "annotator",
        "to": "researcher",
    }
    assert audit("--person", "bo") == "There is no such entry.\n"
    assert len(audit("--csv").splitlines()) == 3
    assert "exported" in audit("--limit", "1")
    assert main(["audit", "--action", "looked"]) == 2
    assert "must be one of signed in" in capsys.readouterr().err
