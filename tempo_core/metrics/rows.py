"""Rows of JSON-lines files: what ground truth and predictions hold, and how they are read and checked.

The one reader of such files; `annotations.formats` stands on `read_json_lines` too. A file that cannot be read row for
row raises `SubmissionError`, which names every offending line. A predicted window that is well formed but impossible
(it ends before it starts) is not an error here: the rules that score the file decide what becomes of it
(`tempo_core.metrics.pairing`).
"""

import contextlib
import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, TypeVar

from tempo_core.errors import InputError

Qid = int | str
Window = tuple[float, float]
ScoredWindow = tuple[float, float, float]

CLIP_S = 2
"""Seconds of one QVHighlights clip, the unit of saliency."""
SHOWN_CHARACTERS = 80
RELEVANCE_FIELDS = ("relevance", "pred_exist_score", "pred_class")
"""P(some moment matches), as we, Soccer-GMR and NA-VMR name it; the first that a row has counts."""
PREDICTION_LIST = "preds"
"""The field under which NA-VMR's files hold their predictions: one JSON object instead of lines."""


class FieldError(InputError):
    """One field of one row breaks a rule; the caller knows the file and the line."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        self.field, self.value, self.rule = field, shown_value(value), rule
        super().__init__(f"{field} is {self.value}; {rule}")


def shown_value(value: object) -> str:
    """A value as JSON for a message, shortened to eighty characters; the word "absent" stays as it is."""
    text = "absent" if value == "absent" else json.dumps(value, default=str, ensure_ascii=False)
    text = text.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair cannot be printed
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong with one row: where it stands, what stood there, and the rule that it breaks."""

    file: str
    line: int
    """The line or item, counted from 1."""
    place: str | None = None
    """Where it stands in the format's own words (`cue 3`); None: the line says it."""
    qid: Qid | None = None
    field: str
    value: str
    rule: str
    raw: str | None = None
    """The rejected line itself, where a caller keeps it."""

    @classmethod
    def of(
        cls,
        error: FieldError,
        file: str,
        line: int,
        *,
        place: str | None = None,
        qid: Qid | None = None,
        raw: str | None = None,
    ) -> "Problem":
        """The problem that an error is, once its place is known."""
        return cls(
            file=file,
            line=line,
            place=place,
            qid=qid,
            field=error.field,
            value=error.value,
            rule=error.rule,
            raw=raw,
        )

    def __str__(self) -> str:
        query = "" if self.qid is None else f" (qid {self.qid})"
        place = self.place or f"line {self.line}"
        return f"{self.file}, {place}{query}: {self.field} is {self.value}; {self.rule}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the raw line."""
        return {name: getattr(self, name) for name in ("file", "line", "qid", "field", "value", "rule")}


def has_rejected(values: Mapping[str, Any]) -> bool:
    """Whether a row that does not say `refused` is NA-VMR's and below its threshold: `pred_class` under one half."""
    relevance = values.get("pred_class")
    return is_number(relevance) and relevance < 0.5


class JsonLine(NamedTuple):
    """One line of a JSON-lines file that holds an object."""

    number: int
    """Counted from 1; of an object's list, the item."""
    text: str
    """The line itself, without its end; an item as a line."""
    values: dict[str, Any]
    place: str | None = None
    """Where an item stands, in words; None: the line says it."""


def read_json_lines(
    path: Path,
    *,
    name: str | None = None,
    loads: Callable[[str], Any] = json.loads,
    list_field: str | None = None,
) -> Iterator[JsonLine | Problem]:
    """The lines of a file that are not blank: each an object, or the problem that it is none.

    `name` stands for the file in problems (default: the path). `loads` may be stricter than JSON; it raises
    ValueError. A file that is one list of objects, or one object with the field `list_field`, has its items for lines.
    Raises InputError for a file that is missing or no UTF-8 text; a byte order mark is allowed.
    """
    file = str(path) if name is None else name
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"There is no file {file}; give the path of a JSON-lines file.") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}. Check the path.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file} cannot be read as UTF-8 text: {error}. Save it as UTF-8.") from None
    if list_field is not None and re.match(rf'\s*\{{\s*"{re.escape(list_field)}"\s*:', text):
        yield from _read_items(text, list_field, file, loads)
        return
    if text.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            items = loads(text)
            if isinstance(items, list) and any(isinstance(values, dict) for values in items):
                yield from _lines_of_items(items, file, [f"item {idx}" for idx in range(len(items))])
                return
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


