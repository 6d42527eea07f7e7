"""How fast the editing timeline answers in Chromium: refreshes of a drag, repaint of a key, seek to a verified frame.

The numbers mean something on an idle machine only; the load of the machine is printed with them.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tests.app.edit_harness import build
from tests.app.edit_speed import measure, share
from tests.app.timeline_harness import serving

TARGETS_MS = {"gaps": (17.0, 25.0), "repaint": (50.0, None), "seek": (150.0, None)}
"""Median and 95th percentile asked for."""


def run(arguments: list[str]) -> int:
    """Print the figures; `--json` as one object. Needs Playwright and a Chromium."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks timeline", description=__doc__)
    parser.add_argument("--frames", type=int, default=300, help="refreshes of the drag")
    parser.add_argument("--presses", type=int, default=60, help="key presses")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    figures = _figures(options.frames, options.presses)
    if options.json:
        print(json.dumps(figures))
        return 0
    print(f"150 bars, 20 moments, all lanes; load {figures['load']:.1f} on {os.cpu_count()} cores")
    print(f"{'':28}{'median':>9}{'p95':>9}   asked for")
    for name, words in (
        ("gaps", "drag: between refreshes"),
        ("work", "drag: drawing a refresh"),
        ("repaint", "key: repaint"),
        ("seek", "key: verified frame"),
    ):
        median, most = TARGETS_MS.get(name, (None, None))
        asked = f"{median} ms" if median else ""
        asked += f", p95 {most} ms" if most else ""
        print(f"{words:28}{figures[name]['median']:>9.1f}{figures[name]['p95']:>9.1f}   {asked}")
    return 0


def _figures(frames: int, presses: int) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    from scripts.setup import find_browser

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with tempfile.TemporaryDirectory() as name, serving(build(Path(name))) as url, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=find_browser(), args=flags)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(f"{url}/?item=crowded")
        page.wait_for_selector("body[data-ready=true]")
        page.wait_for_function("() => document.querySelector('.tl-video').readyState >= 3")
        speed = measure(page, frames=frames, presses=presses)
        browser.close()
    figures: dict[str, Any] = {"load": os.getloadavg()[0]}
    for part in ("gaps", "work", "repaint", "seek"):
        values = getattr(speed, part)
        figures[part] = {"median": round(share(values, 0.5), 1), "p95": round(share(values, 0.95), 1)}
    return figures
