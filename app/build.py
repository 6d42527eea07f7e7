"""Puts the app together from its parts: FastAPI with our own routes, and Gradio mounted at "/".

`build_app` is handed everything it needs and starts nothing that outlives the server: loading, sweeping and
working threads begin with the server and end with it.
"""

import asyncio
import logging
import shutil
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.routing import Mount, Route

from annotations.store import Store
from app.annotate.page import AnnotatePage
from app.annotate.proposals import Proposals
from app.annotate.sample_project import SampleProject
from app.annotate.service import REVIEWS_WANTED, AnnotationService
from app.auth.badge import account_badge
from app.auth.routes import ADMINISTRATION, guard
from app.auth.users import Authenticator, Role
from app.chat.routes import chat_routes
from app.chat.tool import tool_routes
from app.data.downloads import Downloads
from app.data.page import DataPage
from app.data.service import DataService
from app.ground.answers import AnswerHistory, answer_routes
from app.ground.api import GroundApi, status_routes
from app.ground.contexts import ContextStore
from app.ground.engines import EngineProvider
from app.ground.examples import SHIPPED, example_routes, read_examples
from app.ground.page import GroundPage
from app.ground.service import GroundingService, ground_with_engine
from app.home import Home
from app.http.base_path import BasePath, below
from app.http.errors import StorageFull
from app.http.gradio_gate import OPEN_ROUTES, GradioGate, StreamOwners
from app.http.operations import RequestLog, RequestMetrics, operation_routes
from app.job_queue import JobQueues
from app.library.service import LibraryService, library_routes
from app.media.clips import draw_sheet, draw_strip, prepare_clip
from app.media.dataset_clips import DatasetClips
from app.media.library import DrawStrip, MediaLibrary, PrepareClip, media_routes
from app.media.storage import GIB, StorageLimits
from app.media.uploads import OwnedFileBlocks, Uploads, upload_routes
from app.models.page import ModelsPage
from app.models.service import LoadEngine, ModelsService
from app.models.settings import SettingsFile
from app.review.page import ReviewPage
from app.review.service import ReviewService
from app.timeline import mount_assets
from app.training.page import TrainPage
from app.training.service import ModelSelection, PromotionWatch, TrainingService
from app.ui.page import Page, PlainPage, RoleRequired
from app.ui.theme import style, theme
from tempo_core.hub import Hub

logger = logging.getLogger(__name__)

MAX_UPLOAD_BYTES = 2 * GIB
SWEEP_INTERVAL_S = 600.0
PROMOTION_INTERVAL_S = 2.0
LIBRARY_INTERVAL_S = 20.0