def _read_items(
    text: str, list_field: str, file: str, loads: Callable[[str], Any]
) -> Iterator[JsonLine | Problem]:
    """The items of an object's list as lines; further fields of the object are refused."""
    try:
        document = loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{file} is not JSON: {error}. Give the whole file, or one row on each line."
        ) from None
    if document.keys() != {list_field} or not isinstance(document[list_field], list):
        raise InputError(
            f"{file} holds {', '.join(document)}; an object of predictions has one field, the list {list_field!r}."
        )
    items = document[list_field]
    yield from _lines_of_items(
        items, file, [f"item {number} of {list_field}" for number in range(1, len(items) + 1)]
    )


def _lines_of_items(items: list[Any], file: str, places: Sequence[str]) -> Iterator[JsonLine | Problem]:
    """A list's items as lines."""
    for number, (values, place) in enumerate(zip(items, places, strict=True), start=1):
        if isinstance(values, dict):
            yield JsonLine(number, json.dumps(values), values, place)
        else:
            no_object = FieldError("the item", values, "it must be a JSON object")
            yield Problem.of(no_object, file, number, place=place)


class SubmissionError(InputError):
    """A ground-truth or prediction file has rows that cannot be read; `problems` holds every one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        n_others = len(self.problems) - 1
        ending = f" (and {n_others} more such rows or fields)." if n_others else "."
        super().__init__(f"{self.problems[0]}{ending}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TruthRow:
    """One query with the moments that people marked; no windows at all means that nothing matches."""

    line: int
    qid: Qid
    query: str | None = None
    vid: str | None = None
    duration_s: float | None = None
    windows: tuple[Window, ...]
    clip_ids: tuple[int, ...] | None = None
    """Clips that have saliency scores; None when the row carries none."""
    saliency: tuple[tuple[float, ...], ...] | None = None
    """Three scores, 0 to 4, for each of `clip_ids`."""
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The row as it was read, for grouping."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionRow:
    """One query with what a model said of it."""

    line: int
    qid: Qid
    query: str | None = None
    vid: str | None = None
    windows: tuple[ScoredWindow, ...] | None = None
    """Ranked windows [start_s, end_s, score] in the order of the file; None when the field is absent."""
    moments: tuple[Window, ...] | None = None
    """The answer as a set, where the model gives one apart from its ranking."""
    saliency: tuple[float, ...] | None = None
    relevance: float | None = None
    """P(some moment matches), in 0..1."""
    refused: bool | None = None
    """Whether the model said that nothing matches; None when the row does not say."""
    understood: bool = True
    """Whether the model knew what was asked; if not, it said nothing about the clip."""

    @property
    def has_refused(self) -> bool:
        """`refused` where the row states it; else whether it has no window at all. False where the question was not
        understood."""
        if not self.understood:
            return False
        return (not self.windows and not self.moments) if self.refused is None else self.refused


def is_number(value: Any) -> TypeGuard[int | float]:
    """True for an int or float that a finite float can hold; JSON's true and false are not numbers."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond a float's range
        return False


Row = TypeVar("Row", TruthRow, PredictionRow)
Value = TypeVar("Value")


