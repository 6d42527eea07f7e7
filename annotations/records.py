"""What goes into the store and what comes out of it, as plain immutable records."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import Any, Literal, TypeVar, get_args

from annotations.arms import Arm
from annotations.rows import VERDICTS, Row
from annotations.rows import Verdict as VerdictKind
from tempo_core.errors import InputError
from tempo_core.moments import Moment, moments_from_pairs

T = TypeVar("T")
EdgeSource = Literal["original", "model", "snap", "hand"]
EDGE_SOURCES: tuple[EdgeSource, ...] = get_args(EdgeSource)

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

PLANTED = "planted"
"""The arm of an answer to a decided row whose proposal was made wrong on purpose (`annotations.planting`); it counts
nowhere else."""

Opening = Literal["nothing", "original", "model", "version"]
OPENINGS: tuple[Opening, ...] = get_args(Opening)

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
            check_choice(name, getattr(self, name), EDGE_SOURCES)
        for name in ("start_uncertainty_ms", "end_uncertainty_ms", "start_frame", "end_frame"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 0):
                unit = "milliseconds" if name.endswith("_ms") else "frames"
                raise InputError(f"{name} is {value!r}; give whole {unit} of 0 or more, or None.")

    @classmethod
    def of(cls, moment: Moment, source: EdgeSource = "hand") -> "EditedMoment":
        """A moment whose two edges come from one source."""
        start_ms, end_ms = moment.to_ms()
        return cls(start_ms=start_ms, end_ms=end_ms, start_source=source, end_source=source)

    @property
    def moment(self) -> Moment:
        """In seconds."""
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
    """The proposal that was on the screen."""
    arm: str | None = None
    """What was shown before answering: blind, original-first or model-first."""
    opening: Opening | None = None
    """What the annotator's lane held when they began: nothing, the released moments, the model's, or their own earlier
    version; None where nobody knows."""
    screen_reasons: tuple[str, ...] | None = None
    """The suspicions that were on the screen; None where nobody knows."""
    active_ms: int | None = None
    """Working time without idle stretches."""
    key_presses: int | None = None

    def __post_init__(self) -> None:
        check_choice("verdict", self.verdict, VERDICTS)
        object.__setattr__(self, "moments", tuple(self.moments))
        object.__setattr__(self, "categories", tuple(sorted(set(self.categories))))
        check_choice("opening", self.opening, (None, *OPENINGS))
        if self.screen_reasons is not None:
            object.__setattr__(self, "screen_reasons", tuple(self.screen_reasons))
            for screen_reason in self.screen_reasons:
                check_text("screen_reasons", screen_reason)
        for category in self.categories:
            check_choice("category", category, tuple(ERROR_CATEGORIES))
        # A draft may be incomplete: moments that are still missing, a reason not yet written.
        if self.submitted and (self.verdict == "moments") != bool(self.moments):
            raise InputError(
                f"Verdict {self.verdict!r} came with {len(self.moments)} moments; "
                "`moments` needs at least one, and the other verdicts take none."
            )
        if self.submitted and self.verdict != "moments" and not (self.reason or "").strip():
            raise InputError(f"Verdict {self.verdict!r} came without a reason; say why in `reason`.")
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
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not 0 <= value < 2**53):
                raise InputError(f"{name} is {str(value)[:40]!r}; give a whole number of 0 or more, or None.")

    @property
    def windows(self) -> list[Moment]:
        """The moments in seconds."""
        return [moment.moment for moment in self.moments]

    def to_dict(self) -> dict[str, Any]:
        """JSON values, all fields; what `from_dict` reads."""
        values = dataclasses.asdict(self)
        for name in ("moments", "categories", "screen_reasons"):
            values[name] = None if values[name] is None else list(values[name])
        return values

    def to_request(self) -> dict[str, Any]:
        """What makes a repetition the same request: all but frames, which are known only once a clip is ready, and but
        what an older page does not say of its screen.
        """
        values = self.to_dict()
        for name in ("opening", "screen_reasons"):
            if values[name] is None:
                del values[name]
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
            names = ", ".join(attribute.name for attribute in dataclasses.fields(cls))
            raise InputError(f"An edit has these fields: {names}; got: {error}.") from error


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

    @property
    def verdict(self) -> VerdictKind:
        """What the version says: moments, no-moment or cannot-judge."""
        return self.edit.verdict


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
        _check_probability("confidence", self.confidence)


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
        _check_probability("relevance", self.relevance)

    @property
    def model_name(self) -> str:
        """The model, with its adapter if it has one."""
        return f"{self.model_id}+{self.adapter_id}" if self.adapter_id else self.model_id


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
        return released_moments(self.row.windows, self.row.verdict)


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
    arm: Arm
    """Drawn once for the row and the annotator."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plant:
    """Wrong moments that were shown to somebody on a decided row, in place of the model's (`annotations.planting`)."""

    query_id: int
    annotator: str
    project_id: int
    correction_id: int
    """The decided answer that they were made from."""
    model_id: str
    """Under whose name they were shown."""
    moments: tuple[tuple[int, int], ...]
    """In milliseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UpcomingRow:
    """The row that would be lent to an annotator next, with what lending it would record. Nothing of it is stored."""

    query_id: int
    arm: Arm
    plant: Plant | None = None
    """What would be shown in place of the model's proposal, on a decided row that is to measure people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A person who may sign in."""

    name: str
    role: str
    password_hash: str | None
    disabled: bool
    created_at_ms: int
    password_expires_at_ms: int | None = None
    """Of a temporary password, which its owner must change; None: it is their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Whom an upstream vouches for, and the account that they sign in to."""

    issuer: str
    subject: str
    account: str
    created_at_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatorProgress:
    """How far an annotator is: in the project that they work in, or else over every dataset that is not archived."""

    submitted: int
    """Rows that they have submitted."""
    remaining: int
    """Rows that the queue still has for them."""
    project: str | None = None
    waiting_for_clip: int = 0
    """Rows of the project that do not stand in its queue, because their clip is not there."""
    ended: str | None = None
    """Why the project lends nothing any more."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that the page reads."""
        progress: dict[str, Any] = {"done": self.submitted, "left": self.remaining}
        if self.project is not None:
            progress |= {"project": self.project, "waiting": self.waiting_for_clip, "ended": self.ended}
        return progress


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
    row: Row, versions: Iterable[Correction], adopted: Correction | None, rule: Rule = "latest"
) -> ResolvedAnswer:
    """The answer to an imported row's query; `versions` and `adopted` are as for `answering_version`."""
    original = released_moments(row.windows, row.verdict)
    version = answering_version(versions, adopted, rule)
    if version is None:
        return ResolvedAnswer(source="original", verdict=row.verdict, moments=original)
    return ResolvedAnswer(
        source="correction" if adopted is None else "verdict",
        verdict=version.verdict,
        moments=original if version.verdict == "cannot-judge" else version.edit.windows,
        correction=version,
    )


