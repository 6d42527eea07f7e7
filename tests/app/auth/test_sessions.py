"""Sessions begin, are used and end."""

import hashlib
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.auth import sessions as module
from app.auth.sessions import IDLE_S, LONGEST_S, PER_ACCOUNT, Sessions, browser_family, mark_of
from tests.app.people import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock, tmp_path: Path) -> Iterator[Sessions]:
    opened = Sessions(tmp_path / "sessions.sqlite3", clock=clock)
    yield opened
    opened.close()


def test_a_token_finds_its_session_and_nothing_else_does(sessions: Sessions) -> None:
    token = sessions.start("ada", "mark")
    session = sessions.find(token)
    assert session is not None
    assert (session.account, session.password_mark) == ("ada", "mark")
    for other in ("", token[:-1], token + "a", token.swapcase(), "' OR 1=1 --"):
        assert sessions.find(other) is None


def test_the_file_holds_no_token_and_is_for_its_owner_only(sessions: Sessions, tmp_path: Path) -> None:
    token = sessions.start("ada", "mark")
    for path in tmp_path.iterdir():
        assert token.encode() not in path.read_bytes()
    assert stat.S_IMODE((tmp_path / "sessions.sqlite3").stat().st_mode) == 0o600


def test_a_session_that_is_not_used_ends(sessions: Sessions, clock: Clock) -> None:
    token = sessions.start("ada", "mark")
    clock.pass_s(IDLE_S - 1)
    assert sessions.find(token) is not None
    clock.pass_s(IDLE_S - 1)
    assert sessions.find(token) is not None, "use keeps it alive"
    clock.pass_s(IDLE_S)
    assert sessions.find(token) is None
    clock.pass_s(-IDLE_S)
    assert sessions.find(token) is None, "it does not come back when the clock is set back"


