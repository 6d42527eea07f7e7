"""Puts the app together from its parts: FastAPI with our own routes, and Gradio mounted at "/".

`build_app` is handed everything it needs and starts nothing that outlives the server: loading, sweeping and
working threads begin with the server and end with it.
"""

import asyncio
import logging
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from annotations.store import Store
from app.annotate.page import AnnotatePage
from app.annotate.proposals import Proposals
from app.annotate.sample_project import SampleProject
from app.annotate.service import REVIEWS_WANTED, AnnotationService
from app.auth.badge import account_badge
from app.auth.routes import guard
from app.auth.users import Authenticator
from app.data.downloads import Downloads
from app.data.page import DataPage
from app.data.service import DataService
from app.ground.api import GroundApi, status_routes
from app.ground.contexts import ContextStore
from app.ground.engines import EngineProvider
from app.ground.examples import SHIPPED, example_routes, read_examples
from app.ground.page import GroundPage
from app.ground.service import GroundingService, ground_with_engine
from app.home import Home
from app.job_queue import JobQueues
from app.media.clips import draw_strip, prepare_clip
from app.media.dataset_clips import DatasetClips
from app.media.library import DrawStrip, MediaLibrary, PrepareClip, media_routes
from app.review.page import ReviewPage
from app.review.service import ReviewService
from app.timeline import mount_assets
from app.training.page import TrainPage
from app.training.service import ModelSelection, PromotionWatch, TrainingService
from app.ui.page import Page, RoleRequired
from app.ui.theme import style, theme

logger = logging.getLogger(__name__)

MAX_UPLOAD = "2gb"
SWEEP_INTERVAL_S = 600.0
PROMOTION_INTERVAL_S = 2.0
UPLOAD_AGE_S = 6 * 3600


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
    max_upload: str | int = MAX_UPLOAD,
    reviews_wanted: int = REVIEWS_WANTED,
    selection: ModelSelection | None = None,
) -> FastAPI:
    """The whole app. `engines` loads the model, `home` holds its files, `authenticator` says who may do what.

    `store` holds what people say; without one there is the Ground page only. Whoever opened it closes it.
    `prepare` and `ground` stand for `app.media.clips.prepare_clip` and `tempo_core.engine.ground`; tests hand in
    lighter ones. `reviews_wanted` annotators are to answer each row, `selection` is the model that the app was
    started with. Raises InputError on a broken examples folder and on fewer than one annotator. GRADIO_TEMP_DIR must
    already point to `home.uploads` (see app.__main__).
    """
    examples = read_examples(examples_folder)
    media = MediaLibrary(home.media, prepare, draw)
    queues = JobQueues()
    grounding = GroundingService(engines, media, queues, ground=ground, contexts=contexts)
    ground_page = GroundPage(grounding, authenticator, examples)
    store_pages: list[Page] = []  # in the order of the navigation bar
    if store is not None:
        dataset_clips = DatasetClips(store, media, queues.clips, home.videos)
        proposals = Proposals(store, grounding)
        sample = SampleProject(store, dataset_clips, proposals, queues.clips)
        annotation = AnnotationService(store, dataset_clips, proposals, reviews_wanted=reviews_wanted)
        data = DataService(store, Downloads(home.exports), home.snapshots, queues.data)
        training = training or TrainingService(store, home, engines, selection=selection)
        store_pages = [
            AnnotatePage(annotation, sample),
            ReviewPage(ReviewService(store, dataset_clips), authenticator),
            DataPage(data, authenticator),
            TrainPage(training, grounding, authenticator),
        ]
    pages: list[Page] = [ground_page, *store_pages]

    app = FastAPI(
        title="Tempo Studio",
        lifespan=_lifespan(grounding, PromotionWatch(home.adapters, engines.reload)),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.grounding = grounding
    app.add_middleware(RoleRequired, pages=pages, authenticator=authenticator)
    guard(app, authenticator)
    routers = [media_routes(media), example_routes(examples), status_routes(grounding)]
    routers += [router for page in pages if (router := page.routes()) is not None]
    for router in routers:
        app.include_router(router)
    mount_assets(app)

    with gr.Blocks(
        title="Tempo Studio", analytics_enabled=False, fill_width=True, delete_cache=(3600, UPLOAD_AGE_S)
    ) as blocks:
        gr.Navbar(main_page_name=ground_page.title, visible=bool(store_pages))
        account_badge()
        ground_page.build(blocks)
        GroundApi(grounding, authenticator).build(ground_page.view)
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
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            auth_dependency=user_id,
            allowed_paths=[str(example.path) for example in examples],
            show_error=False,
            max_file_size=max_upload,
            ssr_mode=False,
            theme=theme(),
            css=style(),
        )
    # Gradio 6.31 refuses files that nobody uploaded only once a Blocks "has launched", and
    # mounting does not say so (gradio/processing_utils.py, _check_allowed).
    blocks.has_launched = True
    return mounted


def _lifespan(grounding: GroundingService, promotions: PromotionWatch) -> Callable[[FastAPI], Any]:
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
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            grounding.queues.close()

    return lifespan
