"""The review desk: which query comes next, what lies beside each other, and the decision. Knows no page."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from annotations.errors import Conflict
from annotations.queue import QueueFilter, QueueItem
from annotations.records import ADJUDICATION, AnnotatorProgress, Edit, Query, Verdict
from annotations.reviewing import ReviewItem, adopt, decide, review_item
from annotations.store import Store
from app.annotate.task import AnnotationTask, item_of
from app.auth.users import Authenticator, Role, User
from app.http.json_routes import answer, error_answer, number_of, read_object, text_of, verdict_part
from app.media.dataset_clips import DatasetClips
from app.media.frame_edges import check_edges, with_frames
from tempo_core.errors import InputError

PAGE_ROWS = 50
USUAL_RATE = 25.0
"""Frames a second where no clip says."""


class ReviewService:
    """Adjudication on one store, with the clips of a shelf."""

    def __init__(self, store: Store, dataset_clips: DatasetClips) -> None:
        self.store, self.dataset_clips = store, dataset_clips

    def queue(self, dataset: str | None, after: int | None) -> dict[str, Any]:
        """The next rows to decide on: flagged ones, then those on which people agree least."""
        wanted = QueueFilter(dataset=dataset or None, review=True)
        rows = self.store.queue(wanted, limit=PAGE_ROWS, after=after)
        datasets = [name for name, archived in self.store.datasets().items() if not archived]
        return {"rows": [_row(each) for each in rows], "more": len(rows) == PAGE_ROWS, "datasets": datasets}

    def item(self, user: User, query_id: int) -> dict[str, Any]:
        """A query with every answer, and the adjudicator's own lane begun. Raises NotFound."""
        found = review_item(self.store, query_id, user.id)
        review, value = found.to_dict(), self._value(user, found)
        part = {**value["edit"], **_part(found.query, review), "parent_id": found.parent_id}
        if value["video"] is None:  # the answers can be compared and adopted without it
            ends_s = [moment.end_s for each in found.candidates for moment in each.edit.windows]
            duration_s = found.query.row.duration_s or max(ends_s, default=60.0)
            part |= {"frame_rate": USUAL_RATE, "frame_count": max(2, round(duration_s * USUAL_RATE))}
        if found.verdict is None and value["video"] is not None:
            review["start"]["moments"] = _on_frames(found, part["frame_rate"])
        return {"item": {**value, "edit": part}, "review": review}

    def _value(self, user: User, found: ReviewItem) -> dict[str, Any]:
        """The query as the Annotate page shows it."""
        query = found.query
        proposals = self.store.proposals(query.id)
        return item_of(
            AnnotationTask(
                query=query,
                annotator=user.id,
                latest=None,
                arm=ADJUDICATION,
                reasons=self.store.suspicions(query.id),
                proposal=proposals[-1] if proposals else None,
                clip_status=self.dataset_clips.look(query.row.vid),
                progress=AnnotatorProgress(submitted=0, remaining=0),
            )
        )

    def decide(self, user: User, query_id: int, message: dict[str, Any]) -> dict[str, Any]:
        """Store a decision: `adopt` a candidate as it is, or `edit`, the adjudicator's own answer.

        Raises Conflict when somebody decided since `verdict_parent_id`; it says what they decided. InputError
        for an edge of one's own that is no frame of the clip.
        """
        note = None if message.get("note") is None else text_of(message, "note")
        common: dict[str, Any] = {
            "adjudicator": user.id,
            "verdict_parent_id": number_of(message, "verdict_parent_id"),
            "parent_id": number_of(message, "parent_id"),
            "op_id": text_of(message, "op_id"),
            "note": note,
        }
        try:
            return {"verdict": verdict_part(self._decide(user, query_id, message, common))}
        except Conflict as conflict:
            if isinstance(conflict.theirs, Verdict):
                conflict.adopted = self.store.correction(conflict.theirs.correction_id)
            raise

    def _decide(self, user: User, query_id: int, message: dict[str, Any], common: dict[str, Any]) -> Verdict:
        chosen, edit = message.get("adopt"), message.get("edit")
        if isinstance(chosen, dict) and edit is None:
            return adopt(
                self.store,
                query_id,
                kind=chosen.get("kind"),  # type: ignore[arg-type]  # an unknown one is refused there
                candidate_id=number_of(chosen, "id"),
                active_ms=number_of(message, "active_ms"),
                key_presses=number_of(message, "key_presses"),
                **common,
            )
        if isinstance(edit, dict) and chosen is None:
            given = Edit.from_dict({**edit, "submitted": True})
            given = self._checked(user, query_id, given)
            return decide(self.store, query_id, given, **common)
        raise InputError("A decision either adopts a row (`adopt`) or gives an answer (`edit`).")

    def _checked(self, user: User, query_id: int, edit: Edit) -> Edit:
        """As on the Annotate page; the median that the own lane began with may lie between frames too."""
        found = review_item(self.store, query_id, user.id)
        offered = {ms for moment in found.consensus.moments for ms in moment.to_ms()}
        check_edges(self.store, self.dataset_clips, found.query, edit, offered=offered)
        return with_frames(self.dataset_clips, found.query, edit)


