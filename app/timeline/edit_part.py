"""The editing part of a timeline's value: one row as it is shown, and the check that guards it."""

from collections.abc import Mapping
from typing import Any, TypedDict

from annotations.records import ADJUDICATION, Edit
from annotations.rows import VERDICTS
from app.timeline.rules import check_kind, check_number, check_object, check_times
from tempo_core.errors import InputError

ARMS = ("blind", "original-first", "model-first", ADJUDICATION)
"""What may have been shown before the answer."""
MOST_SALIENCY = 4.0


class SpanPart(TypedDict):
    """A half-open stretch of the clip."""

    start_ms: int
    end_ms: int


class OriginalPart(TypedDict):
    """The released answer; no moments and not refused where nothing was released."""

    moments: list[SpanPart]
    refused: bool


class ModelPart(TypedDict):
    """A stored proposal; its moments carry a `confidence` in 0..1 or None."""

    proposal_id: int
    model_id: str
    moments: list[dict[str, Any]]
    refused: bool
    relevance: float | None


class OtherPart(TypedDict):
    """Somebody's answer beside one's own (review)."""

    name: str
    moments: list[SpanPart]
    verdict: str


class EditPart(TypedDict):
    """A row on somebody's desk. `edit` is `Edit.to_dict()` of their present version, or None."""

    query_id: int
    qid: str
    dataset: str
    vid: str
    query: str
    annotator: str
    parent_id: int | None
    edit: dict[str, Any] | None
    arm: str
    original: OriginalPart
    model: ModelPart | None
    others: list[OtherPart]
    frame_rate: float
    frame_count: int
    grid_ms: int | None
    shots_ms: list[int]
    saliency: list[list[float]]
    reasons: list[dict[str, str]]
    error_categories: dict[str, str]
    progress: dict[str, int]
    missing_video: str | None


_KINDS: dict[str, tuple[type, ...]] = {
    "query_id": (int,),
    "qid": (str,),
    "dataset": (str,),
    "vid": (str,),
    "query": (str,),
    "annotator": (str,),
    "parent_id": (int, type(None)),
    "others": (list,),
    "shots_ms": (list,),
    "saliency": (list,),
    "reasons": (list,),
    "missing_video": (str, type(None)),
}


def check_edit_part(part: Any) -> None:
    """Raise InputError, naming the first rule that is broken, unless the timeline can show and edit `part`.

    Rules: the keys of EditPart with their types; a known arm; an edit that the store would read; spans that end
    after they start; probabilities in 0..1, saliency in 0..4; a positive frame rate and at least one frame.
    """
    check_object("edit", part, sorted(EditPart.__required_keys__))
    for name, kinds in _KINDS.items():
        check_kind(f"edit.{name}", part[name], *kinds)
    if part["arm"] not in ARMS:
        raise InputError(f"edit.arm is one of {', '.join(ARMS)}; got {str(part['arm'])[:40]!r}.")
    if part["edit"] is not None:
        check_object("edit.edit", part["edit"], ("verdict", "moments"))
        Edit.from_dict(part["edit"])
    _check_answers(part)
    _check_clip(part)
    _check_words(part)


def _check_answers(part: Mapping[str, Any]) -> None:
    check_object("edit.original", part["original"], ("moments", "refused"))
    check_kind("edit.original.refused", part["original"]["refused"], bool)
    _check_spans("edit.original.moments", part["original"]["moments"])
    if part["model"] is not None:
        _check_model(part["model"])
    for idx, other in enumerate(part["others"]):
        name = f"edit.others[{idx}]"
        check_object(name, other, ("name", "moments", "verdict"))
        check_kind(f"{name}.name", other["name"], str)
        _check_spans(f"{name}.moments", other["moments"])
        if other["verdict"] not in VERDICTS:
            raise InputError(
                f"{name}.verdict is one of {', '.join(VERDICTS)}; got {str(other['verdict'])[:40]!r}."
            )


def _check_model(model: Any) -> None:
    check_object("edit.model", model, sorted(ModelPart.__required_keys__))
    check_kind("edit.model.proposal_id", model["proposal_id"], int)
    check_kind("edit.model.model_id", model["model_id"], str)
    check_kind("edit.model.refused", model["refused"], bool)
    if model["relevance"] is not None:
        check_number("edit.model.relevance", model["relevance"], at_most=1.0)
    _check_spans("edit.model.moments", model["moments"])
    for idx, moment in enumerate(model["moments"]):
        if moment.get("confidence") is not None:
            check_number(f"edit.model.moments[{idx}].confidence", moment["confidence"], at_most=1.0)


def _check_spans(name: str, spans: Any) -> None:
    check_kind(name, spans, list)
    for idx, span in enumerate(spans):
        check_object(f"{name}[{idx}]", span, ("start_ms", "end_ms"))
        for key in ("start_ms", "end_ms"):
            check_number(f"{name}[{idx}].{key}", span[key], whole=True)
        if span["end_ms"] <= span["start_ms"]:
            raise InputError(
                f"{name}[{idx}] must end after it starts; got {span['start_ms']} to {span['end_ms']} ms."
            )


def _check_clip(part: Mapping[str, Any]) -> None:
    check_number("edit.frame_rate", part["frame_rate"], above=0.0)
    check_number("edit.frame_count", part["frame_count"], above=0.0, whole=True)
    if part["grid_ms"] is not None:
        check_number("edit.grid_ms", part["grid_ms"], above=0.0)
    check_times("edit.shots_ms", part["shots_ms"])
    for idx, clip in enumerate(part["saliency"]):
        name = f"edit.saliency[{idx}]"
        if not isinstance(clip, list | tuple) or len(clip) != 3:
            raise InputError(f"{name} must be [start_ms, end_ms, score]; got {str(clip)[:40]!r}.")
        check_times(name, clip[:2])
        check_number(f"{name}[2]", clip[2], at_most=MOST_SALIENCY)


def _check_words(part: Mapping[str, Any]) -> None:
    for idx, reason in enumerate(part["reasons"]):
        check_object(f"edit.reasons[{idx}]", reason, ("kind", "text"))
        check_kind(f"edit.reasons[{idx}].text", reason["text"], str)
    check_object("edit.error_categories", part["error_categories"], ())
    for key, text in part["error_categories"].items():
        check_kind(f"edit.error_categories[{str(key)[:40]!r}]", text, str)
    check_object("edit.progress", part["progress"], ("done", "left"))
    for key in ("done", "left"):
        check_number(f"edit.progress.{key}", part["progress"][key], whole=True)
