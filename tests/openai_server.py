"""A small OpenAI-compatible server for tests: it keeps what it was asked and answers as it was told to."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "TencentARC/TimeLens-8B"
Reply = tuple[int, Any, dict[str, str]]
"""Status, body (JSON values, or bytes as they are), headers."""


def completion(text: str, *, logprobs: list[dict[str, Any]] | None = None, finish: str = "stop") -> Reply:
    """A chat completion with this answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    if logprobs is not None:
        choice["logprobs"] = {"content": logprobs}
    return 200, {"id": "c", "object": "chat.completion", "choices": [choice]}, {}


def token(text: str, logprob: float, **alternatives: float) -> dict[str, Any]:
    """One row of `logprobs.content`; the token itself is among its alternatives."""
    top = [{"token": name, "logprob": value} for name, value in {text: logprob, **alternatives}.items()]
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": top}


@dataclass
class FakeServer:
    """What it is told to do, and what it was asked."""

    url: str = ""
    owner: str = "vllm"
    models: list[str] = field(default_factory=lambda: [MODEL])
    replies: list[Reply | Callable[[dict[str, Any]], Reply]] = field(default_factory=list)
    """The next answers, in turn; the last one stays."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    broken_pipes: int = 0
    """Answers that nobody waited for."""

    @property
    def address(self) -> str:
        return f"{self.url}/v1#{self.models[0]}"

    def reply(self, body: dict[str, Any]) -> Reply:
        self.bodies.append(body)
        next_reply = self.replies[0] if len(self.replies) == 1 else self.replies.pop(0)
        return next_reply(body) if callable(next_reply) else next_reply


@contextmanager
def fake_server() -> Iterator[FakeServer]:
    """The server on a free port of this machine."""
    fake = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fake.headers.append(dict(self.headers))
            rows = [{"id": name, "object": "model", "owned_by": fake.owner} for name in fake.models]
            self._send(200, {"object": "list", "data": rows}, {})

        def do_POST(self) -> None:
            fake.headers.append(dict(self.headers))
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._send(*fake.reply(body))

        def _send(self, status: int, body: Any, headers: dict[str, str]) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            try:
                self.send_response(status)
                for name, value in {"content-length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):
                fake.broken_pipes += 1
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
