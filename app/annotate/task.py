"""One row of the queue as the browser's JSON: a timeline value with an `edit` part. Pure functions."""

from collections.abc import Sequence
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

from annotations.arms import ARMS, Arm
from annotations.projects import Project
from annotations.reading import VersionHead
from annotations.records import (
    ERROR_CATEGORIES,
    AnnotatorProgress,
    Correction,
    Proposal,
    Query,
    ResolvedAnswer,
)
from annotations.source_worth import SourceWorth
from annotations.suspicion import CLIP_S, Suspicion
from app.media.dataset_clips import ClipStatus
from app.timeline.value import clip_parts, empty_value, frames_part

REVEALED: Arm = "original-first"
"""The arm of a change that somebody makes after their blind answer was submitted, and of an answer given before the
model's proposal came."""


def next_arm(first: Arm, versions: Sequence[VersionHead]) -> Arm:
    """The arm of the version that follows these: that of the one before it, for what a lane began with does not change.

    A blind annotator sees everything once they have submitted, and whoever goes on from a version without an arm has
    begun with that.
    """
    if not versions:
        return first
    if first == "blind":
        return REVEALED if any(version.submitted for version in versions) else first
    return next((arm for arm in ARMS if arm == versions[-1].arm), REVEALED)


def task_json(
    query: Query,
    *,
    annotator: str,
    latest: Correction | None,
    arm: str,
    reasons: Sequence[Suspicion],
    proposal: Proposal | None,
    clip_status: ClipStatus,
    progress: AnnotatorProgress,
    blind_share: float | None = None,
    worth: SourceWorth | None = None,
    model_absence: str | None = None,
    project: Project | None = None,
    twins: Sequence[tuple[Query, ResolvedAnswer]] = (),
) -> dict[str, Any]:
    """One row for one annotator, as the timeline's value. In the blind arm nothing of original, model, saliency or
    reasons is in it.

    `latest` is the annotator's own newest version, `arm` what the next one is made under, `blind_share` how many rows
    are blind, `worth` what the proposal's model is worth here, `model_absence` why there is none, `project` the one
    that the row belongs to, `twins` other rows with the same question and what was decided there.
    """
    row, ready = query.row, clip_status.ready
    blind = arm == "blind"
    if ready is not None:
        state, message = "ready", None
    elif clip_status.preparing is not None:
        state, message = "loading", clip_status.preparing
    else:
        state, message = "error", clip_status.missing or clip_status.failed
    original = [] if blind else sorted(moment.to_ms() for moment in query.original or ())
    clip_ms = round(CLIP_S * 1000)
    # [start_ms, end_ms, mean score 0..4] of each 2-second clip that was rated
    ratings = zip(row.relevant_clip_ids or (), row.saliency_scores or (), strict=False)
    saliency = [
        [clip * clip_ms, (clip + 1) * clip_ms, sum(scores) / len(scores)]
        for clip, scores in ratings
        if scores
    ]
    parts = clip_parts(None)
    if ready is not None:
        parts = clip_parts(ready.clip, ready.strip)
        # Edits are counted in frames, also in a clip of a single picture, which has no rate.
        parts["video"]["frame_rate"] = ready.frame_rate
        parts["video"]["sound_url"] = f"{ready.clip.url}/sound" if ready.has_sound else None
    edit_part = {
        "query_id": query.id,
        "qid": row.qid,
        "dataset": query.dataset,
        "vid": row.vid,
        "query": row.query,
        "annotator": annotator,
        "parent_id": None if latest is None else latest.id,
        "edit": None if latest is None else latest.edit.to_dict(),
        "arm": arm,
        "blind_share": blind_share,
        "original": {
            "moments": [{"start_ms": start_ms, "end_ms": end_ms} for start_ms, end_ms in original],
            "refused": not blind and row.verdict == "no-moment",
        },
        "model": model_part(proposal, hidden=blind, worth=worth),
        "model_absence": model_absence,
        "others": [],
        "twins": [] if blind else [twin_part(twin, answer) for twin, answer in twins],
        "frame_rate": 25.0 if ready is None else ready.frame_rate,
        "frame_count": 1 if ready is None else ready.frame_count,
        "grid_ms": clip_ms if row.relevant_clip_ids is not None else None,
        "shots_ms": [] if ready is None else list(ready.shots_ms or ()),
        "shots_pending": ready is not None and ready.shots_ms is None,
        "saliency": [] if blind else saliency,
        "reasons": [] if blind else [{"kind": reason.reason, "text": reason.text} for reason in reasons],
        "error_categories": ERROR_CATEGORIES,
        "progress": progress.to_dict(),
        "missing_video": clip_status.missing,
        "project": None if project is None else {"name": project.name, "guidelines": project.guidelines},
    }
    return {
        **empty_value(message),
        **parts,
        **evidence(proposal, hidden=blind),
        "state": state,
        "query": row.query,
        "edit": edit_part,
    }


def twin_part(twin: Query, answer: ResolvedAnswer) -> dict[str, Any]:
    """A row that asks the same of the same clip, with what somebody decided there."""
    moments = sorted(moment.to_ms() for moment in answer.moments or ())
    return {
        "qid": twin.row.qid,
        "decided": answer.source,
        "verdict": answer.verdict,
        "moments": [{"start_ms": start_ms, "end_ms": end_ms} for start_ms, end_ms in moments],
    }


def evidence(proposal: Proposal | None, *, hidden: bool) -> dict[str, Any]:
    """`frames` and `ranked` of a value, from a stored proposal. Without the frames' times there are no frames."""
    if proposal is None or hidden:
        return {"frames": None, "ranked": []}
    answer, allocation = proposal.prediction.answer or {}, proposal.prediction.allocation or {}
    frames = None
    if allocation.get("times_s"):
        frames = frames_part(allocation["times_s"], allocation["end_s"], SimpleNamespace(**allocation))
    ranked = [moment for moment in answer.get("ranked", []) if moment["end_s"] > moment["start_s"]]
    return {"frames": frames, "ranked": ranked}


def model_part(
    proposal: Proposal | None, *, hidden: bool, worth: SourceWorth | None = None
) -> dict[str, Any] | None:
    """The proposal as the timeline draws it, in the order of time; None when there is none to show."""
    if proposal is None or hidden:
        return None
    prediction = proposal.prediction
    moments = sorted(prediction.moments, key=lambda moment: (moment.start_ms, moment.end_ms))
    return {
        "proposal_id": proposal.id,
        "model_id": prediction.model_id,
        "moments": [asdict(moment) for moment in moments],
        "refused": bool(prediction.refused),
        "relevance": prediction.relevance,
        "worth": None if worth is None else asdict(worth),
    }
