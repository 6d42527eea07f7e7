"""A server to load and to kill: the app's own routes of annotating and asking, with sign-in, on a home of its own.

Left out against `python -m app`: Gradio with the pages, the routes of review, data, training and models, the model
(a stand-in answers at once) and the making of normal copies (the file itself is one). What takes a save in is all
there: uvicorn, every middleware, sessions, accounts, the service and the store on its file.
"""

import sys
from pathlib import Path
from uuid import uuid4

import uvicorn
from fastapi import FastAPI

from annotations.checks import check_file
from annotations.rows import AnnotatorVersion, Row
from annotations.store import Store
from app.__main__ import claim_port, prepare_surroundings, server_settings
from app.annotate.page import AnnotatePage
from app.annotate.proposals import Proposals
from app.annotate.sample_project import SampleProject
from app.annotate.service import AnnotationService
from app.auth.accounts import AccountService
from app.auth.routes import guard
from app.auth.sessions import Sessions
from app.auth.users import authenticator_for
from app.chat.routes import chat_routes
from app.ground.engines import EngineProvider
from app.ground.service import GroundingService
from app.home import Home, open_home, serving_lock
from app.http.operations import RequestLog, RequestMetrics, operation_routes
from app.job_queue import JobQueues
from app.media.dataset_clips import DatasetClips
from app.media.library import MediaLibrary
from app.media.storage import StorageLimits
from app.media.uploads import Uploads
from tests.app.fakes import FakeEngine, fake_ground, light_draw, light_prepare, no_shots, no_sound, write_clip

HOST = "127.0.0.1"
CLIPS = 4


def fill_home(home: Home, store: Store, *, rows: int, clips: int = CLIPS) -> None:
    """Rows about a few clips of four seconds, which lie in the home's videos; a model has proposed for each."""
    for number in range(clips):
        write_clip(home.videos / f"clip-{number}.mp4", hue=20 + 15 * number)
    proposal = AnnotatorVersion(
        annotator="fake-engine", source="model", windows=((1.0, 2.5),), scores=(0.87,)
    )
    about = [
        Row(
            qid=str(number),
            qid_is_int=True,
            query=f"thing {number} happens",
            vid=f"clip-{number % clips}",
            duration_s=4.0,
            windows=((1.0, 2.0),),
            annotations=(proposal,),
        )
        for number in range(rows)
    ]
    store.import_rows(about, dataset="load", op_id=str(uuid4()))


def make_home(folder: Path, *, rows: int, annotators: int) -> dict[str, str]:
    """A home with rows and accounts; the key of each annotator by name."""
    home = open_home(folder)
    with Store(home.database) as store:
        fill_home(home, store, rows=rows)
        accounts = AccountService(store, Sessions(home.sessions))
        accounts.add_first()
        keys = {}
        for number in range(annotators):
            name = f"annotator-{number}"
            accounts.add(name, "annotator", "correct horse battery", actor="load")
            keys[name] = accounts.issue_key(name, actor="load")
        accounts.sessions.close()
    return keys


def light_app(home: Home, store: Store) -> FastAPI:
    """The app without what the module's text names."""
    sessions = AccountService(store, Sessions(home.sessions))
    authenticator = authenticator_for(HOST, allow_anonymous_visitors=True, accounts=sessions)
    no_floor = StorageLimits(free_space_floor_bytes=0)  # so that a small disk can run full
    media = MediaLibrary(home.media, light_prepare, light_draw, limits=no_floor)
    uploads = Uploads(home.uploads, no_floor)
    queues = JobQueues()
    grounding = GroundingService(
        EngineProvider.of(FakeEngine()), media, queues, ground=fake_ground, uploads=uploads
    )
    dataset_clips = DatasetClips(
        store, media, queues.dataset_clips, home.videos, shots=no_shots, sound=no_sound
    )
    proposals = Proposals(store, grounding)
    sample = SampleProject(store, dataset_clips, proposals, queues.dataset_clips)
    service = AnnotationService(store, dataset_clips, proposals)
    app, metrics = FastAPI(), RequestMetrics()
    guard(app, authenticator)
    app.add_middleware(RequestLog, metrics=metrics, routes=["/health/live"])
    app.include_router(AnnotatePage(service, sample).routes())
    app.include_router(chat_routes(grounding, uploads))
    app.include_router(operation_routes(authenticator, metrics, checks={}, gauges=dict))
    return app


def serve(folder: str, port: int) -> None:
    """Serve the home at the folder until the process ends."""
    home = open_home(folder)
    prepare_surroundings(home.uploads)
    with claim_port(HOST, port) as listener, serving_lock(home), Store(home.database) as store:
        check_file(store)
        uvicorn.Server(server_settings(light_app(home, store), HOST)).run(sockets=[listener])


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
