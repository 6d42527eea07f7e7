"""Guessing gets slow; everybody else hardly notices."""

import threading

import pytest

from app.auth import throttle as module
from app.auth.throttle import RULES, LoginThrottle, network_of
from tests.app.people import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> LoginThrottle:
    return LoginThrottle(clock=clock)


def guesses_in(throttle: LoginThrottle, clock: Clock, seconds: float, name: str, *addresses: str) -> int:
    """How many guesses get in within this time when somebody tries as often as they may."""
    end_s, tries = clock.now_s + seconds, 0
    while clock.now_s < end_s:
        waits = [throttle.attempt(name, address) for address in addresses]
        tries += waits.count(0.0)
        clock.pass_s(1.0 if 0.0 in waits else min(waits))
    return tries


def test_a_few_mistakes_cost_nothing_then_each_wait_is_longer(throttle: LoginThrottle, clock: Clock) -> None:
    for _ in range(RULES["pair"].free):
        assert throttle.attempt("ada", "192.0.2.1") == 0
    waits = []
    for _ in range(10):
        assert throttle.attempt("ada", "192.0.2.1") == 0
        wait_s = throttle.attempt("ada", "192.0.2.1")
        waits.append(wait_s)
        clock.pass_s(wait_s)
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_waiting_attempts_do_not_make_it_longer(throttle: LoginThrottle, clock: Clock) -> None:
    for _ in range(6):
        throttle.attempt("ada", "192.0.2.1")
    waits = [throttle.attempt("ada", "192.0.2.1") for _ in range(5)]
    assert waits == [2.0] * 5


def test_one_address_gets_few_guesses_a_day(throttle: LoginThrottle, clock: Clock) -> None:
    assert guesses_in(throttle, clock, 24 * 3600, "ada", "192.0.2.1") < 400


@pytest.mark.slow
def test_many_addresses_get_few_guesses_at_one_name(throttle: LoginThrottle, clock: Clock) -> None:
    addresses = [f"192.0.2.{number}" for number in range(250)]
    assert guesses_in(throttle, clock, 24 * 3600, "ada", *addresses) < 1600


def test_one_address_cannot_try_one_password_on_everybody(throttle: LoginThrottle, clock: Clock) -> None:
    waits = [throttle.attempt(f"name{number}", "192.0.2.1") for number in range(100)]
    assert waits.count(0) == RULES["address"].free + 1


def test_a_stranger_keeps_a_colleague_out_for_a_minute_at_most(throttle: LoginThrottle, clock: Clock) -> None:
    guesses_in(throttle, clock, 3600, "ada", *[f"192.0.2.{number}" for number in range(50)])
    assert throttle.attempt("ada", "198.51.100.7") <= 60


def test_nobody_elses_guesses_close_a_browser_that_signed_in_before(
    throttle: LoginThrottle, clock: Clock
) -> None:
    for number in range(200):
        throttle.attempt("ada", f"192.0.2.{number}")
        throttle.attempt(f"name{number}", "192.0.2.1")
    assert throttle.attempt("ada", "192.0.2.1") > 0
    assert throttle.attempt("ada", "192.0.2.1", "browser of ada") == 0
    assert [throttle.attempt("ada", "192.0.2.1", "browser of ada") for _ in range(6)] == [0, 0, 0, 0, 0, 2]


def test_guesses_at_other_names_keep_an_address_waiting_for_a_minute_at_most(
    throttle: LoginThrottle, clock: Clock
) -> None:
    for number in range(2000):
        clock.pass_s(throttle.attempt(f"name{number}", "192.0.2.1"))
        throttle.attempt(f"name{number}", "192.0.2.1")
        assert throttle.attempt("ada", "192.0.2.1") <= 60


def test_success_forgives_the_name_and_one_attempt_of_the_address(
    throttle: LoginThrottle, clock: Clock
) -> None:
    for _ in range(5):
        throttle.attempt("ada", "192.0.2.1")
    assert throttle.attempt("ada", "192.0.2.1") == 0
    throttle.succeeded("ada", "192.0.2.1")
    assert [throttle.attempt("ada", "192.0.2.1") for _ in range(5)] == [0.0] * 5


def test_a_guesser_with_an_account_gains_nothing_by_signing_in(throttle: LoginThrottle, clock: Clock) -> None:
    inside = 0
    for number in range(200):
        inside += throttle.attempt(f"name{number}", "192.0.2.1") == 0
        if throttle.attempt("mallory", "192.0.2.1") == 0:
            throttle.succeeded("mallory", "192.0.2.1")
    assert inside <= RULES["address"].free + 1


def test_a_quiet_hour_forgives(throttle: LoginThrottle, clock: Clock) -> None:
    for _ in range(6):
        throttle.attempt("ada", "192.0.2.1")
    clock.pass_s(RULES["pair"].forget_after_s + 1)
    assert [throttle.attempt("ada", "192.0.2.1") for _ in range(5)] == [0.0] * 5


def test_attempts_side_by_side_do_not_slip_through() -> None:
    throttle, inside, lock = LoginThrottle(clock=lambda: 0.0), 0, threading.Lock()
    start = threading.Barrier(30)

    def attempt() -> None:
        nonlocal inside
        start.wait()
        waited_s = throttle.attempt("ada", "192.0.2.1")
        with lock:
            inside += waited_s <= 0

    threads = [threading.Thread(target=attempt) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == RULES["pair"].free + 1


def test_memory_is_bounded(throttle: LoginThrottle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 30)
    for number in range(500):
        throttle.attempt(f"name{number}", f"192.0.2.{number % 250}")
    assert len(throttle._counts) <= 30


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
        ("testclient", "testclient"),
    ],
)
def test_what_one_person_commands(address: str, network: str) -> None:
    assert network_of(address) == network