def build_app(
    *,
    engines: EngineProvider,
    home: Home,
    authenticator: Authenticator,
    store: Store | None = None,
    examples_folder: Path | None = SHIPPED,
    prepare: PrepareClip = prepare_clip,
    draw: DrawStrip = draw_strip,
    ground: Callable[..., tuple[Any, Any]] = ground_with_engine,
    contexts: ContextStore | None = None,
    training: TrainingService | None = None,
    max_upload_bytes: int = MAX_UPLOAD_BYTES,
    limits: StorageLimits | None = None,
    reviews_wanted: int = REVIEWS_WANTED,
    selection: ModelSelection | None = None,
    metrics_token: str = "",
    hub: Hub | None = None,
    load_model: LoadEngine | None = None,
    libraries: Sequence[Path] = (),
    base_path: str = "",
) -> FastAPI:
    """The whole app. `engines` loads the model, `home` holds its files, `authenticator` says who may do what.

    `store` holds what people say; without one there is the Ground page only. Whoever opened it closes it.
    `prepare` and `ground` stand for `app.media.clips.prepare_clip` and `tempo_core.engine.ground`; tests hand in
    lighter ones. `reviews_wanted` annotators are to answer each row, `selection` is the model that the app was
    started with; `hub` and `load_model` are where the Models page gets others from; all clips of one of `libraries` may
    be asked at once; `base_path` is where below its host name the app lives (`app.http.base_path.check_base_path`).
    Raises InputError on a broken examples folder, on a library that is no folder and on fewer than one annotator.
    GRADIO_TEMP_DIR must already point to `home.uploads` (see app.__main__).
    """
    examples = read_examples(examples_folder)
    limits = limits or StorageLimits()
    media = MediaLibrary(home.media, prepare, draw, limits=limits, draw_sheet=draw_sheet)
    uploads, owners = Uploads(home.uploads, limits), StreamOwners()
    queues = JobQueues()
    grounding = GroundingService(engines, media, queues, ground=ground, contexts=contexts, uploads=uploads)
    library = LibraryService(libraries, home.library, grounding) if libraries else None
    answers = AnswerHistory(media)
    ground_page = GroundPage(grounding, authenticator, examples, answers, library)
    models: ModelsService | None = None
    store_pages: list[Page] = []  # in the order of the navigation bar
    if store is not None:
        dataset_clips = DatasetClips(
            store,
            media,
            queues.dataset_clips,
            home.videos,
            film_queue=queues.dataset_films,
            shot_queue=queues.dataset_shots,
        )
        proposals = Proposals(store, grounding)
        sample = SampleProject(store, dataset_clips, proposals, queues.dataset_clips)
        annotation = AnnotationService(store, dataset_clips, proposals, reviews_wanted=reviews_wanted)
        data = DataService(store, Downloads(home.exports), home.snapshots, queues.data)
        training = training or TrainingService(store, home, engines, selection=selection)
        models = ModelsService(
            engines,
            hub or Hub.from_environment(),
            SettingsFile(home.models),
            queues.downloads,
            load=load_model or partial(load_engine, home.adapters),
            store=store,
            started=None if selection is None else selection.checkpoint,
        )
        grounding.choices = models
        store_pages = [
            AnnotatePage(annotation, sample),
            ReviewPage(ReviewService(store, dataset_clips), authenticator),
            DataPage(data, authenticator),
            TrainPage(training, grounding, authenticator),
            ModelsPage(models),
        ]
    pages: list[Page] = [ground_page, *store_pages]

    app = FastAPI(
        title="Tempo Studio",
        lifespan=_lifespan(grounding, PromotionWatch(home.adapters, engines.reload, store), library),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.grounding = grounding
    app.state.answers = answers
    app.state.models = models
    app.state.library = library
    plain_pages = [PlainPage(title, path, Role.ADMINISTRATOR) for path, title in ADMINISTRATION.items()]
    app.add_middleware(RoleRequired, pages=[*pages, *plain_pages], authenticator=authenticator)
    request_metrics, paths = RequestMetrics(), guard(app, authenticator)
    app.add_middleware(RequestLog, metrics=request_metrics, routes=paths)
    app.add_middleware(BasePath, base_path=base_path)
    routers = [
        media_routes(media),
        upload_routes(uploads, owners, max_bytes=max_upload_bytes),
        example_routes(examples),
        answer_routes(answers, queues),
        status_routes(grounding),
        library_routes(library),
        chat_routes(grounding, uploads),
        tool_routes(grounding, uploads, authenticator),
    ]
    routers += [router for page in pages if (router := page.routes()) is not None]
    routers.append(
        operation_routes(
            authenticator,
            request_metrics,
            checks=_readiness(engines, store, media),
            gauges=lambda: {
                **{f"jobs_{queue.name.replace('-', '_')}": len(queue) for queue in queues.all()},
                "uploads_bytes": uploads.total_bytes(),
                "disk_free_bytes": shutil.disk_usage(home.root).free,
            },
            metrics_token=metrics_token,
        )
    )
    for router in routers:
        app.include_router(router)
        paths += [route.path for route in router.routes if isinstance(route, Route)]
    paths += [path for _, path in OPEN_ROUTES]
    mount_assets(app)

    with below(base_path):
        with OwnedFileBlocks(
            uploads=uploads,
            authenticator=authenticator,
            base_path=base_path,
            title="Tempo Studio",
            analytics_enabled=False,
            fill_width=True,
        ) as blocks:
            gr.Navbar(main_page_name=ground_page.title, visible=bool(store_pages))
            account_badge()
            ground_page.build(blocks)
            GroundApi(grounding, authenticator, library).build(ground_page.view)
        for page in store_pages:
            with blocks.route(page.title, page.path):
                gr.Navbar(main_page_name=ground_page.title)
                account_badge()
                page.build(blocks)
    blocks.queue(default_concurrency_limit=8, max_size=64, api_open=False)

    def user_id(request: Any) -> str | None:
        user = authenticator.resolve(request)
        return user.id if user is not None else None

    with warnings.catch_warnings():
        # Gradio 6.31 says of every app with several pages that it turns its rendering on the server off; it is.
        warnings.filterwarnings("ignore", message="SSR mode is not supported", category=UserWarning)
        mounted = gr.mount_gradio_app(
            app,
            blocks,
            path="/",
            root_path=base_path,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            auth_dependency=user_id,
            allowed_paths=[str(example.path) for example in examples],
            show_error=False,
            ssr_mode=False,
            theme=theme(),
            css=style(),
        )
    # Gradio 6.31 refuses files that nobody uploaded only once a Blocks "has launched", and
    # mounting does not say so (gradio/processing_utils.py, _check_allowed).
    blocks.has_launched = True
    gradio = next(route for route in app.routes if isinstance(route, Mount) and route.path == "")
    gradio.app = GradioGate(
        gradio.app,
        authenticator=authenticator,
        owners=owners,
        pages=[page.path for page in pages],
        api_names=[str(fn.api_name) for fn in blocks.fns.values() if fn.api_visibility == "public"],
        event_numbers=blocks.fns.keys(),
        # A page's opening is an event too, which names the whole of it and no component.
        component_numbers={
            *blocks.blocks,
            *(number for fn in blocks.fns.values() for number, _ in fn.targets),
        },
    )
    return mounted


def load_engine(adapters: Path, folder: Path, adapter: Path | None, four_bit: bool) -> Any:
    """The engine of a checkpoint on this disk: with an adapter, or the one of `adapters` that is promoted for it."""
    import torch

    from tempo_core import engine
    from tempo_core.checkpoint import choose_adapter

    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # what an engine before has left counts as free then
    return engine.load_engine(
        folder, adapter=adapter or choose_adapter(folder, None, adapters), four_bit=four_bit
    )


def _readiness(
    engines: EngineProvider, store: Store | None, media: MediaLibrary
) -> dict[str, Callable[[], str]]:
    """What must work before people are sent here, each as one word."""

    def model() -> str:
        state = engines.status.state
        return "ok" if state == "ready" else state

    def database() -> str:
        if store is not None:
            store.is_empty()
        return "ok"

    def disk() -> str:
        try:
            media.limits.check_free_space(media.folder, 0)
        except StorageFull:
            return "full"
        return "ok"

    return {"model": model, "database": database, "disk": disk}


def _lifespan(
    grounding: GroundingService, promotions: PromotionWatch, library: LibraryService | None
) -> Callable[[FastAPI], Any]:
    """Load the model and run the periodic tasks while the server runs; stop all work with it."""

    async def repeat(task: Callable[[], Any], interval_s: float) -> None:
        while True:
            try:
                await asyncio.to_thread(task)
            except Exception:  # a disk that is full now may not be full in a while
                logger.exception("a periodic task failed; it is tried again")
            await asyncio.sleep(interval_s)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        grounding.engines.start()
        tasks = [
            asyncio.create_task(repeat(grounding.sweep, SWEEP_INTERVAL_S)),
            asyncio.create_task(repeat(promotions.look, PROMOTION_INTERVAL_S)),
        ]
        if library is not None:
            tasks.append(asyncio.create_task(repeat(library.refresh, LIBRARY_INTERVAL_S)))
        try:
            yield
        finally:
            if library is not None:
                library.close()
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            grounding.queues.close()

    return lifespan
