"""The routes of the Review page; role adjudicator."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from app.auth.users import Authenticator, Role, User
from app.http.json_routes import answer, error_answer, read_object, verdict_part
from app.review.service import DecisionRequest, ReviewService


def review_routes(service: ReviewService, authenticator: Authenticator) -> APIRouter:
    """GET /review/api/queue and /review/api/queries/<id>, POST /review/api/queries/<id>/verdict."""
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
            decision = DecisionRequest.from_json(await read_object(request))
        except Exception as error:
            return error_answer(error)
        return await answer(lambda: {"verdict": verdict_part(service.decide(user, query_id, decision))})

    async def read(request: Request, work: Callable[[User], dict[str, Any]]) -> JSONResponse:
        try:
            user = authenticator.require(request, Role.ADJUDICATOR)
        except Exception as error:
            return error_answer(error)
        return await answer(work, user)

    return router
