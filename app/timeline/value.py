"""Building what the timeline shows, from an answer, a context, a clip and its film strip.

Nothing here knows the model: an answer, a context and a video description are read through the few
attributes that the timeline draws, so that a stored answer can be shown as well as a fresh one.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol, cast

from app.timeline.parts import FramesPart, StripPart, TimelineValue, check_value
from tempo_core.moments import Moment


class AnswerLike(Protocol):
    """What the timeline reads of an answer."""

    @property
    def query(self) -> str: ...
    @property
    def moments(self) -> Sequence[Moment]: ...
    @property
    def confidences(self) -> Sequence[float]: ...
    @property
    def relevance(self) -> float: ...
    @property
    def refused(self) -> bool: ...
    @property
    def ranked(self) -> Sequence[tuple[Moment, float]]: ...


class AllocationLike(Protocol):
    """What the timeline reads of an allocation: one entry per frame."""

    @property
    def tokens(self) -> Any: ...
    @property
    def sizes_px(self) -> Any: ...
    @property
    def variation(self) -> Any: ...
    @property
    def budget_tokens(self) -> int: ...


class ContextLike(Protocol):
    """What the timeline reads of an encoded video."""

    @property
    def times_s(self) -> Any: ...
    @property
    def end_s(self) -> float: ...
    @property
    def allocation(self) -> Any: ...


class InfoLike(Protocol):
    """What the timeline reads of a probed video. `frame_rate` is a Fraction, a float, or None."""

    @property
    def duration_s(self) -> float: ...
    @property
    def frame_rate(self) -> Any: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...


def empty_value(message: str | None = None) -> TimelineValue:
    """The value before anything was asked; `message` says what will be here, in place of the usual words."""
    return {
        "rev": secrets.token_hex(6),
        "state": "empty",
        "message": message,
        "query": "",
        "video": None,
        "strip": None,
        "frames": None,
        "moments": [],
        "ranked": [],
        "refusal": None,
    }


def loading_value(
    message: str,
    *,
    query: str = "",
    video_url: str | None = None,
    info: InfoLike | None = None,
    strip: Mapping[str, Any] | None = None,
    context: ContextLike | None = None,
) -> TimelineValue:
    """The value while work is going on; whatever is known already (clip, strip, frames) is shown at once."""
    value = _with_clip(empty_value(), video_url, info, strip, context)
    return check_value({**value, "state": "loading", "message": message, "query": query})


def error_value(
    message: str,
    *,
    query: str = "",
    video_url: str | None = None,
    info: InfoLike | None = None,
    strip: Mapping[str, Any] | None = None,
    context: ContextLike | None = None,
) -> TimelineValue:
    """The value after a failure: `message` says what was given, the rule, and the remedy."""
    value = _with_clip(empty_value(), video_url, info, strip, context)
    return check_value({**value, "state": "error", "message": message, "query": query})


def timeline_value(
    answer: AnswerLike,
    context: ContextLike | None,
    video_url: str | None,
    info: InfoLike | None,
    strip: Mapping[str, Any] | None,
) -> TimelineValue:
    """The value that shows `answer` on the clip at `video_url`.

    `context` gives the frames the model saw and their allocation, `info` the clip's length, rate and size,
    `strip` the sprite picture; each may be None, and its part of the timeline stays empty.
    Raises InputError when a part breaks the rules of `check_value`.
    """
    value = _with_clip(empty_value(), video_url, info, strip, context)
    value["query"] = answer.query
    value["state"] = "ready"
    value["moments"] = [
        {"start_s": float(m.start_s), "end_s": float(m.end_s), "confidence": float(c)}
        for m, c in zip(answer.moments, answer.confidences, strict=True)
    ]
    value["ranked"] = [
        {"start_s": float(m.start_s), "end_s": float(m.end_s), "score": float(score)}
        for m, score in answer.ranked
    ]
    value["refusal"] = {"refused": bool(answer.refused), "relevance": float(answer.relevance)}
    return check_value(value)


def frames_part(times_s: Iterable[float], end_s: float, allocation: AllocationLike) -> FramesPart:
    """The frames part of a value, from true times and the allocation that belongs to them.

    `uniform_tokens` is what each frame would have had if the tokens spent were shared evenly.
    """
    tokens = [int(count) for count in allocation.tokens]
    return {
        "times_s": [float(t) for t in times_s],
        "end_s": float(end_s),
        "tokens": tokens,
        "variation": [float(v) for v in allocation.variation],
        "sizes_px": [[int(height), int(width)] for height, width in allocation.sizes_px],
        "uniform_tokens": sum(tokens) / max(len(tokens), 1),
        "budget_tokens": int(allocation.budget_tokens),
    }


def strip_part(strip: Any, url: str) -> StripPart | None:
    """The strip part of a value, from a `FilmStrip` and the address of its picture; None without one."""
    if strip is None:
        return None
    return cast(StripPart, {**asdict(strip), "times_s": list(strip.times_s), "url": url})


def _with_clip(
    value: TimelineValue,
    video_url: str | None,
    info: InfoLike | None,
    strip: Mapping[str, Any] | None,
    context: ContextLike | None,
) -> TimelineValue:
    if video_url is not None and info is not None:
        rate = float(info.frame_rate) if info.frame_rate else None
        value["video"] = {
            "url": video_url,
            "duration_s": float(info.duration_s),
            "frame_rate": None if getattr(info, "variable_rate", False) else rate,
            "width": int(info.width),
            "height": int(info.height),
        }
    value["strip"] = cast("StripPart | None", dict(strip) if strip is not None else None)
    if context is not None:
        value["frames"] = frames_part(context.times_s, context.end_s, context.allocation)
    return value
