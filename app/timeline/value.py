"""Building what the timeline shows, from an answer, a context, a clip and its film strip: plain JSON values.

Nothing here knows the model: answer, context and clip are read through the few attributes that the timeline draws, so
that a stored answer can be shown as well as a fresh one. `Timeline` checks what it is given (`check_value`).
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

Value = dict[str, Any]
"""A `TimelineValue` as plain JSON."""


def empty_value(message: str | None = None) -> Value:
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


def loading_value(message: str, *, query: str = "", **clip: Any) -> Value:
    """The value while work is going on; whatever is known already (see `clip_parts`) is shown at once."""
    return {**empty_value(message), **clip_parts(**clip), "state": "loading", "query": query}


def error_value(message: str, *, query: str = "", **clip: Any) -> Value:
    """The value after a failure: `message` says what was given, the rule, and the remedy."""
    return {**empty_value(message), **clip_parts(**clip), "state": "error", "query": query}


def timeline_value(
    answer: Any, context: Any | None, video_url: str | None, info: Any | None, strip: Mapping[str, Any] | None
) -> Value:
    """The value that shows `answer` (`tempo_core.engine.Answer`) on a clip; the rest as for `clip_parts`."""
    moments = [
        {"start_s": float(moment.start_s), "end_s": float(moment.end_s), "confidence": float(confidence)}
        for moment, confidence in zip(answer.moments, answer.confidences, strict=True)
    ]
    ranked = [
        {"start_s": float(moment.start_s), "end_s": float(moment.end_s), "score": float(score)}
        for moment, score in answer.ranked
    ]
    return {
        **empty_value(),
        **clip_parts(video_url, info, strip, context),
        "state": "ready",
        "query": answer.query,
        "moments": moments,
        "ranked": ranked,
        "refusal": {"refused": bool(answer.refused), "relevance": float(answer.relevance)},
    }


def clip_parts(
    video_url: str | None = None,
    info: Any | None = None,
    strip: Mapping[str, Any] | None = None,
    context: Any | None = None,
) -> Value:
    """The parts `video`, `strip` and `frames`; each is None where nothing is known.

    `info` gives the length, rate and size of the clip at `video_url`, `strip` is a `strip_part`, `context` a
    `tempo_core.engine.VideoContext`: the frames that the model saw and their allocation.
    """
    video = None
    if video_url is not None and info is not None:
        varies = getattr(info, "variable_rate", False) or not info.frame_rate
        video = {
            "url": video_url,
            "duration_s": float(info.duration_s),
            "frame_rate": None if varies else float(info.frame_rate),
            "width": int(info.width),
            "height": int(info.height),
        }
    return {
        "video": video,
        "strip": dict(strip) if strip is not None else None,
        "frames": None
        if context is None
        else frames_part(context.times_s, context.end_s, context.allocation),
    }


def frames_part(times_s: Iterable[float], end_s: float, allocation: Any) -> Value:
    """The frames part of a value, from true times and the `tempo_core.allocation.Allocation` that belongs to them.

    `uniform_tokens` is what each frame would have had if the tokens spent were shared evenly.
    """
    tokens = [int(count) for count in allocation.tokens]
    return {
        "times_s": [float(time_s) for time_s in times_s],
        "end_s": float(end_s),
        "tokens": tokens,
        "variation": [float(change) for change in allocation.variation],
        "sizes_px": [[int(height), int(width)] for height, width in allocation.sizes_px],
        "uniform_tokens": sum(tokens) / max(len(tokens), 1),
        "budget_tokens": int(allocation.budget_tokens),
    }


def strip_part(strip: Any, url: str) -> Value | None:
    """The strip part of a value, from a `FilmStrip` and the address of its picture; None without one."""
    if strip is None:
        return None
    return {**asdict(strip), "times_s": list(strip.times_s), "url": url}
