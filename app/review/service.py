"""Adjudication: which query comes next, every answer to it side by side, and the decision. Knows no page."""

from typing import Any

from annotations.errors import Conflict
from annotations.proposers import named_proposals
from annotations.queue import QueueFilter
from annotations.records import ADJUDICATION, AnnotatorProgress, Verdict
from annotations.reviewing import Kind, ReviewItem, adopt, decide, review_item
from annotations.store import Store
from app.annotate.requests import Count, EditBody, OperationRequest, check_edges
from app.annotate.task import task_json
from app.auth.users import User
from app.http.dependencies import RequestBody
from app.media.dataset_clips import DatasetClips
from tempo_core.errors import InputError

PAGE_ROWS = 50
DEFAULT_FRAME_RATE = 25.0
"""Frames a second where no clip says."""
ROW_FIELDS = ("query_id", "dataset", "qid", "text", "reviews", "agreement", "flagged")


class AdoptBody(RequestBody):
    """A candidate that is adopted as it is."""

    kind: Kind
    id: int | None = None
    """Of the correction or the proposal; None for the original."""


class DecisionRequest(OperationRequest):
    """POST /review/api/queries/<id>/verdict: either `adopt` or `edit`, the adjudicator's own answer."""

    adopt: AdoptBody | None = None
    edit: EditBody | None = None
    verdict_parent_id: int | None = None
    """The decision that the adjudicator saw; None: there was none."""
    parent_id: int | None = None
    """The adjudicator's own version that they saw."""
    note: str | None = None
    active_ms: Count | None = None
    key_presses: Count | None = None


class ReviewService:
    """Adjudication on one store, with the clips of its datasets."""

    def __init__(self, store: Store, dataset_clips: DatasetClips) -> None:
        self.store, self.dataset_clips = store, dataset_clips

    def queue(self, dataset: str | None, after: int | None) -> dict[str, Any]:
        """The next rows to decide on: flagged ones, then those on which people agree least."""
        row_filter = QueueFilter(dataset=dataset or None, review=True)
        items = self.store.queue(row_filter, limit=PAGE_ROWS, after=after)
        rows = [{name: getattr(item, name) for name in ROW_FIELDS} for item in items]
        datasets = [name for name, archived in self.store.datasets().items() if not archived]
        return {"rows": rows, "more": len(rows) == PAGE_ROWS, "datasets": datasets}

    def item(self, user: User, query_id: int) -> dict[str, Any]:
        """A query with every answer, and the adjudicator's own lane begun. Raises NotFound."""
        item = review_item(self.store, query_id, user.id)
        proposers = self.store.proposers(item.query.dataset)
        proposals = named_proposals(self.store.proposals(query_id), proposers)
        value = task_json(
            item.query,
            annotator=user.id,
            latest=None,
            arm=ADJUDICATION,
            reasons=self.store.suspicions(query_id),
            proposal=proposals[-1] if proposals else None,
            clip_status=self.dataset_clips.look(item.query.row.vid),
            progress=AnnotatorProgress(submitted=0, remaining=0),
            project=self.store.project_of_row(query_id),
        )
        review = item.to_dict()
        edit_part = {**value["edit"], **_answers_part(review), "parent_id": item.parent_id}
        if value["video"] is None:  # the answers can be compared and adopted without it
            ends_s = [moment.end_s for candidate in item.candidates for moment in candidate.edit.windows]
            duration_s = item.query.row.duration_s or max(ends_s, default=60.0)
            frame_count = max(2, round(duration_s * DEFAULT_FRAME_RATE))
            edit_part |= {"frame_rate": DEFAULT_FRAME_RATE, "frame_count": frame_count}
        elif item.verdict is None:
            review["start"]["moments"] = _on_frames(item, edit_part["frame_rate"])
        return {"item": {**value, "edit": edit_part}, "review": review}

    def decide(self, user: User, query_id: int, decision: DecisionRequest) -> Verdict:
        """Store a decision. Raises InputError for an edge of one's own that is no frame of the clip, and Conflict
        when somebody decided since `verdict_parent_id`; its `adopted` is the version that they decided on.
        """
        common: dict[str, Any] = {
            "adjudicator": user.id,
            "verdict_parent_id": decision.verdict_parent_id,
            "parent_id": decision.parent_id,
            "op_id": decision.op_id,
            "note": decision.note,
        }
        if (decision.adopt is None) == (decision.edit is None):
            raise InputError("A decision either adopts a row (`adopt`) or gives an answer (`edit`).")
        try:
            if decision.adopt is not None:
                return adopt(
                    self.store,
                    query_id,
                    kind=decision.adopt.kind,
                    candidate_id=decision.adopt.id,
                    active_ms=decision.active_ms,
                    key_presses=decision.key_presses,
                    **common,
                )
            assert decision.edit is not None, "checked above"
            item = review_item(self.store, query_id, user.id)
            clip = self.dataset_clips.look(item.query.row.vid).ready
            edit = decision.edit.to_edit(clip, submitted=True, opening=None, screen_reasons=None)
            if clip is not None:
                # The median that the adjudicator's lane began with may lie between frames.
                medians = {ms for moment in item.consensus.moments for ms in moment.to_ms()}
                check_edges(self.store, item.query, edit, clip, offered=medians)
            return decide(self.store, query_id, edit, **common)
        except Conflict as conflict:
            if isinstance(conflict.theirs, Verdict):
                conflict.adopted = self.store.correction(conflict.theirs.correction_id)
            raise


def _on_frames(item: ReviewItem, frame_rate: float) -> list[dict[str, Any]]:
    """The moments that the own lane begins with, each edge where a frame begins unless somebody set it there."""
    set_by_people = {
        ms
        for candidate in item.candidates
        for moment in candidate.edit.moments
        for ms in (moment.start_ms, moment.end_ms)
    }

    def on_frame(ms: int) -> int:
        return ms if ms in set_by_people else round(round(ms * frame_rate / 1000) * 1000 / frame_rate)

    moments = []
    for moment in item.start.to_dict()["moments"]:
        start_ms, end_ms = on_frame(moment["start_ms"]), on_frame(moment["end_ms"])
        moments.append({**moment, "start_ms": start_ms, "end_ms": end_ms} if end_ms > start_ms else moment)
    return moments


def _answers_part(review: dict[str, Any]) -> dict[str, Any]:
    """What the timeline's `edit` part shows of the answers; nothing is hidden from an adjudicator."""
    candidates = review["candidates"]
    model = next((c for c in candidates if c["kind"] == "model"), None)
    original = next((c for c in candidates if c["kind"] == "original"), None)
    model_part = None
    if model is not None:
        pairs = zip(model["moments"], model["confidences"], strict=True)
        model_part = {
            "proposal_id": model["id"],
            "model_id": model["name"],
            "moments": [{**moment, "confidence": confidence} for moment, confidence in pairs],
            "refused": model["verdict"] != "moments",
            "relevance": None,
        }
    return {
        "edit": review["start"],
        "others": [
            {name: candidate[name] for name in ("key", "name", "moments", "verdict")}
            for candidate in candidates
            if candidate["kind"] == "annotator"
        ],
        "original": {
            "moments": [] if original is None else original["moments"],
            "refused": original is not None and original["verdict"] == "no-moment",
        },
        "model": model_part,
    }
