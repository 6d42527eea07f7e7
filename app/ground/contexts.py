"""Video contexts between questions: each belongs to whoever asked, expires, and is one of a few.

A context holds the model's key-value cache of a whole video, hence the small caps.
"""

import secrets
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from tempo_core.errors import InputError


class ContextGone(InputError):
    """The context expired, was pushed out, or belongs to somebody else."""


@dataclass(kw_only=True, slots=True)
class HeldContext:
    """A context and what it was made from."""

    id: str
    owner: str
    clip_id: str
    key: Hashable
    """Clip and settings: an equal key may reuse this context."""
    context: Any
    used_at_s: float = field(default=0.0)


class ContextStore:
    """A bounded store; safe to use from several threads."""

    def __init__(
        self,
        *,
        ttl_s: float = 1800.0,
        limit: int = 8,
        per_owner: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ttl_s, self.limit, self.per_owner, self._clock = ttl_s, limit, per_owner, clock
        self._held: dict[str, HeldContext] = {}
        self._lock = threading.Lock()

    def put(self, owner: str, clip_id: str, key: Hashable, context: Any) -> HeldContext:
        """Keep a context for its owner; the least recently used make room."""
        held = HeldContext(
            id=secrets.token_urlsafe(16),
            owner=owner,
            clip_id=clip_id,
            key=key,
            context=context,
            used_at_s=self._clock(),
        )
        with self._lock:
            self._held[held.id] = held
            self._trim(lambda other: other.owner == owner, self.per_owner)
            self._trim(lambda other: True, self.limit)
        return held

    def get(self, owner: str, context_id: str) -> HeldContext:
        """The owner's context. Raises ContextGone; another owner's id is treated like an unknown one."""
        self.sweep()
        with self._lock:
            held = self._held.get(context_id)
            if held is None or held.owner != owner:
                raise ContextGone(
                    "This clip's context is no longer kept. Ask with the clip itself and it is read again."
                )
            held.used_at_s = self._clock()
            return held

    def find(self, owner: str, key: Hashable) -> HeldContext | None:
        """The owner's context made from an equal clip and settings, if it is still kept."""
        self.sweep()
        with self._lock:
            return next((h for h in self._held.values() if h.owner == owner and h.key == key), None)

    def drop(self, owner: str, context_id: str) -> None:
        """Forget the owner's context, if there is such a one."""
        with self._lock:
            held = self._held.get(context_id)
            if held is not None and held.owner == owner:
                del self._held[context_id]

    def sweep(self) -> None:
        """Forget what nobody used for `ttl_s` seconds."""
        oldest_s = self._clock() - self.ttl_s
        with self._lock:
            self._held = {key: held for key, held in self._held.items() if held.used_at_s >= oldest_s}

    def _trim(self, belongs: Callable[[HeldContext], bool], limit: int) -> None:
        mine = sorted((h for h in self._held.values() if belongs(h)), key=lambda h: h.used_at_s)
        for held in mine[: max(0, len(mine) - limit)]:
            del self._held[held.id]

    def __len__(self) -> int:
        return len(self._held)
