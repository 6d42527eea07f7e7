"""The HTTP API: the Gradio endpoints /ground and /ask for programs, and GET /status. Documented in
docs/api.md.
"""

import threading
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import APIRouter

from app.auth.users import Authenticator, Role
from app.ground.layout import GroundView
from app.ground.service import GroundingService, ModelFailure, Outcome, Question, Settings
from app.http.dependencies import Visitor
from app.http.errors import user_message
from app.job_queue import Progress
from app.library.service import LibraryService
from tempo_core.errors import InputError


class GroundApi:
    """The endpoints; they take what the form takes and return one JSON object."""

    def __init__(
        self,
        service: GroundingService,
        authenticator: Authenticator,
        library: LibraryService | None = None,
    ) -> None:
        self.service, self.authenticator, self.library = service, authenticator, library

    def build(self, view: GroundView) -> None:
        """Publish the endpoints on components that nobody sees."""
        answer = gr.JSON(visible=False)
        context_id = gr.Textbox(label="context_id", visible=False)
        models = gr.JSON(label="models", value=[], visible=False)
        public: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None}
        gr.Button(visible=False).click(self.ground, view.form, answer, api_name="ground", **public)
        form = [*view.form, models]
        gr.Button(visible=False).click(self.ground_each, form, answer, api_name="ground_each", **public)
        again = [context_id, view.query, view.n_best]
        gr.Button(visible=False).click(self.ask, again, answer, api_name="ask", **public)
        folder = gr.Textbox(label="folder", visible=False)
        everywhere = [folder, view.query]
        gr.Button(visible=False).click(self.ask_library, everywhere, answer, api_name="ask_library", **public)

    async def ground(
        self,
        video: str | None,
        query: str,
        token_budget: float | None = None,
        allocator: str = "",
        step_s: float | None = None,
        n_best: float = 5,
        request: gr.Request = None,  # type: ignore[assignment]  # Gradio fills it in; it must follow defaults
    ) -> dict[str, Any]:
        """When does `query` happen in `video`? Returns the answer's JSON; role visitor."""
        try:
            user = self.authenticator.require(request, Role.VISITOR)
            if not video:
                raise InputError("There is no clip. Pass video=handle_file('clip.mp4').")
            settings = Settings.read(token_budget, allocator, step_s, n_best)
            question = Question(source=Path(video), query=query or "", settings=settings)
            cancel = threading.Event()
            return await _outcome(self.service.ground(user, question, cancel), cancel)
        except Exception as error:
            raise gr.Error(user_message(error)) from None

    async def ground_each(
        self,
        video: str | None,
        query: str,
        token_budget: float | None,
        allocator: str,
        step_s: float | None,
        n_best: float,
        models: list[str],
        request: gr.Request,
    ) -> dict[str, Any]:
        """What several models say of one clip: {"answers": [...], "failures": [...]}; role visitor."""
        try:
            user = self.authenticator.require(request, Role.VISITOR)
            if not video:
                raise InputError("There is no clip. Pass video=handle_file('clip.mp4').")
            if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
                raise InputError(
                    '`models` must be a list of names such as ["", "my-grounder"]; "" is the served one.'
                )
            settings = Settings.read(token_budget, allocator, step_s, n_best)
            question = Question(source=Path(video), query=query or "", settings=settings)
            cancel = threading.Event()
            answers, failures = [], []
            try:
                async with aclosing(self.service.ground_each(user, question, models, cancel)) as steps:
                    async for step in steps:
                        if isinstance(step, Outcome):
                            answers.append(step.to_dict())
                        elif isinstance(step, ModelFailure):
                            failures.append(asdict(step))
            finally:
                cancel.set()
            return {"answers": answers, "failures": failures}
        except Exception as error:
            raise gr.Error(user_message(error)) from None

    async def ask(self, context_id: str, query: str, n_best: float, request: gr.Request) -> dict[str, Any]:
        """Another question about a clip that /ground answered, by its context_id; role visitor, and only
        its asker.
        """
        try:
            user = self.authenticator.require(request, Role.VISITOR)
            settings = Settings.read(None, None, None, n_best)
            cancel = threading.Event()
            return await _outcome(
                self.service.ask(user, context_id or "", query or "", settings.n_best, cancel), cancel
            )
        except Exception as error:
            raise gr.Error(user_message(error)) from None

    async def ask_library(self, folder: str, query: str, request: gr.Request) -> dict[str, Any]:
        """One question to all clips of an offered folder (GET /library names them); role visitor."""
        try:
            user = self.authenticator.require(request, Role.VISITOR)
            if self.library is None:
                raise InputError("No folder of clips is offered here.")
            cancel, answer = threading.Event(), None
            try:
                async with aclosing(self.library.ask(user, folder or "", query or "", cancel)) as steps:
                    async for step in steps:
                        answer = None if isinstance(step, Progress) else step
            finally:
                cancel.set()
            assert answer is not None, "the service ends with an answer or with an error"
            return answer.to_dict()
        except Exception as error:
            raise gr.Error(user_message(error)) from None


async def _outcome(steps: Any, cancel: threading.Event) -> dict[str, Any]:
    """The last event; a caller that goes away stops the work."""
    outcome: Outcome | None = None
    try:
        async with aclosing(steps) as followed:
            async for step in followed:
                outcome = step if isinstance(step, Outcome) else outcome
    finally:
        cancel.set()
    assert outcome is not None, "the service ends with an outcome or with an error"
    return outcome.to_dict()


def status_routes(service: GroundingService) -> APIRouter:
    """GET /status: what the model is doing; role visitor."""
    router = APIRouter()

    @router.get("/status")
    def status(user: Visitor) -> dict[str, Any]:
        names = {"model": service.engines.name, "offered": service.offered()}
        return {**asdict(service.engines.status), **names}

    return router
