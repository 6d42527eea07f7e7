"""People who work on a server as browsers let them: annotators who save and visitors who ask, and what they were told.

An annotator sends a save again, under the same operation id, until it is acknowledged: that is what sync.js does.
"""

import asyncio
import base64
import json
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from app.auth.users import VISITOR_COOKIE
from tests.app.load.server import HOST

PATIENCE_S = 120.0
AGAIN_S = 0.25
"""Between two attempts at a request that was not answered."""
ASK_AGAIN_S = 2.0
LOOK_AGAIN_S = 0.3
"""While a clip is prepared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Save:
    """A save that was acknowledged."""

    op_id: str
    query_id: int
    annotator: str
    correction_id: int
    sent_s: float
    acknowledged_s: float
    attempts: int

    @property
    def wait_s(self) -> float:
        return self.acknowledged_s - self.sent_s


@dataclass
class Diary:
    """What everybody was told."""

    saves: list[Save] = field(default_factory=list)
    next_waits_s: list[float] = field(default_factory=list)
    answer_waits_s: dict[str, list[float]] = field(default_factory=dict)
    """By visitor, from the first sending of a question to its answer."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Texts of answers that asked to come again, numbers as #, and how often."""
    failures: list[str] = field(default_factory=list)
    """Answers that nobody should get."""
    broken: int = 0
    """Requests that no answer came to, as when a server is killed."""

    def note_refusal(self, status: int, text: str) -> None:
        key = f"{status} {re.sub(r'[0-9]+', '#', text)}"
        self.refusals[key] = self.refusals.get(key, 0) + 1


