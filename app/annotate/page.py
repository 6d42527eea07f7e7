"""The Annotate page: one row of the queue at a time on an editable timeline.

The page is its timeline; everything that changes goes over the routes below /annotate/api, which
docs/annotating.md describes.
"""

from typing import Annotated, Any

import gradio as gr
from fastapi import APIRouter

from app.annotate.requests import EditRequest, NextRequest, OperationRequest, UpcomingRequest
from app.annotate.sample_project import SampleProject
from app.annotate.service import AnnotationService
from app.auth.users import Role
from app.http.dependencies import Annotator, RecordId, RequestBody, Researcher, json_body, json_router
from app.timeline import Timeline

EmptyBody = Annotated[RequestBody, json_body(RequestBody)]
"""{}: another site can send a form, but no JSON."""


class AnnotatePage:
    """One timeline in edit mode, run by assets/annotate_page.js, and its routes."""

    title, path, role = "Annotate", "/annotate", Role.ANNOTATOR

    def __init__(self, service: AnnotationService, sample: SampleProject) -> None:
        self.service, self.sample = service, sample

    def build(self, blocks: gr.Blocks) -> None:
        """Lay the page out inside its route."""
        Timeline(label="Your moments", mode="annotate", workspace="annotate_page.js", elem_id="annotate")

    def routes(self) -> APIRouter:
        """Rows, edits, proposals and the sample project; role annotator, and researcher for making a project."""
        router = json_router("/annotate/api")
        service, sample = self.service, self.sample

        @router.get("/queries/{query_id}")
        def task(query_id: RecordId, user: Annotator) -> dict[str, Any]:
            return service.task(user, query_id)

        @router.get("/queries/{query_id}/proposal")
        def proposal(query_id: RecordId, user: Annotator) -> dict[str, Any]:
            return service.proposal(user, query_id)

        @router.post("/queries/{query_id}/edits")
        def save(
            query_id: RecordId, user: Annotator, body: Annotated[EditRequest, json_body(EditRequest)]
        ) -> dict[str, Any]:
            correction = service.save(user, query_id, body.edit, parent_id=body.parent_id, op_id=body.op_id)
            progress = {"progress": service.progress(user)} if correction.edit.submitted else {}
            return {
                "correction_id": correction.id,
                "revision": correction.revision,
                "saved_at_ms": correction.created_at_ms,
                **progress,
            }

        @router.post("/queries/{query_id}/skip")
        def skip(
            query_id: RecordId,
            user: Annotator,
            body: Annotated[OperationRequest, json_body(OperationRequest)],
        ) -> dict[str, Any]:
            service.skip(user, query_id, op_id=body.op_id)
            return {}

        @router.post("/queries/{query_id}/look")
        def look_again(query_id: RecordId, user: Annotator, body: EmptyBody) -> dict[str, Any]:
            return service.look_again(user, query_id)

        @router.post("/next")
        def next_task(
            user: Annotator, body: Annotated[NextRequest, json_body(NextRequest)]
        ) -> dict[str, Any]:
            task = service.next_task(user, op_id=body.op_id, excluded=body.besides, upcoming_id=body.upcoming)
            # The row says how far its annotator is.
            progress = service.progress(user) if task is None else task["edit"]["progress"]
            return {"item": task, "progress": progress, "empty": service.store.is_empty()}

        @router.post("/upcoming")
        def upcoming_task(
            user: Annotator, body: Annotated[UpcomingRequest, json_body(UpcomingRequest)]
        ) -> dict[str, Any]:
            return {"item": service.upcoming_task(user, excluded=body.besides)}

        @router.get("/me")
        def me(user: Annotator) -> dict[str, Any]:
            makes_projects = Role.RESEARCHER in user.roles
            return {
                "annotator": user.id,
                "makes_projects": makes_projects,
                "done_ids": service.store.submitted_by(user.id),
            }

        @router.get("/sample")
        def sample_status(user: Annotator) -> dict[str, Any]:
            return sample.status()

        @router.post("/sample")
        def make_sample(user: Researcher, body: EmptyBody) -> dict[str, Any]:
            return sample.make(user)

        @router.post("/sample/remove")
        def remove_sample(user: Researcher, body: EmptyBody) -> dict[str, Any]:
            return sample.remove(user)

        return router
