"""What goes into the store and what comes out of it, as plain immutable records."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, get_args

from annotations.rows import VERDICTS, Row
from annotations.rows import Verdict as VerdictKind
from tempo_core.errors import InputError
from tempo_core.moments import Moment, moments_from_pairs

EdgeSource = Literal["original", "model", "snap", "hand"]
EDGE_SOURCES: tuple[EdgeSource, ...] = ("original", "model", "snap", "hand")

ROLES = ("visitor", "annotator", "adjudicator", "researcher", "administrator")

ERROR_CATEGORIES = {
    "boundary-off": "a moment starts or ends at the wrong time",
    "missed-moment": "a moment that matches was not marked",
    "extra-moment": "a marked moment does not match",
    "merged-or-split": "two moments were marked as one, or one as several",
    "event-absent": "nothing in the video matches the query",
    "query-unclear": "the query can be read in several ways, or is wrong",
    "duplicate-query": "the same video has the same query twice",
    "leakage": "the query gives its own answer away (it names times, or on-screen text does)",
}
"""What was wrong with a row: TimeLens's error taxonomy (arXiv 2512.14698), and four kinds more."""

ADJUDICATION = "adjudication"
"""The arm of a correction that an adjudicator made in order to decide; agreement figures leave it out."""

LONGEST_TEXT = 10_000
"""Characters allowed in a reason, a note or an edited query."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EditedMoment:
    """One moment of a correction, and where each of its edges came from."""

    start_ms: int
    end_ms: int
    """First millisecond after the moment: [start_ms, end_ms)."""
    start_source: EdgeSource = "hand"
    end_source: EdgeSource = "hand"
    start_uncertainty_ms: int | None = None
    """Half the width of a gradual start, or None for a hard one."""
    end_uncertainty_ms: int | None = None
    start_frame: int | None = field(default=None, compare=False)
    """The frame that begins at start_ms in the clip that was on screen; None where there was none, or where
    an edge came from elsewhere and lies between frames."""
    end_frame: int | None = field(default=None, compare=False)
    """The first frame after the moment."""

    def __post_init__(self) -> None:
        for name in ("start_ms", "end_ms"):
            if type(getattr(self, name)) is not int:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be whole milliseconds.")
        if not 0 <= self.start_ms < self.end_ms:
            raise InputError(
                f"A moment runs from {self.start_ms} to {self.end_ms} ms; "
                "it must start at 0 or later and end after it starts."
            )
        for name in ("start_source", "end_source"):
            _require_one_of(name, getattr(self, name), EDGE_SOURCES)
        for name in ("start_uncertainty_ms", "end_uncertainty_ms", "start_frame", "end_frame"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 0):
                unit = "milliseconds" if name.endswith("_ms") else "frames"
                raise InputError(f"{name} is {value!r}; give whole {unit} of 0 or more, or None.")

    @property
    def moment(self) -> Moment:
        return Moment.from_ms(self.start_ms, self.end_ms)


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """What an annotator says about a query: the content of a correction, before the store numbers it."""

    verdict: VerdictKind
    moments: tuple[EditedMoment, ...] = ()
    """Sorted and free of overlap (they may touch). Empty unless the verdict is `moments`."""
    reason: str | None = None
    """Why nothing matches, or why it cannot be judged; required for those two verdicts."""
    categories: tuple[str, ...] = ()
    """Keys of ERROR_CATEGORIES: what was wrong with the row."""
    edited_text: str | None = None
    """A better wording of the query, or None; the imported text is never touched."""
    note: str | None = None
    flagged: bool = False
    """The annotator asks for adjudication."""
    submitted: bool = True
    """False for a draft: a saved gesture that does not count yet."""
    proposal_id: int | None = None
    """The proposal that the annotator saw and started from."""
    arm: str | None = None
    """What was shown before answering: blind, original-first or model-first."""
    active_ms: int | None = None
    """Working time without idle stretches."""
    key_presses: int | None = None

    def __post_init__(self) -> None:
        _require_one_of("verdict", self.verdict, VERDICTS)
        object.__setattr__(self, "moments", tuple(self.moments))
        object.__setattr__(self, "categories", tuple(sorted(set(self.categories))))
        for category in self.categories:
            _require_one_of("category", category, tuple(ERROR_CATEGORIES))
        self._check_verdict()
        for before, after in pairwise(self.moments):
            if after.start_ms < before.end_ms:
                raise InputError(
                    f"Moments [{before.start_ms}, {before.end_ms}) and [{after.start_ms}, {after.end_ms}) ms "
                    "overlap or are out of order; sort them, and merge those that overlap."
                )
        for name in ("reason", "edited_text", "note", "arm"):
            check_text(name, getattr(self, name))
        for name in ("flagged", "submitted"):
            if type(getattr(self, name)) is not bool:
                raise InputError(f"{name} is {str(getattr(self, name))[:40]!r}; give true or false.")
        for name in ("proposal_id", "active_ms", "key_presses"):
            _require_count(name, getattr(self, name))

    def _check_verdict(self) -> None:
        if (self.verdict == "moments") != bool(self.moments) and self.submitted:
            raise InputError(
                f"Verdict {self.verdict!r} came with {len(self.moments)} moments; "
                "`moments` needs at least one, and the other verdicts take none."
            )
        if self.verdict != "moments" and self.submitted and not (self.reason or "").strip():
            raise InputError(f"Verdict {self.verdict!r} came without a reason; say why in `reason`.")

    @property
    def windows(self) -> list[Moment]:
        """The moments in seconds."""
        return [edited.moment for edited in self.moments]

    def to_dict(self) -> dict[str, Any]:
        """JSON values, all fields; what `from_dict` reads."""
        return {name: getattr(self, name) for name in _EDIT_FIELDS} | {
            "moments": [dataclasses.asdict(moment) for moment in self.moments],
            "categories": list(self.categories),
        }

    def to_request(self) -> dict[str, Any]:
        """What makes a repetition the same request: all but frames, which are known once a clip is ready."""
        values = self.to_dict()
        for moment in values["moments"]:
            del moment["start_frame"], moment["end_frame"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Edit":
        """The edit of `to_dict`'s output, or of a client's message. InputError on a bad or unknown field."""
        try:
            moments = tuple(EditedMoment(**moment) for moment in values.get("moments", ()))
            return cls(**{**values, "moments": moments, "categories": tuple(values.get("categories", ()))})
        except TypeError as error:
            raise InputError(f"An edit has these fields: {', '.join(_EDIT_FIELDS)}; got: {error}.") from error


_EDIT_FIELDS = tuple(field.name for field in dataclasses.fields(Edit))


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """One stored version of one annotator's answer. It never changes."""

    id: int
    op_id: str
    query_id: int
    annotator: str
    revision: int
    """1, 2, ... within the query and the annotator."""
    parent_id: int | None
    restores_id: int | None
    """The older version that this one brings back, if any."""
    created_at_ms: int
    edit: Edit


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """An adjudicator's decision that one correction is the answer to a query."""

    id: int
    op_id: str
    query_id: int
    revision: int
    parent_id: int | None
    correction_id: int
    adjudicator: str
    note: str | None
    created_at_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ProposedMoment:
    """A model's moment, half-open, with the probability that it gave it (0..1, or None)."""

    start_ms: int
    end_ms: int
    confidence: float | None = None

    def __post_init__(self) -> None:
        Moment.from_ms(self.start_ms, self.end_ms)
        _require_share("confidence", self.confidence)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What a model says about a query: the content of a proposal, before the store numbers it."""

    model_id: str
    adapter_id: str | None = None
    moments: tuple[ProposedMoment, ...] = ()
    """Best first."""
    refused: bool | None = None
    """None on construction: true exactly when there are no moments."""
    relevance: float | None = None
    """P(some moment matches), 0..1."""
    allocation: Mapping[str, Any] | None = None
    """Tokens for each frame, as `Allocation.to_dict` writes it."""
    timings: Mapping[str, float] | None = None
    answer: Mapping[str, Any] | None = None
    """The engine's complete answer as JSON values."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "moments", tuple(self.moments))
        if self.refused is None:
            object.__setattr__(self, "refused", not self.moments)
        _require_share("relevance", self.relevance)


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """One stored prediction."""

    id: int
    op_id: str
    query_id: int
    created_at_ms: int
    prediction: Prediction


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """One imported row with the store's number for it."""

    id: int
    dataset: str
    row: Row

    @property
    def original(self) -> list[Moment] | None:
        """The released moments, none where the release says that nothing matches; None without ground truth."""
        if self.row.windows is None:
            return [] if self.row.verdict == "no-moment" else None
        return moments_from_pairs(self.row.windows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Video:
    """A clip on disk, known by its content."""

    vid: str
    sha256: str
    path: str
    """Absolute."""
    size_bytes: int
    modified_ns: int
    """Of the file, so that an unchanged one need not be hashed again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """A query lent to an annotator for a while, so that two people do not do the same work."""

    query_id: int
    annotator: str
    leased_until_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A person who may sign in."""

    name: str
    role: str
    password_hash: str | None
    disabled: bool
    created_at_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatorProgress:
    """How far an annotator is, over every dataset that is not archived."""

    submitted: int
    """Rows that they have submitted."""
    remaining: int
    """Rows that the queue still has for them."""

    def to_dict(self) -> dict[str, int]:
        """The JSON object that the page reads."""
        return {"done": self.submitted, "left": self.remaining}


Rule = Literal["latest", "adjudicated"]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedAnswer:
    """The answer that holds, and who gave it."""

    source: Literal["original", "correction", "verdict"]
    verdict: VerdictKind | None
    """None where nothing is known: no ground truth and no correction."""
    moments: list[Moment] | None
    """None exactly when `verdict` is None or `cannot-judge` without an original."""
    correction: Correction | None = None
    """The version behind it, unless it is the original."""


def resolve(
    query: Query, submitted: Sequence[Correction], adopted: Correction | None, rule: Rule = "latest"
) -> ResolvedAnswer:
    """The answer under a rule: `latest` takes corrections that nobody adjudicated, `adjudicated` does not.

    `submitted` are the query's submitted corrections, `adopted` the one that the verdict names. A correction
    that says "cannot judge" changes nothing unless it is adjudicated. Pure.
    """
    if rule not in RULES:
        raise InputError(f"The rule is {rule!r}; it must be one of {', '.join(RULES)}.")
    if adopted is not None:
        return _of_correction(query, adopted, "verdict")
    judged = [each for each in latest_of_each(submitted) if each.edit.verdict != "cannot-judge"]
    if rule == "latest" and judged:
        newest = max(judged, key=lambda each: (each.created_at_ms, each.id))
        return _of_correction(query, newest, "correction")
    return ResolvedAnswer(source="original", verdict=query.row.verdict, moments=query.original)


def latest_of_each(corrections: Iterable[Correction]) -> list[Correction]:
    """Each annotator's newest version, annotators in the order of their names."""
    newest: dict[str, Correction] = {}
    for correction in sorted(corrections, key=lambda each: (each.annotator, each.revision)):
        newest[correction.annotator] = correction
    return list(newest.values())


def _of_correction(
    query: Query, correction: Correction, source: Literal["correction", "verdict"]
) -> ResolvedAnswer:
    edit = correction.edit
    moments = query.original if edit.verdict == "cannot-judge" else edit.windows
    return ResolvedAnswer(source=source, verdict=edit.verdict, moments=moments, correction=correction)


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, written with sorted keys and without spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_text(name: str, value: object) -> None:
    """Raise InputError unless `value` is None or a text that both databases can hold."""
    if value is None:
        return
    if not isinstance(value, str):
        raise InputError(f"{name} is a {type(value).__name__}; give text.")
    if len(value) > LONGEST_TEXT:
        raise InputError(f"{name} has {len(value)} characters; at most {LONGEST_TEXT} are kept. Shorten it.")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise InputError(f"{name} holds a NUL character or half a surrogate pair; remove it.")


def _require_count(name: str, value: object) -> None:
    if value is not None and (type(value) is not int or not 0 <= value < 2**53):
        raise InputError(f"{name} is {str(value)[:40]!r}; give a whole number of 0 or more, or None.")


def _require_one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InputError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}.")


def _require_share(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise InputError(f"{name} is {value!r}; it must lie between 0 and 1.")
