"""What the browser sends to the Annotate and Review pages, checked as it comes in.

These models check the shape: which fields there are, and their JSON types. What an answer may say is the store's rule
(`annotations.records.Edit`), and whether an edge lies on a frame is `app.media.frame_edges`.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from annotations.records import Edit, EditedMoment
from app.http.dependencies import RequestBody

MOST_EXCLUDED = 200

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
    """Ignored: the server knows what was shown."""
    active_ms: Count | None = None
    key_presses: Count | None = None

    def to_edit(self, **changes: Any) -> Edit:
        """The answer as the store takes it, with `changes` in place of what was sent. Raises InputError."""
        frames = {"__all__": {"start_frame", "end_frame"}}
        values = self.model_dump(exclude={"arm": True, "moments": frames})
        moments = tuple(EditedMoment(**moment) for moment in values["moments"])
        return Edit(**{**values, "moments": moments, **changes})


class OperationRequest(RequestBody):
    """A write: `op_id` makes a repetition of it harmless."""

    op_id: str


class NextRequest(OperationRequest):
    """POST /annotate/api/next."""

    besides: list[int] = Field(default_factory=list, max_length=MOST_EXCLUDED)
    """Queries that the browser holds already."""


class EditRequest(OperationRequest):
    """POST /annotate/api/queries/<id>/edits."""

    edit: EditBody
    parent_id: int | None = None
    """The version that the annotator saw; None: they had none."""