class Connection:
    """One connection to the server, opened again when it has gone."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        lines = {"host": f"{HOST}:{port}", "content-type": "application/json", **headers}
        self.port, self.head = port, "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, values: Any = None) -> tuple[int, Any]:
        """The status and the JSON of an answer. Raises ConnectionError when none came."""
        body = b"" if values is None else json.dumps(values).encode()
        while True:
            is_fresh = self._streams is None
            try:
                return await self._exchange(method, path, body)
            except (OSError, EOFError, TimeoutError) as error:
                await self.close()
                # A server closes what was quiet for long. Browsers then ask once more on a fresh connection, at once.
                if is_fresh or isinstance(error, TimeoutError):
                    raise ConnectionError(str(error)) from error

    async def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        async with asyncio.timeout(PATIENCE_S):
            if self._streams is None:
                self._streams = await asyncio.open_connection(HOST, self.port, limit=2**20)
            reader, writer = self._streams
            writer.write(
                f"{method} {path} HTTP/1.1\r\n{self.head}content-length: {len(body)}\r\n\r\n".encode()
            )
            writer.write(body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = re.search(r"content-length: (\d+)", head)
            content = await reader.readexactly(int(length[1]) if length else 0)
        return int(head.split(" ", 2)[1]), json.loads(content) if content else None

    async def close(self) -> None:
        """Leave."""
        if self._streams is not None:
            (_, writer), self._streams = self._streams, None
            writer.close()
            with suppress(OSError):  # of a server that has gone
                await writer.wait_closed()


class Annotator:
    """Somebody who takes rows and answers each after one to three drafts."""

    def __init__(self, name: str, key: str, port: int, diary: Diary, *, pace_s: float, seed: int = 0) -> None:
        """`pace_s` is the mean time between two of their saves, in seconds."""
        self.name, self.diary, self.pace_s = name, diary, pace_s
        self.connection = Connection(port, {"authorization": f"Bearer {key}"})
        self.rng = random.Random(f"{seed}/{name}")

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[Any, int]:
        """The answer, and after how many attempts; the same body is sent until there is one."""
        attempts = 0
        while True:
            attempts += 1
            try:
                status, answer = await self.connection.request(method, path, body)
            except ConnectionError:
                self.diary.broken += 1
            else:
                if status == 200:
                    return answer, attempts
                text = str(answer)[:300]
                if status not in (503, 507):
                    self.diary.failures.append(f"{path}: {status} {text}")
                    raise RuntimeError(text)
                self.diary.note_refusal(status, answer["error"])
            await asyncio.sleep(AGAIN_S * (0.5 + self.rng.random()))

    async def work(self) -> None:
        """Work until cancelled, or until there is no row."""
        await asyncio.sleep(self.rng.random() * self.pace_s)
        while True:
            sent_s = time.monotonic()
            answer, _ = await self._ask("POST", "/annotate/api/next", {"op_id": str(uuid4()), "besides": []})
            self.diary.next_waits_s.append(time.monotonic() - sent_s)
            item = answer["item"]
            if item is None:
                return
            query_id, parent_id = item["edit"]["query_id"], item["edit"]["parent_id"]
            while item["state"] == "loading":
                await asyncio.sleep(LOOK_AGAIN_S)
                item, _ = await self._ask("GET", f"/annotate/api/queries/{query_id}")
            drafts = self.rng.randint(1, 3)
            for number in range(drafts + 1):
                await asyncio.sleep(self.pace_s * self.rng.lognormvariate(-0.125, 0.5))
                parent_id = await self._save(query_id, parent_id, submitted=number == drafts)

    async def _save(self, query_id: int, parent_id: int | None, *, submitted: bool) -> int:
        start_ms = 1000 * self.rng.randrange(3)
        moment = {"start_ms": start_ms, "end_ms": start_ms + 1000}
        edit = {"verdict": "moments", "moments": [moment], "submitted": submitted, "active_ms": 4000}
        op_id = str(uuid4())
        body = {"op_id": op_id, "parent_id": parent_id, "edit": edit}
        sent_s = time.monotonic()
        answer, attempts = await self._ask("POST", f"/annotate/api/queries/{query_id}/edits", body)
        save = Save(
            op_id=op_id,
            query_id=query_id,
            annotator=self.name,
            correction_id=answer["correction_id"],
            sent_s=sent_s,
            acknowledged_s=time.monotonic(),
            attempts=attempts,
        )
        self.diary.saves.append(save)
        return save.correction_id


class Visitor:
    """Somebody without an account, from an address of their own, who asks about a clip."""

    def __init__(self, number: int, port: int, clip: Path, diary: Diary, *, pace_s: float) -> None:
        self.name, self.diary, self.pace_s = f"visitor-{number}", diary, pace_s
        headers = {"cookie": f"{VISITOR_COOKIE}={number:043d}", "x-forwarded-for": f"198.51.100.{number + 1}"}
        self.connection = Connection(port, headers)
        self.url = f"data:video/mp4;base64,{base64.b64encode(clip.read_bytes()).decode()}"
        self.rng = random.Random(number)

    async def work(self) -> None:
        """Ask until cancelled; a question that is refused for want of a place is asked again."""
        waits_s = self.diary.answer_waits_s.setdefault(self.name, [])
        while True:
            await asyncio.sleep(self.pace_s * self.rng.lognormvariate(-0.125, 0.5))
            colour = self.rng.choice(("red", "green", "blue", "yellow"))
            parts = [
                {"type": "video_url", "video_url": {"url": self.url}},
                {"type": "text", "text": f"a {colour} square crosses"},
            ]
            body = {"model": "tempo", "messages": [{"role": "user", "content": parts}]}
            sent_s = time.monotonic()
            while True:
                try:
                    status, answer = await self.connection.request("POST", "/v1/chat/completions", body)
                except ConnectionError:
                    self.diary.broken += 1
                else:
                    if status == 200:
                        waits_s.append(time.monotonic() - sent_s)
                        break
                    message = answer["error"]["message"]
                    if status not in (429, 503, 507):
                        self.diary.failures.append(f"{self.name}: {status} {message}")
                        return
                    self.diary.note_refusal(status, message)
                await asyncio.sleep(ASK_AGAIN_S * (0.5 + self.rng.random()))


async def until_served(port: int, is_alive: Callable[[], bool], path: str = "/health/live") -> None:
    """Wait until a server answers; with /health/ready, until its model does. Raises RuntimeError when it ended."""
    connection = Connection(port, {})
    while True:
        if not is_alive():
            raise RuntimeError("the server ended while starting")
        with suppress(ConnectionError):
            if (await connection.request("GET", path))[0] == 200:
                await connection.close()
                return
        await asyncio.sleep(0.02)


@asynccontextmanager
async def at_work(people: Iterable[Annotator | Visitor]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Everybody works inside the block, and leaves at its end whatever they wait for."""
    people = list(people)
    tasks = [asyncio.create_task(person.work()) for person in people]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for person in people:
            await person.connection.close()
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(outcome, RuntimeError):
                raise outcome
