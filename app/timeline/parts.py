"""The timeline's value as plain JSON: its parts, and the check that guards it in both directions."""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict, cast

from app.timeline.edit_part import EditPart, check_edit_part
from app.timeline.rules import check_number, check_times
from tempo_core.errors import InputError

STATES = ("empty", "loading", "ready", "error")


class VideoPart(TypedDict):
    """The file that the component plays. `frame_rate` is None where frames are not evenly spaced."""

    url: str
    duration_s: float
    frame_rate: float | None
    width: int
    height: int


class StripPart(TypedDict):
    """One sprite picture of evenly sized tiles, row by row, and the true time of each tile."""

    url: str
    tile_width: int
    tile_height: int
    columns: int
    times_s: list[float]


class FramesPart(TypedDict):
    """The frames that the model saw: one entry per frame in every list; sizes are [height, width]."""

    times_s: list[float]
    end_s: float
    tokens: list[int]
    variation: list[float]
    sizes_px: list[list[int]]
    uniform_tokens: float
    budget_tokens: int


class MomentPart(TypedDict):
    """A predicted moment and the probability of its stamps, in 0..1."""

    start_s: float
    end_s: float
    confidence: float


class RankedPart(TypedDict):
    """One of the n best windows, best first."""

    start_s: float
    end_s: float
    score: float


class RefusalPart(TypedDict):
    """Whether the answer was the refusal, and P(relevant)."""

    refused: bool
    relevance: float


class TimelineValue(TypedDict):
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
    refusal: RefusalPart | None
    edit: NotRequired[EditPart | None]
    """What is edited; the read-only timeline does without."""


def check_value(value: Any) -> TimelineValue:
    """The value itself, once it is sure that the component can draw it.

    Rules: the keys of TimelineValue; a known state; finite numbers; frame lists of one length with strictly
    increasing times before `end_s`; moments that end after they start; probabilities in 0..1; those of
    `check_edit_part`, where there is a row to edit.
    Raises InputError naming the first rule that is broken.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"A timeline value is an object; got {type(value).__name__}. Use timeline_value().")
    missing = sorted(TimelineValue.__required_keys__ - set(value))
    if missing:
        raise InputError(f"A timeline value lacks {', '.join(missing)}. Start from empty_value().")
    if value["state"] not in STATES:
        raise InputError(f"A timeline's state is one of {', '.join(STATES)}; got {value['state']!r}.")
    if value["video"] is not None:
        check_number("video.duration_s", value["video"]["duration_s"], above=0.0)
    if value["frames"] is not None:
        _check_frames(value["frames"])
    if value["strip"] is not None:
        _check_strip(value["strip"])
    for name, score in (("moments", "confidence"), ("ranked", "score")):
        for idx, part in enumerate(value[name]):
            _check_window(f"{name}[{idx}]", part, score)
    if value["refusal"] is not None:
        check_number("refusal.relevance", value["refusal"]["relevance"], at_most=1.0)
    if value.get("edit") is not None:
        check_edit_part(value["edit"])
    return cast(TimelineValue, dict(value))


def _check_frames(frames: Mapping[str, Any]) -> None:
    lengths = {name: len(frames[name]) for name in ("times_s", "tokens", "variation", "sizes_px")}
    if len(set(lengths.values())) != 1:
        raise InputError(f"A timeline's frame lists must have one length; got {lengths}.")
    check_times("frames.times_s", frames["times_s"])
    check_number("frames.end_s", frames["end_s"], above=0.0)
    if frames["times_s"] and frames["times_s"][-1] >= frames["end_s"]:
        last_s, end_s = frames["times_s"][-1], frames["end_s"]
        raise InputError(f"frames.end_s must come after the last frame; got {end_s} after {last_s}.")
    for name in ("tokens", "variation"):
        for idx, number in enumerate(frames[name]):
            check_number(f"frames.{name}[{idx}]", number)
    for name in ("uniform_tokens", "budget_tokens"):
        check_number(f"frames.{name}", frames[name])


def _check_strip(strip: Mapping[str, Any]) -> None:
    for name in ("tile_width", "tile_height", "columns"):
        check_number(f"strip.{name}", strip[name], above=0.0)
    check_times("strip.times_s", strip["times_s"])


def _check_window(name: str, window: Mapping[str, Any], score: str) -> None:
    for key in ("start_s", "end_s"):
        check_number(f"{name}.{key}", window[key])
    check_number(f"{name}.{score}", window[score], at_most=1.0)
    if window["end_s"] <= window["start_s"]:
        raise InputError(
            f"{name} must end after it starts; got {window['start_s']} to {window['end_s']} seconds."
        )
