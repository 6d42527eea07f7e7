"""Rules that several parts of a timeline's value share. InputErrors name field, rule and value."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tempo_core.errors import InputError


def check_number(
    name: str, number: Any, *, above: float | None = None, at_most: float | None = None, whole: bool = False
) -> None:
    """A finite number of 0 or more; greater than `above`, not greater than `at_most`, and whole where said."""
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise InputError(f"{name} must be a finite number; got {str(number)[:40]!r}.")
    if number < 0 or (above is not None and number <= above):
        raise InputError(f"{name} must be {'above' if above is not None else 'at least'} 0; got {number}.")
    if at_most is not None and number > at_most:
        raise InputError(f"{name} must be at most {at_most:g}; got {number}.")
    if whole and type(number) is not int:
        raise InputError(f"{name} must be a whole number; got {number}.")


def check_times(name: str, times: Sequence[Any]) -> None:
    """Numbers, each greater than the one before."""
    for idx, time in enumerate(times):
        check_number(f"{name}[{idx}]", time)
    if any(b <= a for a, b in itertools.pairwise(times)):
        raise InputError(f"{name} must be strictly increasing.")


def check_object(name: str, given: Any, keys: Sequence[str]) -> None:
    """A mapping that has at least these keys."""
    if not isinstance(given, Mapping):
        raise InputError(f"{name} must be an object; got {type(given).__name__}.")
    missing = sorted(set(keys) - set(given))
    if missing:
        raise InputError(f"{name} lacks {', '.join(missing)}.")


def check_kind(name: str, given: Any, *kinds: type) -> None:
    """A value of exactly one of these types, so that True is no number."""
    if type(given) not in kinds:
        names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise InputError(f"{name} must be {names}; got {str(given)[:40]!r}.")
