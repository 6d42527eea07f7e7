"""A running app on a free port, and a Chromium that may not leave the host."""

import itertools
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from annotations import migrations
from annotations.store import Store
from app.__main__ import claim_port, prepare_surroundings
from app.auth.users import Authenticator
from app.ground.engines import EngineProvider
from app.home import Home, open_home
from scripts.setup import CHROMIUM_FLAGS, find_browser
from tests.app.fakes import FakeEngine, fake_ground, light_draw, light_prepare, write_clip
from tests.app.serving import served


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


@pytest.fixture(scope="session")
def newest_schema(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The SQL that the migrations of an empty SQLite store amount to."""
    with Store(file := tmp_path_factory.mktemp("schema") / "empty.sqlite3"):
        pass
    with closing(sqlite3.connect(file)) as connection:
        return [sql for sql in connection.iterdump() if sql not in ("BEGIN TRANSACTION;", "COMMIT;")]


@pytest.fixture(autouse=True)
def quick_migrations(newest_schema: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty store gets its schema at once: ten migrations one by one take most of a short test's time."""
    one_by_one = migrations.upgrade

    def upgrade(connection: Connection, target: str = "head") -> bool:
        if (
            connection.dialect.name != "sqlite"
            or target != "head"
            or migrations.current(connection) is not None
        ):
            return one_by_one(connection, target)
        for sql in newest_schema:
            connection.exec_driver_sql(sql)
        return True

    monkeypatch.setattr(migrations, "upgrade", upgrade)


@contextmanager
def own_environment() -> Iterator[None]:
    """The environment is afterwards as it was."""
    environment = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def surroundings() -> Iterator[None]:
    """The environment as it was, after a test that prepared it."""
    with own_environment():
        yield


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """The module's address: its servers follow each other there, and the browser has their scripts already."""
    with claim_port("127.0.0.1", 0) as listener:
        yield listener


@pytest.fixture
def browser_profiles() -> list["Profile"]:
    """What is open in the browser. It closes before the server stops, or its last requests fail for no fault."""
    return []


@contextmanager
def running_app(
    folder: Path,
    own: socket.socket,
    *,
    anonymous: bool = False,
    authenticator: Authenticator | None = None,
    engine: Any = None,
    engines: Any = None,
    **parts: Any,
) -> Iterator[RunningApp]:
    """The app with a fake engine, or with what is handed in, on a socket that is closed at the end."""
    from app.build import build_app

    home = open_home(folder)
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
    with served(app, own) as url:
        yield RunningApp(url=url, engine=engine, app=app, home=home)


@pytest.fixture
def serve(
    tmp_path: Path, surroundings: None, listener: socket.socket, browser_profiles: list["Profile"]
) -> Iterator[Callable[..., RunningApp]]:
    """Start the app with the parts that are handed in (see `running_app`); stopped after the test."""
    with ExitStack() as servers:
        num_servers = itertools.count()

        def start(**parts: Any) -> RunningApp:
            number = next(num_servers)
            own = claim_port("127.0.0.1", 0) if number else listener.dup()
            return servers.enter_context(running_app(tmp_path / f"home-{number}", own, **parts))

        yield start
        for profile in browser_profiles:
            profile.close_pages()


PATIENCE_MS = 300_000
"""How long a page may take: a busy machine is slow, not wrong."""
STORED = "cookies,local_storage,indexeddb,cache_storage,service_workers,file_systems"


class Browsers:
    """Playwright and one Chromium, started when a test first asks and shared by the files that follow each other."""

    def __init__(self) -> None:
        self.playwright: Any = None
        self.chromium: Any = None

    def start(self) -> None:
        sync_api = pytest.importorskip("playwright.sync_api")
        if find_browser() is None:
            pytest.skip("needs Chromium, which `make test` installs")
        sync_api.expect.set_options(timeout=PATIENCE_MS)
        self.playwright = sync_api.sync_playwright().start()

    def launch(self, *flags: str) -> Any:
        """A headless Chromium of this machine."""
        if self.playwright is None:
            self.start()
        return self.playwright.chromium.launch(executable_path=find_browser(), args=[*CHROMIUM_FLAGS, *flags])

    def stop(self) -> None:
        if self.chromium is not None:
            self.chromium.close()
        if self.playwright is not None:
            self.playwright.stop()
        self.playwright = self.chromium = None


BROWSERS = Browsers()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Playwright's loop must not run on beside the tests of another file, unless that drives a browser too."""
    try:
        yield
    finally:
        if nextitem is None or not (nextitem.path == item.path or nextitem.get_closest_marker("browser")):
            BROWSERS.stop()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """After a run that was cut short."""
    BROWSERS.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium of this machine without a page or anything stored."""
    if BROWSERS.chromium is None:
        BROWSERS.chromium = BROWSERS.launch()
    yield BROWSERS.chromium
    for context in BROWSERS.chromium.contexts:
        context.close()


class Profile:
    """A browser context that outlives a test and forgets it, but for the scripts in its cache."""

    def __init__(self, browser: Any, address: str) -> None:
        self.address = address
        self.context = browser.new_context(viewport={"width": 1440, "height": 1000})
        self.context.set_default_timeout(PATIENCE_MS)
        self.blank_page = self.context.new_page()
        self.devtools = self.context.new_cdp_session(self.blank_page)

    def close_pages(self) -> None:
        for page in self.context.pages:
            if page is not self.blank_page:
                page.close()

    def forget(self) -> None:
        """As a fresh context has it: no page, nothing stored, nothing set."""
        self.close_pages()
        self.context.set_offline(False)
        self.context.set_extra_http_headers({})
        self.context.clear_cookies()
        self.context.clear_permissions()
        self.devtools.send("Storage.clearDataForOrigin", {"origin": self.address, "storageTypes": STORED})


@pytest.fixture(scope="module")
def module_profile(chromium: Any, listener: socket.socket) -> Iterator[Profile]:
    profile = Profile(chromium, f"http://127.0.0.1:{listener.getsockname()[1]}")
    yield profile
    profile.context.close()


@pytest.fixture
def profile(module_profile: Profile, browser_profiles: list[Profile]) -> Iterator[Profile]:
    """A browser that was never used, as far as a page can tell."""
    browser_profiles.append(module_profile)
    yield module_profile
    module_profile.forget()


@pytest.fixture
def page(profile: Profile) -> Iterator[Any]:
    """A fresh page that fails the test when it asks another host for anything, or logs an error."""
    page = profile.context.new_page()
    away: list[str] = []
    cut_off: list[str] = []
    page.on("request", lambda request: away.append(request.url) if _leaves(request.url) else None)
    page.on("pageerror", lambda error: away.append(f"page error: {error}"))
    page.on("requestfailed", lambda request: cut_off.append(request.url) if _is_cut_off(request) else None)
    yield page
    # Leaving or closing a page ends what it still loads, which is no fault.
    problems = [problem for problem in away if not (cut_off and CUT_OFF in problem)]
    profile.close_pages()
    assert problems == [], f"the page asked other hosts or failed: {problems}"


CUT_OFF = "Failed to fetch dynamically imported module"
"""What Chromium says of a module when the page that loads it, or what it needs, is left."""


def _is_cut_off(request: Any) -> bool:
    return request.resource_type == "script" and request.failure == "net::ERR_ABORTED"


def _leaves(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:"))
