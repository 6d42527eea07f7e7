"""POST /v1/chat/completions and GET /v1/models, as OpenAI's clients know them; role visitor.

A request takes the same way as a question on the Ground page: the sender's uploads, queues and shares. The answer is a
sentence, with the answer's documented JSON beside it as `message.tempo`, or as the content itself with response_format
json_object. Errors have OpenAI's form.
"""

import asyncio
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import ValidationError

from app.auth.users import User
from app.chat.requests import MAX_BODY_BYTES, TOO_LONG, ChatRequest, Media, media_of, question_of
from app.ground.engines import NotReady
from app.ground.service import GroundingService, Outcome, Question, Settings
from app.http.dependencies import Visitor, read_body
from app.http.errors import NO_STORE, BadBody, NoSuchFile, openai_error, openai_error_response, sentence_of
from app.http.json_values import parse_json
from app.job_queue import Busy, Progress, seconds_text
from app.media.uploads import Uploads
from tempo_core.errors import TempoError
from tempo_core.picture_clip import clip_of_pictures
from tempo_core.wording import plural

OWNED_BY = "tempo-studio"
ANY_MODEL = "tempo"
"""The name by which the served model may be asked whichever it is."""
MAX_BODIES = 4
"""Requests whose clips are in memory at a time; of one person, one."""


class OpenAiRoute(APIRoute):
    """A route whose errors have OpenAI's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def respond(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:
                return openai_error_response(error)

        return respond


class BodySlots:
    """How many requests hold a clip in memory."""

    def __init__(self, limit: int = MAX_BODIES) -> None:
        self.limit = limit
        self._shares: list[str] = []

    @contextmanager
    def place(self, share: str) -> Iterator[None]:
        """A place for one request of whoever has this share. Raises Busy."""
        if share in self._shares:
            raise Busy("Another request of yours is being read. Send one clip at a time.")
        if len(self._shares) >= self.limit:
            requests_are = plural(self.limit, "request is", "requests are")
            raise Busy(f"{requests_are} being read, which is the limit. Try again in a few seconds.")
        self._shares.append(share)
        try:
            yield
        finally:
            self._shares.remove(share)


def chat_routes(grounding: GroundingService, uploads: Uploads) -> APIRouter:
    """The routes; role visitor."""
    router = APIRouter(prefix="/v1", include_in_schema=False, route_class=OpenAiRoute)
    slots = BodySlots()

    def cards() -> list[dict[str, Any]]:
        model_id = grounding.engines.status.model_id
        if model_id is None:
            return []
        return [{"id": model_id, "object": "model", "created": 0, "owned_by": OWNED_BY}]

    @router.get("/models")
    def models(user: Visitor) -> JSONResponse:
        return JSONResponse({"object": "list", "data": cards()}, headers=NO_STORE)

    @router.get("/models/{model:path}")
    def model(user: Visitor, model: str) -> JSONResponse:
        _check_model(model, grounding)
        return JSONResponse(cards()[0], headers=NO_STORE)

    @router.post("/chat/completions")
    async def complete(user: Visitor, request: Request) -> Response:
        with slots.place(user.share):
            chat, source = await _read_request(request, user, grounding, uploads)
        question = Question(
            source=source, query=question_of(chat), settings=Settings(), model=grounding.engines.name
        )  # the request names the served model, so its words choose none
        completion_id, created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
        cancel = threading.Event()
        steps: Any = grounding.ground(user, question, cancel)
        as_json = chat.response_format is not None and chat.response_format.type == "json_object"
        if not chat.stream:
            outcome = await _outcome(steps, cancel, request)
            body = completion(outcome, completion_id, created, as_json=as_json)
            return JSONResponse(body, headers=NO_STORE)
        # What can be said before the work begins has a status of its own.
        first = await anext(steps)
        events = _events(first, steps, cancel, completion_id, created, as_json)
        return StreamingResponse(events, media_type="text/event-stream", headers=NO_STORE)

    return router


def completion(outcome: Outcome, completion_id: str, created: int, *, as_json: bool) -> dict[str, Any]:
    """The JSON of a chat completion."""
    message = {"role": "assistant", **content_of(outcome, as_json), "refusal": None}
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": created,
        "model": outcome.answer.model_id,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
    }


def content_of(outcome: Outcome, as_json: bool) -> dict[str, Any]:
    """The answer as a sentence and as JSON."""
    values = outcome.to_dict()
    if as_json:
        return {"content": json.dumps(values), "tempo": values}
    spans = [f"{row['start_s']:.1f} to {row['end_s']:.1f} seconds" for row in values["moments"]]
    sentence = ", ".join(spans) + "." if spans else "No moment of the clip matches."
    if not outcome.answer.is_understood:
        sentence = outcome.answer.understood.sentence
    return {"content": sentence, "tempo": values}


async def _read_request(
    request: Request, user: User, grounding: GroundingService, uploads: Uploads
) -> tuple[ChatRequest, Path]:
    """The checked body, and the clip in it as an upload of the sender."""
    body = await read_body(request, MAX_BODY_BYTES, TOO_LONG)

    def read() -> tuple[ChatRequest, Path]:
        values = parse_json(body)
        if not isinstance(values, dict):
            raise BadBody("The request must be one JSON object.")
        try:
            chat = ChatRequest.model_validate(values)
        except ValidationError as error:
            raise BadBody(sentence_of(error)) from error
        _check_model(chat.model, grounding)
        question_of(chat)
        return chat, _take_in(media_of(chat), chat.fps, user, uploads)

    # Parsing and base64 of a whole clip would hold up everybody on the event loop.
    return await asyncio.to_thread(read)


def _check_model(name: str, grounding: GroundingService) -> None:
    """Raise NoSuchFile unless a request names the served model, or leaves the choice; TempoError while there is
    none."""
    try:
        model_id = str(grounding.engines.get().model_id)
    except NotReady as error:  # nothing is wrong with the request: it may be sent again
        raise TempoError(str(error)) from error
    if name not in (ANY_MODEL, model_id, model_id.partition("@")[0]):
        raise NoSuchFile(
            f"The model {name[:100]!r} is not served here. Ask for {model_id!r} or {ANY_MODEL!r}."
        )


def _take_in(media: Media, fps: float, user: User, uploads: Uploads) -> Path:
    """The clip as an upload of the sender. Raises StorageFull, VideoError."""
    if media.video is not None:
        return uploads.store(user, media.name, media.video).path
    return uploads.store(user, media.name, clip_of_pictures(media.pictures, fps)).path


async def _outcome(steps: Any, cancel: threading.Event, request: Request) -> Outcome:
    """The last step; a caller that goes away stops the work."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        cancel.set()

    watcher, outcome = asyncio.create_task(watch()), None
    try:
        async with aclosing(steps) as followed:
            async for step in followed:
                outcome = step if isinstance(step, Outcome) else outcome
    finally:
        watcher.cancel()
        cancel.set()
    assert outcome is not None, "the service ends with an outcome or with an error"
    return outcome


