"""The people of this installation: accounts in the store, their passwords, and their sign-ins.

The local account is the first one. While it is the only one that is enabled, a page on this machine is it
without signing in (`app.auth.users` decides where that holds).
"""

import dataclasses
import re
import threading
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from typing import Any, Protocol
from uuid import uuid4

from annotations.audit import AuditEntry
from annotations.errors import NotFound
from annotations.records import Account, Identity
from annotations.store import now_ms
from app.auth.passwords import Passwords, make_password
from app.auth.sessions import IDLE_S, KEY, Sessions, mark_of
from app.auth.sign_on import SignOnSettings, UpstreamIdentity, account_names
from app.auth.throttle import LoginThrottle
from app.auth.users import VISITOR_PREFIX
from tempo_core.errors import InputError, TempoError

LOCAL = "local"
"""The name of the first account."""
NAME_SHAPE = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
NOT_PEOPLE = ("model", "import", "original", "visitor", "sample")
"""Names that the store's records use for what nobody in particular did."""
ERASED_PREFIX = "erased-"
"""Begins the pseudonym of everybody who was erased, and no account's name."""
RESERVED = (VISITOR_PREFIX, ERASED_PREFIX)
UPSTREAM_ACTOR = "single sign-on"
"""Who makes accounts and changes roles by what an upstream says, in the store's records."""
TEMPORARY_MS = 3 * 24 * 3600 * 1000
"""How long a temporary password opens anything."""


class WrongPassword(TempoError):
    """The name or the password is wrong; nobody is told which."""


