"""The complete app with accounts, clips and many rows, asked without a server; clips and model are stand-ins."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotations.store import Store
from app.__main__ import open_authenticator, prepare_surroundings
from app.build import build_app
from app.ground.engines import EngineProvider
from app.home import open_home
from tests.app.fakes import FakeEngine, fake_ground, light_draw, light_prepare
from tests.app.load.server import CLIPS, fill_home


@dataclass
class Workplace:
    """The app, and somebody's requests to it."""

    app: Any
    store: Store
    token: str

    async def post(self, path: str, body: Any) -> Any:
        """The JSON that a POST is answered with; anything but a 200 is an error."""
        headers = {
            "host": "tempo.example",
            "content-type": "application/json",
            "authorization": f"Bearer {self.token}",
        }
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("192.0.2.1", 4000),
            "server": ("tempo.example", 80),
        }
        messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
        answer: dict[str, Any] = {"body": b""}

        async def receive() -> dict[str, Any]:
            return messages.pop() if messages else await asyncio.Future()

        async def send(message: dict[str, Any]) -> None:
            answer["status"] = message.get("status", answer.get("status"))
            answer["body"] += message.get("body", b"")

        await self.app(scope, receive, send)
        assert answer["status"] == 200, answer
        return json.loads(answer["body"])


@contextmanager
def open_workplace(folder: Path, *, rows: int) -> Iterator[Workplace]:
    """The app with `rows` rows whose clips are prepared, asked by an annotator."""
    home = open_home(folder)
    prepare_surroundings(home.uploads)
    with Store(home.database) as store:
        fill_home(home, store, rows=rows)
        authenticator = open_authenticator(home, store, sign_in=True)
        accounts = authenticator.accounts
        assert accounts is not None
        accounts.add("ada", "annotator", "correct horse battery", actor="test")
        app = build_app(
            engines=EngineProvider.of(FakeEngine()),
            home=home,
            authenticator=authenticator,
            store=store,
            examples_folder=None,
            prepare=light_prepare,
            draw=light_draw,
            ground=fake_ground,
        )
        workplace = Workplace(app, store, accounts.issue_key("ada", actor="test"))
        with asyncio.Runner() as runner:
            for query_id in range(1, 1 + CLIPS):
                path = f"/annotate/api/queries/{query_id}/look"
                while runner.run(workplace.post(path, {}))["state"] == "loading":
                    runner.run(asyncio.sleep(0.05))
        yield workplace
        app.state.grounding.queues.close()
