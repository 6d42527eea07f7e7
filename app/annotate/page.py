"""The Annotate page: one row of the queue at a time on an editable timeline.

The page is its timeline; everything that changes goes over the routes below /annotate/api, which
docs/annotating.md describes.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from app.annotate.requests import Body, EditRequest, NextBody, OperationBody
from app.annotate.sample_project import SampleProject
from app.annotate.service import AnnotationService
from app.auth.users import Authenticator, Role, User
from app.http.json_routes import answer, error_answer, read_object
from app.timeline import Timeline


class AnnotatePage:
    """One timeline in edit mode, run by assets/annotate_page.js, and its routes."""

    title, path, role = "Annotate", "/annotate", Role.ANNOTATOR

    def __init__(
        self, service: AnnotationService, sample: SampleProject, authenticator: Authenticator
    ) -> None:
        self.service, self.sample, self.authenticator = service, sample, authenticator

    def build(self, blocks: gr.Blocks) -> None:
        """Lay the page out inside its route."""
        Timeline(label="Your moments", mode="annotate", workspace="annotate_page.js", elem_id="annotate")

    def routes(self) -> APIRouter:
        """Rows, edits, proposals and the sample project; role annotator, and researcher for making a project."""
        router = APIRouter(prefix="/annotate/api", include_in_schema=False)
        service, sample, read, write = self.service, self.sample, self._read, self._write

        @router.get("/queries/{query_id}")
        async def task(request: Request, query_id: int) -> JSONResponse:
            return await read(request, lambda user: service.task(user, query_id))

        @router.get("/queries/{query_id}/proposal")
        async def proposal(request: Request, query_id: int) -> JSONResponse:
            return await read(request, lambda user: service.proposal(user, query_id))

        @router.post("/queries/{query_id}/edits")
        async def save(request: Request, query_id: int) -> JSONResponse:
            def work(user: User, body: EditRequest) -> dict[str, Any]:
                correction = service.save(
                    user, query_id, body.edit, parent_id=body.parent_id, op_id=body.op_id
                )
                progress = {"progress": service.progress(user)} if correction.edit.submitted else {}
                return {
                    "correction_id": correction.id,
                    "revision": correction.revision,
                    "saved_at_ms": correction.created_at_ms,
                    **progress,
                }

            return await write(request, work, EditRequest)

        @router.post("/queries/{query_id}/skip")
        async def skip(request: Request, query_id: int) -> JSONResponse:
            def work(user: User, body: OperationBody) -> dict[str, Any]:
                service.skip(user, query_id, op_id=body.op_id)
                return {}

            return await write(request, work, OperationBody)

        @router.post("/next")
        async def next_task(request: Request) -> JSONResponse:
            def work(user: User, body: NextBody) -> dict[str, Any]:
                task = service.next_task(user, op_id=body.op_id, besides=body.besides)
                return {"item": task, "progress": service.progress(user), "empty": service.is_empty()}

            return await write(request, work, NextBody)

        @router.get("/me")
        async def me(request: Request) -> JSONResponse:
            def work(user: User) -> dict[str, Any]:
                makes_projects = Role.RESEARCHER in user.roles
                submitted = service.submitted_by(user)
                return {"annotator": user.id, "makes_projects": makes_projects, "done_ids": submitted}

            return await read(request, work)

        @router.get("/sample")
        async def sample_status(request: Request) -> JSONResponse:
            return await read(request, lambda user: sample.status())

        @router.post("/sample")
        async def make_sample(request: Request) -> JSONResponse:
            return await write(request, lambda user, body: sample.make(user), Body, Role.RESEARCHER)

        @router.post("/sample/remove")
        async def remove_sample(request: Request) -> JSONResponse:
            return await write(request, lambda user, body: sample.remove(user), Body, Role.RESEARCHER)

        return router

    async def _read(self, request: Request, work: Callable[[User], Any]) -> JSONResponse:
        try:
            user = self.authenticator.require(request, Role.ANNOTATOR)
        except Exception as error:
            return error_answer(error)
        return await answer(work, user)

    async def _write(
        self,
        request: Request,
        work: Callable[[User, Any], Any],
        body_type: type[Body],
        role: Role = Role.ANNOTATOR,
    ) -> JSONResponse:
        try:
            user = self.authenticator.require(request, role)
            body = body_type.from_json(await read_object(request))
        except Exception as error:
            return error_answer(error)
        return await answer(work, user, body)
