"""Counts in sentences."""


def plural(count: int, one: str, many: str = "") -> str:
    """A count and what it counts: "1 row", "1,200 rows". `many` where an s does not make it: "queries"."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
