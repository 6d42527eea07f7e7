"""A visit below a base path in Chromium: every page, an answer, a correction, a download; nothing asks outside."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from annotations.store import Store
from app.auth.users import Authenticator
from app.ground.examples import SHIPPED
from app.home import open_home
from tests.app.annotate.test_page import look, wait_model, wait_ready, wait_saved
from tests.app.annotating import NamedArms, annotator_with, fill, row
from tests.app.conftest import RunningApp
from tests.app.people import PASSWORD, People

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # gradio 6.31 on pandas 3
]

BASE = "/lab/tempo"
NAME = annotator_with("model-first")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """One row with its clip."""
    home = open_home(tmp_path / "home-0")  # the first server's
    with NamedArms(home.database) as store:
        fill(store, home, [row(1, "clip-0")])
        yield store


def test_a_visit_asks_for_nothing_outside_of_the_base_path(
    page: Any, serve: Callable[..., RunningApp], store: Store, clip: Path
) -> None:
    people = People(store=store).add(**{NAME: "administrator"})
    running = serve(
        store=store,
        authenticator=Authenticator(anonymous=False, local=False, accounts=people.accounts),
        examples_folder=SHIPPED,
        base_path=BASE,
    )
    studio = f"{running.url}{BASE}"
    outside: list[str] = []
    broken: list[str] = []

    def note(response: Any) -> None:
        url = response.url
        if url.startswith(running.url) and not urlsplit(url).path.startswith(f"{BASE}/"):
            outside.append(url)
        if response.status in (404, 405, 500):
            broken.append(f"{response.status} {url}")

    page.on("response", note)

    # Sign-in leads to the page that was asked for: a row is answered there.
    page.goto(f"{studio}/annotate")
    assert urlsplit(page.url).path == f"{BASE}/sign-in"
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    wait_ready(page)
    assert urlsplit(page.url).path == f"{BASE}/annotate"
    wait_model(page)
    look(page)
    page.keyboard.press("Control+Enter")
    wait_saved(page)
    assert store.versions(1)[0].edit.submitted
    databases = page.evaluate("indexedDB.databases().then((all) => all.map(({ name }) => name))")
    assert databases == [f"tempo-annotate{BASE}"], "a studio at the root keeps another one's edits apart"

    # An upload is seen, an example is asked about; the answer plays, is shared and taken away.
    page.locator(".nav-holder").get_by_role("link", name="Ground").click()
    page.locator("#ground-clip input[type=file]").set_input_files(str(clip))
    expect(page.locator("#ground-clip video")).to_be_visible()
    page.locator(".tempo-chips button").first.click()
    expect(page.locator("#ground-result .tempo-facts")).to_be_visible()
    expect(page.locator("#ground-ask")).to_be_enabled()
    page.locator("#ground-timeline video").evaluate("(video) => video.play()")
    page.wait_for_function("document.querySelector('#ground-timeline video').currentTime > 0")
    page.get_by_role("button", name="Make a link to this answer").click()
    link = page.locator("#ground-result .tempo-links a").last
    expect(link).to_contain_text(f"{BASE}/shared/")
    assert "Model: fake-engine." in page.request.get(running.url + link.inner_text()).text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Moment 1 as a clip").click()
    assert download.value.suggested_filename.endswith(".mp4")

    # An export on the Data page
    page.locator(".nav-holder").get_by_role("link", name="Data").click()
    expect(page.locator("#data-rows tbody tr")).to_have_count(1)
    page.get_by_role("tab", name="Export", exact=True).click()
    page.locator("#data-export").click()
    with page.expect_download() as download:
        page.locator("#data-export-files a").first.click()
    assert download.value.path().stat().st_size > 0

    # All other pages, by their links
    for name, part in (
        ("Review", ".tl-root"),
        ("Train", "#train-adapters"),
        ("Models", ".tempo-models-list > *"),
    ):
        page.locator(".nav-holder").get_by_role("link", name=name, exact=True).click()
        page.wait_for_url(f"{studio}/{name.lower()}")
        expect(page.locator(part).first).to_be_visible()
        expect(page.locator(".nav-holder .tempo-account")).to_contain_text(NAME)
    page.locator(".nav-holder .tempo-account").get_by_role("link", name="People").click()
    page.get_by_role("link", name=NAME, exact=True).click()
    page.get_by_role("link", name="Your account").first.click()
    page.get_by_role("link", name="Audit log").click()
    page.get_by_role("link", name="Back to Ground").click()
    page.locator(".nav-holder .tempo-account").get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert urlsplit(page.url).path == f"{BASE}/sign-in"

    assert outside == []
    assert broken == []
    cookies = page.context.cookies()
    assert {cookie["path"] for cookie in cookies} <= {f"{BASE}/", f"{BASE}/sign-in"}