def test_a_session_ends_however_much_it_is_used(sessions: Sessions, clock: Clock) -> None:
    token = sessions.start("ada", "mark")
    for _ in range(LONGEST_S // 3600 - 1):
        clock.pass_s(3600)
        assert sessions.find(token) is not None
    clock.pass_s(3600)
    assert sessions.find(token) is None


def test_use_is_noted_once_a_minute(sessions: Sessions, clock: Clock, tmp_path: Path) -> None:
    token = sessions.start("ada", "mark")

    def noted() -> float:
        with sqlite3.connect(tmp_path / "sessions.sqlite3") as other:
            value: float = other.execute("SELECT used_at_s FROM sessions").fetchone()[0]
        other.close()
        return value

    first = noted()
    clock.pass_s(module.USE_RESOLUTION_S - 1)
    sessions.find(token)
    assert noted() == first
    clock.pass_s(1)
    sessions.find(token)
    assert noted() == clock.now_s


def test_signing_out(sessions: Sessions) -> None:
    first, second, other = (sessions.start(name, "mark") for name in ("ada", "ada", "bo"))
    sessions.end(first)
    assert sessions.find(first) is None
    assert sessions.find(second) is not None
    assert sessions.end_all("ada") == 1
    assert sessions.find(second) is None
    assert sessions.find(other) is not None


def test_an_account_has_so_many_browsers_and_no_more(sessions: Sessions, clock: Clock) -> None:
    tokens = []
    for _ in range(PER_ACCOUNT + 1):
        clock.pass_s(1)
        tokens.append(sessions.start("ada", "mark"))
    assert sessions.find(tokens[0]) is None
    assert all(sessions.find(token) is not None for token in tokens[1:])


def test_sessions_outlive_a_restart_and_are_seen_by_other_processes(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "sessions.sqlite3"
    first = Sessions(path, clock=clock)
    token = first.start("ada", "mark")
    second = Sessions(path, clock=clock)
    assert second.find(token) is not None
    second.end_all("ada")
    assert first.find(token) is None
    first.close()
    second.close()


def test_marks_tell_passwords_apart_and_give_nothing_away() -> None:
    assert mark_of("$argon2id$one") != mark_of("$argon2id$two")
    assert len(mark_of(None)) == 16
    assert "argon" not in mark_of("$argon2id$one")


def test_a_browser_is_known_to_the_account_that_signed_in_from_it_until_its_password_changes(
    sessions: Sessions, clock: Clock
) -> None:
    token = sessions.remember_browser("ada")
    assert sessions.knows_browser(token, "ada")
    assert not sessions.knows_browser(token, "eve")
    assert not sessions.knows_browser("a" * 43, "ada")
    assert sessions.find(token) is None, "it opens nothing"
    sessions.end_all("ada")
    assert not sessions.knows_browser(token, "ada")


def test_an_account_has_a_bounded_number_of_browsers(sessions: Sessions, clock: Clock) -> None:
    tokens = []
    for _ in range(PER_ACCOUNT + 5):
        tokens.append(sessions.remember_browser("ada"))
        clock.pass_s(1)
    assert [sessions.knows_browser(token, "ada") for token in tokens] == [False] * 5 + [True] * PER_ACCOUNT


def test_sessions_are_listed_and_revoked_one_by_one(sessions: Sessions, clock: Clock) -> None:
    first = sessions.start("ada", "mark", "Firefox")
    clock.pass_s(100)
    second, other = sessions.start("ada", "mark", "Safari"), sessions.start("bo", "mark")
    assert [(session.browser, session.started_at_s) for session in sessions.of_account("ada")] == [
        ("Safari", clock.now_s),
        ("Firefox", clock.now_s - 100),
    ]
    assert {session.account for session in sessions.of_account()} == {"ada", "bo"}
    newest = sessions.of_account("ada")[0]
    assert not sessions.revoke("bo", newest.id), "only a session of one's own"
    assert not sessions.revoke("ada", newest.id[:-1])
    assert sessions.revoke("ada", newest.id)
    assert (sessions.find(second), sessions.find(first) is None, sessions.find(other) is None) == (
        None,
        False,
        False,
    )
    clock.pass_s(IDLE_S)
    assert sessions.of_account() == []


def test_the_others_end_and_ones_own_stays(sessions: Sessions) -> None:
    own, other = sessions.start("ada", "mark"), sessions.start("ada", "mark")
    assert sessions.end_all("ada", but=own) == 1
    assert (sessions.find(own) is None, sessions.find(other)) == (False, None)


def test_looking_is_not_use(sessions: Sessions, clock: Clock) -> None:
    token = sessions.start("ada", "mark")
    clock.pass_s(IDLE_S - 1)
    assert sessions.find(token, counts_as_use=False) is not None
    clock.pass_s(1)
    assert sessions.find(token) is None


def test_a_file_of_the_first_version_goes_on(tmp_path: Path, clock: Clock) -> None:
    path, token = tmp_path / "sessions.sqlite3", "t" * 43
    with sqlite3.connect(path) as old:
        old.execute(
            "CREATE TABLE sessions (token_sha256 TEXT PRIMARY KEY, account TEXT NOT NULL, password_mark TEXT NOT NULL, "
            "started_at_s REAL NOT NULL, used_at_s REAL NOT NULL) STRICT, WITHOUT ROWID"
        )
        key = hashlib.sha256(token.encode()).hexdigest()
        old.execute("INSERT INTO sessions VALUES (?, 'ada', 'mark', ?, ?)", (key, clock.now_s, clock.now_s))
    old.close()
    opened = Sessions(path, clock=clock)
    assert opened.find(token) is not None
    assert [session.browser for session in opened.of_account("ada")] == ["another browser"]
    opened.close()


@pytest.mark.parametrize(
    ("user_agent", "family"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0", "Firefox"),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0 Safari/537.36",
            "Chrome",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/150.0 Safari/537.36 Edg/150.0", "Edge"),
        (
            "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Safari/605.1.15",
            "Safari",
        ),
        ("python-httpx/0.28.1", "another browser"),
        ("", "another browser"),
    ],
)
def test_a_browsers_family(user_agent: str, family: str) -> None:
    assert browser_family(user_agent) == family
