"""Counts in sentences."""

import pytest

from tempo_core.wording import plural


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1200, "1,200 rows")]
)
def test_one_is_one(count: int, text: str) -> None:
    assert plural(count, "row") == text


def test_words_that_change_otherwise_are_given() -> None:
    assert [plural(count, "query waits", "queries wait") for count in (1, 2)] == [
        "1 query waits",
        "2 queries wait",
    ]