class _Fields:
    """The fields of a line as they are read; collects what is wrong with them."""

    def __init__(self, file: str, line: JsonLine) -> None:
        self.file, self.line, self.place, self.data = file, line.number, line.place, line.values
        qid = self.data.get("qid")
        self.qid: Qid | None = qid if isinstance(qid, int | str) and not isinstance(qid, bool) else None
        self.problems: list[Problem] = []

    def refuse(self, field: str, value: object, rule: str) -> None:
        error = FieldError(field, value, rule)
        self.problems.append(Problem.of(error, self.file, self.line, place=self.place, qid=self.qid))

    def need_qid(self) -> Qid:
        if self.qid is None:
            self.refuse("qid", self.data.get("qid", "absent"), "it must be a whole number or a text")
        return self.qid if self.qid is not None else ""

    def value_of(self, field: str, kind: type[Value], rule: str) -> Value | None:
        value = self.data.get(field)
        if value is not None and not isinstance(value, kind):
            self.refuse(field, value, rule)
        return value if isinstance(value, kind) else None

    def text(self, field: str) -> str | None:
        return self.value_of(field, str, "it must be a text")

    def number(self, field: str, rule: str, allowed: Callable[[float], bool]) -> float | None:
        value = self.data.get(field)
        if value is None:
            return None
        if not is_number(value) or not allowed(value):
            self.refuse(field, value, rule)
            return None
        return float(value)

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
    """The ground truth in a QVHighlights JSON-lines file; a row with an empty `relevant_windows` is a no-moment row.

    Rows whose verdict is `cannot-judge` are left out. Raises SubmissionError (an InputError) that lists each line with
    a missing or broken field, an impossible window, or a qid seen before. In NA-VMR's files, which code refusals as
    [[0, 0]] and give them the qid of the query that they are made from, the n-th row of a qid gets the qid `QID#n`.
    """
    return _read_rows(path, _truth_row, _has_coded_refusals)


def read_predictions(path: str | Path, *, number_repeats: bool = False) -> tuple[PredictionRow, ...]:
    """The predictions in a file: qid, and windows, saliency or a refusal for each; as JSON lines or as NA-VMR's
    {"preds": [...]}.

    Raises SubmissionError (an InputError) that lists each line with a missing or broken field or a qid seen before;
    with `number_repeats` the n-th row of a qid gets the qid `QID#n` instead.
    """
    return _read_rows(path, _prediction_row, lambda _rows: number_repeats, list_field=PREDICTION_LIST)


def read_files(predictions: str | Path, truth: str | Path) -> dict[str, Any]:
    """What `evaluate` and its kin take of two files: the rows of both, and their names."""
    prediction_rows, truth_rows = read_both(predictions, truth)
    return {
        "predictions": prediction_rows,
        "truth": truth_rows,
        "files": {"predictions": str(predictions), "ground_truth": str(truth)},
    }


def read_both(
    predictions: str | Path, truth: str | Path
) -> tuple[tuple[PredictionRow, ...], tuple[TruthRow, ...]]:
    """The two files of one evaluation. Where the ground truth is NA-VMR's, repeated qids are told apart by their order,
    as its evaluator does. Raises SubmissionError, also where the predictions leave open which of the queries of a
    qid they answer."""
    truth_rows = read_truth(truth)
    is_numbered = _has_coded_refusals(truth_rows)
    prediction_rows = read_predictions(predictions, number_repeats=is_numbered)
    if is_numbered:
        numbers = {f"{row.qid}" for row in truth_rows if "#" in str(row.qid)}
        first_of_several = {name.partition("#")[0] for name in numbers}
        predicted_qids = {f"{row.qid}" for row in prediction_rows}
        unclear = [
            Problem.of(
                FieldError(
                    "qid", row.qid, "several queries have it, and the row has no vid to tell them apart"
                ),
                str(predictions),
                row.line,
                qid=row.qid,
            )
            for row in prediction_rows
            if f"{row.qid}" in first_of_several and f"{row.qid}#2" not in predicted_qids and row.vid is None
        ]
        if unclear:
            raise SubmissionError(unclear)
    return prediction_rows, truth_rows


def number_repeats(qids: Iterable[Qid]) -> Iterator[Qid]:
    """The ids, the n-th of a kind as `QID#n`."""
    uses: Counter[Qid] = Counter()
    for qid in qids:
        uses[qid] += 1
        yield qid if uses[qid] == 1 else f"{qid}#{uses[qid]}"


def is_coded_refusal(windows: object) -> bool:
    """Whether `relevant_windows` is a code for "nothing matches", as NA-VMR and RA-RFT write it."""
    return isinstance(windows, list) and windows in ([[0, 0]], [[-1, -1]])


def _has_coded_refusals(rows: Sequence[TruthRow]) -> bool:
    return any(is_coded_refusal(row.fields.get("relevant_windows")) for row in rows)


