"""The Models page and its routes. Its script (`assets/models.js`) asks the routes and draws what they tell.

Researchers look, download and cancel; an administrator decides what everybody is served, what visitors are offered, and
which folders of the server are used.
"""

from typing import Annotated, Any

import gradio as gr
from fastapi import APIRouter
from pydantic import Field

from app.auth.users import Role
from app.http.dependencies import Administrator, RequestBody, Researcher, json_body, json_router
from app.models.layout import models_component
from app.models.service import ModelsService

Name = Annotated[str, Field(min_length=1, max_length=200)]


class NameRequest(RequestBody):
    """A model."""

    name: Name


class ServeRequest(RequestBody):
    """The model that everybody is answered by, and how it is held."""

    name: Name
    four_bit: bool = True


class OfferRequest(RequestBody):
    """Whether visitors may choose a model."""

    name: Name
    is_offered: bool


class FolderRequest(RequestBody):
    """A checkpoint's folder on the server."""

    path: Annotated[str, Field(min_length=1, max_length=4000)]


class ProposerRequest(RequestBody):
    """Whether a model may propose for a dataset."""

    dataset: Name
    model: Name
    is_named: bool
    op_id: Name


class ModelsPage:
    """The page; everything on it is asked for by its routes."""

    title, path, role = "Models", "/models", Role.RESEARCHER

    def __init__(self, service: ModelsService) -> None:
        self.service = service

    def build(self, blocks: gr.Blocks) -> None:
        """Lay the page out inside its route."""
        models_component()

    def routes(self) -> APIRouter:
        """What is here, and what can be done about it."""
        service = self.service
        router = json_router("/models/api")

        @router.get("/models")
        def overview(user: Researcher) -> dict[str, Any]:
            return service.overview(user)

        @router.post("/downloads")
        def download(
            user: Researcher, body: Annotated[NameRequest, json_body(NameRequest)]
        ) -> dict[str, Any]:
            return service.start_download(user, body.name).to_dict()

        @router.post("/downloads/cancel")
        def cancel(user: Researcher, body: Annotated[NameRequest, json_body(NameRequest)]) -> dict[str, Any]:
            return service.cancel_download(body.name).to_dict()

        @router.post("/serve")
        def serve(
            user: Administrator, body: Annotated[ServeRequest, json_body(ServeRequest)]
        ) -> dict[str, Any]:
            service.serve(body.name, four_bit=body.four_bit)
            service.log("model served", user, body.name)
            return service.served()

        @router.post("/offered")
        def offer(
            user: Administrator, body: Annotated[OfferRequest, json_body(OfferRequest)]
        ) -> dict[str, Any]:
            service.offer(body.name, is_offered=body.is_offered)
            return {"name": body.name, "is_offered": body.is_offered}

        @router.post("/folders")
        def add_folder(
            user: Administrator, body: Annotated[FolderRequest, json_body(FolderRequest)]
        ) -> dict[str, Any]:
            return {"name": service.add_folder(body.path)}

        @router.post("/removals")
        def remove(
            user: Administrator, body: Annotated[NameRequest, json_body(NameRequest)]
        ) -> dict[str, Any]:
            service.remove(body.name)
            service.log("model removed", user, body.name)
            return {"name": body.name}

        @router.post("/proposers")
        def name_proposer(
            user: Administrator, body: Annotated[ProposerRequest, json_body(ProposerRequest)]
        ) -> dict[str, Any]:
            service.name_proposer(user, body.dataset, body.model, is_named=body.is_named, op_id=body.op_id)
            return {"dataset": body.dataset, "model": body.model, "is_named": body.is_named}

        return router
