"""Puts the app together from its parts: FastAPI with our own routes, and Gradio mounted at "/".

`build_app` is handed everything it needs and starts nothing that outlives the server: loading, sweeping and
working threads begin with the server and end with it.
"""

import asyncio
import logging
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
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

log = logging.getLogger(__name__)

MAX_UPLOAD = "2gb"
SWEEP_EVERY_S = 600.0
WATCH_EVERY_S = 2.0
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
    queue_limit: int = 16,
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
    grounding = GroundingService(engines, media, ground=ground, contexts=contexts, queue_limit=queue_limit)
    ground_page = GroundPage(grounding, authenticator, examples)
    others: list[Page] = []
    if store is not None:
        training = training or TrainingService(store, home, engines, selection=selection)
        others = _pages_of_the_store(store, grounding, home, authenticator, training, reviews_wanted)
    pages: list[Page] = [ground_page, *others]
    app = FastAPI(
        title="Tempo Studio",
        lifespan=_lifespan(grounding, PromotionWatch(home.adapters, grounding.engines.reload)),
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
    blocks = _lay_out(ground_page, others, GroundApi(grounding, authenticator))
    return _mount(app, blocks, authenticator, [str(example.path) for example in examples], max_upload)


def _pages_of_the_store(
    store: Store,
    grounding: GroundingService,
    home: Home,
    authenticator: Authenticator,
    training: TrainingService,
    reviews_wanted: int,
) -> list[Page]:
    """The pages that need a store, in the order of the navigation bar."""
    dataset_clips = DatasetClips(store, grounding.media, grounding.clip_queue, home.videos)
    proposals = Proposals(store, grounding)
    sample = SampleProject(store, dataset_clips, proposals, grounding.clip_queue)
    return [
        AnnotatePage(
            AnnotationService(store, dataset_clips, proposals, reviews_wanted=reviews_wanted),
            sample,
            authenticator,
        ),
        ReviewPage(ReviewService(store, dataset_clips), authenticator),
        DataPage(
            DataService(store, Downloads(home.exports), home.snapshots, grounding.data_queue), authenticator
        ),
        TrainPage(training, grounding, authenticator),
    ]


def _lay_out(ground: GroundPage, others: Sequence[Page], api: GroundApi) -> gr.Blocks:
    """Every page in one Blocks."""
    with gr.Blocks(
        title="Tempo Studio", analytics_enabled=False, fill_width=True, delete_cache=(3600, UPLOAD_AGE_S)
    ) as blocks:
        gr.Navbar(main_page_name=ground.title, visible=bool(others))
        account_badge()
        ground.build(blocks)
        api.build(ground.view)
    for page in others:
        with blocks.route(page.title, page.path):
            gr.Navbar(main_page_name=ground.title)
            account_badge()
            page.build(blocks)
    blocks.queue(default_concurrency_limit=8, max_size=64, api_open=False)
    return blocks


def _mount(
    app: FastAPI,
    blocks: gr.Blocks,
    authenticator: Authenticator,
    allowed_paths: list[str],
    max_upload: str | int,
) -> FastAPI:
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
            allowed_paths=allowed_paths,
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
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        grounding.engines.start()
        chores = [
            asyncio.create_task(_for_ever(grounding.sweep, SWEEP_EVERY_S)),
            asyncio.create_task(_for_ever(promotions.look, WATCH_EVERY_S)),
        ]
        try:
            yield
        finally:
            for chore in chores:
                chore.cancel()
                with suppress(asyncio.CancelledError):
                    await chore
            grounding.close()

    return lifespan


async def _for_ever(work: Callable[[], Any], every_s: float) -> None:
    while True:
        try:
            await asyncio.to_thread(work)
        except Exception:  # a disk that is full now may not be full in a while
            log.exception("a chore failed; it is tried again")
        await asyncio.sleep(every_s)
