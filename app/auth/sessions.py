"""Sessions: who signed in from which browser, in a small SQLite file of the app's own.

A session is a random token that only the browser keeps; the file holds its SHA-256. It ends after `IDLE_S`
without use, `LONGEST_S` after sign-in whatever happens, and when somebody signs out, the account is disabled
or its password changes. Why the file is not the store: docs/decisions/0013-accounts.md.
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

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
  token_sha256 TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  password_mark TEXT NOT NULL,
  started_at_s REAL NOT NULL,
  used_at_s REAL NOT NULL
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

    account: str
    password_mark: str
    """Which password was used, as `mark_of` writes it; another one ends the session."""


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
        self._db.execute(_SCHEMA)
        self._db.execute(_BROWSERS_SCHEMA)

    def start(self, account: str, password_mark: str) -> str:
        """Begin a session; the token to hand to the browser, which exists nowhere else."""
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
            row = (_digest(token), account, password_mark, now_s, now_s)
            self._db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", row)
        return token

    def find(self, token: str) -> Session | None:
        """The session of a token that is still good, which counts as use; else None."""
        if not TOKEN_SHAPE.fullmatch(token):
            return None
        now_s, key = self._clock(), _digest(token)
        with self._lock:
            row = self._db.execute(
                "SELECT account, password_mark, started_at_s, used_at_s FROM sessions WHERE token_sha256 = ?",
                (key,),
            ).fetchone()
            if row is None:
                return None
            account, password_mark, started_at_s, used_at_s = row
            if now_s >= min(started_at_s + LONGEST_S, used_at_s + IDLE_S):
                self._db.execute("DELETE FROM sessions WHERE token_sha256 = ?", (key,))
                return None
            if now_s >= used_at_s + USE_RESOLUTION_S:
                # On a full disk the session goes on, and only looks less used than it is.
                with suppress(sqlite3.OperationalError):
                    self._db.execute("UPDATE sessions SET used_at_s = ? WHERE token_sha256 = ?", (now_s, key))
        return Session(account=account, password_mark=password_mark)

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

    def end_all(self, account: str) -> int:
        """Sign an account out everywhere and forget its browsers; how many sessions ended."""
        with self._lock:
            self._db.execute("DELETE FROM browsers WHERE account = ?", (account,))
            return self._db.execute("DELETE FROM sessions WHERE account = ?", (account,)).rowcount

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def mark_of(password_hash: str | None) -> str:
    """A short fingerprint of a password's hash."""
    return hashlib.sha256((password_hash or "").encode()).hexdigest()[:16]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
