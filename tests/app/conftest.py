"""A running app on a free port, and a Chromium that may not leave the host."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from app.__main__ import claim_port, prepare_surroundings
from app.auth.users import Authenticator
from app.ground.engines import EngineProvider
from app.home import Home, open_home
from scripts.setup import find_browser
from tests.app.fakes import FakeEngine, fake_ground, light_draw, light_prepare, write_clip


@dataclass
class RunningApp:
    """What a test needs to know about the server."""

    url: str
    engine: Any
    app: Any
    home: Home


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A readable four-second clip."""
    return write_clip(tmp_path_factory.mktemp("clips") / "square.mp4")


@pytest.fixture(scope="session")
def other_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another readable clip."""
    return write_clip(tmp_path_factory.mktemp("clips") / "other.mp4", hue=160)


@pytest.fixture
def surroundings() -> Iterator[None]:
    """The environment as it was, after a test that prepared it."""
    kept = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def browser_contexts() -> list[Any]:
    """What is open in the browser. It closes before the server stops, or its last requests fail for no fault."""
    return []


@pytest.fixture
def serve(
    tmp_path: Path, surroundings: None, browser_contexts: list[Any]
) -> Iterator[Callable[..., RunningApp]]:
    """Start the app with a fake engine, or with what is handed in; stopped after the test."""
    stops: list[Callable[[], None]] = []

    def start(
        *,
        anonymous: bool = False,
        authenticator: Authenticator | None = None,
        engine: Any = None,
        engines: Any = None,
        **parts: Any,
    ) -> RunningApp:
        from app.build import build_app

        home = open_home(tmp_path / f"home-{len(stops)}")
        prepare_surroundings(home.uploads)
        engine = engine or FakeEngine()
        parts = {
            "prepare": light_prepare,
            "draw": light_draw,
            "ground": fake_ground,
            "examples_folder": None,
            **parts,
        }
        app = build_app(
            engines=engines or EngineProvider.of(engine),
            home=home,
            authenticator=authenticator or Authenticator(anonymous=anonymous),
            **parts,
        )
        listener = claim_port("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server ended while starting"
            time.sleep(0.02)

        def stop() -> None:
            server.should_exit = True
            thread.join(300)
            listener.close()

        stops.append(stop)
        port = listener.getsockname()[1]
        return RunningApp(url=f"http://127.0.0.1:{port}", engine=engine, app=app, home=home)

    yield start
    for context in browser_contexts:
        context.close()
    for stop in stops:
        stop()


PATIENCE_MS = 300_000
"""How long a page may take: a busy machine is slow, not wrong."""
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium of this machine, one a module: Playwright's loop must not run on beside other tests."""
    sync_api = pytest.importorskip("playwright.sync_api")
    executable = find_browser()
    if executable is None:
        pytest.skip("needs Chromium, which `make test` installs")
    sync_api.expect.set_options(timeout=PATIENCE_MS)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, browser_contexts: list[Any]) -> Iterator[Any]:
    """A fresh page that fails the test when it asks another host for anything, or logs an error."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    browser_contexts.append(context)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    away: list[str] = []
    page.on("request", lambda request: away.append(request.url) if _leaves(request.url) else None)
    page.on("pageerror", lambda error: away.append(f"page error: {error}"))
    yield page
    context.close()
    assert away == [], f"the page asked other hosts or failed: {away}"


def _leaves(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:"))
