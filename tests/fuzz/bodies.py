"""Mutated requests to every route of the running app, as somebody who may do everything."""

import json
import random
import re
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlencode

from starlette.routing import Mount, Route

from annotations.rows import Row
from annotations.store import Store
from app.annotate.sample_project import SampleProject
from app.auth.users import Authenticator
from app.http.gradio_gate import OPEN_ROUTES
from tests.app.people import People
from tests.app.studio import Studio, open_studio
from tests.app.test_inventory import flat
from tests.fuzz.campaign import Case, Fault
from tests.fuzz.mutations import VALUES, mutated, mutated_json

EDIT = {
    "verdict": "moments",
    "moments": [{"start_ms": 0, "end_ms": 2000, "start_source": "hand", "end_source": "hand"}],
    "reason": None,
    "categories": [],
    "note": "a note",
    "flagged": False,
    "submitted": True,
    "proposal_id": None,
    "active_ms": 1000,
    "key_presses": 3,
}
FILE = {"path": "x/clip.mp4", "meta": {"_type": "gradio.FileData"}, "orig_name": "clip.mp4", "size": 3}
GROUND = {"data": [FILE, "a square", None, "saa", None, 5]}
MESSAGE = [
    {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
    {"type": "text", "text": "When does a square turn?"},
]
CALL = {"name": "ground", "arguments": {"video": "data:video/mp4;base64,AAAA", "query": "a square"}}
BOUNDARY = "frontier"
FORM = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="clip.mp4"\r\n'
    f"Content-Type: video/mp4\r\n\r\nxyz\r\n--{BOUNDARY}--\r\n"
).encode()
FORMS = {
    "/sign-in": ("application/x-www-form-urlencoded", b"name=ada&password=secret&next=%2F"),
    "/sign-out": ("application/x-www-form-urlencoded", b""),
    "/account/password": ("application/x-www-form-urlencoded", b"present=secret&new=x&again=x"),
    "/account/sign-out": ("application/x-www-form-urlencoded", b"session=0123456789abcdef"),
    "/people/{name}/password": ("application/x-www-form-urlencoded", b""),
    "/people/{name}/sign-out": ("application/x-www-form-urlencoded", b"session=0123456789abcdef"),
    "/gradio_api/upload": (f"multipart/form-data; boundary={BOUNDARY}", FORM),
}
"""Bodies that are no JSON: content type and bytes, by path."""
BODIES: dict[str, list[Any]] = {
    "/annotate/api/queries/{query_id}/edits": [{"op_id": "x", "parent_id": None, "edit": EDIT}],
    "/annotate/api/queries/{query_id}/skip": [{"op_id": "x"}],
    "/annotate/api/queries/{query_id}/look": [{}],
    "/annotate/api/next": [{"op_id": "x", "besides": [1, 2], "upcoming": 1}],
    "/annotate/api/upcoming": [{"besides": [1, 2]}],
    "/annotate/api/sample": [{}],
    "/annotate/api/sample/remove": [{}],
    "/review/api/queries/{query_id}/verdict": [
        {"op_id": "x", "adopt": {"kind": "original", "id": None}, "note": "n"},
        {"op_id": "x", "edit": EDIT, "verdict_parent_id": None, "note": ""},
    ],
    "/models/api/downloads": [{"name": "no such model"}],
    "/models/api/downloads/cancel": [{"name": "no such model"}],
    "/models/api/serve": [{"name": "no such model", "four_bit": True}],
    "/models/api/offered": [{"name": "no such model", "is_offered": True}],
    "/models/api/folders": [{"path": "/no/such/folder"}],
    "/models/api/removals": [{"name": "no such model"}],
    "/models/api/proposers": [{"dataset": "d", "model": "m", "is_named": True, "op_id": "x"}],
    "/v1/chat/completions": [
        {"model": "tempo", "messages": [{"role": "user", "content": MESSAGE}], "stream": False, "n": 1},
        {"model": "tempo", "messages": [{"role": "user", "content": "when?"}], "temperature": 0.5},
    ],
    "/mcp": [
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": CALL},
        {
            "jsonrpc": "2.0",
            "id": 0,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "c", "version": "1"},
            },
        },
    ],
    "/gradio_api/call/{api_name}": [GROUND, {"data": ["context", "a square", 5]}],
    "/gradio_api/run/{api_name}": [{"data": [FILE, None], "fn_index": 0, "session_hash": "s"}],
    "/gradio_api/queue/join": [
        {**GROUND, "fn_index": 0, "session_hash": "s", "event_data": None, "trigger_id": 1},
    ],
    "/gradio_api/cancel": [{"session_hash": "s", "fn_index": 0, "event_id": "e"}],
    "/gradio_api/reset": [{"event_id": "e"}],
}
"""JSON bodies that are right, or nearly, by path as it is declared (without a closing slash). An event's number is any
that a page has."""
VALUES_OF: dict[str, tuple[str, ...]] = {
    "query_id": ("1", "2"),
    "api_name": ("ground", "ask", "predict"),
    "page": ("annotate", "data", "models"),
    "level": ("1",),
    "number": ("0",),
    "name": ("local", "x"),
}
"""Values that stand in a path as they should."""
ODD = (
    *(
        "0",
        "-1",
        "9" * 30,
        "1e3",
        "nan",
        "%2e%2e",
        "..",
        "../../etc/passwd",
        "x" * 2000,
        "\u202e",
        "\x00",
        "²",
        "1.0",
    ),
    *("é", "a b", ";", "'", "<b>", "x/../../y", "."),
)
HEADERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("content-type", ("application/json", "text/plain", "", "application/json; charset=utf-16", "x" * 500)),
    ("accept", ("text/html", "application/json, text/event-stream", "text/event-stream", "")),
    ("range", ("bytes=0-", "bytes=5-2", "bytes=-1", "bytes=0-0,1-1", "x", "bytes=" + "9" * 30 + "-")),
    ("content-length", ("0", "-1", "x", "9" * 25)),
    ("cookie", ("tempo_session=x", "tempo_session=" + "\\ud800", "; ;=", "tempo_browser=" + "x" * 3000)),
    ("authorization", ("Bearer x", "Bearer", "Basic Og==", "\xff")),
    ("origin", ("null", "http://elsewhere.example", "http://127.0.0.1")),
    ("sec-fetch-site", ("cross-site", "same-origin", "none")),
    ("x-forwarded-for", ("1.2.3.4", "x", "::1, 1.2.3.4")),
    ("mcp-session-id", ("x", "\xff")),
    ("if-range", ("x",)),
)
UNAVAILABLE = (501, 503, 507)
"""Answers above 499 that are a sentence: not made, not now, no room."""
HANG_S = 120