async def _events(
    first: Any,
    steps: Any,
    cancel: threading.Event,
    completion_id: str,
    created: int,
    as_json: bool,
) -> AsyncIterator[str]:
    """The chunks of a streamed completion. Progress goes out as comments, which clients skip and proxies count."""

    def chunk(delta: dict[str, Any], model: str, reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        head = {"id": completion_id, "object": "chat.completion.chunk", "created": created, "model": model}
        return f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"

    try:
        async with aclosing(steps) as followed:
            step = first
            while True:
                if isinstance(step, Progress):
                    wait = "" if step.wait_s is None else f", about {seconds_text(step.wait_s)}"
                    place = (
                        f"{step.position} before this one{wait}" if step.position else f"{step.fraction:.0%}"
                    )
                    yield f": {step.stage} {place}\n\n"
                elif isinstance(step, Outcome):
                    model = str(step.answer.model_id)
                    yield chunk({"role": "assistant", "content": ""}, model)
                    yield chunk(content_of(step, as_json), model)
                    yield chunk({}, model, "stop")
                try:
                    step = await anext(followed)
                except StopAsyncIteration:
                    break
    except Exception as error:  # the status went out with the first byte
        yield f"data: {json.dumps(openai_error(error)[1])}\n\n"
    finally:
        cancel.set()
    yield "data: [DONE]\n\n"
