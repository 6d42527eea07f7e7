"""Passwords: argon2id hashes (argon2-cffi with RFC 9106's settings for little memory), rules, and random ones."""

import secrets
import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tempo_core.errors import InputError

MIN_LENGTH, MAX_LENGTH = 12, 1024
"""Characters that a password may have; length is the only rule that helps."""
MAX_PARALLEL_HASHES = 2
"""Hashes worked out side by side: each takes 64 MiB, and everybody who can reach the page can ask for one."""
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of random passwords: nothing that looks like something else."""


class Passwords:
    """Makes and checks hashes. Checking takes as long without a hash as with one. Threads may share it."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._decoy = self._hasher.hash(secrets.token_hex())
        self._slots = threading.BoundedSemaphore(MAX_PARALLEL_HASHES)

    def hash(self, password: str) -> str:
        """The text that is stored. Raises InputError for a password that breaks the rules."""
        check_password(password)
        with self._slots:
            return self._hasher.hash(_canonical(password))

    def verify(self, hashed: str | None, password: str) -> bool:
        """Whether the password is the one that was hashed; with None the work is done all the same, in vain."""
        # Longer than allowed is cut, so that hashing it costs no more.
        typed = _canonical(password[: MAX_LENGTH + 1])
        with self._slots:
            try:
                right = self._hasher.verify(hashed or self._decoy, typed)
            except (VerificationError, InvalidHashError):
                return False
        return right and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether the hash was made with other settings than today's."""
        return self._hasher.check_needs_rehash(hashed)


def check_password(password: str) -> None:
    """Raise InputError unless the password may be used."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InputError(
            f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters; this one has {len(password)}. "
            "Three or four random words make a good one."
        )
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in password):
        raise InputError("A password cannot hold control characters or broken text; type it again.")


def make_password() -> str:
    """A random password of 20 letters and digits (99 bits) in four groups."""
    groups = ("".join(secrets.choice(LETTERS) for _ in range(5)) for _ in range(4))
    return "-".join(groups)


def _canonical(password: str) -> bytes:
    """The bytes to hash: the same whichever way the keyboard composed accents."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace")
