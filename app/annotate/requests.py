"""What the browser sends to the Annotate and Review pages, checked as it comes in.

These models check the shape: which fields there are, and their JSON types. What an answer may say is the store's rule
(`annotations.records.Edit`), and whether an edge lies on a frame is `app.media.frame_edges`.
"""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from annotations.records import Edit, EditedMoment
from tempo_core.errors import InputError

MOST_EXCLUDED = 200

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""A whole number that JavaScript can hold exactly."""


class Body(BaseModel):
    """The JSON object of a request. Numbers are no texts and texts are no numbers."""

    model_config = ConfigDict(strict=True)

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """The body of a request. Raises InputError with the value, the rule and the remedy."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            value = "missing" if first["type"] == "missing" else repr(first["input"])[:60]
            rule = first["msg"][:1].lower() + first["msg"][1:]
            raise InputError(f"`{field}` is {value}: {rule}. Correct it and send it again.") from error


class MomentBody(Body):
    """One moment of an answer. The browser may send frames; the server works them out itself."""

    model_config = ConfigDict(strict=True, extra="forbid")

    start_ms: int
    end_ms: int
    start_source: str = "hand"
    end_source: str = "hand"
    start_uncertainty_ms: Count | None = None
    end_uncertainty_ms: Count | None = None
    start_frame: Any = None
    end_frame: Any = None


class EditBody(Body):
    """An answer: the fields of `annotations.records.Edit`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    verdict: str
    moments: list[MomentBody] = []
    reason: str | None = None
    categories: list[str] = []
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


class OperationBody(Body):
    """A write: `op_id` makes a repetition of it harmless."""

    op_id: str


class NextBody(OperationBody):
    """POST /annotate/api/next."""

    besides: Annotated[list[int], Field(max_length=MOST_EXCLUDED)] = []
    """Queries that the browser holds already."""


class EditRequest(OperationBody):
    """POST /annotate/api/queries/<id>/edits."""

    edit: EditBody
    parent_id: int | None = None
    """The version that the annotator saw; None: they had none."""
