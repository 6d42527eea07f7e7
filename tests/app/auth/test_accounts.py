"""Accounts, and signing in and out of them."""

import dataclasses

import pytest

from app.auth.accounts import LOCAL, TooManyAttempts, WrongPassword
from app.auth.passwords import Passwords
from app.auth.sessions import IDLE_S
from app.auth.throttle import MAX_NOTED, RULES
from tempo_core.errors import InputError
from tests.app.people import PASSWORD, CountedPasswords, People

HERE = "192.0.2.1"


@pytest.fixture
def people() -> People:
    return People().add(ada="annotator", bo="researcher")


def test_signing_in_and_out(people: People) -> None:
    token = people.accounts.sign_in("ada", PASSWORD, HERE)
    account = people.accounts.of_session(token)
    assert account is not None
    assert (account.name, account.role) == ("ada", "annotator")
    people.accounts.sign_out(token)
    assert people.accounts.of_session(token) is None


def test_a_name_may_be_typed_in_capitals(people: People) -> None:
    account = people.accounts.of_session(people.accounts.sign_in(" Ada ", PASSWORD, HERE))
    assert account is not None
    assert account.name == "ada"


@pytest.mark.parametrize(
    "name", ["ada", "nobody", "disabled", "passwordless", "", "x" * 5000, "<img src=x>", "\0"]
)
def test_wrong_sign_ins_say_the_same_and_cost_the_same(people: People, name: str) -> None:
    people.add(disabled="annotator", passwordless="annotator")
    people.accounts.change("disabled", disabled=True, actor="test")
    bare = dataclasses.replace(people.store.account("passwordless"), password_hash=None)
    people.store.save_account(bare, op_id="bare", actor="test")
    people.passwords.checked.clear()
    with pytest.raises(WrongPassword) as error:
        people.accounts.sign_in(name, "wrong " + PASSWORD, HERE)
    assert str(error.value) == "The name or the password is wrong."
    reference = CountedPasswords()
    reference.verify(None, "x")
    assert people.passwords.checked == reference.checked, "one verification with the same settings"


def test_a_disabled_account_cannot_sign_in_with_the_right_password(people: People) -> None:
    people.accounts.change("ada", disabled=True, actor="test")
    with pytest.raises(WrongPassword):
        people.accounts.sign_in("ada", PASSWORD, HERE)


def test_disabling_ends_sessions_at_once_and_for_good(people: People) -> None:
    token = people.token("ada")
    account = people.store.account("ada")
    # by another program that knows nothing of the sessions:
    people.store.save_account(dataclasses.replace(account, disabled=True), op_id="off", actor="test")
    assert people.accounts.of_session(token) is None
    people.accounts.change("ada", disabled=False, actor="test")
    assert people.accounts.of_session(token) is None
    again = people.token("ada")
    people.accounts.change("ada", disabled=True, actor="test")
    people.accounts.change("ada", disabled=False, actor="test")
    assert people.accounts.of_session(again) is None


def test_a_new_password_ends_sessions(people: People) -> None:
    token, other = people.token("ada"), people.token("bo")
    people.accounts.change("ada", password="another " + PASSWORD, actor="test")
    assert people.accounts.of_session(token) is None
    assert people.accounts.of_session(other) is not None
    with pytest.raises(WrongPassword):
        people.accounts.sign_in("ada", PASSWORD, HERE)
    people.accounts.sign_in("ada", "another " + PASSWORD, HERE)


def test_a_new_role_counts_from_the_next_request(people: People) -> None:
    token = people.token("ada")
    people.accounts.change("ada", role="adjudicator", actor="test")
    account = people.accounts.of_session(token)
    assert account is not None
    assert account.role == "adjudicator"


def test_a_session_expires(people: People) -> None:
    token = people.token("ada")
    people.clock.pass_s(IDLE_S)
    assert people.accounts.of_session(token) is None


def test_guessing_is_slowed_down_before_any_work_is_done(people: People) -> None:
    for _ in range(RULES["pair"].free + 1):
        with pytest.raises(WrongPassword):
            people.accounts.sign_in("ada", "wrong", HERE)
    check_count = len(people.passwords.checked)
    with pytest.raises(TooManyAttempts, match="2 seconds") as error:
        people.accounts.sign_in("ada", PASSWORD, HERE)
    assert error.value.wait_s == 2
    assert len(people.passwords.checked) == check_count
    people.clock.pass_s(2)
    people.accounts.sign_in("ada", PASSWORD, HERE)