class TooManyAttempts(TempoError):
    """Sign-ins failed too often; `wait_s` more seconds must pass."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        count, unit = (-(-wait_s // 60), "minute") if wait_s > 90 else (max(1, -(-wait_s // 1)), "second")
        super().__init__(f"Too many attempts. Try again in {count:.0f} {unit}{'' if count == 1 else 's'}.")


class AccountBook(Protocol):
    """What is needed of `annotations.store.Store`."""

    def accounts(self) -> list[Account]: ...
    def account(self, name: str) -> Account: ...
    def save_account(
        self,
        account: Account,
        *,
        op_id: str,
        actor: str,
        is_same_password: bool = False,
        identity: tuple[str, str] | None = None,
    ) -> None: ...
    def link_identity(self, issuer: str, subject: str, account: str, *, op_id: str, actor: str) -> None: ...
    def identity(self, issuer: str, subject: str) -> Identity | None: ...
    def identities(self, account: str) -> list[Identity]: ...
    def record_event(
        self,
        action: str,
        *,
        actor: str | None,
        person: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None: ...
    def audit_entries(
        self,
        *,
        action: str | None = None,
        person: str | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> list[AuditEntry]: ...


class AccountService:
    """Adds and changes accounts, signs people in and out. Threads may share it."""

    def __init__(
        self,
        book: AccountBook,
        sessions: Sessions,
        *,
        passwords: Passwords | None = None,
        throttle: LoginThrottle | None = None,
        clock: Callable[[], int] = now_ms,
        sign_on: SignOnSettings | None = None,
    ) -> None:
        self.book, self.sessions, self.sign_on = book, sessions, sign_on or SignOnSettings()
        self._header_seen_ms: dict[str, int] = {}
        self._passwords, self._throttle = passwords or Passwords(), throttle or LoginThrottle()
        self._clock, self._changing = clock, threading.Lock()

    # Who there is

    def all(self) -> list[Account]:
        """Every account, by name."""
        return self.book.accounts()

    def get(self, name: str) -> Account:
        """The account. Raises InputError when there is none."""
        try:
            return self.book.account(name)
        except NotFound:
            names = ", ".join(account.name for account in self.all()) or "none"
            raise InputError(f"There is no account {name!r}; there are: {names}.") from None

    # Changing accounts

    def add(self, name: str, role: str, password: str, *, actor: str) -> Account:
        """A new account. Raises InputError for a name that is taken or cannot be one, or a bad password."""
        check_name(name)
        with self._changing:
            if any(account.name == name for account in self.all()):
                raise InputError(f"There is an account {name!r} already. Choose another name.")
            account = Account(
                name=name,
                role=role,
                password_hash=self._passwords.hash(password),
                disabled=False,
                created_at_ms=self._clock(),
            )
            self._save(account, actor)
        return account

    def add_first(self) -> str | None:
        """Make the local account if there is no account at all; its password, which is nowhere else."""
        if self.all():
            return None
        password = make_password()
        self.add(LOCAL, "administrator", password, actor=LOCAL)
        return password

    def change(
        self,
        name: str,
        *,
        actor: str,
        role: str | None = None,
        disabled: bool | None = None,
        password: str | None = None,
        expires_at_ms: int | None = None,
    ) -> Account:
        """Change what is given. Disabling and a new password end the account's sessions. A password that expires is
        a temporary one, which must be changed before anything else. Raises InputError.
        """
        values: dict[str, Any] = {"role": role, "disabled": disabled}
        changes = {key: value for key, value in values.items() if value is not None}
        if password is not None:
            changes |= {
                "password_hash": self._passwords.hash(password),
                "password_expires_at_ms": expires_at_ms,
            }
        with self._changing:
            account = dataclasses.replace(self.get(name), **changes)
            self._save(account, actor)
        if disabled or password is not None:
            self.sessions.end_all(name)
        return account

    def reset_password(self, name: str, *, actor: str) -> str:
        """A temporary password, which is nowhere else; the account's sessions end. Raises InputError."""
        password = make_password()
        self.change(name, password=password, expires_at_ms=self._clock() + TEMPORARY_MS, actor=actor)
        return password

    def change_own_password(
        self, name: str, present: str, new: str, *, address: str, browser: str = ""
    ) -> str:
        """Set a person's new password; the token of a new session, as all of theirs end.

        Guesses of the present password count as those at sign-in. `browser` is the family. Raises WrongPassword,
        TooManyAttempts, and InputError for a new password that breaks a rule.
        """
        wait_s = self._throttle.attempt(name, address, None)
        if wait_s > 0:
            raise self._too_many_attempts(name, address, wait_s, actor=name, at="password change")
        if not self._passwords.verify(self.get(name).password_hash, present):
            self.book.record_event(
                "sign-in refused", actor=name, person=name, detail={"at": "password change"}
            )
            raise WrongPassword("The present password is wrong; nothing was changed.")
        self._throttle.succeeded(name, address, None)
        if new == present:
            raise InputError("The new password is the present one. Choose another.")
        account = self.change(name, password=new, actor=name)
        return self.sessions.start(name, mark_of(account.password_hash), browser)

    def _save(self, account: Account, actor: str) -> None:
        self.book.save_account(account, op_id=str(uuid4()), actor=actor)

    # Signing in and out

    def sign_in(
        self, name: str, password: str, address: str, browser_token: str = "", browser: str = ""
    ) -> str:
        """A new session's token. Takes as long for a name that does not exist.

        `browser_token` is what `remember_browser` gave this browser, if it did; `browser` is its family. Raises
        WrongPassword, TooManyAttempts. Takes a tenth of a second of work: not for an event loop.
        """
        name = name.strip().lower()[:64]
        known_browser = browser_token if self.sessions.knows_browser(browser_token, name) else None
        wait_s = self._throttle.attempt(name, address, known_browser)
        if wait_s > 0:
            raise self._too_many_attempts(name, address, wait_s, actor=None)
        account = next((a for a in self.all() if a.name == name and not a.disabled), None)
        hashed = account.password_hash if account is not None else None
        is_right = self._passwords.verify(hashed, password)
        expires_at_ms = account.password_expires_at_ms if account is not None else None
        is_expired = expires_at_ms is not None and self._clock() >= expires_at_ms
        if not is_right or is_expired or account is None:
            # What was typed as a name may be a password: only names of accounts are logged.
            person = None if account is None else account.name
            self.book.record_event("sign-in refused", actor=None, person=person)
            raise WrongPassword("The name or the password is wrong.")
        self._throttle.succeeded(name, address, known_browser)
        if hashed is not None and self._passwords.is_outdated(hashed):
            hashed = self._passwords.hash(password)
            rehashed = dataclasses.replace(account, password_hash=hashed)
            self.book.save_account(rehashed, op_id=str(uuid4()), actor=name, is_same_password=True)
        self.book.record_event("signed in", actor=name, person=name, detail={"by": "password"})
        return self.sessions.start(name, mark_of(hashed), browser)

    def _too_many_attempts(
        self, name: str, address: str, wait_s: float, *, actor: str | None, **detail: str
    ) -> TooManyAttempts:
        """The error, which the audit log tells once for an address and a wait."""
        if self._throttle.is_to_be_noted(address, wait_s):
            person = next((account.name for account in self.all() if account.name == name), None)
            detail["because"] = "too many attempts"
            self.book.record_event("sign-in refused", actor=actor, person=person, detail=detail)
        return TooManyAttempts(wait_s)

    def of_identity(self, identity: UpstreamIdentity) -> Account | None:
        """The account of somebody whom an upstream vouches for, with the role that their groups bring; made at their
        first sign-in. None when it is disabled.
        """
        role = self.sign_on.role_of(identity.groups)
        link = self.book.identity(identity.issuer, identity.subject)
        if link is None:
            with self._changing:
                link = self.book.identity(identity.issuer, identity.subject)  # two requests may come at once
                if link is None:
                    names = {account.name for account in self.all()}
                    name = next(name for name in account_names(identity.name) if is_free(name, names))
                    account = Account(
                        name=name,
                        role=role or self.sign_on.first_role,
                        password_hash=None,
                        disabled=False,
                        created_at_ms=self._clock(),
                    )
                    self.book.save_account(
                        account,
                        op_id=str(uuid4()),
                        actor=UPSTREAM_ACTOR,
                        identity=(identity.issuer, identity.subject),
                    )
                    return account
        account = self.get(link.account)
        if account.disabled:
            return None
        return (
            account
            if role in (None, account.role)
            else self.change(account.name, role=role, actor=UPSTREAM_ACTOR)
        )

    def sign_in_by(self, identity: UpstreamIdentity, browser: str = "") -> str:
        """A new session's token for somebody whom a provider vouches for. Raises WrongPassword for whoever is disabled
        here.
        """
        account = self.of_identity(identity)
        detail = {"by": "OpenID Connect"}
        if account is None:
            link = self.book.identity(identity.issuer, identity.subject)
            person = None if link is None else link.account
            self.book.record_event("sign-in refused", actor=None, person=person, detail=detail)
            raise WrongPassword("Your account is disabled here. Ask whoever runs this app.")
        self.book.record_event("signed in", actor=account.name, person=account.name, detail=detail)
        return self.sessions.start(account.name, mark_of(account.password_hash), browser)

    def of_header(self, identity: UpstreamIdentity) -> Account | None:
        """As `of_identity`, for each request behind a proxy; a sign-in is logged after `IDLE_S` without one."""
        account = self.of_identity(identity)
        if account is not None:
            now_ms, name = self._clock(), account.name
            if now_ms - self._header_seen_ms.get(name, -IDLE_S * 1000) >= IDLE_S * 1000:
                self.book.record_event("signed in", actor=name, person=name, detail={"by": "header"})
            self._header_seen_ms[name] = now_ms
        return account

    def link(self, issuer: str, subject: str, name: str, *, actor: str) -> None:
        """Let whom an upstream calls `subject` sign in to an account that is there. Raises InputError."""
        self.get(name)
        self.book.link_identity(issuer, subject, name, op_id=str(uuid4()), actor=actor)

    def issue_key(self, name: str, *, actor: str) -> str:
        """A session's token for a program, which sends it as `Authorization: Bearer`. It ends as a browser's does.

        Raises InputError for an account that is not there or may not sign in.
        """
        account = self.get(name)
        if account.disabled:
            raise InputError(f"The account {name!r} is disabled. Enable it first.")
        if account.password_expires_at_ms is not None:
            raise InputError(f"{name!r} has a temporary password. They must sign in and change it first.")
        self.book.record_event("key issued", actor=actor, person=name)
        return self.sessions.start(account.name, mark_of(account.password_hash), KEY)

    def revoke(self, name: str, session_id: str | None = None, *, actor: str, but: str | None = None) -> int:
        """End one session of an account, or all, but that of the token `but`; how many ended. Raises InputError for
        one that is not there.
        """
        self.get(name)
        if session_id is None:
            count = self.sessions.end_all(name, but=but)
        elif self.sessions.revoke(name, session_id):
            count = 1
        else:
            raise InputError(
                f"{name} has no session {session_id[:40]!r}: it may have ended. List them again."
            )
        if count:
            self.book.record_event("sessions ended", actor=actor, person=name, detail={"sessions": count})
        return count

    def remember_browser(self, name: str) -> str:
        """A token that lets a browser which signed in under this name do so again whatever others guess."""
        return self.sessions.remember_browser(name.strip().lower()[:64])

    def sign_out(self, token: str) -> None:
        """End the session of this token."""
        session = self.sessions.find(token, counts_as_use=False)
        self.sessions.end(token)
        if session is not None:
            self.book.record_event("signed out", actor=session.account, person=session.account)

    def of_session(self, token: str, *, counts_as_use: bool = True) -> Account | None:
        """The account whose session this token is; None when it ended, or the account may not sign in."""
        session = self.sessions.find(token, counts_as_use=counts_as_use)
        if session is None:
            return None
        account: Account | None = None
        with suppress(NotFound):
            account = self.book.account(session.account)
        if account is None or account.disabled or mark_of(account.password_hash) != session.password_mark:
            self.sessions.end(token)
            return None
        return account


def is_free(name: str, names: Container[str]) -> bool:
    """Whether an account may be called that, and none is."""
    is_name = NAME_SHAPE.fullmatch(name) and name not in NOT_PEOPLE and not name.startswith(RESERVED)
    return bool(is_name) and name not in names


def check_name(name: str) -> None:
    """Raise InputError unless an account may be called that."""
    if not is_free(name, ()):
        raise InputError(
            f"{name!r} cannot be an account's name. Use 1 to 40 of a-z, 0-9, '.', '_' and '-', beginning with "
            f"a letter or digit, and none of {', '.join(NOT_PEOPLE)}."
        )
