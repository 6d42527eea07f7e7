"""Puts the app together from its parts: FastAPI with our own routes, and Gradio mounted at "/".

`build_app` is handed everything it needs and starts nothing that outlives the server: loading, sweeping and
working threads begin with the server and end with it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from app.accounts import Accounts
from app.api import GroundApi, api_routes
from app.clips import draw_strip, prepare_clip
from app.contexts import ContextStore
from app.desk import Desk, ground_with_engine
from app.engines import EngineProvider
from app.examples import SHIPPED, Example, example_routes, read_examples
from app.home import Home
from app.media import DrawStrip, MediaLibrary, PrepareClip, media_routes
from app.pages.ground import GroundPage
from app.sign_in import guard
from app.theme import style, theme
from app.timeline import mount_assets

MAX_UPLOAD = "2gb"
SWEEP_EVERY_S = 600.0
UPLOAD_AGE_S = 6 * 3600


def build_app(
    *,
    engines: EngineProvider,
    home: Home,
    accounts: Accounts,
    examples_folder: Path | None = SHIPPED,
    prepare: PrepareClip = prepare_clip,
    draw: DrawStrip = draw_strip,
    ground: Callable[..., tuple[Any, Any]] = ground_with_engine,
    contexts: ContextStore | None = None,
    max_upload: str | int = MAX_UPLOAD,
    queue_limit: int = 16,
) -> FastAPI:
    """The whole app. `engines` loads the model, `home` holds its files, `accounts` says who may do what.

    `prepare` and `ground` stand for `app.clips.prepare_clip` and `tempo_core.engine.ground`; tests hand in
    lighter ones. Raises InputError on a broken examples folder. GRADIO_TEMP_DIR must already point to
    `home.uploads` (see app.__main__).
    """
    examples = read_examples(examples_folder)
    media = MediaLibrary(home.media, prepare, draw)
    desk = Desk(engines, media, ground=ground, contexts=contexts, queue_limit=queue_limit)
    app = FastAPI(
        title="Tempo Studio", lifespan=_lifespan(desk), docs_url=None, redoc_url=None, openapi_url=None
    )
    app.state.desk = desk
    guard(app, accounts)
    for router in (
        media_routes(media, accounts),
        example_routes(examples, accounts),
        api_routes(desk, accounts),
    ):
        app.include_router(router)
    mount_assets(app)
    return _mount_pages(app, desk, accounts, examples, max_upload)


def _mount_pages(
    app: FastAPI, desk: Desk, accounts: Accounts, examples: list[Example], max_upload: str | int
) -> FastAPI:
    with gr.Blocks(
        title="Tempo Studio", analytics_enabled=False, fill_width=True, delete_cache=(3600, UPLOAD_AGE_S)
    ) as blocks:
        page = GroundPage(desk, accounts, examples)
        GroundApi(desk, accounts).build(page.build(blocks))
    blocks.queue(default_concurrency_limit=8, max_size=64, api_open=False)

    def user_id(request: Any) -> str | None:
        user = accounts.resolve(request)
        return user.id if user is not None else None

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


def _lifespan(desk: Desk) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        desk.engines.start()
        sweeping = asyncio.create_task(_sweep_for_ever(desk))
        try:
            yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            desk.close()

    return lifespan


async def _sweep_for_ever(desk: Desk) -> None:
    while True:
        await asyncio.to_thread(desk.sweep)
        await asyncio.sleep(SWEEP_EVERY_S)
