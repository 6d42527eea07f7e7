"""The desk's rules about settings; its work is tested through the API and the page."""

from typing import Any

import pytest

from app.desk import Settings
from tempo_core.errors import InputError


def test_reads_a_form() -> None:
    assert Settings.read(None, None, None, None) == Settings()
    assert Settings.read(0, "uniform", "", 7) == Settings(allocator="uniform", n_best=7)
    assert Settings.read("96", "saa", "0.5", 1) == Settings(token_budget=96, step_s=0.5, n_best=1)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ((10.5, "saa", None, 5), "token budget must be a whole number"),
        (("many", "saa", None, 5), "token budget must be a number; got 'many'"),
        ((float("nan"), "saa", None, 5), "finite"),
        ((float("inf"), "saa", None, 5), "finite"),
        ((-1, "saa", None, 5), "1 or more"),
        ((None, "greedy", None, 5), "Unknown allocator 'greedy'"),
        ((None, "saa", 0.01, 5), "between 0.1 and 600"),
        ((None, "saa", None, 21), "1 to 20"),
    ],
)
def test_explains_what_cannot_be(form: tuple[Any, ...], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        Settings.read(*form)
