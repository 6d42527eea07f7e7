#!/usr/bin/env bash
# huggingface_hub: a download that ends early leaves nothing to go on from; the next one asks for the file's first byte.
#
# Version: huggingface_hub 2.4.0 without hf_xet, `hf_hub_download` from an HTTP server on this machine.
# Guess: calling it again goes on where the connection was cut, as it does inside one call and as versions before 1.0
# did with their `.incomplete` files.
# Seen: the file is written under a name of its own and removed when the call fails; no byte of the 25 MB that
# arrived is left in the cache, and the second call sends no Range header. Within the call it goes on from 20 MiB.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet huggingface_hub==2.4.0
"$folder/venv/bin/pip" uninstall --quiet --yes hf_xet || true
cd "$folder"
HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_PROGRESS_BARS=1 venv/bin/python - <<'PYTHON'
import hashlib
import logging
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
from huggingface_hub import hf_hub_download

CONTENT = os.urandom(30_000_000)
ranges, refusing = [], [True]


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.head(200, CONTENT)

    def do_GET(self):
        ranges.append(self.headers.get("range"))
        if refusing[0]:
            self.head(200 if len(ranges) == 1 else 403, CONTENT if len(ranges) == 1 else b"")
            if len(ranges) == 1:
                self.wfile.write(CONTENT[:25_000_000])
            self.close_connection = True
            return
        start = int((ranges[-1] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.head(206 if start else 200, CONTENT[start:], start)
        self.wfile.write(CONTENT[start:])

    def head(self, status, body, start=0):
        self.send_response(status)
        self.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()


logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
options = {"endpoint": f"http://127.0.0.1:{server.server_port}", "cache_dir": "cache", "token": False}
try:
    hf_hub_download("owner/name", "model.safetensors", **options)
    raise SystemExit("the first call was not cut")
except Exception as error:
    print("first call:", type(error).__name__, "after", ranges)
left = [path.stat().st_size for path in Path("cache").rglob("*") if path.is_file() and path.stat().st_size > 1000]
first, refusing[0] = len(ranges), False
path = hf_hub_download("owner/name", "model.safetensors", **options)
print(huggingface_hub.__version__, "left in the cache:", left, "second call asks for", ranges[first:])
assert ranges[1] == "bytes=20971520-", "within one call it goes on, from the last whole piece of 10 MiB"
assert left == []
assert ranges[first:] == [None]
assert Path(path).read_bytes() == CONTENT
PYTHON
