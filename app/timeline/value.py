"""Building what the timeline shows, from an answer, a context, a clip and its film strip: plain JSON values.

Nothing here knows the model: answer and context are read through the few attributes that the timeline draws, so that a
stored answer can be shown as well as a fresh one. `Timeline` checks what it is given (`check_value`).
"""

import secrets
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from annotations.proposers import model_name
from app.media.library import Clip, FilmStrip
from tempo_core.calibration import NEVER_TAUGHT, band_of

BAND_WORDS = {"clear": "clear", "possible": "possible", "guess": "a guess"}
"""How the bands are said; the timeline's script has the same words."""
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
        "ranking": False,
        "refusal": None,
        "understood": None,
        "selected": None,
        "looks": None,
    }


def loading_value(message: str, *, query: str = "", clip: Clip | None = None, is_film: bool = False) -> Value:
    """The value while work is going on; the clip is shown as soon as it is known. `is_film` keeps room for the windows
    that are looked at."""
    looks: list[Value] | None = [] if is_film else None
    return {**empty_value(message), **clip_parts(clip), "state": "loading", "query": query, "looks": looks}


def error_value(message: str, *, query: str = "", clip: Clip | None = None) -> Value:
    """The value after a failure: `message` says what was given, the rule, and the remedy."""
    return {**empty_value(message), **clip_parts(clip), "state": "error", "query": query}


def timeline_value(
    answer: Any, clip: Clip | None, strip: FilmStrip | None, context: Any | None, *, ranking: bool = False
) -> Value:
    """The value that shows `answer` (`tempo_core.engine.Answer`) on a clip; the rest as for `clip_parts`.

    The first moment is selected. `ranking` says that the ranked windows are still to come.
    """
    ranked = [
        {"start_s": float(moment.start_s), "end_s": float(moment.end_s), "score": float(score)}
        for moment, score in answer.ranked
    ]
    return {
        **empty_value(),
        **clip_parts(clip, strip, context),
        "state": "ready",
        "query": answer.query,
        "ranked": ranked,
        "ranking": ranking,
        "selected": 0 if answer.moments else None,
        "looks": looks_part(answer),
        **answer_parts(answer),
    }


def looks_part(answer: Any) -> list[Value] | None:
    """The windows of a film that an answer stands on; None for a clip in one piece."""
    looks = [
        {
            "start_s": float(look.window.start_s),
            "end_s": float(look.window.end_s),
            "kind": look.kind,
            "step_s": float(look.window.step_s),
            "frames": int(look.num_frames),
            "relevance": None if look.relevance is None else float(look.relevance),
            "moments": len(look.moments),
        }
        for look in answer.looks
    ]
    return looks or None


def answer_parts(answer: Any) -> Value:
    """The parts `moments` and `refusal` of an answer."""
    moments = [
        {
            "start_s": float(moment.start_s),
            "end_s": float(moment.end_s),
            "confidence": None if confidence is None else float(confidence),
            "band": band_of(confidence, answer.relevance),
        }
        for moment, confidence in zip(answer.moments, answer.confidences, strict=True)
    ]
    return {
        "moments": moments,
        "refusal": {"refused": bool(answer.refused), "relevance": answer.relevance},
        "understood": None
        if answer.understood is None
        else {
            "probability": float(answer.understood.probability),
            "words": list(answer.understood.words),
            "sentence": answer.understood.sentence,
        },
    }


def lane_part(answer: Any) -> Value:
    """One of several models' answers, as a lane of the timeline."""
    return {
        "name": model_name(answer.model_id),
        "note": NEVER_TAUGHT if any(NEVER_TAUGHT in note for note in answer.notes) else "",
        **answer_parts(answer),
    }


def clip_parts(clip: Clip | None, strip: FilmStrip | None = None, context: Any | None = None) -> Value:
    """The parts `video`, `strip` and `frames`; each is None where nothing is known.

    `context` is a `tempo_core.engine.VideoContext`: the frames that the model saw and their allocation.
    """
    parts: Value = {"video": None, "strip": None, "frames": None}
    if clip is not None:
        facts = clip.facts
        parts["video"] = {
            "url": clip.url,
            "id": clip.id,
            "duration_s": facts.duration_s,
            "frame_rate": facts.frame_rate,
            "width": facts.width,
            "height": facts.height,
        }
        if strip is not None:
            parts["strip"] = {**asdict(strip), "times_s": list(strip.times_s), "url": clip.strip_url}
    if context is not None:
        parts["frames"] = frames_part(context.times_s, context.end_s, context.allocation)
    return parts


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