def review_routes(service: ReviewService, authenticator: Authenticator) -> APIRouter:
    """GET /review/api/queue and /review/api/queries/<id>, POST /review/api/queries/<id>/verdict; role adjudicator."""
    router = APIRouter(prefix="/review/api", include_in_schema=False)

    @router.get("/queue")
    async def queue(request: Request, dataset: str = "", after: int | None = None) -> JSONResponse:
        return await read(request, lambda user: service.queue(dataset, after))

    @router.get("/queries/{query_id}")
    async def item(request: Request, query_id: int) -> JSONResponse:
        return await read(request, lambda user: service.item(user, query_id))

    @router.post("/queries/{query_id}/verdict")
    async def verdict(request: Request, query_id: int) -> JSONResponse:
        try:
            user = authenticator.require(request, Role.ADJUDICATOR)
            message = await read_object(request)
        except Exception as error:
            return error_answer(error)
        return await answer(service.decide, user, query_id, message)

    async def read(request: Request, work: Callable[[User], dict[str, Any]]) -> JSONResponse:
        try:
            user = authenticator.require(request, Role.ADJUDICATOR)
        except Exception as error:
            return error_answer(error)
        return await answer(work, user)

    return router


def _on_frames(found: ReviewItem, frame_rate: float) -> list[dict[str, Any]]:
    """The moments that the own lane begins with, each edge where a frame begins unless somebody set it there."""
    known = {
        ms
        for each in found.candidates
        for moment in each.edit.moments
        for ms in (moment.start_ms, moment.end_ms)
    }

    def placed(ms: int) -> int:
        return ms if ms in known else round(round(ms * frame_rate / 1000) * 1000 / frame_rate)

    moments = []
    for moment in found.start.to_dict()["moments"]:
        start_ms, end_ms = placed(moment["start_ms"]), placed(moment["end_ms"])
        kept = end_ms > start_ms
        moments.append({**moment, "start_ms": start_ms, "end_ms": end_ms} if kept else moment)
    return moments


def _part(query: Query, review: dict[str, Any]) -> dict[str, Any]:
    """What the timeline's `edit` part shows of the answers; nothing is hidden from an adjudicator."""
    kinds: dict[str, list[dict[str, Any]]] = {"annotator": [], "model": [], "original": []}
    for each in review["candidates"]:
        kinds[each["kind"]].append(each)
    model = next(iter(kinds["model"]), None)
    original = next(iter(kinds["original"]), None)
    return {
        "edit": review["start"],
        "others": [
            {name: each[name] for name in ("key", "name", "moments", "verdict")}
            for each in kinds["annotator"]
        ],
        "original": {
            "moments": [] if original is None else original["moments"],
            "refused": original is not None and original["verdict"] == "no-moment",
        },
        "model": None if model is None else _model(model),
    }


def _model(row: dict[str, Any]) -> dict[str, Any]:
    pairs = zip(row["moments"], row["confidences"], strict=True)
    return {
        "proposal_id": row["id"],
        "model_id": row["name"],
        "moments": [{**moment, "confidence": confidence} for moment, confidence in pairs],
        "refused": row["verdict"] != "moments",
        "relevance": None,
    }


def _row(item: QueueItem) -> dict[str, Any]:
    return {
        "query_id": item.query_id,
        "dataset": item.dataset,
        "qid": item.qid,
        "text": item.text,
        "reviews": item.reviews,
        "agreement": item.agreement,
        "flagged": item.flagged,
    }
