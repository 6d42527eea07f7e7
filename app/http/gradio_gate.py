"""What of Gradio's own routes is open, what may be sent to them, and whose event streams are whose.

Gradio 6.31 brings about a hundred routes; the pages and the HTTP API use those in OPEN_ROUTES. Every other one answers
404, also those that a later Gradio adds. Gradio hands an event stream to whoever names its session; here a
session, an event and an upload's progress belong to the person who named them first.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth.users import Authenticator, NotSignedIn
from app.http.base_path import address_of, route_path
from app.http.errors import BadBody, NoSuchFile, error_response
from app.http.json_values import parse_json

MAX_EVENT_BYTES = 2**20
"""Of one event's JSON: what a form of ours holds fits many times."""
MAX_STREAMS = 50_000
"""Sessions and events remembered; the one that was quiet longest is forgotten first."""
MAX_STREAM_NAME = 200
"""Characters of such a name; Gradio's have at most 32."""

OPEN_ROUTES: tuple[tuple[str, str], ...] = (
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/{page}"),
    ("GET", "/{page}/"),
    ("GET", "/config"),
    ("GET", "/config/"),
    ("GET", "/assets/{path:path}"),
    ("GET", "/static/{path:path}"),
    ("GET", "/theme.css"),
    ("GET", "/favicon.ico"),
    ("GET", "/robots.txt"),
    ("GET", "/manifest.json"),
    ("GET", "/gradio_api/info"),
    ("GET", "/gradio_api/info/"),
    ("GET", "/gradio_api/app_id"),
    ("GET", "/gradio_api/startup-events"),
    ("GET", "/gradio_api/heartbeat/{session_hash}"),
    ("GET", "/gradio_api/upload_progress"),
    ("GET", "/gradio_api/queue/data"),
    ("GET", "/gradio_api/call/{api_name}/{event_id}"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/call/{api_name}"),
    ("POST", "/gradio_api/call/{api_name}/"),
    ("POST", "/gradio_api/run/{api_name}"),
    ("POST", "/gradio_api/run/{api_name}/"),
    ("POST", "/gradio_api/cancel"),
    ("POST", "/gradio_api/reset"),
    ("POST", "/gradio_api/reset/"),
)
"""Method and path of what is used, as Gradio writes its paths. /{page} stands for the pages' own addresses."""
MAX_NAME_BYTES = 255
"""Of one part of a path: what file systems take."""
FROM_PAGES_ONLY = "predict"
"""The name under which pages run an event that does not queue."""
STREAM_NAMES = ("session_hash", "event_id", "upload_id")
"""Parameters and fields that name a stream of somebody."""


class StreamOwners:
    """Who named a stream first. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: OrderedDict[str, str] = OrderedDict()

    def claim(self, stream: str, owner: str) -> None:
        """Make a stream that nobody named yet this person's. Raises NoSuchFile when it is somebody else's, BadBody
        for a name that would fill the memory."""
        if len(stream) > MAX_STREAM_NAME:
            raise BadBody(
                f"A stream's name has {len(stream)} characters; it may have {MAX_STREAM_NAME}. Reload the page."
            )
        with self._lock:
            is_own = self._owners.setdefault(stream, owner) == owner
            self._owners.move_to_end(stream)
            if len(self._owners) > MAX_STREAMS:
                self._owners.popitem(last=False)
        if not is_own:
            raise NoSuchFile("There is no such stream of yours. Reload the page.")


class GradioGate:
    """ASGI middleware around the mounted Gradio app. `pages` are the addresses of its pages, `api_names` the events
    that programs may call; the numbers are those that pages name events and components by.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator,
        owners: StreamOwners,
        pages: Collection[str],
        api_names: Collection[str],
        event_numbers: Collection[int],
        component_numbers: Collection[int | None],
    ) -> None:
        self.app, self.authenticator = app, authenticator
        self.pages = {page.strip("/") for page in pages}
        self.api_names: dict[str, Collection[str]] = {"call": api_names, "run": {FROM_PAGES_ONLY}}
        self.numbers: dict[str, set[int | None]] = {
            "fn_index": set(event_numbers),
            "trigger_id": {None, *component_numbers},
        }
        self.owners = owners
        self._open = [(method, compile_path(path)[0]) for method, path in OPEN_ROUTES]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            receive, send = await self._check(scope, receive, send)
        except (BadBody, NoSuchFile, NotSignedIn) as error:
            await error_response(error)(scope, receive, send)
            return
        except ClientDisconnect:
            return
        page, slash, _ = route_path(scope)[1:].partition("/")
        if slash and page in self.pages:
            # Gradio's own answer leads to the root of the host.
            await RedirectResponse(address_of(f"/{page}"), 301)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _check(self, scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """What Gradio may read from and write to. Raises NoSuchFile, NotSignedIn, BadBody."""
        request, path = Request(scope, receive), route_path(scope)
        path_params = self._path_params(scope["method"], path)
        values = {**request.query_params, **path_params}
        if scope["method"] == "POST":
            raw = await _read_body(request)
            body = parse_json(raw)
            if not isinstance(body, dict):
                raise BadBody("The request must be one JSON object.")
            values |= body
            receive = _replay(raw, receive)
            if "/run/" in path or "/queue/join" in path:
                self._check_numbers(body)
        streams = [(name, values[name]) for name in STREAM_NAMES if values.get(name) is not None]
        if not streams and scope["method"] != "POST":
            return receive, send
        user = self.authenticator.resolve(request)
        if user is None:
            raise NotSignedIn("You are signed out. Sign in and try again.")
        for name, stream in streams:
            if not isinstance(stream, str):
                raise BadBody(f"`{name}` must be a text; got {str(stream)[:40]!r}.")
            self.owners.claim(stream, user.id)
        if scope["method"] != "POST":
            return receive, send

        start: Message | None = None

        async def send_and_note(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            values = _json_object(message.get("body", b""))
            if isinstance(values.get("event_id"), str):
                # The event belongs to whoever began it, before anybody can read its id.
                self.owners.claim(values["event_id"], user.id)
            if start is not None:
                # Gradio answers a mistake of the sender, which it explains, as if the server had failed.
                explained = start["status"] == 500 and isinstance(values.get("error"), str)
                await send({**start, "status": 422} if explained else start)
                start = None
            await send(message)

        return receive, send_and_note

    def _check_numbers(self, body: dict[str, Any]) -> None:
        """Raise BadBody unless the event and what triggered it are of the pages: Gradio breaks on any other number."""
        for name, numbers in self.numbers.items():
            number = body.get(name)
            if not isinstance(number, int | None) or number not in numbers:
                raise BadBody(f"`{name}` is {repr(number)[:40]}, which no page has. Reload the page.")

    def _path_params(self, method: str, path: str) -> dict[str, str]:
        """The parameters of the open route that this path is. Raises NoSuchFile when there is none, and for what Gradio
        breaks at: control characters, and names that no file system takes."""
        longest = max(len(part.encode(errors="replace")) for part in path.split("/"))
        if longest > MAX_NAME_BYTES or not path.isprintable():
            raise NoSuchFile("There is nothing at this address.")
        for open_method, pattern in self._open:
            match = pattern.match(path) if method == open_method else None
            if match is None:
                continue
            params = match.groupdict()
            names = self.api_names.get(path.split("/")[2]) if "api_name" in params else None
            if names is not None and params["api_name"] not in names:
                break
            if "page" in params and params["page"] not in self.pages:
                continue
            return params
        raise NoSuchFile("There is nothing at this address.")


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_EVENT_BYTES:
            raise BadBody(f"The request is longer than {MAX_EVENT_BYTES} bytes.", 413)
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receiver that gives the body that was read, then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


def _json_object(body: Any) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
