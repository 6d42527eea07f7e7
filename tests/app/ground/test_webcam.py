"""A clip recorded in the browser, from a camera that Chromium makes up: it becomes an exact copy like any upload."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.media.clips import prepare_clip
from tempo_core.video import probe
from tests.app.conftest import BROWSERS, RunningApp

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # gradio 6.31 on pandas 3
]

CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
SLOW_MS = 300_000
COUNT_RECORDED_BYTES = """
const start = MediaRecorder.prototype.start;
window.recordedBytes = 0;
MediaRecorder.prototype.start = function (...options) {
  this.addEventListener("dataavailable", (event) => { window.recordedBytes += event.data.size; });
  return start.apply(this, options);
};
"""


@pytest.fixture(scope="module")
def camera() -> Iterator[Any]:
    with BROWSERS.launch(*CAMERA) as browser:
        page = browser.new_page(
            viewport={"width": 1440, "height": 1000}, permissions=["camera", "microphone"]
        )
        page.set_default_timeout(SLOW_MS)
        page.add_init_script(COUNT_RECORDED_BYTES)
        yield page


def test_a_recording_is_asked_about(camera: Any, serve: Callable[..., RunningApp]) -> None:
    running = serve(prepare=prepare_clip)
    camera.goto(running.url)
    expect(camera.get_by_text("fake-engine is ready.")).to_be_visible(timeout=SLOW_MS)
    box = camera.locator("#ground-clip")
    box.get_by_label("Capture from camera").click()
    box.get_by_text("Click to Access Webcam").click()
    record = box.get_by_label("start recording")
    record.click()
    expect(record).to_contain_text("Stop")
    # Chromium gives one byte first, and the rest when it has encoded something; Gradio drops what comes after the click
    camera.wait_for_function("window.recordedBytes > 1000")
    record.click()
    expect(box.get_by_label("start recording")).to_have_count(0, timeout=SLOW_MS)
    camera.locator("#ground-query textarea").fill("a yellow square")
    camera.locator("#ground-ask").click()
    expect(camera.locator("#ground-status .tempo-status")).to_contain_text("1 moment found", timeout=SLOW_MS)
    (copy,) = running.home.media.rglob("clip.mp4")
    # how much a stalled page records is its own affair; a WebM without a length must be given one
    assert probe(copy).duration_s > 0
