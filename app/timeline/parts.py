"""The timeline's value: what its JSON holds, as pydantic models, and the one check of it.

Times are seconds (`_s`) in what the model saw and said, and whole milliseconds (`_ms`) in what people edit.
"""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from annotations.records import ADJUDICATION, Edit
from annotations.rows import Verdict
from app.http.errors import sentence_of
from tempo_core.calibration import Band
from tempo_core.errors import InputError


def _increasing(times: list[float]) -> list[float]:
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise ValueError("each must be greater than the one before")
    return times


Number = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Times = Annotated[list[Number], AfterValidator(_increasing)]
Milliseconds = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """Base of every part: exact types, so that True is no number, and finite numbers only. More keys may be there."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class VideoPart(Part):
    """The file that the component plays. `frame_rate` is None where frames are not evenly spaced."""

    url: str
    id: str = ""
    """The same for all files of one clip, which have one clock."""
    duration_s: Positive
    frame_rate: Number | None
    width: int
    height: int


class StripPart(Part):
    """One sprite picture of evenly sized tiles, row by row, and the true time of each tile."""

    url: str
    tile_width: Annotated[int, Field(gt=0)]
    tile_height: Annotated[int, Field(gt=0)]
    columns: Annotated[int, Field(gt=0)]
    times_s: Times
    levels: Annotated[int, Field(ge=0)] = 0
    """How many finer levels can be fetched below the sprite."""


class FramesPart(Part):
    """The frames that the model saw: one entry per frame in every list; sizes are [height, width]."""

    times_s: Times
    end_s: Positive
    tokens: list[Annotated[int, Field(ge=0)]]
    variation: list[Number]
    sizes_px: list[list[int]]
    uniform_tokens: Number
    budget_tokens: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def check_lists(self) -> Self:
        if len({len(self.times_s), len(self.tokens), len(self.variation), len(self.sizes_px)}) != 1:
            raise ValueError("the lists must have one length")
        if self.times_s and self.times_s[-1] >= self.end_s:
            raise ValueError("end_s must come after the last frame")
        return self


class Window(Part):
    """A stretch of the clip in seconds."""

    start_s: Number
    end_s: Number

    @model_validator(mode="after")
    def check_order(self) -> Self:
        if self.end_s <= self.start_s:
            raise ValueError("it must end after it starts")
        return self


class MomentPart(Window):
    """A predicted moment and the probability of its stamps; None where the model's server gives none."""

    confidence: Probability | None
    band: Band | None = None
    """How far to trust it, where the model's server gives probabilities."""


class LookPart(Window):
    """A window of a film that the model looked at."""

    kind: Literal["scan", "second"]
    """The scan's, or a second look at the finest rate."""
    step_s: Positive
    """Between two frames."""
    frames: Annotated[int, Field(ge=0)]
    relevance: Probability | None
    moments: Annotated[int, Field(ge=0)]
    """How many it named."""


class RankedPart(Window):
    """One of the n best windows, best first."""

    score: Probability


class RefusalPart(Part):
    """Whether the answer was the refusal, and P(relevant) where it is known."""

    refused: bool
    relevance: Probability | None


class UnderstoodPart(Part):
    """Whether the model knew what was asked, the words that it does not know, and what to tell a person then."""

    probability: Probability
    words: list[str]
    sentence: str


class LanePart(Part):
    """One of several models' answers to the same question."""

    name: str
    note: str
    """What is to be known about its P(relevant); empty: nothing."""
    moments: list[MomentPart]
    refusal: RefusalPart
    understood: UnderstoodPart | None = None


class SpanPart(Part):
    """A half-open stretch of the clip in milliseconds."""

    start_ms: Milliseconds
    end_ms: Milliseconds

    @model_validator(mode="after")
    def check_order(self) -> Self:
        if self.end_ms <= self.start_ms:
            raise ValueError("it must end after it starts")
        return self


