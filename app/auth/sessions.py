"""Sessions: who signed in from which browser, in a small SQLite file of the app's own.

A session is a random token that only the browser keeps; the file holds its SHA-256, when it began and was last
used, and the browser's family: no address, nothing else. It ends after `IDLE_S` without use, `LONGEST_S` after sign-in
whatever happens, when it is revoked, and when somebody signs out, the account is disabled or its password changes. Why
the file is not the store: docs/decisions/0013-accounts.md.
"""

import hashlib
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

IDLE_S = 12 * 3600
LONGEST_S = 7 * 24 * 3600
USE_RESOLUTION_S = 60
"""How exactly a session's last use is known; noting each request would write all day."""
PER_ACCOUNT = 20
"""Browsers signed in as one account at a time; the least recently used one goes."""
BROWSER_S = 365 * 24 * 3600
"""How long a browser is known that nobody signs in from."""
TOKEN_SHAPE = re.compile(r"[A-Za-z0-9_-]{43}")
FAMILIES = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
)
"""What a `User-Agent` holds, and the family that it means; the first that fits, because most name Safari too."""
KEY = "a program's key"
"""Stands for the browser of a session that `accounts key` began."""
ID_DIGITS = 16
"""Hexadecimal digits of a session's id."""

_COLUMNS = "token_sha256, account, password_mark, browser, started_at_s, used_at_s"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
  token_sha256 TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  password_mark TEXT NOT NULL,
  started_at_s REAL NOT NULL,
  used_at_s REAL NOT NULL,
  browser TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID
