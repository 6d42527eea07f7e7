"""Reading ground truth and predictions: JSON lines in, checked rows out, before anything is scored.

A file that cannot be read row for row raises `SubmissionError`, which names every offending line. A predicted
window that is well formed but impossible (it ends before it starts) is not an error here: the rules that
score the file decide what becomes of it (`tempo_core.metrics.pairing`).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tempo_core.errors import InputError
from tempo_core.metrics.rows import (
    CLIP_S,
    PredictionRow,
    Problem,
    Qid,
    SubmissionError,
    TruthRow,
    is_number,
    problem,
)

Row = TypeVar("Row", TruthRow, PredictionRow)


class _Row:
    """A JSON object being read; collects what is wrong with it."""

    def __init__(self, file: str, line: int, data: Mapping[str, Any]) -> None:
        self.file, self.line, self.data = file, line, data
        qid = data.get("qid")
        self.qid: Qid | None = qid if isinstance(qid, int | str) and not isinstance(qid, bool) else None
        self.problems: list[Problem] = []

    def refuse(self, field: str, value: object, rule: str) -> None:
        self.problems.append(problem(self.file, self.line, self.qid, field, value, rule))

    def need_qid(self) -> Qid:
        if self.qid is None:
            self.refuse("qid", self.data.get("qid", "absent"), "it must be a whole number or a text")
        return self.qid if self.qid is not None else ""

    def text(self, field: str) -> str | None:
        value = self.data.get(field)
        if value is not None and not isinstance(value, str):
            self.refuse(field, value, "it must be a text")
        return value if isinstance(value, str) else None

    def number(self, field: str, rule: str, allowed: Callable[[float], bool]) -> float | None:
        value = self.data.get(field)
        if value is None:
            return None
        if not is_number(value) or not allowed(value):
            self.refuse(field, value, rule)
            return None
        return float(value)

    def flag(self, field: str) -> bool | None:
        value = self.data.get(field)
        if value is not None and not isinstance(value, bool):
            self.refuse(field, value, "it must be true or false")
        return value if isinstance(value, bool) else None

    def windows(self, field: str, width: int) -> tuple[tuple[float, ...], ...] | None:
        """Lists of `width` finite numbers under `field`, or None when the row lacks it."""
        if field not in self.data:
            return None
        value = self.data[field]
        if not isinstance(value, list):
            self.refuse(field, value, "it must be a list of windows")
            return None
        names = "[start, end]" if width == 2 else "[start, end, score]"
        read = []
        for place, window in enumerate(value):
            if isinstance(window, list) and len(window) == width and all(is_number(x) for x in window):
                read.append(tuple(float(x) for x in window))
            else:
                self.refuse(f"{field}[{place}]", window, f"it must be {width} finite numbers {names}")
        return tuple(read)


def read_truth(path: str | Path) -> tuple[TruthRow, ...]:
    """The ground truth in a QVHighlights JSON-lines file; a row with an empty `relevant_windows` is a
    no-moment row.

    Rows whose verdict is `cannot-judge` are left out. Raises SubmissionError (an InputError) that lists each
    line with a missing or broken field, an impossible window, or a qid seen before.
    """
    rows: list[TruthRow] = []
    problems: list[Problem] = []
    seen: dict[Qid, int] = {}
    for row in _json_rows(Path(path), problems):
        if row.data.get("verdict") == "cannot-judge":
            continue
        read = _truth_row(row)
        _note_duplicate(row, seen)
        problems.extend(row.problems)
        rows.append(read)
    return _all_or_nothing(path, rows, problems)


def read_predictions(path: str | Path) -> tuple[PredictionRow, ...]:
    """The predictions in a JSON-lines file: qid, and windows, saliency or a refusal for each.

    Raises SubmissionError (an InputError) that lists each line with a missing or broken field or a qid seen
    before.
    """
    rows: list[PredictionRow] = []
    problems: list[Problem] = []
    seen: dict[Qid, int] = {}
    for row in _json_rows(Path(path), problems):
        read = _prediction_row(row)
        _note_duplicate(row, seen)
        problems.extend(row.problems)
        rows.append(read)
    return _all_or_nothing(path, rows, problems)


def _all_or_nothing(path: str | Path, rows: list[Row], problems: list[Problem]) -> tuple[Row, ...]:
    if problems:
        raise SubmissionError(problems)
    if not rows:
        raise InputError(f"{path} holds no rows; give a JSON-lines file with one query on each line.")
    return tuple(rows)


def _json_rows(path: Path, problems: list[Problem]) -> Iterator[_Row]:
    """One `_Row` for each line that holds a JSON object; any other line that is not blank adds a problem."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; give the path of a JSON-lines file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: {error}.") from None
    # Not str.splitlines: a query may hold U+2028 and other characters at which that would break a row in two.
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            data = json.loads(content)
        except (ValueError, RecursionError) as error:
            problems.append(
                problem(str(path), line, None, "the line", content[:60], f"it is not JSON: {error}")
            )
            continue
        if isinstance(data, dict):
            yield _Row(str(path), line, data)
        else:
            problems.append(problem(str(path), line, None, "the line", data, "it must be a JSON object"))


