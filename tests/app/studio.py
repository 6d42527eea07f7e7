"""The whole app without a server: requests go straight in, and what comes out is looked at as it was sent."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from starlette.routing import Mount

from app.__main__ import prepare_surroundings
from app.auth.users import VISITOR_COOKIE, Authenticator
from app.build import build_app
from app.ground.engines import EngineProvider
from app.home import Home, open_home
from app.media.uploads import Uploads
from tests.app.fakes import FakeEngine, fake_ground, light_draw, light_prepare

ALICE, BOB = "a" * 43, "b" * 43
"""Two browsers, by their visitor cookies."""


@dataclass
class Answer:
    """What one request got."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Studio:
    """One app, and requests to it."""

    app: Any
    home: Home
    host: str
    """The name that it is asked by."""
    runner: asyncio.Runner
    """Its event loop: what Gradio's queue holds belongs to one."""

    @property
    def gradio(self) -> Any:
        """Gradio's own app, behind the gate."""
        return next(route for route in self.app.routes if isinstance(route, Mount) and route.path == "")

    @property
    def uploads(self) -> Uploads:
        return self.app.state.grounding.uploads

    def event(self, name: str) -> int:
        """The number of a page's event."""
        blocks = self.gradio._base_app.get_blocks()
        return next(number for number, fn in blocks.fns.items() if fn.api_name == name)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        who: str = ALICE,
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> Answer:
        """Send one request; of an event stream, leave as soon as it begins."""
        answer = Answer()
        all_headers = {"host": self.host, "cookie": f"{VISITOR_COOKIE}={who}", **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": urlencode(query).encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in all_headers.items()],
            "client": ("192.0.2.1", 4000),
            "server": (self.host, 80),
        }

        async def exchange() -> None:
            sent, disconnect = False, asyncio.Event()

            async def receive() -> dict[str, Any]:
                nonlocal sent
                if not sent:
                    sent = True
                    return {"type": "http.request", "body": body, "more_body": False}
                await disconnect.wait()
                return {"type": "http.disconnect"}

            async def send(message: dict[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    answer.status = message["status"]
                    answer.headers = [(n.decode(), v.decode("latin-1")) for n, v in message["headers"]]
                    if "text/event-stream" in dict(answer.headers).get("content-type", ""):
                        disconnect.set()
                else:
                    answer.body += message.get("body", b"")

            await self.app(scope, receive, send)

        self.runner.run(exchange())
        return answer

    def post(self, path: str, values: Any, *, who: str = ALICE) -> Answer:
        body = values if isinstance(values, bytes) else json.dumps(values).encode()
        return self.request("POST", path, body, who=who, headers={"content-type": "application/json"})

    def upload(self, name: str, content: bytes, *, who: str = ALICE, **query: str) -> Answer:
        boundary = "frontier"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "content-type": f"multipart/form-data; boundary={boundary}",
            "content-length": str(len(body)),
        }
        return self.request("POST", "/gradio_api/upload", body, who=who, headers=headers, **query)


@contextmanager
def open_studio(folder: Path, *, authenticator: Authenticator, host: str, **parts: Any) -> Iterator[Studio]:
    """The app with a fake engine; nothing runs that needs a server's start."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "GRADIO_TEMP_DIR",
            "GRADIO_ANALYTICS_ENABLED",
            "HF_HUB_DISABLE_TELEMETRY",
        ):
            patch.setenv(name, "")  # put back afterwards
        home = open_home(folder)
        prepare_surroundings(home.uploads)
        app = build_app(
            engines=EngineProvider.of(FakeEngine()),
            home=home,
            authenticator=authenticator,
            examples_folder=None,
            prepare=light_prepare,
            draw=light_draw,
            ground=fake_ground,
            **parts,
        )
        with asyncio.Runner() as runner:
            yield Studio(app, home, host, runner)
