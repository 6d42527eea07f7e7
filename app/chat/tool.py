"""POST /mcp: a Model Context Protocol server with one tool, `ground`; role visitor.

Streamable HTTP without sessions: each request stands for itself and is answered in JSON, as the protocol allows.
Gradio's own server is not used (docs/decisions/0019-endpoints.md).
"""

import asyncio
import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import StreamableHTTPServerTransport
from starlette.types import Message, Receive, Scope, Send

from app.auth.users import Authenticator, Role, User
from app.chat.requests import MAX_BODY_BYTES, SUFFIXES, TOO_LONG, bytes_of_url
from app.chat.routes import BodySlots, content_of
from app.ground.service import GroundingService, Outcome, Question, Settings
from app.http.base_path import address_of
from app.http.dependencies import Visitor, read_body
from app.http.errors import user_message
from app.http.json_values import parse_json
from app.media.uploads import Uploads
from tempo_core.errors import InputError

TOOL_NAME = "ground"


def ground_tool() -> types.Tool:
    """What programs are told of the tool."""
    return types.Tool(
        name=TOOL_NAME,
        title="Find moments in a video",
        description="When does something happen in a video? Answers with every moment in seconds and how sure the "
        "model is, or says that nothing matches.",
        inputSchema={
            "type": "object",
            "properties": {
                "video": {
                    "type": "string",
                    "description": "The clip: a data URL (data:video/mp4;base64,...), or the address that POST "
                    f"{address_of('/gradio_api/upload')} answered with. A web address is not fetched.",
                },
                "query": {
                    "type": "string",
                    "description": "What to look for, in one sentence.",
                    "maxLength": 500,
                },
            },
            "required": ["video", "query"],
            "additionalProperties": False,
        },
        annotations=types.ToolAnnotations(readOnlyHint=True, idempotentHint=True, openWorldHint=False),
    )


def tool_routes(grounding: GroundingService, uploads: Uploads, authenticator: Authenticator) -> APIRouter:
    """The route; role visitor."""
    router = APIRouter(include_in_schema=False)
    slots, server = BodySlots(), tool_server(grounding, uploads, authenticator)

    @router.post("/mcp")
    async def answer(user: Visitor, request: Request) -> Response:
        with slots.place(user.share):
            body = await read_body(request, MAX_BODY_BYTES, TOO_LONG)
            await asyncio.to_thread(
                parse_json, body
            )  # the protocol's own reader takes bad UTF-8 for its failure
        return ToolResponse(server, body)

    @router.get("/mcp")
    def offer_no_stream(user: Visitor) -> Response:
        # What the protocol wants of a server that sends nothing unasked.
        return Response(status_code=405, headers={"allow": "POST"})

    return router


def tool_server(
    grounding: GroundingService, uploads: Uploads, authenticator: Authenticator
) -> "Server[Any, Any]":
    """The protocol's server. It has tools and nothing else: no prompts, no resources."""
    server: Server[Any, Any] = Server("tempo-studio")

    @server.list_tools()
    async def list_tools() -> list[types.Tool]:
        return [ground_tool()]

    @server.call_tool()
    async def call_tool(name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        cancel = threading.Event()
        try:
            user = authenticator.require(server.request_context.request, Role.VISITOR)
            if name != TOOL_NAME:
                raise InputError(f"There is no tool {name[:40]!r}; there is {TOOL_NAME!r}.")
            source = await asyncio.to_thread(_clip, arguments["video"], user, uploads)
            question = Question(source=source, query=arguments["query"], settings=Settings())
            outcome = None
            async for step in grounding.ground(user, question, cancel):
                outcome = step if isinstance(step, Outcome) else outcome
            assert outcome is not None, "the service ends with an outcome or with an error"
            content = content_of(outcome, as_json=False)
        except Exception as error:
            text = types.TextContent(type="text", text=user_message(error))
            return types.CallToolResult(content=[text], isError=True)
        finally:
            cancel.set()
        texts = [content["content"], json.dumps(content["tempo"])]
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text) for text in texts],
            structuredContent=content["tempo"],
        )

    return server


class ToolResponse(Response):
    """The protocol's own response to one request, whose body was read."""

    def __init__(self, server: "Server[Any, Any]", body: bytes) -> None:
        super().__init__()
        self._server, self._received = server, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a caller that goes away stops the work."""
        transport = StreamableHTTPServerTransport(mcp_session_id=None, is_json_response_enabled=True)
        is_connected = asyncio.Event()
        messages: list[Message] = [{"type": "http.request", "body": self._received, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        async def serve() -> None:
            async with transport.connect() as (incoming, outgoing):
                is_connected.set()
                options = self._server.create_initialization_options()
                await self._server.run(incoming, outgoing, options, stateless=True)

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            serving.cancel()

        serving = asyncio.create_task(serve())
        await is_connected.wait()
        watcher = asyncio.create_task(watch())
        try:
            await transport.handle_request(scope, replay, send)
        finally:
            watcher.cancel()
            await transport.terminate()
            with suppress(asyncio.CancelledError):
                await serving


def _clip(video: str, user: User, uploads: Uploads) -> Path:
    """The clip as an upload of the sender. Raises InputError, BadBody, NoSuchFile, StorageFull."""
    if "://" in video[:100]:
        raise InputError("A clip must be uploaded or sent as a data URL; a web address is not fetched.")
    if not video.startswith("data:"):
        return uploads.get(user, video.strip()).path
    file_format, content = bytes_of_url(video, "video", "`video`")
    return uploads.store(user, f"clip.{SUFFIXES.get(file_format, file_format)}", content).path
