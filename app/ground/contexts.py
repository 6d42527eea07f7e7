"""Video contexts between questions: each belongs to whoever asked, expires, and is one of a few.

A context holds the model's key-value cache of a whole video, hence the small caps.
"""

import secrets
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from tempo_core.errors import InputError


class ContextGone(InputError):
    """The context expired, was pushed out, or belongs to somebody else."""


@dataclass(kw_only=True, slots=True)
class StoredContext:
    """A context and what it was made from."""

    id: str
    owner: str
    clip_id: str
    key: Hashable
    """Clip and settings: an equal key may reuse this context."""
    context: Any
    used_at_s: float


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
        self._contexts: dict[str, StoredContext] = {}
        self._lock = threading.Lock()

    def add(self, owner: str, clip_id: str, key: Hashable, context: Any) -> StoredContext:
        """Keep a context for its owner; the least recently used make room."""
        stored = StoredContext(
            id=secrets.token_urlsafe(16),
            owner=owner,
            clip_id=clip_id,
            key=key,
            context=context,
            used_at_s=self._clock(),
        )
        with self._lock:
            oldest_first = sorted([*self._contexts.values(), stored], key=lambda context: context.used_at_s)
            own = [context for context in oldest_first if context.owner == owner]
            surplus = {context.id for context in own[: -self.per_owner]}
            fitting = [context for context in oldest_first if context.id not in surplus][-self.limit :]
            self._contexts = {context.id: context for context in fitting}
        return stored

    def get(self, owner: str, context_id: str) -> StoredContext:
        """The owner's context. Raises ContextGone; another owner's id is treated like an unknown one."""
        self.sweep()
        with self._lock:
            stored = self._contexts.get(context_id)
            if stored is None or stored.owner != owner:
                raise ContextGone(
                    "This clip's context is no longer kept. Ask with the clip itself and it is read again."
                )
            stored.used_at_s = self._clock()
            return stored

    def find(self, owner: str, key: Hashable) -> StoredContext | None:
        """The owner's context made from an equal clip and settings, if it is still kept."""
        self.sweep()
        with self._lock:
            return next((c for c in self._contexts.values() if c.owner == owner and c.key == key), None)

    def drop(self, owner: str, context_id: str) -> None:
        """Forget the owner's context, if it is still kept."""
        with self._lock:
            stored = self._contexts.get(context_id)
            if stored is not None and stored.owner == owner:
                del self._contexts[context_id]

    def forget(self, model_id: str) -> None:
        """Forget what a model has seen, which no other model can use."""
        with self._lock:
            self._contexts = {
                key: stored for key, stored in self._contexts.items() if stored.context.model_id != model_id
            }

    def make_room(self, n_bytes: int) -> bool:
        """Forget the least recently used until so many bytes are free; False, and all stay, where that is more than
        there is."""
        with self._lock:
            oldest_first = sorted(self._contexts.values(), key=lambda stored: stored.used_at_s)
            forgotten: list[str] = []
            for stored in oldest_first:
                if n_bytes <= 0:
                    break
                n_bytes -= stored.context.cache_bytes()
                forgotten.append(stored.id)
            if n_bytes > 0:
                return False
            for context_id in forgotten:
                del self._contexts[context_id]
            return True

    def sweep(self) -> None:
        """Forget what nobody used for `ttl_s` seconds."""
        oldest_s = self._clock() - self.ttl_s
        with self._lock:
            self._contexts = {
                key: stored for key, stored in self._contexts.items() if stored.used_at_s >= oldest_s
            }

    def __len__(self) -> int:
        return len(self._contexts)