def routes_of(studio: Studio) -> list[tuple[str, str]]:
    """Method and declared path of every route that answers: ours, and Gradio's open ones."""
    own = {
        (method, route.path)
        for route in flat(studio.app.router)
        if isinstance(route, Route)
        for method in route.methods or ()
    }
    mounted = {
        ("GET", f"{route.path}/{{path:path}}")
        for route in studio.app.routes
        if isinstance(route, Mount) and route.path
    }
    return sorted(own | mounted | set(OPEN_ROUTES))


def single_account(store: Store) -> Authenticator:
    """This machine's single account, which may do everything."""
    people = People(store=store)
    people.accounts.add_first()
    return Authenticator(anonymous=False, accounts=people.accounts)


@contextmanager
def body_case(folder: Path) -> Iterator[Case]:
    """A case sends one request to an app whose home is in `folder`."""
    home = folder / "server-home"
    home.mkdir()
    rows = [
        Row(qid=str(number), query="a square", vid="v", duration_s=150.0, windows=((0.0, 4.0),))
        for number in (1, 2)
    ]

    def give_up(*_: object) -> None:
        raise Fault(f"a hang: no answer after {HANG_S} s")

    with (
        Store(home / "cqvh.sqlite3") as store,
        mock.patch.object(SampleProject, "_make", return_value=None),  # clips that nobody waits for
        open_studio(home, authenticator=single_account(store), host="127.0.0.1", store=store) as studio,
    ):
        store.import_rows(rows, dataset="d", op_id="rows")
        routes = routes_of(studio)
        events = [*studio.gradio._base_app.get_blocks().fns]

        def run_case(seeded: random.Random) -> str:
            method, path = seeded.choice(routes)
            headers, body = request_of(seeded, method, path, events)
            address = re.sub(r"{(\w+)(:\w+)?}", lambda part: value_of(seeded, part[1]), path)
            query = {seeded.choice(("x", "upload_id", "session_hash", "next")): seeded.choice(ODD)}
            signal.signal(signal.SIGALRM, give_up)
            signal.alarm(HANG_S)
            try:
                answer = studio.request(
                    method, address, body, headers=headers, **(query if seeded.random() < 0.2 else {})
                )
            except Fault:
                raise
            except Exception as error:
                sent = f"{method} {address[:200]!r} {headers} {body[:300]!r}"
                raise Fault(f"{sent}\n{traceback.format_exc()}") from error
            finally:
                signal.alarm(0)
            sent = f"{method} {address[:200]!r} {headers} {body[:300]!r}: {answer.status} {answer.text[:300]}"
            if answer.status == 0 or (answer.status >= 500 and answer.status not in UNAVAILABLE):
                raise Fault(sent)
            if "Traceback (most" in answer.text or str(folder) in answer.text:
                raise Fault(f"a traceback or a folder is told: {sent}")
            return f"{answer.status // 100}xx"

        yield run_case


def value_of(seeded: random.Random, name: str) -> str:
    """What stands in the braces of a path."""
    return seeded.choice(ODD) if seeded.random() < 0.4 else seeded.choice(VALUES_OF.get(name, ("x",)))


def request_of(
    seeded: random.Random, method: str, path: str, events: list[int]
) -> tuple[dict[str, str], bytes]:
    """Headers and body."""
    headers: dict[str, str] = {}
    body = b""
    bare = path.rstrip("/") or "/"
    if method == "POST" and bare in FORMS:
        headers["content-type"], body = FORMS[bare]
        if seeded.random() < 0.9:
            body = mutated(seeded, body, [FORM]) if body else seeded.randbytes(20)
        if bare == "/sign-in" and seeded.random() < 0.3:
            body = urlencode(
                {"name": str(seeded.choice(VALUES)), "password": str(seeded.choice(VALUES))}
            ).encode()
    elif method == "POST":
        headers["content-type"] = "application/json"
        if bare == "/mcp":
            headers["accept"] = "application/json, text/event-stream"
        value = seeded.choice(BODIES[bare])
        if "fn_index" in value:
            value = {**value, "fn_index": seeded.choice(events)}
        chance = seeded.random()
        body = json.dumps(value).encode() if chance < 0.05 else mutated_json(seeded, value)
        if chance > 0.85:
            body = mutated(seeded, body, [FORM])
    if seeded.random() < 0.25:
        name, choices = seeded.choice(HEADERS)
        headers[name] = seeded.choice(choices)
    return headers, body
