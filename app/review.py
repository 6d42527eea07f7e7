"""The review desk: which query comes next, what lies beside each other, and the decision. Knows no page."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from annotations.errors import Conflict
from annotations.queue import QueueFilter, QueueItem
from annotations.records import ADJUDICATION, ERROR_CATEGORIES, Edit, Query, Verdict
from annotations.reviewing import adopt, decide, item_values, review_item
from annotations.store import Store
from app.accounts import Accounts, Role, User
from app.replies import reply, side, sides, whole
from app.timeline import empty_value
from tempo_core.errors import InputError

PAGE_ROWS = 50

Workspace = Callable[[User, Query], dict[str, Any]]
"""The timeline value of a query with its clip, strip and frames, and an `edit` part with what belongs to the clip."""

USUAL_RATE = 25.0
"""Frames a second where no clip says."""


def bare_workspace(user: User, query: Query) -> dict[str, Any]:
    """A query without its clip: the timeline alone, as long as the row says."""
    ends = [moment.end_s for moment in query.original or ()]
    duration_s = query.row.duration_s or max(ends, default=60.0)
    edit: dict[str, Any] = {
        "frame_rate": USUAL_RATE,
        "frame_count": max(1, round(duration_s * USUAL_RATE)),
        "grid_ms": None,
    }
    edit |= {"shots_ms": [], "saliency": [], "reasons": [], "missing_video": None}
    return {**empty_value(), "state": "ready", "query": query.row.query, "edit": edit}


class ReviewDesk:
    """Adjudication on one store. `workspace` shows a query the way the Annotate page does."""

    def __init__(self, store: Store, workspace: Workspace = bare_workspace) -> None:
        self.store, self.workspace = store, workspace

    def queue(self, dataset: str | None, after: int | None) -> dict[str, Any]:
        """The next rows to decide on: flagged ones, then those on which people agree least."""
        wanted = QueueFilter(dataset=dataset or None, review=True)
        rows = self.store.queue(wanted, limit=PAGE_ROWS, after=after)
        datasets = [name for name, archived in self.store.datasets().items() if not archived]
        return {"rows": [_row(each) for each in rows], "more": len(rows) == PAGE_ROWS, "datasets": datasets}

    def item(self, user: User, query_id: int) -> dict[str, Any]:
        """A query with every answer, and the adjudicator's own lane begun. Raises NotFound."""
        found = review_item(self.store, query_id, user.id)
        review = item_values(found)
        value = self.workspace(user, found.query)
        edit = {
            **value["edit"],
            **_part(found.query, review),
            "annotator": user.id,
            "parent_id": found.parent_id,
        }
        return {"item": {**value, "edit": edit}, "review": review}

    def decide(self, user: User, query_id: int, message: dict[str, Any]) -> dict[str, Any]:
        """Store a decision: `adopt` a candidate as it is, or `edit`, the adjudicator's own answer.

        Raises Conflict when somebody decided since `verdict_parent_id`; it says what they decided.
        """
        op_id, note = message.get("op_id"), message.get("note")
        if not isinstance(op_id, str) or not isinstance(note, str | None):
            raise InputError("A decision needs an op_id, which is a text, and a note that is a text or null.")
        common: dict[str, Any] = {
            "adjudicator": user.id,
            "verdict_parent_id": whole(message, "verdict_parent_id", optional=True),
            "parent_id": whole(message, "parent_id", optional=True),
            "op_id": op_id,
            "note": note,
        }
        chosen, edit = message.get("adopt"), message.get("edit")
        if isinstance(chosen, dict) and edit is None:
            given = adopt(
                self.store,
                query_id,
                kind=chosen.get("kind"),  # type: ignore[arg-type]  # an unknown one is refused there
                candidate_id=whole(chosen, "id", optional=True),
                active_ms=whole(message, "active_ms", optional=True),
                key_presses=whole(message, "key_presses", optional=True),
                **common,
            )
        elif isinstance(edit, dict) and chosen is None:
            given = decide(self.store, query_id, Edit.from_dict({**edit, "submitted": True}), **common)
        else:
            raise InputError("A decision either adopts a row (`adopt`) or gives an answer (`edit`).")
        return {"verdict": side(given)}

    def both_sides(self, conflict: Conflict) -> dict[str, Any]:
        """A conflict as JSON values; where somebody else decided, with the answer that they chose."""
        told = sides(conflict)
        if isinstance(conflict.theirs, Verdict):
            chosen = self.store.correction(conflict.theirs.correction_id)
            told["theirs"] |= {"annotator": chosen.annotator, "edit": chosen.edit.to_dict()}
        return told


def review_routes(desk: ReviewDesk, accounts: Accounts) -> APIRouter:
    """GET /review/api/queue and /review/api/queries/<id>, POST /review/api/queries/<id>/verdict; role adjudicator."""
    router = APIRouter(prefix="/review/api", include_in_schema=False)

    @router.get("/queue")
    async def queue(request: Request, dataset: str = "", after: int | None = None) -> JSONResponse:
        return await reply(request, accounts, Role.ADJUDICATOR, lambda user, body: desk.queue(dataset, after))

    @router.get("/queries/{query_id}")
    async def item(request: Request, query_id: int) -> JSONResponse:
        return await reply(request, accounts, Role.ADJUDICATOR, lambda user, body: desk.item(user, query_id))

    @router.post("/queries/{query_id}/verdict")
    async def verdict(request: Request, query_id: int) -> JSONResponse:
        return await reply(
            request,
            accounts,
            Role.ADJUDICATOR,
            lambda user, body: desk.decide(user, query_id, body),
            explain=desk.both_sides,
        )

    return router


def _part(query: Query, review: dict[str, Any]) -> dict[str, Any]:
    """What the timeline's `edit` part shows of the answers; nothing is hidden from an adjudicator."""
    kinds: dict[str, list[dict[str, Any]]] = {"annotator": [], "model": [], "original": []}
    for each in review["candidates"]:
        kinds[each["kind"]].append(each)
    model = next(iter(kinds["model"]), None)
    original = next(iter(kinds["original"]), None)
    return {
        "query_id": query.id,
        "qid": query.row.qid,
        "dataset": query.dataset,
        "vid": query.row.vid,
        "query": query.row.query,
        "arm": ADJUDICATION,
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
        "error_categories": ERROR_CATEGORIES,
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
