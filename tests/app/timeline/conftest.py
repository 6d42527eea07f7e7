"""The timeline on bare pages: one app for all tests, one page a module, opened anew for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.app.timeline.edit_harness import build
from tests.app.timeline.editor_page import EditorPage
from tests.app.timeline.harness import serving


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the clips lie that the pages play."""
    return tmp_path_factory.mktemp("timeline")


@pytest.fixture(scope="session")
def address(clips: Path) -> Iterator[str]:
    """Pages with nothing but the timeline, its items and their clips."""
    with serving(build(clips)) as url:
        yield url


@pytest.fixture(scope="module")
def editor_page(chromium: Browser, address: str) -> Iterator[EditorPage]:
    editor = EditorPage(chromium, address)
    yield editor
    editor.context.close()


@pytest.fixture
def editor(editor_page: EditorPage, address: str) -> Iterator[EditorPage]:
    """The timeline with its first item open; afterwards nothing has failed and no other host was asked."""
    editor_page.faults.clear()
    editor_page.hosts.clear()
    editor_page.open()
    yield editor_page
    assert editor_page.faults == []
    assert editor_page.hosts == {address.removeprefix("http://")}
