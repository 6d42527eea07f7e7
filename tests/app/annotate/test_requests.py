"""The bodies that the Annotate page sends, as pydantic checks them."""

import pytest
from pydantic import ValidationError

from app.annotate.requests import EditBody

JAVASCRIPT_MAX = 2**53 - 1
"""Number.MAX_SAFE_INTEGER: the browser holds every whole number up to here exactly."""


def test_counts_are_whole_numbers_that_a_browser_holds_exactly() -> None:
    body = EditBody(verdict="no-moment", active_ms=JAVASCRIPT_MAX, key_presses=0)
    assert (body.active_ms, body.key_presses) == (JAVASCRIPT_MAX, 0)
    for number in (-1, JAVASCRIPT_MAX + 1):
        with pytest.raises(ValidationError, match="key_presses"):
            EditBody(verdict="no-moment", key_presses=number)
