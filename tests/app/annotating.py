"""A workspace on real clips and a small store, for tests of the Annotate page."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.testclient import TestClient
from sqlalchemy import insert

from annotations import reading, tables
from annotations.arms import ARMS, Arm
from annotations.reading import AnnotatorRow
from annotations.records import UpcomingRow
from annotations.rows import Row
from annotations.store import Store
from app.__main__ import claim_port
from app.annotate.page import AnnotatePage
from app.annotate.proposals import Proposals
from app.annotate.sample_project import SampleProject
from app.annotate.service import AnnotationService
from app.auth.users import GRANTS, Authenticator, Role, User
from app.ground.engines import EngineProvider
from app.ground.service import GroundingService
from app.home import Home, open_home
from app.http.dependencies import prepare_app
from app.job_queue import JobQueues
from app.media.clips import draw_strip, prepare_clip
from app.media.dataset_clips import DatasetClips
from app.media.library import MediaLibrary, media_routes
from app.media.shots import find_shots
from app.timeline import mount_assets
from app.timeline.parts import check_value
from tempo_core.sound import sound_peaks
from tests.app.fakes import FakeEngine, fake_ground, light_draw, light_prepare, no_shots, no_sound, write_clip
from tests.app.serving import served

NASTY = "<img src=x onerror=alert(1)> ${1+1} {{value}}"


class HeaderUsers(Authenticator):
    """Accounts in which a request says who it is from: `x-user: name/role`."""

    __slots__ = ()

    def resolve(self, request: Any, *, counts_as_use: bool = True) -> User | None:
        name, _, role = request.headers.get("x-user", "").partition("/")
        return User(id=name, name=name, roles=GRANTS[Role(role)]) if name else None


def row(qid: int, vid: str, query: str = "a square crosses", **fields: Any) -> Row:
    """A row about a clip of four seconds."""
    values: dict[str, Any] = {"windows": ((1.0, 2.0),), "duration_s": 4.0, **fields}
    return Row(qid=str(qid), qid_is_int=True, query=query, vid=vid, **values)


def fill(store: Store, home: Home, rows: list[Row], *, without: tuple[str, ...] = ()) -> None:
    """Import rows and put a clip for each vid into the home's videos."""
    store.import_rows(rows, dataset="small", op_id=str(uuid4()))
    store.save_proposer("small", "fake-engine", op_id=str(uuid4()), actor="test")
    for number, vid in enumerate(dict.fromkeys(row.vid for row in rows)):
        if vid not in without:
            write_clip(home.videos / f"{vid}.mp4", hue=20 + 15 * number)


def annotator_with(arm: str, stem: str = "ada") -> str:
    """A name whose arm is this one, on every row of a NamedArms."""
    return f"{stem}-{arm}"


class NamedArms(Store):
    """A store that gives an annotator the arm that their name ends with; others draw theirs, from a fixed seed."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        with self.database.engine.begin() as connection:
            if reading.setting(connection, "arm_seed") is None:
                connection.execute(insert(tables.settings), {"name": "arm_seed", "value": 1})

    def arm(self, query_id: int, annotator: str, **parts: Any) -> Arm:
        arm_by_chance = super().arm(query_id, annotator, **parts)
        return named_arm(annotator) or arm_by_chance

    def annotator_row(self, query_id: int, annotator: str) -> AnnotatorRow:
        row = super().annotator_row(query_id, annotator)
        return replace(row, arm=row.arm and (named_arm(annotator) or row.arm))

    def upcoming_row(self, annotator: str, **parts: Any) -> UpcomingRow | None:
        row = super().upcoming_row(annotator, **parts)
        return row and replace(row, arm=named_arm(annotator) or row.arm)


def named_arm(annotator: str) -> Arm | None:
    """The arm that a name ends with."""
    return next((arm for arm in ARMS if annotator.endswith(f"-{arm}")), None)


@dataclass
class Bench:
    """The routes of the Annotate page with everything behind them."""

    client: TestClient
    app: FastAPI
    store: Store
    home: Home
    engine: FakeEngine
    service: AnnotationService
    sample: SampleProject

    def get(self, path: str, *, who: str | None = "ada/annotator") -> Any:
        headers = {} if who is None else {"x-user": who}
        return self.client.get(f"/annotate/api{path}", headers=headers)

    def post(self, path: str, body: Any, *, who: str | None = "ada/annotator", **headers: str) -> Any:
        all_headers = {**({} if who is None else {"x-user": who}), **headers}
        return self.client.post(f"/annotate/api{path}", json=body, headers=all_headers)

    def save(
        self,
        query_id: int,
        edit: dict[str, Any],
        parent_id: int | None = None,
        op_id: str | None = None,
        **named: Any,
    ) -> Any:
        body = {"op_id": op_id or str(uuid4()), "parent_id": parent_id, "edit": edit}
        return self.post(f"/queries/{query_id}/edits", body, **named)

    def ready(self, query_id: int, *, who: str = "ada/annotator") -> dict[str, Any]:
        """The row's item, once its clip is there; one that the timeline can show."""
        item = until(
            lambda: self.get(f"/queries/{query_id}", who=who).json(), lambda item: item["state"] == "ready"
        )
        return dict(check_value(item))