"""
_BROWSERS_SCHEMA = """
CREATE TABLE IF NOT EXISTS browsers (
  token_sha256 TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  used_at_s REAL NOT NULL
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One browser that is signed in."""

    id: str
    """Names the session to people: the first digits of its token's SHA-256. It opens nothing."""
    account: str
    password_mark: str
    """Which password was used, as `mark_of` writes it; another one ends the session."""
    browser: str
    """Its family, such as Firefox."""
    started_at_s: float
    used_at_s: float
    """Of the last use, to `USE_RESOLUTION_S`. Seconds since 1970, as the beginning."""


class Sessions:
    """The sessions in one file, or in memory. Threads may share it, and so may processes."""

    def __init__(self, path: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        if path is not None:
            path.touch(mode=0o600)
        self._clock, self._lock = clock, threading.Lock()
        self._db = sqlite3.connect(
            path or ":memory:", timeout=10, check_same_thread=False, isolation_level=None
        )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost a sign-in, nothing else
        self._db.execute("PRAGMA secure_delete = ON")  # who is erased is not found in free space either
        self._db.execute(_SCHEMA)
        self._db.execute(_BROWSERS_SCHEMA)
        if not any(column[1] == "browser" for column in self._db.execute("PRAGMA table_info(sessions)")):
            # A file of an older version; another process may be adding the column at this moment.
            with suppress(sqlite3.OperationalError):
                self._db.execute("ALTER TABLE sessions ADD COLUMN browser TEXT NOT NULL DEFAULT ''")

    def start(self, account: str, password_mark: str, browser: str = "") -> str:
        """Begin a session; the token to hand to the browser (a family), which exists nowhere else."""
        token, now_s = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._db.execute(
                "DELETE FROM sessions WHERE started_at_s <= ? OR used_at_s <= ?",
                (now_s - LONGEST_S, now_s - IDLE_S),
            )
            self._db.execute(
                "DELETE FROM sessions WHERE token_sha256 IN (SELECT token_sha256 FROM sessions "
                "WHERE account = ? ORDER BY used_at_s DESC LIMIT -1 OFFSET ?)",
                (account, PER_ACCOUNT - 1),
            )
            row = (_digest(token), account, password_mark, now_s, now_s, browser)
            self._db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)", row)
        return token

    def find(self, token: str, *, counts_as_use: bool = True) -> Session | None:
        """The session of a token that is still good; else None."""
        if not TOKEN_SHAPE.fullmatch(token):
            return None
        now_s, key = self._clock(), _digest(token)
        with self._lock:
            row = self._db.execute(
                f"SELECT {_COLUMNS} FROM sessions WHERE token_sha256 = ?", (key,)
            ).fetchone()
            if row is None:
                return None
            session = _session(row)
            if now_s >= min(session.started_at_s + LONGEST_S, session.used_at_s + IDLE_S):
                self._db.execute("DELETE FROM sessions WHERE token_sha256 = ?", (key,))
                return None
            if counts_as_use and now_s >= session.used_at_s + USE_RESOLUTION_S:
                # On a full disk the session goes on, and only looks less used than it is.
                with suppress(sqlite3.OperationalError):
                    self._db.execute("UPDATE sessions SET used_at_s = ? WHERE token_sha256 = ?", (now_s, key))
        return session

    def of_account(self, account: str | None = None) -> list[Session]:
        """The sessions of an account, or of everybody, that are still good; the last used one first."""
        now_s = self._clock()
        with self._lock:
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM sessions WHERE started_at_s > ? AND used_at_s > ? "
                "AND account = coalesce(?, account) ORDER BY used_at_s DESC, token_sha256",
                (now_s - LONGEST_S, now_s - IDLE_S, account),
            ).fetchall()
        return [_session(row) for row in rows]

    def revoke(self, account: str, session_id: str) -> bool:
        """End one session of an account by the id that `of_account` gives; False when there is none."""
        statement = "DELETE FROM sessions WHERE account = ? AND substr(token_sha256, 1, ?) = ?"
        with self._lock:
            return self._db.execute(statement, (account, ID_DIGITS, session_id)).rowcount > 0

    def end(self, token: str) -> None:
        """Sign one browser out."""
        with self._lock:
            self._db.execute("DELETE FROM sessions WHERE token_sha256 = ?", (_digest(token),))

    def remember_browser(self, account: str) -> str:
        """A token for a browser that signed in, by which the next sign-in knows it; it opens nothing."""
        token, now_s = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._db.execute("DELETE FROM browsers WHERE used_at_s <= ?", (now_s - BROWSER_S,))
            self._db.execute(
                "DELETE FROM browsers WHERE token_sha256 IN (SELECT token_sha256 FROM browsers "
                "WHERE account = ? ORDER BY used_at_s DESC LIMIT -1 OFFSET ?)",
                (account, PER_ACCOUNT - 1),
            )
            self._db.execute("INSERT INTO browsers VALUES (?, ?, ?)", (_digest(token), account, now_s))
        return token

    def knows_browser(self, token: str, account: str) -> bool:
        """Whether the account signed in from this browser before."""
        if not TOKEN_SHAPE.fullmatch(token):
            return False
        with self._lock:
            renewal = "UPDATE browsers SET used_at_s = ? WHERE token_sha256 = ? AND account = ?"
            return self._db.execute(renewal, (self._clock(), _digest(token), account)).rowcount == 1

    def end_all(self, account: str, *, but: str | None = None) -> int:
        """Sign an account out everywhere; how many sessions ended. Its browsers are forgotten, unless the session of
        the token `but` stays.
        """
        with self._lock:
            if but is not None:
                statement = "DELETE FROM sessions WHERE account = ? AND token_sha256 != ?"
                return self._db.execute(statement, (account, _digest(but))).rowcount
            self._db.execute("DELETE FROM browsers WHERE account = ?", (account,))
            return self._db.execute("DELETE FROM sessions WHERE account = ?", (account,)).rowcount

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def browser_family(user_agent: str) -> str:
    """The family of a browser by its `User-Agent`, such as Firefox; "another browser" where `FAMILIES` has none."""
    return next((family for part, family in FAMILIES if part in user_agent), "another browser")


def mark_of(password_hash: str | None) -> str:
    """A short fingerprint of a password's hash."""
    return hashlib.sha256((password_hash or "").encode()).hexdigest()[:16]


def _session(row: tuple[str, str, str, str, float, float]) -> Session:
    key, account, password_mark, browser, started_at_s, used_at_s = row
    return Session(
        id=key[:ID_DIGITS],
        account=account,
        password_mark=password_mark,
        browser=browser or "another browser",
        started_at_s=started_at_s,
        used_at_s=used_at_s,
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