def answering_version(versions: Iterable[Any], adopted: Any, rule: Rule = "latest") -> Any:
    """The version whose answer holds for a query; None: the original holds.

    `versions` are each annotator's newest submitted versions, `adopted` the one that the newest verdict names.
    Rule `latest` takes the newest version that nobody adjudicated, `adjudicated` does not. A version that says
    "cannot judge" changes nothing unless it was adopted. Versions are Corrections, or rows of the table of
    corrections. Raises InputError on another rule.
    """
    if rule not in RULES:
        raise InputError(f"The rule is {rule!r}; it must be one of {', '.join(RULES)}.")
    newest = None
    for version in versions if adopted is None and rule == "latest" else ():
        if version.verdict == "cannot-judge":
            continue
        # By the order in which the store wrote them: the clock may have been set in between.
        if newest is None or version.id > newest.id:
            newest = version
    return newest if adopted is None else adopted


def released_moments(windows: Iterable[Sequence[float]] | None, verdict: str | None) -> list[Moment] | None:
    """The moments of an imported row; none where it says that nothing matches, None without ground truth."""
    if windows is None:
        return [] if verdict == "no-moment" else None
    return moments_from_pairs(windows)


def latest_of_each(versions: Iterable[T]) -> list[T]:
    """Each annotator's newest version, annotators in the order of their names.

    Versions are Corrections, or rows of the table of corrections.
    """
    newest: dict[str, T] = {}
    for version in sorted(versions, key=attrgetter("annotator", "revision")):
        newest[version.annotator] = version  # type: ignore[attr-defined]
    return list(newest.values())


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, written with sorted keys and without spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_choice(name: str, value: object, choices: Sequence[str | None]) -> None:
    """Raise InputError unless `value` is one of `choices`; the message does not list None."""
    if value not in choices:
        names = ", ".join(choice for choice in choices if choice is not None)
        raise InputError(f"{name} is {value!r}; it must be one of {names}.")


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


def _check_probability(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise InputError(f"{name} is {value!r}; it must lie between 0 and 1.")
