"""How fast the editing timeline answers in Chromium: a drag, a key, a seek, and jumps through a clip of 40 minutes."""

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from tempo_core.command_line import AsJson

TARGETS_MS = {"gaps": (17.0, 25.0), "repaint": (50.0, None), "seek": (150.0, None), "jump": (150.0, None)}
"""Median and 95th percentile asked for."""
TITLES = {
    "gaps": "drag: between refreshes",
    "work": "drag: drawing a refresh",
    "repaint": "key: repaint",
    "seek": "key: verified frame",
    "jump": "40 minutes: far verified frame",
}
JUMP_METER = """() => {
  const view = document.querySelector(".tl-root").timeline;
  const [first, second] = view.editor.moments.map((moment) => moment.start_ms / 1000);
  window.jump_times = [];
  addEventListener("keydown", async ({ key }) => {
    if (!key.startsWith("Arrow")) return;
    const [from, start] = [performance.now(), key === "ArrowUp" ? first : second];
    const isThere = () => {
      const video = document.querySelector(".tl-video"); // another one stands there once the copy is ready
      return view.state.truth === "exact" && !video.seeking && Math.abs(video.currentTime - start) < 1;
    };
    while (!isThere()) await new Promise((resolve) => setTimeout(resolve, 1));
    jump_times.push(performance.now() - from);
  }, true);
}"""
"""Times from the key that chooses a moment to the verified frame of its start."""


def run(
    frames: Annotated[int, typer.Option(help="refreshes of the drag")] = 300,
    presses: Annotated[int, typer.Option(help="key presses")] = 60,
    jumps: Annotated[int, typer.Option(help="jumps through a long clip, in the complete app")] = 30,
    as_json: AsJson = False,
) -> None:
    """How fast the editing timeline answers in Chromium: refreshes of a drag, repaint of a key, seek to a verified
    frame, and such seeks through a clip of 40 minutes. Needs Playwright and a Chromium.

    The numbers mean something on an idle machine only; the load of the machine is printed with them.
    """
    from playwright.sync_api import sync_playwright

    from scripts.scenes_annotate import long_clip
    from scripts.setup import CHROMIUM_FLAGS, find_browser
    from scripts.stage import browsing
    from scripts.stage import serving as serving_app
    from tests.app.timeline.edit_harness import build
    from tests.app.timeline.edit_speed import measure, share
    from tests.app.timeline.harness import serving

    with tempfile.TemporaryDirectory() as name, serving(build(Path(name))) as url, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=find_browser(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(f"{url}/?item=crowded")
        page.wait_for_selector("body[data-ready=true]")
        page.wait_for_function("() => document.querySelector('.tl-video').readyState >= 3")
        speed = asdict(measure(page, frames=frames, presses=presses))
        browser.close()
    with serving_app() as served, browsing() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        long_clip(page, served)
        page.evaluate(JUMP_METER)
        for number in range(jumps):
            page.keyboard.press(
                "ArrowDown" if number % 2 else "ArrowUp"
            )  # the second moment is active at first
            page.keyboard.press("[")
            page.wait_for_function("number => jump_times.length > number", arg=number)
        speed["jump"] = page.evaluate("jump_times")
    figures: dict[str, Any] = {"load": os.getloadavg()[0]}
    for part in TITLES:
        values = speed[part]
        figures[part] = {"median": round(share(values, 0.5), 1), "p95": round(share(values, 0.95), 1)}
    if as_json:
        print(json.dumps(figures))
        return
    print(f"150 bars, 20 moments, all lanes; load {figures['load']:.1f} on {os.cpu_count()} cores")
    print(f"{'':32}{'median':>9}{'p95':>9}   asked for")
    for part, title in TITLES.items():
        median_ms, p95_ms = TARGETS_MS.get(part, (None, None))
        target = f"{median_ms} ms" if median_ms else ""
        target += f", p95 {p95_ms} ms" if p95_ms else ""
        print(f"{title:32}{figures[part]['median']:>9.1f}{figures[part]['p95']:>9.1f}   {target}")
