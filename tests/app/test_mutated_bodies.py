"""Bodies that somebody bent on harm would send: each gets an answer that is no 500 and names no folder.

    TEMPO_MUTATIONS=10000 python -m pytest tests/app/test_mutated_bodies.py

tries that many; the number is also the seed's stride, so that a longer run tries other ones.
"""

import copy
import json
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from annotations.rows import Row
from annotations.store import Store
from app.auth.users import Authenticator
from tests.app.studio import Studio, open_studio

MUTATIONS = int(os.environ.get("TEMPO_MUTATIONS", "300"))
EDIT = {
    "op_id": "x",
    "parent_id": None,
    "edit": {
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
    },
}
FILE = {"path": "x/clip.mp4", "meta": {"_type": "gradio.FileData"}, "orig_name": "clip.mp4", "size": 3}
GROUND = {"data": [FILE, "a square", None, "saa", None, 5]}
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/annotate/api/queries/1/edits", EDIT),
    ("/annotate/api/queries/1/skip", {"op_id": "x"}),
    ("/annotate/api/next", {"op_id": "x", "besides": [1, 2]}),
    ("/review/api/queries/1/verdict", {"op_id": "x", "adopt": {"kind": "original", "id": None}, "note": "n"}),
    ("/gradio_api/call/ground", GROUND),
    ("/gradio_api/call/ask", {"data": ["context", "a square", 5]}),
    (
        "/gradio_api/queue/join",
        {**GROUND, "fn_index": 0, "session_hash": "s", "event_data": None, "trigger_id": 1},
    ),
    ("/gradio_api/run/predict", {"data": [FILE, None], "fn_index": "clip_changed", "session_hash": "s"}),
    ("/gradio_api/cancel", {"session_hash": "s", "fn_index": 0, "event_id": "e"}),
    ("/gradio_api/reset", {"event_id": "e"}),
]
RAW = (
    b"1" * 30,
    b"-" + b"9" * 400,
    b'"\\ud800"',
    b"NaN",
    b"1e999",
    b"[" * 80 + b"]" * 80,
    b'"\xff"',
    b"",
    b"{",
)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 2**53, 2**63 - 1, -(2**63), 0.5, "", "\x00", "x" * 3000, "../../etc/passwd"),
    *("/etc/passwd", "\u202e", "\U0001f600", [], {}, [[]], {"path": "/etc/passwd"}, {"": None}, ["x"] * 50),
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """An app whose local user may do everything, with one row."""
    folder = tmp_path_factory.mktemp("home")
    with Store(folder / "cqvh.sqlite3") as store:
        row = Row(qid="1", query="a square", vid="v", duration_s=150.0, windows=((0.0, 4.0),))
        store.import_rows([row], dataset="d", op_id="rows")
        with open_studio(
            folder, authenticator=Authenticator(anonymous=False), host="127.0.0.1", store=store
        ) as opened:
            yield opened


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) inside a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from places(item)


def mutated(seeded: random.Random, body: dict[str, Any]) -> bytes:
    """The body with one or two places changed: another value, none, one more, or bytes that are no JSON value."""
    body = copy.deepcopy(body)
    for _ in range(seeded.choice((1, 1, 2))):
        container, key = seeded.choice(list(places(body)) or [(body, "x")])
        if isinstance(container, dict) and seeded.random() < 0.2:
            container.pop(key, None)
        elif isinstance(container, list) and seeded.random() < 0.2:
            container.append(copy.deepcopy(seeded.choice(VALUES)))
        else:
            container[key] = copy.deepcopy(seeded.choice((*VALUES, *("raw",) * 5)))
    text = json.dumps(body).encode()
    return text.replace(b'"raw"', seeded.choice(RAW), 1)


def test_no_mutated_body_breaks_the_server_or_learns_where_it_lies(studio: Studio) -> None:
    seeded = random.Random(MUTATIONS)
    number_of = studio.event("clip_changed")
    broken = []
    for _ in range(MUTATIONS):
        path, body = seeded.choice(BODIES)
        if body.get("fn_index") == "clip_changed":
            body = {**body, "fn_index": number_of}
        sent = mutated(seeded, body)
        answer = studio.post(path, sent)
        if answer.status == 500 or "Traceback" in answer.text or str(studio.home.root) in answer.text:
            broken.append((path, sent[:300], answer.status, answer.text[:300]))
    assert broken == []
