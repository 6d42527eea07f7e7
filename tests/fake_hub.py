"""A model hub on this machine: the parts of the hub's HTTP API that a download uses, and its troubles on demand."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """Repositories by name: their files by path."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    """Given out to `token` only."""
    token: str = "hf_secret"
    cut_after: list[int] = field(default_factory=list)
    """Of the next responses with weights, how many bytes are sent before the connection is cut."""
    gate: threading.Event = field(default_factory=threading.Event)
    """While it is cleared, weights wait after their first half."""
    spoilt: bool = False
    """Whether the last byte of weights is another one."""
    storage: str = ""
    """If set, weights are redirected to this origin."""
    ranges: list[str] = field(default_factory=list)
    """The Range headers of requests for weights, "" for none."""
    authorizations: list[tuple[str, str]] = field(default_factory=list)
    """Path and Authorization header of every request."""
    url: str = ""

    def __post_init__(self) -> None:
        self.gate.set()

    def add(self, name: str, folder: Path) -> None:
        """Give out a folder's files."""
        self.repositories[name] = {
            path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()
        }


def is_large(path: str) -> bool:
    return path.endswith(".safetensors")


@contextmanager
def serve_hub(hub: FakeHub) -> Iterator[FakeHub]:
    """Answer at `hub.url` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = urlsplit(self.path).path.strip("/")
            authorization = self.headers.get("authorization", "")
            hub.authorizations.append((path, authorization))
            if path.startswith("api/models/"):
                owner, name, *rest = path.removeprefix("api/models/").split("/")
            else:
                owner, name, *rest = path.split("/")
            repository = f"{owner}/{name}"
            files = hub.repositories.get(repository)
            if files is None:
                self.refuse(401 if not authorization else 404, "RepoNotFound")
            elif path.startswith("api/models/"):
                self.tell(files, rest)
            elif repository in hub.gated and authorization != f"Bearer {hub.token}":
                self.refuse(403, "GatedRepo")
            elif rest[0] == "resolve" and rest[2] in files:
                self.give(rest[2], files[rest[2]])
            else:
                self.refuse(404, "EntryNotFound")

        def tell(self, files: dict[str, bytes], rest: list[str]) -> None:
            if rest and rest[0] == "tree":
                entries = [entry(path, content) for path, content in sorted(files.items())]
                self.send(json.dumps(entries).encode())
            elif rest and rest[0] == "revision" and rest[1] not in ("main", COMMIT):
                self.refuse(404, "RevisionNotFound")
            else:
                self.send(json.dumps({"id": "x", "sha": COMMIT, "siblings": []}).encode())

        def give(self, path: str, content: bytes) -> None:
            headers = {
                "ETag": f'"{blob_name(path, content)}"',
                "X-Repo-Commit": COMMIT,
                "Accept-Ranges": "bytes",
            }
            if not is_large(path) or self.command == "HEAD":
                self.send(content, headers=headers)
                return
            if hub.storage and self.headers.get("host") not in hub.storage:
                self.send(b"", 302, {**headers, "Location": hub.storage + self.path})
                return
            byte_range = self.headers.get("range", "")
            hub.ranges.append(byte_range)
            if hub.spoilt:
                content = content[:-1] + bytes([content[-1] ^ 1])
            start = int(byte_range.removeprefix("bytes=").rstrip("-") or 0) if byte_range else 0
            body = content[start:]
            if byte_range:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send_response(206 if byte_range else 200)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if hub.cut_after:
                self.wfile.write(body[: hub.cut_after.pop(0)])
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(2)
                return
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            hub.gate.wait(300)
            self.wfile.write(body[len(body) // 2 :])

        def send(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def refuse(self, status: int, code: str) -> None:
            self.send(b'{"error": "no"}', status, {"X-Error-Code": code, "X-Error-Message": "no"})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.gate.set()
        server.shutdown()
        server.server_close()
        thread.join(300)


def blob_name(path: str, content: bytes) -> str:
    if is_large(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def entry(path: str, content: bytes) -> dict[str, object]:
    """A file as the hub lists it."""
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    fields: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": git}
    if is_large(path):
        fields["lfs"] = {"oid": blob_name(path, content), "size": len(content), "pointerSize": 135}
    return fields
