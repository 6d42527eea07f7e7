"""What the annotator sees is what is stored, and what the model samples there; and it comes quickly."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tempo_core.video import sample
from tests.app.edit_bench import Bench
from tests.app.edit_harness import NTSC, NTSC_FRAMES, build
from tests.app.edit_speed import measure, share
from tests.app.timeline_harness import serving
from tests.videos import number_of, numbers_of

pytestmark = pytest.mark.browser

PICTURE = """(selector) => {
  const source = document.querySelector(selector);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [128, 96];
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0, 128, 96);
  return Array.from(context.getImageData(0, 0, 128, 96).data);
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("truth")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(build(folder)) as url:
        yield url


def shown(bench: Bench, selector: str = ".tl-video") -> int:
    """The number in a picture on the page."""
    data = bench.page.evaluate(PICTURE, selector)
    return number_of(np.array(data, np.uint8).reshape(96, 128, 4)[..., :3])


def test_picture_stored_time_and_sampled_frame_agree_for_every_frame(
    chromium: Browser, address: str, folder: Path
) -> None:
    bench = Bench(chromium, address, "item=numbered")
    badge = bench.page.locator(".tl-status .tl-badge")
    bench.press("[", "Home")
    stored_ms, seen, exact = [], [], []
    for _ in range(NTSC_FRAMES - 1):
        stored_ms.append(bench.times()[0][0])
        seen.append(shown(bench))
        exact.append(badge.get_attribute("data-truth"))
        bench.press("ArrowRight")
    assert seen == list(range(NTSC_FRAMES - 1))
    assert stored_ms == [round(1000 * idx / NTSC) for idx in range(NTSC_FRAMES - 1)]
    assert set(exact) == {"exact"}
    sampled = sample(folder / "numbered.mp4", at=[ms / 1000 for ms in stored_ms])
    assert numbers_of(sampled.frames) == seen
    bench.context.close()


def test_the_end_is_the_first_frame_out(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, "item=numbered")
    bench.press("]", "ArrowLeft", "ArrowLeft")
    idx = NTSC_FRAMES - 2
    assert bench.times()[0][1] == round(1000 * idx / NTSC)
    assert shown(bench) == idx
    expect(bench.page.locator(".tl-loupe .tl-badge")).to_have_text("exact")
    assert shown(bench, ".tl-loupe [data-side=before] .tl-loupe-main") == idx - 1
    assert shown(bench, ".tl-loupe [data-side=after] .tl-loupe-main") == idx
    bench.press("End")
    assert bench.times()[0][1] == round(1000 * NTSC_FRAMES / NTSC)
    assert shown(bench) == NTSC_FRAMES - 1  # there is no picture at the end itself
    bench.context.close()


def test_the_playhead_walks_the_same_frames(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, "item=numbered")
    bench.press("Escape", "Home")
    for idx in range(1, 12):
        bench.press(".")
        assert shown(bench) == idx
        assert bench.run("view.playhead_ms") == round(1000 * idx / NTSC)
    bench.press("n")
    assert bench.times()[0][0] == 0  # inside the moment there is no room for another
    bench.press("b")
    assert bench.times() == [[0, round(11_000 / NTSC)], [round(11_000 / NTSC), 1502]]
    bench.context.close()


def test_a_drag_a_key_and_a_seek_are_quick(chromium: Browser, address: str) -> None:
    """Loose, for a busy machine; `python -m benchmarks timeline` prints the figures of an idle one."""
    bench = Bench(chromium, address, "item=crowded")
    speed: Any = measure(bench.page, frames=90, presses=12)
    assert bench.commits()[0] == "setEdge"
    assert share(speed.work, 0.5) < 25
    assert share(speed.gaps, 0.5) < 70
    assert share(speed.repaint, 0.5) < 150
    assert share(speed.seek, 0.5) < 450
    bench.context.close()
