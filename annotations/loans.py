"""How long a row stays on loan, measured without the time of day.

A loan is known by the operation that lent the row, so that every lending has another name. Each lender measures on
its own monotonic clock how long it has seen a loan unchanged, and ends it after the lease. A clock that is set back
or forward moves nothing, and several servers on one database need not agree on the time. A server that starts gives
every loan that it meets a whole lease more. Locks of the Amazon DynamoDB Lock Client end by the same rule ("How we
handle clock skew", https://github.com/awslabs/amazon-dynamodb-lock-client).
"""

from collections.abc import Callable, Iterable


class LoanTimer:
    """One lender's view of the loans. Its caller lets one lending at a time in."""

    def __init__(self, timer: Callable[[], float]) -> None:
        """`timer` gives seconds that never go back, as `time.monotonic` does."""
        self._timer = timer
        self._first_seen_s: dict[str, float] = {}

    def begin(self, loan: str) -> None:
        """Measure a loan from now on, rather than from the next look."""
        self._first_seen_s[loan] = self._timer()

    def overdue(self, loans: Iterable[str], lease_s: float) -> list[str]:
        """Those of all present loans that have lasted `lease_s` seconds."""
        now_s = self._timer()
        self._first_seen_s = {loan: self._first_seen_s.get(loan, now_s) for loan in loans}
        return [loan for loan, first_s in self._first_seen_s.items() if now_s - first_s >= lease_s]
