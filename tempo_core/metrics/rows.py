"""What a row of ground truth and a row of predictions hold, and how a broken one is reported."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tempo_core.errors import InputError

Qid = int | str
Window = tuple[float, float]
ScoredWindow = tuple[float, float, float]

CLIP_S = 2
"""Seconds of one QVHighlights clip, the unit of saliency."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong with one row: where it stands, what stood there, and the rule that it breaks."""

    file: str
    line: int
    qid: Qid | None
    field: str
    value: str
    rule: str

    def __str__(self) -> str:
        who = "" if self.qid is None else f" (qid {self.qid})"
        return f"{self.file}, line {self.line}{who}: {self.field} is {self.value}; {self.rule}"

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("file", "line", "qid", "field", "value", "rule")}


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


def problem(file: str, line: int, qid: Qid | None, field: str, value: object, rule: str) -> Problem:
    """A Problem whose value is shown as JSON, shortened to eighty characters."""
    shown = value if value == "absent" else json.dumps(value, default=str, ensure_ascii=False)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return Problem(file=file, line=line, qid=qid, field=field, value=shown, rule=rule)


def is_number(value: object) -> bool:
    """True for a finite int or float; JSON's true and false are not numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
