"""One row of the queue as the browser's JSON: a timeline value with an `edit` part. Pure functions."""

import hashlib
import secrets
from dataclasses import asdict, dataclass
from typing import Any

from annotations.records import ERROR_CATEGORIES, AnnotatorProgress, Correction, Proposal, Query
from annotations.suspicion import CLIP_S, Suspicion
from app.media.dataset_clips import ClipStatus, ReadyClip

ARMS = (("blind", 0.2), ("original-first", 0.4), ("model-first", 0.4))
"""What an annotator sees before answering, and how often."""
REVEALED = "original-first"
"""The arm of a change that somebody makes after their blind answer was submitted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotationTask:
    """Everything that is known about one row for one annotator."""

    query: Query
    annotator: str
    latest: Correction | None
    arm: str
    """What the next version is made under."""
    reasons: list[Suspicion]
    proposal: Proposal | None
    clip_status: ClipStatus
    progress: AnnotatorProgress


def drawn_arm(annotator: str, query_id: int) -> str:
    """The arm of an annotator and a row: random over both, the same on every look."""
    digest = hashlib.sha256(f"arm\0{annotator}\0{query_id}".encode()).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    for arm, chance in ARMS:
        share -= chance
        if share < 0:
            return arm
    return ARMS[-1][0]


def item_of(task: AnnotationTask) -> dict[str, Any]:
    """The workspace item. In the blind arm nothing of original, model, saliency or reasons is in it."""
    ready = task.clip_status.ready
    return {
        "rev": secrets.token_hex(6),
        **_state(task.clip_status),
        "query": task.query.row.query,
        "video": None if ready is None else _video(ready),
        "strip": None if ready is None else _strip(ready),
        **evidence(task.proposal, hidden=task.arm == "blind"),
        "moments": [],
        "refusal": None,
        "edit": _edit_part(task),
    }


def evidence(proposal: Proposal | None, *, hidden: bool) -> dict[str, Any]:
    """`frames` and `ranked` of a value, from a stored proposal."""
    if proposal is None or hidden:
        return {"frames": None, "ranked": []}
    answer = proposal.prediction.answer or {}
    ranked = [each for each in answer.get("ranked", []) if each["end_s"] > each["start_s"]]
    return {"frames": _frames(proposal.prediction.allocation), "ranked": ranked}


def model_part(proposal: Proposal | None, *, hidden: bool) -> dict[str, Any] | None:
    """The proposal as the timeline draws it, in the order of time; None when there is none to show."""
    if proposal is None or hidden:
        return None
    said = proposal.prediction
    moments = sorted(said.moments, key=lambda each: (each.start_ms, each.end_ms))
    return {
        "proposal_id": proposal.id,
        "model_id": said.model_id,
        "moments": [asdict(each) for each in moments],
        "refused": bool(said.refused),
        "relevance": said.relevance,
    }


def correction_part(found: Correction) -> dict[str, Any]:
    """A stored version as a conflict shows it."""
    return {
        "correction_id": found.id,
        "revision": found.revision,
        "annotator": found.annotator,
        "saved_at_ms": found.created_at_ms,
        "edit": found.edit.to_dict(),
    }


def _edit_part(task: AnnotationTask) -> dict[str, Any]:
    row, blind, ready = task.query.row, task.arm == "blind", task.clip_status.ready
    original = [] if blind else [moment.to_ms() for moment in task.query.original or ()]
    latest = task.latest
    return {
        "query_id": task.query.id,
        "qid": row.qid,
        "dataset": task.query.dataset,
        "vid": row.vid,
        "query": row.query,
        "annotator": task.annotator,
        "parent_id": None if latest is None else latest.id,
        "edit": None if latest is None else latest.edit.to_dict(),
        "arm": task.arm,
        "original": {
            "moments": [{"start_ms": start_ms, "end_ms": end_ms} for start_ms, end_ms in sorted(original)],
            "refused": not blind and row.verdict == "no-moment",
        },
        "model": model_part(task.proposal, hidden=blind),
        "others": [],
        "frame_rate": 25.0 if ready is None else ready.frame_rate,
        "frame_count": 1 if ready is None else ready.frame_count,
        "grid_ms": round(CLIP_S * 1000) if row.relevant_clip_ids is not None else None,
        "shots_ms": [] if ready is None else list(ready.shots_ms),
        "saliency": [] if blind else _saliency(task.query),
        "reasons": [] if blind else [{"kind": each.reason, "text": each.text} for each in task.reasons],
        "error_categories": ERROR_CATEGORIES,
        "progress": task.progress.to_dict(),
        "missing_video": task.clip_status.missing,
    }


def _state(clip_status: ClipStatus) -> dict[str, Any]:
    if clip_status.ready is not None:
        return {"state": "ready", "message": None}
    if clip_status.preparing is not None:
        return {"state": "loading", "message": clip_status.preparing}
    return {"state": "error", "message": clip_status.missing or clip_status.failed}


def _video(ready: ReadyClip) -> dict[str, Any]:
    facts = ready.clip.facts
    return {
        "url": ready.clip.url,
        "duration_s": facts.duration_s,
        "frame_rate": ready.frame_rate,
        "width": facts.width,
        "height": facts.height,
    }


def _strip(ready: ReadyClip) -> dict[str, Any] | None:
    if ready.strip is None:
        return None
    return {**asdict(ready.strip), "times_s": list(ready.strip.times_s), "url": ready.clip.strip_url}


def _frames(allocation: Any) -> dict[str, Any] | None:
    """The frames part, where the proposal kept the frames' times."""
    if not allocation or not allocation.get("times_s"):
        return None
    tokens = list(allocation["tokens"])
    return {
        "times_s": list(allocation["times_s"]),
        "end_s": allocation["end_s"],
        "tokens": tokens,
        "variation": list(allocation["variation"]),
        "sizes_px": [list(size) for size in allocation["sizes_px"]],
        "uniform_tokens": sum(tokens) / max(len(tokens), 1),
        "budget_tokens": allocation["budget_tokens"],
    }


def _saliency(query: Query) -> list[list[float]]:
    """[start_ms, end_ms, mean score 0..4] of each clip that was rated."""
    step_ms = round(CLIP_S * 1000)
    rated = zip(query.row.relevant_clip_ids or (), query.row.saliency_scores or (), strict=False)
    return [
        [clip * step_ms, (clip + 1) * step_ms, sum(scores) / len(scores)] for clip, scores in rated if scores
    ]
