"""A clip that browsers play is answered about as it was uploaded; its normal copy follows and takes its place."""

import itertools
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.media.clips import draw_strip, prepare_clip
from app.media.library import ClipFacts
from tempo_core.errors import VideoError
from tempo_core.video import sample
from tests.app.annotating import until
from tests.app.conftest import RunningApp
from tests.videos import canvas_picture, constant, number_of, numbers_of, write_clip

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # gradio 6.31 on pandas 3
]

PICTURE = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 128, height: 96 });
  canvas.getContext("2d").drawImage(document.querySelector(".tl-video"), 0, 0, 128, 96);
  return canvas.toDataURL("image/png");
}"""
SEEK = """async (time_s) => {
  const { player, state } = document.querySelector(".tl-root").timeline;
  player.seek(time_s);
  while (state.truth === null || player.video.seeking) await new Promise((done) => setTimeout(done, 20));
  return state.playhead_s;
}"""
PLAYS_ON = """(time_s) => {
  const video = document.querySelector(".tl-video");
  return !video.paused && video.currentTime > time_s;
}"""
VARIED = [0.0, 0.2, 0.3, 0.7, 0.8, 1.5, 1.6, 2.0, 2.7, 2.8]


class Copying:
    """`prepare_clip`, whose copies wait for a gate, or fail."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.problem = ""

    def __call__(self, source: Path, folder: Path, *, may_wait: bool = False, **options: Any) -> ClipFacts:
        if not may_wait:
            while not self.gate.wait(0.05):
                if options["cancel"].is_set():
                    break
            if self.problem:
                raise VideoError(self.problem)
        return prepare_clip(source, folder, may_wait=may_wait, **options)


@pytest.fixture
def copying() -> Copying:
    return Copying()


@pytest.fixture
def running(serve: Callable[..., RunningApp], copying: Copying) -> RunningApp:
    return serve(prepare=copying, draw=draw_strip)


def ask_about(page: Any, running: RunningApp, clip: Path) -> None:
    page.goto(running.url)
    page.locator("#ground-clip input[type=file]").set_input_files(str(clip))
    expect(page.locator("#ground-clip video")).to_be_visible()
    page.locator("#ground-query textarea").fill("a yellow square")
    page.keyboard.press("Enter")


def player_of(page: Any) -> Any:
    """The clip on the timeline."""
    return page.locator("#ground-timeline .tl-video")


def status(page: Any) -> Any:
    return page.locator("#ground-status .tempo-status")


@pytest.mark.parametrize(
    ("name", "times_s", "options"),
    [
        ("reordered.mp4", constant(50), {"options": {"bf": "2"}, "audio_s": 2.0}),
        ("varied.mp4", VARIED, {}),
        ("late.mp4", constant(25, start_s=0.48), {"audio_s": 1.5}),
        ("vp9.webm", constant(30), {"codec": "libvpx-vp9", "audio_s": 1.2, "audio_codec": "libopus"}),
    ],
)
def test_a_picture_is_shown_at_the_time_that_the_model_knows(
    page: Any, running: RunningApp, tmp_path: Path, name: str, times_s: list[float], options: dict[str, Any]
) -> None:
    clip = write_clip(tmp_path / name, times_s, **options)
    ask_about(page, running, clip)
    expect(player_of(page)).to_have_attribute("src", re.compile(r"^/media/[^/]+/upload$"))
    expect(status(page)).to_contain_text("all times are exact")
    between_s = [(start_s + end_s) / 2 for start_s, end_s in itertools.pairwise(times_s)][::3]
    sampled = sample(clip, at=between_s)
    for time_s, at_s, number in zip(
        sampled.times_s.tolist(), between_s, numbers_of(sampled.frames), strict=True
    ):
        assert page.evaluate(SEEK, at_s) == pytest.approx(time_s, abs=0.002)
        assert number_of(canvas_picture(page.evaluate(PICTURE))) == number


def test_a_clip_whose_clock_begins_late_gets_its_copy_first(
    page: Any, running: RunningApp, copying: Copying, tmp_path: Path
) -> None:
    copying.gate.set()
    ask_about(page, running, write_clip(tmp_path / "late.mp4", constant(50, start_s=1.0)))
    expect(player_of(page)).to_have_attribute("src", re.compile(r"^/media/[^/]+$"))
    expect(status(page)).to_contain_text("1 moment found")


def test_the_copy_takes_over_where_the_upload_was(
    page: Any, running: RunningApp, copying: Copying, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "long.mp4", constant(500), options={"bf": "2"}, gop=250)
    ask_about(page, running, clip)
    expect(status(page)).to_contain_text("with its normal copy (0%)")
    expect(page.locator("#ground-ask")).to_be_enabled()
    assert page.locator("[data-lane=strip]").count() == 1
    address = player_of(page).get_attribute("src")
    page.evaluate("document.querySelector('.tl-root').timeline.player.seek(12)")
    # Slowly: on a busy machine it must not come to its end before the copy is there.
    player_of(page).evaluate(
        """(video) => {
          video.muted = true;
          video.defaultPlaybackRate = video.playbackRate = 0.0625;
          return video.play();
        }"""
    )
    copying.gate.set()
    expect(player_of(page)).to_have_attribute("src", address.removesuffix("/upload"))
    page.wait_for_function(
        "() => { const v = document.querySelector('.tl-video'); return !v.paused && v.currentTime > 12; }"
    )
    assert page.evaluate("document.querySelector('.tl-root').timeline.state.playhead_s") >= 12
    expect(page.locator("#ground-timeline .tl-held")).to_be_hidden()  # it stood in while the files changed
    expect(status(page)).to_have_text(re.compile(r"1 moment found\. Answered in [\d.]+ s\.$"))
    strip_url = f"{running.url}{address.replace('upload', 'strip')}"
    strip = until(
        lambda: page.request.get(strip_url), lambda answer: answer.status == 200
    )  # no answer waits for it
    assert strip.headers["content-type"] == "image/jpeg"
    page.locator("#ground-query textarea").fill("a purple square")
    page.keyboard.press("Enter")
    expect(status(page)).to_contain_text("nothing was decoded or encoded again")
    assert len(running.engine.encoded) == 1
    row = json.loads(next(running.home.media.glob("*/clip.json")).read_text())
    assert row["facts"]["file_name"] == "clip.mp4"


def test_the_answer_stays_where_no_copy_can_be_made(
    page: Any, running: RunningApp, copying: Copying, tmp_path: Path
) -> None:
    copying.problem = "The pictures after 1 s are damaged."
    copying.gate.set()
    ask_about(page, running, write_clip(tmp_path / "clip.mp4", constant(50)))
    expect(status(page)).to_contain_text("No copy for stepping through single frames could be made")
    expect(status(page)).to_contain_text("The pictures after 1 s are damaged.")
    expect(
        page.get_by_role("region", name="Answer").get_by_role("button", name="Moment 1 of 1")
    ).to_be_visible()
