"""What the browser sends to the Annotate and Review pages, checked as it comes in.

The models check the shape: which fields there are, and their JSON types. What an answer may say is the store's rule
(`annotations.records.Edit`); whether its edges lie on frames of the clip is `check_edges`.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from annotations.records import Edit, EditedMoment, Query
from annotations.store import Store
from app.http.dependencies import RequestBody
from app.media.dataset_clips import ReadyClip
from tempo_core.errors import InputError

MOST_EXCLUDED = 200
MOST_REASONS = 50

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""A whole number that JavaScript can hold exactly."""


class MomentBody(RequestBody):
    """One moment of an answer. The browser may send frames; the server works them out itself."""

    model_config = ConfigDict(extra="forbid")

    start_ms: int
    end_ms: int
    start_source: str = "hand"
    end_source: str = "hand"
    start_uncertainty_ms: Count | None = None
    end_uncertainty_ms: Count | None = None
    start_frame: Any = None
    end_frame: Any = None


class EditBody(RequestBody):
    """An answer: the fields of `annotations.records.Edit`."""

    model_config = ConfigDict(extra="forbid")

    verdict: str
    moments: list[MomentBody] = Field(default_factory=list)
    reason: str | None = None
    categories: list[str] = Field(default_factory=list)
    edited_text: str | None = None
    note: str | None = None
    flagged: bool = False
    submitted: bool = True
    proposal_id: Count | None = None
    arm: Any = None
    """Ignored: the server has drawn it."""
    opening: str | None = None
    screen_reasons: list[str] | None = Field(default=None, max_length=MOST_REASONS)
    active_ms: Count | None = None
    key_presses: Count | None = None

    def to_edit(self, clip: ReadyClip | None, **changes: Any) -> Edit:
        """The answer as the store takes it, with the clip's frame at each edge (None: there is no clip, or the edge
        lies between frames) and `changes` in place of what was sent. Raises InputError.
        """
        values = self.model_dump(exclude={"arm"})
        for moment in values["moments"]:
            for edge in ("start", "end"):
                moment[f"{edge}_frame"] = None if clip is None else clip.frame_at(moment[f"{edge}_ms"])
        moments = tuple(EditedMoment(**moment) for moment in values["moments"])
        return Edit(**{**values, "moments": moments, **changes})


def check_edges(
    store: Store, query: Query, edit: Edit, clip: ReadyClip, *, offered: Iterable[int] = ()
) -> None:
    """Edges set by hand lie where a frame begins, inside the clip; those that came from elsewhere may stay.

    Elsewhere is the release, a proposal, an earlier version, or `offered` (milliseconds that the page itself
    began with). Raises InputError, naming the edge.
    """
    off_grid = {moment.start_ms for moment in edit.moments if moment.start_frame is None}
    off_grid |= {moment.end_ms for moment in edit.moments if moment.end_frame is None}
    if not off_grid:
        return
    row_edges_ms = {ms for moment in query.original or () for ms in moment.to_ms()}.union(offered)
    for version in store.corrections(query.id):
        row_edges_ms.update(ms for moment in version.edit.moments for ms in (moment.start_ms, moment.end_ms))
    for proposal in store.proposals(query.id):
        row_edges_ms.update(
            ms for moment in proposal.prediction.moments for ms in (moment.start_ms, moment.end_ms)
        )
    unknown = sorted(off_grid - row_edges_ms)
    if unknown:
        raise InputError(
            f"An edge at {unknown[0]} ms is no frame of this clip, which has {clip.frame_count} frames, "
            f"{clip.frame_rate:g} a second. Reload the page and set it again."
        )


class OperationRequest(RequestBody):
    """A write: `op_id` makes a repetition of it harmless."""

    op_id: str


class NextRequest(OperationRequest):
    """POST /annotate/api/next."""

    besides: list[int] = Field(default_factory=list, max_length=MOST_EXCLUDED)
    """Queries that the browser holds already."""
    upcoming: int | None = None
    """The query that is on screen already, as POST /annotate/api/upcoming told it."""


class UpcomingRequest(RequestBody):
    """POST /annotate/api/upcoming."""

    besides: list[int] = Field(default_factory=list, max_length=MOST_EXCLUDED)
    """Queries that the browser holds already, the one on screen too."""


class EditRequest(OperationRequest):
    """POST /annotate/api/queries/<id>/edits."""

    edit: EditBody
    parent_id: int | None = None
    """The version that the annotator saw; None: they had none."""
