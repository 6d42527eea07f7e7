"""Hashes, rules and made-up passwords."""

import threading
import time

import pytest

from app.auth import passwords as module
from app.auth.passwords import Passwords, check_password, make_password
from tempo_core.errors import InputError
from tests.app.people import PASSWORD, CountedPasswords


def test_the_product_hashes_with_argon2id_as_rfc_9106_recommends() -> None:
    hashed = Passwords().hash(PASSWORD)
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert PASSWORD not in hashed


def test_knows_the_right_one_from_others() -> None:
    passwords = CountedPasswords()
    hashed = passwords.hash(PASSWORD)
    assert passwords.verify(hashed, PASSWORD)
    for wrong in ("", PASSWORD + " ", PASSWORD.upper(), "x" * 5000):
        assert not passwords.verify(hashed, wrong)
    assert hashed != passwords.hash(PASSWORD), "each has a salt of its own"


def test_accents_may_be_typed_either_way() -> None:
    passwords = CountedPasswords()
    assert passwords.verify(passwords.hash("na\u00efve old caf\u00e9s"), "nai\u0308ve old cafe\u0301s")


@pytest.mark.parametrize("hashed", [None, "", "not a hash", "$argon2id$broken"])
def test_without_a_readable_hash_nothing_is_right(hashed: str | None) -> None:
    assert not CountedPasswords().verify(hashed, PASSWORD)


def test_without_a_hash_the_same_work_is_done() -> None:
    passwords = CountedPasswords()
    hashed = passwords.hash(PASSWORD)
    passwords.verify(hashed, "wrong")
    passwords.verify(None, "wrong")
    assert len(passwords.checked) == 2
    assert len(set(passwords.checked)) == 1, "same settings"


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("short", "12 to 1024"),
        ("x" * 1025, "has 1025"),
        ("twelve\nletters", "control"),
        ("\ud800" * 12, "broken"),
    ],
)
def test_refuses_bad_passwords(password: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_password(password)


def test_made_up_ones_are_allowed_and_differ() -> None:
    passwords = {make_password() for _ in range(50)}
    assert len(passwords) == 50
    for password in passwords:
        check_password(password)
        assert set(password) <= set(module.LETTERS) | {"-"}


def test_only_two_are_worked_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = CountedPasswords()
    running, most, lock = 0, 0, threading.Lock()
    together = threading.Barrier(module.MAX_PARALLEL_HASHES)

    def slow(*_: object) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(300)  # for as many as may be; then a while, in which more would come
        time.sleep(0.02)
        with lock:
            running -= 1
        return True

    monkeypatch.setattr(passwords._hasher, "verify", slow)
    threads = [threading.Thread(target=passwords.verify, args=("x", PASSWORD)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == module.MAX_PARALLEL_HASHES


def test_an_old_hash_is_recognised() -> None:
    assert Passwords().is_outdated(CountedPasswords().hash(PASSWORD))
