"""Rows of JSON-lines files: what ground truth and predictions hold, and how a line that cannot be read is
reported. The one reader of such files; `annotations.formats` stands on it too.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tempo_core.errors import InputError

Qid = int | str
Window = tuple[float, float]
ScoredWindow = tuple[float, float, float]

CLIP_S = 2
"""Seconds of one QVHighlights clip, the unit of saliency."""
SHOWN_CHARACTERS = 80


class FieldError(InputError):
    """One field of one row breaks a rule; the caller knows the file and the line."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        self.field, self.value, self.rule = field, shown_value(value), rule
        super().__init__(f"{field} is {self.value}; {rule}")


def shown_value(value: object) -> str:
    """A value as JSON for a message, shortened to eighty characters; the word "absent" stays as it is."""
    text = value if value == "absent" else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong with one row: where it stands, what stood there, and the rule that it breaks."""

    file: str
    line: int
    """The line or item, counted from 1."""
    qid: Qid | None = None
    field: str
    value: str
    rule: str
    raw: str | None = None
    """The rejected line itself, where a caller keeps it."""

    @classmethod
    def of(
        cls, error: FieldError, file: str, line: int, *, qid: Qid | None = None, raw: str | None = None
    ) -> "Problem":
        """The problem that an error is, once its place is known."""
        return cls(
            file=file, line=line, qid=qid, field=error.field, value=error.value, rule=error.rule, raw=raw
        )

    def __str__(self) -> str:
        query = "" if self.qid is None else f" (qid {self.qid})"
        return f"{self.file}, line {self.line}{query}: {self.field} is {self.value}; {self.rule}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the raw line."""
        return {name: getattr(self, name) for name in ("file", "line", "qid", "field", "value", "rule")}


class JsonLine(NamedTuple):
    """One line of a JSON-lines file that holds an object."""

    number: int
    """Counted from 1."""
    text: str
    """The line itself, without its end."""
    values: dict[str, Any]


def read_json_lines(
    path: Path, *, name: str | None = None, loads: Callable[[str], Any] = json.loads
) -> Iterator[JsonLine | Problem]:
    """The lines of a file that are not blank: each an object, or the problem that it is none.

    `name` stands for the file in problems (default: the path). `loads` may be stricter than JSON; it raises
    ValueError. Raises InputError for a file that is missing or no UTF-8 text; a byte order mark is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; give the path of a JSON-lines file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: {error}.") from None
    file = str(path) if name is None else name
    # Not str.splitlines: a query may hold U+2028 and other characters at which that would break a row in two.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        try:
            values = loads(line)
        except (ValueError, RecursionError) as error:
            not_json = FieldError("the line", line[:60], f"it is not JSON: {error}")
            yield Problem.of(not_json, file, number, raw=line)
            continue
        if isinstance(values, dict):
            yield JsonLine(number, line, values)
        else:
            no_object = FieldError("the line", values, "it must be a JSON object")
            yield Problem.of(no_object, file, number, raw=line)


class SubmissionError(InputError):
    """A ground-truth or prediction file has rows that cannot be read; `problems` holds every one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        more = len(self.problems) - 1
        super().__init__(
            f"{self.problems[0]}" + (f" (and {more} more such rows or fields)." if more else ".")
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TruthRow:
    """One query with the moments that people marked; no windows at all means that nothing matches."""

    line: int
    qid: Qid
    query: str | None
    vid: str | None
    duration_s: float | None
    windows: tuple[Window, ...]
    clip_ids: tuple[int, ...] | None
    """Clips that have saliency scores; None when the row carries none."""
    saliency: tuple[tuple[float, ...], ...] | None
    """Three scores, 0 to 4, for each of `clip_ids`."""
    fields: Mapping[str, Any]
    """The row as it was read, for grouping."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionRow:
    """One query with what a model said of it."""

    line: int
    qid: Qid
    query: str | None
    vid: str | None
    windows: tuple[ScoredWindow, ...] | None
    """Ranked windows [start_s, end_s, score] in the order of the file; None when the field is absent."""
    moments: tuple[Window, ...] | None
    """The answer as a set, where the model gives one apart from its ranking."""
    saliency: tuple[float, ...] | None
    relevance: float | None
    """P(some moment matches), in 0..1."""
    refused: bool | None
    """Whether the model said that nothing matches; None when the row does not say."""

    @property
    def has_refused(self) -> bool:
        """What the row says of itself, or else: a row without a single window is a refusal."""
        return (not self.windows and not self.moments) if self.refused is None else self.refused


def is_number(value: object) -> bool:
    """True for a finite int or float; JSON's true and false are not numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
