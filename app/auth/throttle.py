"""Slows guessing down: after some failed sign-ins every further one has to wait, each time longer.

Counted for the name together with the address, for the name alone and for the address alone. What other people's
guesses can do is bounded. A browser that signed in under the name before is counted by itself (OWASP's "device
cookie"), so that nobody else's guesses close it. Any other browser is told to wait SHARED_WAIT_S at most for guesses
at the same name, or from the same address.
"""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_KEYS = 20_000
"""Names and addresses remembered; the one that was quiet longest is forgotten first."""


SHARED_WAIT_S = 60.0
"""The longest wait that guesses of others bring: at the same name from elsewhere, or at any name from the same address,
which everybody behind one router or one unnamed proxy shares."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """How many failures one kind of key may have, and how long it then waits."""

    free: int
    """Failures in a row that cost nothing."""
    first_wait_s: float = 2.0
    """Wait after the next one; doubled by each further one."""
    longest_wait_s: float = 300.0
    forget_after_s: float = 3600.0
    """Quiet time after which a key starts afresh."""


RULES = {
    "pair": Rule(free=5),
    "browser": Rule(free=5),
    "name": Rule(free=30, longest_wait_s=SHARED_WAIT_S),
    "address": Rule(free=20, longest_wait_s=SHARED_WAIT_S),
}


@dataclass(slots=True)
class _Count:
    failures: int = 0
    last_at_s: float = 0.0
    closed_until_s: float = 0.0


MAX_NOTED = 100
"""Addresses whose refusals are noted at the same time: many addresses must not fill the log either."""


class LoginThrottle:
    """Counts in memory: a restart forgives. Threads may share it."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._counts: OrderedDict[tuple[str, ...], _Count] = OrderedDict()
        self._noted_until_s: dict[str, float] = {}
        """By address, of those who were told to wait."""

    def attempt(self, name: str, address: str, browser: str | None = None) -> float:
        """Seconds that this attempt must wait; 0 lets it in and counts it as a failure until `succeeded`.

        `browser` names a browser that signed in under this name before, and only such a one.
        Counting comes first, so that attempts side by side cannot slip through together.
        """
        with self._lock:
            now_s = self._clock()
            counts = {key: self._count(key, now_s) for key in _keys(name, address, browser)}
            wait_s = max(count.closed_until_s for count in counts.values()) - now_s
            if wait_s > 0:
                return wait_s
            for (kind, *_), count in counts.items():
                rule = RULES[kind]
                count.failures += 1
                count.last_at_s = now_s
                excess = count.failures - rule.free
                if excess > 0:
                    wait_s = rule.first_wait_s * 2.0 ** min(excess - 1, 30)
                    count.closed_until_s = now_s + min(wait_s, rule.longest_wait_s)
            return 0.0

    def is_to_be_noted(self, address: str, wait_s: float) -> bool:
        """Whether an attempt that must wait is the first one from its address to be refused until then, and not more
        than MAX_NOTED addresses were at the same time.
        """
        network = network_of(address)
        with self._lock:
            now_s = self._clock()
            self._noted_until_s = {key: end_s for key, end_s in self._noted_until_s.items() if end_s > now_s}
            if network in self._noted_until_s or len(self._noted_until_s) >= MAX_NOTED:
                return False
            self._noted_until_s[network] = now_s + wait_s
            return True

    def succeeded(self, name: str, address: str, browser: str | None = None) -> None:
        """Take the attempt back: the password was right. The name starts afresh; of the address only this
        attempt is forgiven, as it may hold a guesser who has an account too.
        """
        with self._lock:
            for kind, *rest in _keys(name, address, browser):
                count = self._counts.get((kind, *rest))
                if count is not None:
                    count.failures = max(0, count.failures - 1) if kind == "address" else 0
                    count.closed_until_s = 0.0

    def _count(self, key: tuple[str, ...], now_s: float) -> _Count:
        count = self._counts.setdefault(key, _Count())
        self._counts.move_to_end(key)
        while len(self._counts) > MAX_KEYS:
            self._counts.popitem(last=False)
        if now_s - count.last_at_s > RULES[key[0]].forget_after_s:
            count.failures, count.closed_until_s = 0, 0.0
        return count


def _keys(name: str, address: str, browser: str | None) -> list[tuple[str, ...]]:
    if browser is not None:
        return [("browser", name, browser)]
    network = network_of(address)
    return [("pair", name, network), ("name", name), ("address", network)]


def network_of(address: str) -> str:
    """What one person commands: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
