"""The rules for one field: each function returns the value in the row's form or raises FieldError."""

import itertools
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from annotations.rows import SPLITS, VERDICTS, Split, Verdict, Windows
from tempo_core.metrics.rows import CLIP_S, FieldError

Value = TypeVar("Value")
Choice = TypeVar("Choice", bound=str)

PAST_END_S = 0.05
"""Published windows end up to 0.01 s beyond a duration that was rounded (ActivityNet Captions)."""
TOO_LARGE = 1e9
INT64 = range(-(2**63), 2**63)
"""Whole numbers that a database takes."""
MAX_DEPTH = 64
"""Lists and objects inside one another: Python's reader and whatever writes the value again go as deep by recursion."""
_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKET = re.compile(r"[^][{}]+")
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
REFUSALS = ([[0, 0]], [[-1, -1]])
"""Lists of windows that say "nothing matches" in NA-VMR's and RA-RFT's sets and in files made after them."""
LEFT_OUT = {
    "no-moment": "no matching moment, left out",
    "cannot-judge": "cannot judge, left out",
    None: "no ground truth, left out",
}
"""What an export counts for a verdict that a format has no place for."""


def strict_json(text: str) -> Any:
    """A JSON value without NaN, infinities, a name that stands twice, or more than MAX_DEPTH levels.

    Raises ValueError, RecursionError.
    """
    if text.count("[") + text.count("{") > MAX_DEPTH:
        brackets = _NO_BRACKET.sub("", _JSON_TEXT.sub("", text))
        if max(itertools.accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH:
            raise ValueError(f"it nests more than {MAX_DEPTH} levels")
    return json.loads(
        text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique_names
    )


def parse_json(text: str) -> Any:
    """The same. Raises FieldError."""
    try:
        return strict_json(text)
    except (ValueError, RecursionError) as error:
        raise FieldError("line", text, f"is not valid JSON ({error})") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return number


def _unique_names(items: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(items)
    if len(values) != len(items):
        repeated = next(name for name, count in Counter(name for name, _ in items).items() if count > 1)
        raise ValueError(f"{repeated!r} is given twice")
    return values


def required(values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise FieldError(name, None, "the field is missing; every row needs it")
    return values[name]


def optional(values: Mapping[str, Any], name: str, check: Callable[[object, str], Value]) -> Value | None:
    """The checked value of a field, or None where it is missing or null."""
    return None if values.get(name) is None else check(values[name], name)


def mapping(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FieldError(name, value, "must be a JSON object")
    return value


def sequence(value: object, name: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise FieldError(name, value, "must be a list")
    return list(value)


def text(value: object, name: str) -> str:
    """Text with at least one visible character and no half of a surrogate pair; spaces are kept."""
    if not isinstance(value, str) or not value.strip():
        raise FieldError(name, value, "must be text, and not empty")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise FieldError(name, value, "holds half of a surrogate pair, which is not a character")
    return value


def qid(value: object) -> tuple[str, bool]:
    """The id as text, and whether the source wrote a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value), True
    if isinstance(value, str) and value.strip():
        return text(value, "qid"), False
    raise FieldError("qid", value, "must be a whole number or a text that is not empty")


def qid_of_text(value: object) -> tuple[str, bool]:
    """The id where a file holds only text: digits without leading zeros are a number."""
    name = text(value, "qid")
    return name, re.fullmatch(r"-?[1-9]\d*|0", name, re.ASCII) is not None


def number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FieldError(name, value, "must be a finite number")
    # A whole number may be larger than any float, which is an OverflowError instead of an infinity.
    if abs(value) > sys.float_info.max or math.isnan(value):
        raise FieldError(name, value, "must be a finite number")
    return float(value)


def numbers(value: object, name: str) -> tuple[float, ...]:
    return tuple(number(item, name) for item in sequence(value, name))


def probability(value: object, name: str) -> float:
    share = number(value, name)
    if not 0 <= share <= 1:
        raise FieldError(name, value, "must be a probability from 0 to 1")
    return share


def whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise FieldError(name, value, "must be a whole number")
    if value not in INT64:
        raise FieldError(name, value, "must be a whole number of at most 64 bits")
    return value


def whole_number(value: object, name: str) -> int:
    """A whole number that may be written with a decimal point: 76.0."""
    return whole(int(value) if isinstance(value, float) and value.is_integer() else value, name)


def number_of_text(value: object, name: str) -> float:
    """A number, or the text of one: "25"."""
    try:
        return number(float(value) if isinstance(value, str) else value, name)
    except ValueError as error:
        raise FieldError(name, value, "must be a number") from error


def seconds_of_text(value: str, name: str) -> float:
    """Seconds as tables write them: `3`, `3.25`, `3,25`, `1:02.5`, `01:02:03.5`."""
    parts = value.strip().replace(",", ".").split(":")
    if len(parts) > 3:
        raise FieldError(name, value, "must be seconds, or HH:MM:SS")
    total = 0.0
    for part in parts:
        try:
            total = total * 60 + number_of_text(part, name)
        except FieldError as error:
            raise FieldError(name, value, error.rule) from None  # as it was given
    return total


def duration_s(value: object, name: str = "duration") -> float:
    seconds = number(value, name)
    if not 0 < seconds < TOO_LARGE:
        raise FieldError(name, value, "must be seconds above 0")
    return seconds


def choice(value: object, name: str, choices: Sequence[Choice]) -> Choice:
    """The one of the allowed words that the value is."""
    for word in choices:
        if value == word:
            return word
    raise FieldError(name, value, f"must be one of {', '.join(choices)}")


def split(value: object) -> Split:
    return choice(value, "split", SPLITS)


def verdict(value: object) -> Verdict:
    return choice(value, "verdict", VERDICTS)


class Mending:
    """Repairs of windows that a file has wrong, counted: `counts` is by repair."""

    CUT = "ends cut at the duration"
    SWAPPED = "edges swapped"
    DROPPED = "windows without length dropped"
    MERGED = "overlapping windows merged"

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._repaired: dict[int, tuple[object, tuple[str, ...]]] = {}  # by identity; the window stays alive

    def window(self, edges: tuple[float, float], duration: float | None) -> tuple[float, float] | None:
        """The window in order and inside the video, or None where it has no length."""
        repairs = []
        start_s, end_s = edges
        if end_s < start_s:
            start_s, end_s = end_s, start_s
            repairs.append(self.SWAPPED)
        if duration is not None and end_s > duration + PAST_END_S:
            end_s = duration
            repairs.append(self.CUT)
        if end_s <= start_s:
            return None
        if not repairs:
            return edges
        window = (start_s, end_s)
        self.counts.update(repairs)
        self._repaired[id(window)] = (window, tuple(repairs))
        return window

    def merge(self, first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
        """Both windows as one."""
        window = (first[0], max(first[1], second[1]))
        self.counts[self.MERGED] += 1
        self._repaired[id(window)] = (window, (self.MERGED, *self.repairs_of((first, second))))
        return window

    def repairs_of(self, windows: "Windows | None") -> list[str]:
        """What was repaired in a row's windows, each repair once."""
        repairs = (self._repaired.get(id(window), (None, ()))[1] for window in windows or ())
        return sorted({repair for some in repairs for repair in some})


def in_order(edges: tuple[float, float], mending: Mending | None) -> tuple[float, float] | None:
    """The edges, swapped by `mending` where they are in the wrong order; None where there is no length."""
    mended = edges if mending is None else mending.window(edges, None)
    return None if mended is None or mended[1] <= mended[0] else mended


def window(
    value: object, name: str, duration: float | None = None, mending: Mending | None = None
) -> tuple[float, float]:
    """One [start, end): 0 <= start < end <= duration, the end allowed `PAST_END_S` beyond."""
    edges = _edges(value, name)
    mended = edges if mending is None else mending.window(edges, duration) or edges
    return _inside(mended, value, name, duration)


def windows(
    value: object, name: str, duration: float | None = None, mending: Mending | None = None
) -> Windows:
    """Ground truth: sorted here; windows may touch, but not overlap. REFUSALS are no windows.

    With `mending`, windows that overlap are merged, and those without length dropped beside others; where nothing
    would be left, that is an error.
    """
    values = sequence(value, name)
    if values in REFUSALS:
        return ()
    pairs = []
    for pair in values:
        edges = _edges(pair, name)
        mended = edges if mending is None else mending.window(edges, duration)
        if mending is not None and mended is None and len(values) > 1:
            mending.counts[Mending.DROPPED] += 1
        else:
            pairs.append(_inside(mended or edges, pair, name, duration))
    if values and not pairs:
        raise FieldError(name, value, "a window must end after it starts, and none of these does")
    apart: list[tuple[float, float]] = []
    for pair in sorted(pairs):
        if not apart or apart[-1][1] <= pair[0]:
            apart.append(pair)
        elif mending is None:
            raise FieldError(name, [apart[-1], pair], "two windows of one query overlap; merge them")
        else:
            apart[-1] = mending.merge(apart[-1], pair)
    return tuple(apart)


def _edges(value: object, name: str) -> tuple[float, float]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise FieldError(name, value, "each window must be a [start, end] pair in seconds")
    edges = number(value[0], name), number(value[1], name)
    # A window that was read before stays the same object, by which `Mending` knows it.
    return value if isinstance(value, tuple) and value == edges else edges


def _inside(
    edges: tuple[float, float], value: object, name: str, duration: float | None
) -> tuple[float, float]:
    """The same edges, in order and inside the video. Raises FieldError that shows the value as given."""
    start_s, end_s = edges
    if start_s < 0:
        raise FieldError(name, value, "a window cannot start before 0")
    if end_s <= start_s:
        raise FieldError(name, value, "a window must end after it starts")
    if duration is not None and (start_s >= duration or end_s > duration + PAST_END_S):
        raise FieldError(name, value, f"a window must lie inside the video, which lasts {duration:g} s")
    return edges


def any_windows(value: object, name: str) -> Windows:
    """A party's version: the order is kept and windows may overlap, as a model's ranked ones do."""
    return tuple(window(pair, name) for pair in sequence(value, name))


def clip_ids(value: object, duration: float | None) -> tuple[int, ...]:
    """Ids of 2-second clips: sorted, each once, inside the video."""
    name = "relevant_clip_ids"
    ids = tuple(whole(item, name) for item in sequence(value, name))
    clips = TOO_LARGE if duration is None else max(1, int(duration / CLIP_S))
    if any(not 0 <= clip < clips for clip in ids):
        raise FieldError(name, value, f"each id must be in 0..{clips - 1:g}, the 2-second clips of the video")
    if any(after <= before for before, after in itertools.pairwise(ids)):
        raise FieldError(name, value, "ids must be sorted, each once")
    return ids


def saliency(value: object, clips: Sequence[int] | None) -> tuple[tuple[int, ...], ...]:
    """One [a, b, c] of whole numbers 0..4 for each clip id; NA-VMR writes [[]] where there are no clips."""
    name = "saliency_scores"
    if value == [[]] and not clips:
        return ()
    triples = tuple(
        tuple(whole(score, name) for score in sequence(item, name)) for item in sequence(value, name)
    )
    for triple in triples:
        if len(triple) != 3 or not all(0 <= score <= 4 for score in triple):
            raise FieldError(name, triple, "each clip needs exactly three scores 0..4")
    clip_count = 0 if clips is None else len(clips)
    if clips is None or len(triples) != clip_count:
        rule = f"there must be one triple for each of the {clip_count} relevant_clip_ids"
        raise FieldError(name, len(triples), rule)
    return triples