class ProposedSpan(SpanPart):
    """A moment of a stored proposal."""

    confidence: Probability | None = None


class OriginalPart(Part):
    """The released answer; no moments and not refused where nothing was released."""

    moments: list[SpanPart]
    refused: bool


class WorthPart(Part):
    """How far a model agrees with people's answers in the row's dataset, and how many of those there are."""

    answers: Annotated[int, Field(ge=0)]
    mean_tiou: Probability | None


class ModelPart(Part):
    """A stored proposal."""

    proposal_id: int
    model_id: str
    moments: list[ProposedSpan]
    refused: bool
    relevance: Probability | None
    worth: WorthPart | None


class OtherPart(Part):
    """Somebody's answer beside one's own (review)."""

    name: str
    moments: list[SpanPart]
    verdict: Verdict


class ReasonPart(Part):
    """A stated reason to look at the row."""

    kind: str
    text: str


class ProgressPart(Part):
    """Rows that the annotator submitted, and rows that the queue has for them."""

    done: Annotated[int, Field(ge=0)]
    left: Annotated[int, Field(ge=0)]


def _readable_edit(edit: dict[str, Any] | None) -> dict[str, Any] | None:
    if edit is not None:
        Edit.from_dict(edit)
    return edit


def _clip_score(clip: list[float]) -> list[float]:
    if len(clip) != 3 or clip[0] >= clip[1] or clip[2] > 4:
        raise ValueError("it must be [start_ms, end_ms, score], with a score of 0 to 4")
    return clip


class EditPart(Part):
    """A row that is open for editing. `edit` is `Edit.to_dict()` of the annotator's present version, or None."""

    query_id: int
    qid: str
    dataset: str
    vid: str
    query: str
    annotator: str
    parent_id: int | None
    edit: Annotated[dict[str, Any] | None, AfterValidator(_readable_edit)]
    arm: Literal["blind", "original-first", "model-first", ADJUDICATION]  # type: ignore[valid-type]
    blind_share: Probability | None
    original: OriginalPart
    model: ModelPart | None
    model_absence: str | None
    """Why no model proposes for the row."""
    others: list[OtherPart]
    frame_rate: Positive
    frame_count: Annotated[int, Field(gt=0)]
    grid_ms: Positive | None
    shots_ms: Times
    shots_pending: bool = False
    """Whether `shots_ms` are still to come."""
    saliency: list[Annotated[list[Number], AfterValidator(_clip_score)]]
    reasons: list[ReasonPart]
    error_categories: dict[str, str]
    progress: ProgressPart
    missing_video: str | None


class TimelineValue(Part):
    """Everything that the component draws. `rev` differs between two values that must not count as equal."""

    rev: str
    state: Literal["empty", "loading", "ready", "error"]
    message: str | None
    query: str
    video: VideoPart | None
    strip: StripPart | None
    frames: FramesPart | None
    moments: list[MomentPart]
    ranked: list[RankedPart]
    ranking: bool = False
    """Whether `ranked` is still to come."""
    refusal: RefusalPart | None
    understood: UnderstoodPart | None = None
    """None where the model does not say which words it was taught, and before an answer."""
    looks: list[LookPart] | None = None
    """Of a film, in the order of looking; empty while it is looked at. None for a clip in one piece."""
    lanes: Annotated[list[LanePart], Field(max_length=3)] = Field(default_factory=list)
    """Every model's answer where several were asked, the one of `moments` first."""
    selected: Annotated[int, Field(ge=0)] | None = None
    """The moment that is selected, and gone to, when the answer is first shown and nothing plays."""
    edit: EditPart | None = None
    """What is edited; the read-only timeline does without."""


def check_value(value: Any) -> dict[str, Any]:
    """The value itself, once it is sure that the component can draw it.

    Raises InputError, naming the first rule of TimelineValue that is broken.
    """
    try:
        TimelineValue.model_validate(value)
    except ValidationError as error:
        raise InputError(sentence_of(error)) from error
    return dict(value)