def _note_duplicate(row: _Row, seen: dict[Qid, int]) -> None:
    if row.qid is not None and seen.setdefault(row.qid, row.line) != row.line:
        row.refuse("qid", row.qid, f"it was given on line {seen[row.qid]} already; each query stands once")


def _truth_row(row: _Row) -> TruthRow:
    qid = row.need_qid()
    duration_s = row.number("duration", "it must be a number of seconds above 0", lambda x: x > 0)
    windows = row.windows("relevant_windows", 2)
    if windows is None and "relevant_windows" not in row.data:
        row.refuse(
            "relevant_windows", "absent", "ground truth must list its windows ([] when nothing matches)"
        )
    for place, (start, end) in enumerate(windows or ()):
        if not 0 <= start < end:
            row.refuse(
                f"relevant_windows[{place}]",
                [start, end],
                "it must start at 0 or later and end after its start",
            )
    if windows and row.data.get("verdict") == "no-moment":
        row.refuse("relevant_windows", windows, "a row whose verdict is no-moment must have no windows")
    clip_ids, saliency = _truth_saliency(row, duration_s)
    return TruthRow(
        line=row.line,
        qid=qid,
        query=row.text("query"),
        vid=row.text("vid"),
        duration_s=duration_s,
        windows=tuple((start, end) for start, end in windows or ()),
        clip_ids=clip_ids,
        saliency=saliency,
        fields=row.data,
    )


def _truth_saliency(
    row: _Row, duration_s: float | None
) -> tuple[tuple[int, ...] | None, tuple[tuple[float, ...], ...] | None]:
    """Clip ids and their score triples, or None twice when the row has no saliency or it is broken."""
    ids, scores = row.data.get("relevant_clip_ids"), row.data.get("saliency_scores")
    if ids is None or scores is None:
        return None, None
    if duration_s is None:
        row.refuse("duration", "absent", "a row with saliency scores needs its duration")
        return None, None
    clips = int(duration_s / CLIP_S)
    if not isinstance(ids, list) or not all(type(i) is int and 0 <= i < clips for i in ids):
        row.refuse(
            "relevant_clip_ids",
            ids,
            f"it must list whole numbers from 0 to {clips - 1} (duration / {CLIP_S} s)",
        )
    elif not isinstance(scores, list) or len(scores) != len(ids):
        row.refuse(
            "saliency_scores", scores, f"it must hold one triple for each of the {len(ids)} relevant_clip_ids"
        )
    elif not all(isinstance(s, list) and len(s) == 3 and all(map(is_number, s)) for s in scores):
        row.refuse("saliency_scores", scores, "each entry must be three numbers, one from each annotator")
    else:
        return tuple(ids), tuple(tuple(triple) for triple in scores)
    return None, None


def _prediction_row(row: _Row) -> PredictionRow:
    qid = row.need_qid()
    windows, moments = row.windows("pred_relevant_windows", 3), row.windows("moments", 2)
    saliency = _predicted_saliency(row)
    refused = row.flag("refused")
    if windows is None and saliency is None and moments is None and refused is None and not row.problems:
        row.refuse(
            "pred_relevant_windows", "absent", "a prediction needs windows, saliency scores or a refusal"
        )
    return PredictionRow(
        line=row.line,
        qid=qid,
        query=row.text("query"),
        vid=row.text("vid"),
        windows=None if windows is None else tuple((w[0], w[1], w[2]) for w in windows),
        moments=None if moments is None else tuple((m[0], m[1]) for m in moments),
        saliency=saliency,
        relevance=row.number("relevance", "it must be a probability from 0 to 1", lambda x: 0 <= x <= 1),
        refused=refused,
    )


def _predicted_saliency(row: _Row) -> tuple[float, ...] | None:
    value: Sequence[Any] | None = row.data.get("pred_saliency_scores")
    if value is None:
        return None
    rule = "it must be a list of finite numbers, one for each 2-second clip"
    if not isinstance(value, list) or not value or not all(type(x) in (float, int) for x in value):
        row.refuse("pred_saliency_scores", value, rule)
        return None
    if not np.isfinite(np.asarray(value, dtype=np.float64)).all():
        row.refuse("pred_saliency_scores", value, rule)
        return None
    return tuple(value)
