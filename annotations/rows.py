"""One row of any grounding dataset, as every format reads it and writes it, and as the store takes it in.

A row is one query about one video with what is known about its moments. It knows no files and no database.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tempo_core.errors import InputError

Windows: TypeAlias = tuple[tuple[float, float], ...]
Split = Literal["train", "val", "test", "unknown"]
Verdict = Literal["moments", "no-moment", "cannot-judge"]
VersionSource = Literal["original", "model", "annotator"]

SPLITS: tuple[Split, ...] = ("train", "val", "test", "unknown")
VERDICTS: tuple[Verdict, ...] = ("moments", "no-moment", "cannot-judge")
VERSION_SOURCES: tuple[VersionSource, ...] = ("original", "model", "annotator")


EDGE_UNCERTAINTY = "edge_uncertainty_s"
"""The key of a row's `extra` that holds how certain its windows' edges are: a pair of half widths for each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatorVersion:
    """One party's answer to a row's query: an annotator's, a model's, or the released one."""

    annotator: str
    """Pseudonym of the annotator, or the id of the model."""
    source: VersionSource = "annotator"
    windows: Windows = ()
    """(start_s, end_s) in the order given (a model's: best first). Empty unless the verdict is `moments`."""
    scores: tuple[float, ...] | None = None
    """One confidence for each window, or None."""
    saliency: tuple[float, ...] | None = None
    """One score for each 2-second clip of the video, any range, or None (the predictions format)."""
    relevance: float | None = None
    """A model's P(some moment matches), 0..1, or None."""
    verdict: Verdict | None = None
    """None on construction: taken from `windows`."""
    reason: str | None = None
    """Why the annotator refused or could not judge."""
    arm: str | None = None
    """What the annotator saw before answering: blind, original-first, model-first."""
    active_ms: int | None = None
    updated_at: str | None = None
    """ISO 8601 in UTC."""
    revision: int | None = None
    """The store's revision of this version."""

    def __post_init__(self) -> None:
        _check_verdict(self, self.windows, f"version of {self.annotator!r}")
        if self.relevance is not None and not 0 <= self.relevance <= 1:
            raise InputError(
                f"The version of {self.annotator!r} has the relevance {self.relevance}; it is a probability, 0 to 1."
            )
        if self.scores is not None and len(self.scores) != len(self.windows):
            raise InputError(
                f"The version of {self.annotator!r} has {len(self.windows)} windows and "
                f"{len(self.scores)} scores; give one score for each window, or none at all."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceLine:
    """Where a row was read: the file's name without its folder, and the line (or item) counted from 1."""

    file: str
    line: int
    place: str | None = None
    """In the format's own words (`cue 3`); None: the line says it."""

    def __str__(self) -> str:
        return f"{self.file}, {self.place or f'line {self.line}'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One query about one video, with its moments if they are known.

    Two rows are equal when they say the same; `raw` and `origin` are no part of that.
    Raises InputError when verdict and windows contradict each other.
    """

    qid: str
    qid_is_int: bool = False
    """True when the source wrote the id as a number, so that an export writes a number again."""
    query: str
    """Exactly as given: spaces and newlines are kept."""
    vid: str
    duration_s: float | None = None
    """Seconds as annotated (never computed from `vid`), or None where the source does not say."""
    split: Split = "unknown"
    windows: Windows | None = None
    """Sorted (start_s, end_s), half-open; () says that no moment matches; None: no ground truth given."""
    verdict: Verdict | None = None
    """None on construction: taken from `windows` (and stays None without ground truth)."""
    relevant_clip_ids: tuple[int, ...] | None = None
    """2-second clips with saliency scores, as the SOURCE gave them; writers compute those of new windows."""
    saliency_scores: tuple[tuple[int, ...], ...] | None = None
    """Three scores 0..4 for each of `relevant_clip_ids`, as the source gave them."""
    original_windows: Windows | None = None
    """The released windows, when `windows` are corrected ones."""
    reason: str | None = None
    """Why the row was corrected or refused."""
    mean_tiou: float | None = None
    """Agreement of the row's annotators: mean matched temporal IoU, 0..1."""
    alpha_clip: float | None = None
    """Agreement of the row's annotators: Krippendorff's alpha over 2-second clips."""
    model_version: str | None = None
    """The model whose proposals the annotators saw."""
    row_rev: int | None = None
    """The store's revision of the row."""
    annotations: tuple[AnnotatorVersion, ...] | None = None
    """Every party's own version, where the source or the store keeps them."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the source that no other attribute holds (JSON values)."""
    raw: str | None = field(default=None, compare=False)
    """The exact source line, without its newline, while nothing in the row has changed; else None."""
    origin: SourceLine | None = field(default=None, compare=False)
    """Where the row was read."""

    def __post_init__(self) -> None:
        _check_verdict(self, self.windows, f"row {self.qid!r}")
        if self.qid_is_int and not (self.qid.isascii() and self.qid.removeprefix("-").isdecimal()):
            raise InputError(
                f"Row {self.qid!r} says that its qid is a number; give digits, or qid_is_int=False."
            )

    @property
    def qid_value(self) -> int | str:
        """The id in the source's own type."""
        return int(self.qid) if self.qid_is_int else self.qid

    def corrected(self, windows: Windows, *, verdict: Verdict | None = None, **changes: Any) -> "Row":
        """The row with other windows: forgets `raw`, keeps the present windows as `original_windows`.

        Clip ids and saliency stay the source's, for the writer's saliency policy to start from.
        `verdict` None takes it from `windows`. `changes` are further attributes.
        """
        original = self.windows if self.original_windows is None else self.original_windows
        values = {
            "original_windows": original,
            **changes,
            "windows": windows,
            "verdict": verdict,
            "raw": None,
            "extra": {name: value for name, value in self.extra.items() if name != EDGE_UNCERTAINTY},
        }
        return dataclasses.replace(self, **values)


def row_content(row: Row) -> dict[str, Any]:
    """The fields of an imported row that say something, as JSON values: what the store keeps of it.

    `raw` has a column of its own; `origin` and `annotations` are no part of the row's content.
    """
    content = {}
    for attribute in dataclasses.fields(Row):
        value = getattr(row, attribute.name)
        if attribute.name in ("raw", "origin", "annotations") or value in (None, attribute.default, {}):
            continue
        content[attribute.name] = dict(value) if attribute.name == "extra" else value
    return content


def row_from_content(content: Mapping[str, Any], raw: str | None) -> Row:
    """The row that `row_content` wrote down."""

    def with_tuples(value: Any) -> Any:
        return tuple(with_tuples(item) for item in value) if isinstance(value, list) else value

    values = {name: value if name == "extra" else with_tuples(value) for name, value in content.items()}
    return Row(**values, raw=raw)


def _check_verdict(holder: "Row | AnnotatorVersion", windows: Windows | None, name: str) -> None:
    """Fill in a missing verdict, and refuse one that its windows contradict."""
    if holder.verdict is None and windows is not None:
        object.__setattr__(holder, "verdict", "moments" if windows else "no-moment")
    if holder.verdict not in (None, *VERDICTS):
        raise InputError(
            f"The {name} has verdict {holder.verdict!r}; it must be one of {', '.join(VERDICTS)}."
        )
    if (holder.verdict == "moments") != bool(windows) and holder.verdict != "cannot-judge":
        raise InputError(
            f"The {name} has verdict {holder.verdict!r} and windows {windows!r}; "
            "`moments` needs at least one window and `no-moment` needs none."
        )
