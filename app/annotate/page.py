"""The Annotate page: one row of the queue at a time on an editable timeline.

The page is its timeline; everything that changes goes over the routes below /annotate/api, which
docs/annotating.md describes.
"""

from typing import Any

import gradio as gr
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from annotations.records import Edit
from app.annotate.sample_project import SampleProject
from app.annotate.service import AnnotationService
from app.auth.users import Authenticator, Role, User
from app.http.json_routes import answer, error_answer, number_of, numbers_of, read_object, text_of
from app.timeline import Timeline
from tempo_core.errors import InputError


class AnnotatePage:
    """See the module's text."""

    title, path, role = "Annotate", "/annotate", Role.ANNOTATOR

    def __init__(
        self, service: AnnotationService, sample: SampleProject, authenticator: Authenticator
    ) -> None:
        self.service, self.sample, self.authenticator = service, sample, authenticator

    def build(self, blocks: gr.Blocks) -> None:
        """One timeline in edit mode, run by assets/annotate_page.js."""
        Timeline(label="Your moments", mode="annotate", workspace="annotate_page.js", elem_id="annotate")

    def routes(self) -> APIRouter:
        """Rows, edits, proposals and the sample project; role annotator, and researcher for making a project."""
        router = APIRouter(prefix="/annotate/api", include_in_schema=False)
        self._row_routes(router)
        self._work_routes(router)
        self._sample_routes(router)
        return router

    def _row_routes(self, router: APIRouter) -> None:
        service = self.service

        @router.get("/queries/{query_id}")
        async def item(request: Request, query_id: int) -> JSONResponse:
            return await self._read(request, lambda user: service.item(user, query_id))

        @router.get("/queries/{query_id}/proposal")
        async def proposal(request: Request, query_id: int) -> JSONResponse:
            return await self._read(request, lambda user: service.proposal(user, query_id))

        @router.post("/queries/{query_id}/edits")
        async def save(request: Request, query_id: int) -> JSONResponse:
            return await self._write(request, lambda user, body: self._save(user, query_id, body))

        @router.post("/queries/{query_id}/skip")
        async def skip(request: Request, query_id: int) -> JSONResponse:
            def work(user: User, body: dict[str, Any]) -> dict[str, Any]:
                service.skip(user, query_id, op_id=text_of(body, "op_id"))
                return {}

            return await self._write(request, work)

    def _work_routes(self, router: APIRouter) -> None:
        service = self.service

        @router.post("/next")
        async def next_item(request: Request) -> JSONResponse:
            def work(user: User, body: dict[str, Any]) -> dict[str, Any]:
                besides = numbers_of(body, "besides")
                item = service.next_item(user, op_id=text_of(body, "op_id"), besides=besides)
                return {"item": item, **service.standing(user)}

            return await self._write(request, work)

        @router.get("/me")
        async def me(request: Request) -> JSONResponse:
            def work(user: User) -> dict[str, Any]:
                makes = Role.RESEARCHER in user.roles
                return {"annotator": user.id, "makes_projects": makes, "done_ids": service.done_by(user)}

            return await self._read(request, work)

    def _sample_routes(self, router: APIRouter) -> None:
        sample = self.sample

        @router.get("/sample")
        async def standing(request: Request) -> JSONResponse:
            return await self._read(request, lambda user: sample.standing())

        @router.post("/sample")
        async def make(request: Request) -> JSONResponse:
            return await self._write(request, lambda user, body: sample.make(user), role=Role.RESEARCHER)

        @router.post("/sample/remove")
        async def remove(request: Request) -> JSONResponse:
            return await self._write(request, lambda user, body: sample.remove(user), role=Role.RESEARCHER)

    def _save(self, user: User, query_id: int, body: dict[str, Any]) -> dict[str, Any]:
        given = body.get("edit")
        if not isinstance(given, dict):
            fields = ", ".join(Edit.__slots__)
            raise InputError(f"`edit` must be an object with the fields of an edit: {fields}.")
        saved = self.service.save(
            user, query_id, given, parent_id=number_of(body, "parent_id"), op_id=text_of(body, "op_id")
        )
        said = {"correction_id": saved.id, "revision": saved.revision, "saved_at_ms": saved.created_at_ms}
        return {**said, "progress": self.service.progress(user)} if saved.edit.submitted else said

    async def _read(self, request: Request, work: Any, role: Role = Role.ANNOTATOR) -> JSONResponse:
        try:
            user = self.authenticator.require(request, role)
        except Exception as error:
            return error_answer(error)
        return await answer(work, user)

    async def _write(self, request: Request, work: Any, role: Role = Role.ANNOTATOR) -> JSONResponse:
        try:
            user = self.authenticator.require(request, role)
            body = await read_object(request)
        except Exception as error:
            return error_answer(error)
        return await answer(work, user, body)