def test_the_log_tells_of_attempts_that_must_wait_once_an_address_and_wait(people: People) -> None:
    def waits(address: str, name: str = "ada") -> list[tuple[str | None, dict[str, object]]]:
        """Try five times, while none may; what the log then has more."""
        before = len(people.store.audit_entries())
        for _ in range(5):
            with pytest.raises(TooManyAttempts):
                people.accounts.sign_in(name, PASSWORD, address)
        entries = people.store.audit_entries()
        return [(entry.person, dict(entry.detail)) for entry in entries[: len(entries) - before]]

    entry = {"because": "too many attempts"}
    for number in range(RULES["address"].free + 1):
        with pytest.raises(WrongPassword):
            people.accounts.sign_in(f"nobody-{number}", "wrong", "192.0.2.1")
    assert waits("192.0.2.1") == [("ada", entry)]
    assert waits("192.0.2.1", "hunter2 as a name") == []
    people.clock.pass_s(2)
    with pytest.raises(WrongPassword):
        people.accounts.sign_in("nobody", "wrong", "192.0.2.1")
    assert waits("192.0.2.1", "hunter2 as a name") == [(None, entry)], "the next wait"


def test_many_addresses_do_not_fill_the_log(people: People) -> None:
    for number in range(RULES["name"].free + 1):
        with pytest.raises(WrongPassword):
            people.accounts.sign_in("ada", "wrong", f"198.51.100.{number}")
    before = len(people.store.audit_entries())
    for number in range(MAX_NOTED + 20):
        with pytest.raises(TooManyAttempts):
            people.accounts.sign_in("ada", "wrong", f"203.0.113.{number}")
    assert len(people.store.audit_entries()) == before + MAX_NOTED


@pytest.mark.parametrize(
    ("wait_s", "words"),
    [(0.2, "1 second"), (1, "1 second"), (1.5, "2 seconds"), (90, "90 seconds"), (121, "3 minutes")],
)
def test_the_wait_is_said_in_words(wait_s: float, words: str) -> None:
    assert str(TooManyAttempts(wait_s)) == f"Too many attempts. Try again in {words}."


def test_an_old_hash_is_made_anew(people: People) -> None:
    people.accounts._passwords = Passwords()
    assert people.store.account("ada").password_hash is not None
    token = people.accounts.sign_in("ada", PASSWORD, HERE)
    stored = people.store.account("ada").password_hash
    assert stored is not None
    assert "m=65536,t=3" in stored
    assert people.accounts.of_session(token) is not None, "the session goes by the new hash"


def test_the_first_account_is_made_once() -> None:
    people = People()
    password = people.accounts.add_first()
    assert password is not None
    assert [(account.name, account.role) for account in people.accounts.all()] == [(LOCAL, "administrator")]
    assert people.accounts.add_first() is None
    people.accounts.sign_in(LOCAL, password, HERE)


@pytest.mark.parametrize(
    "name", ["", "Ada", "a b", "-ada", "model", "import", "visitor-1", "x" * 41, "ada\n", "../x", "ä"]
)
def test_refuses_names(people: People, name: str) -> None:
    with pytest.raises(InputError, match="cannot be an account's name"):
        people.accounts.add(name, "annotator", PASSWORD, actor="test")


def test_refuses_a_second_account_of_a_name(people: People) -> None:
    with pytest.raises(InputError, match="already"):
        people.accounts.add("ada", "administrator", PASSWORD, actor="test")
    assert people.store.account("ada").role == "annotator"


def test_unknown_accounts_and_roles_are_named(people: People) -> None:
    with pytest.raises(InputError, match=r"no account 'eve'; there are: ada, bo\."):
        people.accounts.change("eve", disabled=True, actor="test")
    with pytest.raises(InputError, match="king"):
        people.accounts.change("ada", role="king", actor="test")


def test_the_store_records_who_changed_accounts(people: People) -> None:
    people.accounts.change("ada", disabled=True, actor="bo")
    with people.store.database.read() as connection:
        actors = (
            connection.exec_driver_sql("SELECT actor FROM operations WHERE kind = 'account'").scalars().all()
        )
    assert actors == ["test", "test", "bo"]
