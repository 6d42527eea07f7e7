"""Accounts for tests: members in memory, with passwords that are hashed cheaply, and a clock to turn."""

from dataclasses import dataclass, field
from typing import Literal

from argon2 import PasswordHasher

from annotations.store import Store
from app.auth.accounts import AccountService
from app.auth.passwords import Passwords
from app.auth.sessions import Sessions
from app.auth.sign_on import SignOnSettings
from app.auth.throttle import LoginThrottle

PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now_s: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds


class CheapHasher(PasswordHasher):
    """Quick hashes; remembers the settings of each hash that a password was held against."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.checked: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        text = hash if isinstance(hash, str) else hash.decode()
        self.checked.append(text.rsplit("$", 2)[0])
        return super().verify(hash, password)


class CountedPasswords(Passwords):
    """Passwords with cheap hashes, whose verifications are counted."""

    def __init__(self) -> None:
        self.hasher = CheapHasher()
        super().__init__(self.hasher)

    @property
    def checked(self) -> list[str]:
        return self.hasher.checked


@dataclass
class People:
    """Everybody, and what they are kept in."""

    store: Store = field(default_factory=lambda: Store(":memory:"))
    clock: Clock = field(default_factory=Clock)
    passwords: CountedPasswords = field(default_factory=CountedPasswords)
    sign_on: SignOnSettings = field(default_factory=SignOnSettings)
    accounts: AccountService = field(init=False)

    def __post_init__(self) -> None:
        sessions = Sessions(clock=self.clock)
        throttle = LoginThrottle(clock=self.clock)
        self.accounts = AccountService(
            self.store, sessions, passwords=self.passwords, throttle=throttle, sign_on=self.sign_on
        )

    def add(self, **roles: str) -> "People":
        """`add(ada="annotator")`: accounts whose password is PASSWORD."""
        for name, role in roles.items():
            self.accounts.add(name, role, PASSWORD, actor="test")
        return self

    def token(self, name: str) -> str:
        """A fresh session of this account."""
        return self.accounts.sign_in(name, PASSWORD, "192.0.2.1")