def _read_rows(
    path: str | Path,
    read_row: Callable[[_Fields], Row | None],
    numbers_repeats: Callable[[Sequence[Row]], bool],
    list_field: str | None = None,
) -> tuple[Row, ...]:
    """Every row of a file. `read_row` returns None for a row to leave out; `numbers_repeats` says whether rows may
    share a qid. Raises SubmissionError with every problem, InputError for a file without rows."""
    rows: list[Row] = []
    problems: list[Problem] = []
    repeats: list[Problem] = []
    first_lines: dict[Qid, int] = {}
    for line in read_json_lines(Path(path), list_field=list_field):
        if isinstance(line, Problem):
            problems.append(line)
            continue
        fields = _Fields(str(path), line)
        row = read_row(fields)
        if row is None:
            continue
        if (
            fields.qid is not None
            and (first := first_lines.setdefault(fields.qid, fields.line)) != fields.line
        ):
            error = FieldError(
                "qid", fields.qid, f"it was given on line {first} already; each query stands once"
            )
            repeats.append(Problem.of(error, str(path), fields.line, place=fields.place, qid=fields.qid))
        problems += fields.problems
        rows.append(row)
    if repeats and numbers_repeats(rows):
        names = number_repeats([row.qid for row in rows])
        rows = [dataclasses.replace(row, qid=name) for row, name in zip(rows, names, strict=True)]
        repeats = []
    if problems or repeats:
        raise SubmissionError(sorted([*problems, *repeats], key=lambda problem: problem.line))
    if not rows:
        raise InputError(f"{path} holds no rows; give a JSON-lines file with one query on each line.")
    return tuple(rows)


def _truth_row(row: _Fields) -> TruthRow | None:
    if row.data.get("verdict") == "cannot-judge":
        return None
    qid = row.need_qid()
    duration_s = row.number("duration", "it must be a number of seconds above 0", lambda x: x > 0)
    windows = row.windows("relevant_windows", 2)
    if is_coded_refusal(row.data.get("relevant_windows")):
        windows = ()
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
    row: _Fields, duration_s: float | None
) -> tuple[tuple[int, ...] | None, tuple[tuple[float, ...], ...] | None]:
    """Clip ids and their score triples, or None twice when the row has no saliency or it is broken."""
    ids, scores = row.data.get("relevant_clip_ids"), row.data.get("saliency_scores")
    if ids is None or scores is None or (ids == [] and scores == [[]]):  # NA-VMR's rows without a moment
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


def _prediction_row(row: _Fields) -> PredictionRow:
    qid = row.need_qid()
    windows, moments = row.windows("pred_relevant_windows", 3), row.windows("moments", 2)
    saliency = row.data.get("pred_saliency_scores")
    if saliency is not None:
        is_list = isinstance(saliency, list) and bool(saliency)
        if not is_list or not all(type(x) in (float, int) and is_number(x) for x in saliency):
            rule = "it must be a list of finite numbers, one for each 2-second clip"
            row.refuse("pred_saliency_scores", saliency, rule)
            saliency = None
    refused = row.value_of("refused", bool, "it must be true or false")
    if refused is None and has_rejected(row.data):
        refused = True
    understanding = row.data.get("understood")
    probability = understanding.get("probability") if isinstance(understanding, dict) else None
    if understanding is not None and not (is_number(probability) and 0 <= float(str(probability)) <= 1):
        row.refuse("understood", understanding, "it must hold a probability from 0 to 1")
        probability = None
    if windows is None and saliency is None and moments is None and refused is None and not row.problems:
        row.refuse(
            "pred_relevant_windows", "absent", "a prediction needs windows, saliency scores or a refusal"
        )
    relevance_field = next((name for name in RELEVANCE_FIELDS if name in row.data), RELEVANCE_FIELDS[0])
    return PredictionRow(
        line=row.line,
        qid=qid,
        query=row.text("query"),
        vid=row.text("vid"),
        windows=None if windows is None else tuple((w[0], w[1], w[2]) for w in windows),
        moments=None if moments is None else tuple((m[0], m[1]) for m in moments),
        saliency=None if saliency is None else tuple(saliency),
        relevance=row.number(relevance_field, "it must be a probability from 0 to 1", lambda x: 0 <= x <= 1),
        refused=refused,
        understood=probability is None or probability >= 0.5,
    )