def until(ask: Callable[[], Any], holds: Callable[[Any], bool], patience_s: float = 600.0) -> Any:
    """The first answer that holds."""
    give_up_s = time.monotonic() + patience_s
    while not holds(value := ask()):
        assert time.monotonic() < give_up_s, f"still {value}"
        time.sleep(0.02)
    return value


@contextmanager
def open_bench(folder: Path, *, url: str | None = None, real: bool = False, **parts: Any) -> Iterator[Bench]:
    """A running workspace on the home's own database or that of `url`; `real` prepares clips as the app does, `parts`
    go to the sample project.
    """
    home, engine = open_home(folder), FakeEngine()
    prepare, draw, shots = (
        (prepare_clip, draw_strip, find_shots) if real else (light_prepare, light_draw, no_shots)
    )
    with NamedArms(url or home.database) as store:
        media = MediaLibrary(home.media, prepare, draw)
        queues = JobQueues()
        grounding = GroundingService(EngineProvider.of(engine), media, queues, ground=fake_ground)
        sound = sound_peaks if real else no_sound
        dataset_clips = DatasetClips(
            store, media, queues.clips, home.videos, shots=shots, sound=sound, clock=lambda: 0.0
        )
        proposals = Proposals(store, grounding)
        sample = SampleProject(store, dataset_clips, proposals, queues.clips, **parts)
        service = AnnotationService(store, dataset_clips, proposals)
        authenticator = HeaderUsers(anonymous=False)
        app = FastAPI()
        prepare_app(app, authenticator)
        app.include_router(AnnotatePage(service, sample).routes())
        app.include_router(media_routes(media))
        mount_assets(app)
        app.get("/annotate")(lambda: HTMLResponse(PAGE))
        with TestClient(app) as client:
            yield Bench(client, app, store, home, engine, service, sample)
        queues.close()


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Annotate</title><link rel="icon" href="data:,">
<body><main id="annotate"><div class="tl-root"></div></main><script type="module">
import { mount } from "/ui-assets/timeline.js";
const element = document.querySelector("#annotate"), assets = "/ui-assets";
mount(element, { props: {}, watch: () => {}, assets, version: "t", mode: "annotate", workspace: "annotate_page.js" });
</script></body></html>"""
"""The page without Gradio around it, which takes long to come up."""


@contextmanager
def serving(bench: Bench, port: int = 0, listener: socket.socket | None = None) -> Iterator[str]:
    """The bench's page and routes on a port of this machine, or on a socket that goes on; gives the address."""
    own = claim_port("127.0.0.1", port) if listener is None else listener.dup()
    with served(bench.app, own) as url:
        yield url


def edit_of(*spans: tuple[int, int], submitted: bool = False, **fields: Any) -> dict[str, Any]:
    """The JSON of an edit with moments set by hand."""
    moments = [{"start_ms": a, "end_ms": b, "start_source": "hand", "end_source": "hand"} for a, b in spans]
    return {"verdict": "moments", "moments": moments, "submitted": submitted, **fields}


def serve_until_killed(folder: Path, port: int, serves: Event) -> None:
    """What a process of its own does, which a test may kill."""
    with open_bench(folder) as bench, serving(bench, port):
        serves.set()
        threading.Event().wait()
