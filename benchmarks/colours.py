"""What model, film strip and player show of clips with known colours and times."""

import json
import tempfile
from pathlib import Path

from tempo_core.command_line import AsJson
from tests.app.media.colour_clips import MEASURED, measure

COLOUR_TARGET, TIME_TARGET = 3.0, 0.5
"""Levels of 255, and frames."""


def run(as_json: AsJson = False) -> int:
    """What the model gets, the film strip and the player show of twelve clips, beside the file's own colours and times:
    rotated, untagged, full range, 10 bit, HDR, wide colours, late start, sparse. Needs Playwright and a Chromium.

    Exit code 1 where a patch is more than 3 of 255 off, or a time more than half a frame.
    """
    from playwright.sync_api import sync_playwright

    from scripts.setup import CHROMIUM_FLAGS, find_browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_FLAGS)
        page = browser.new_page()
        clips = {}
        for name in MEASURED:
            with tempfile.TemporaryDirectory() as folder:
                clips[name] = measure(name, Path(folder), page)
        browser.close()
    if as_json:
        print(json.dumps(clips))
    else:
        print("largest difference in a patch (of 255) and in time (frames)")
        print(f"{'':<20}{'model':>14}{'strip':>14}{'player':>14}")
        for name, surfaces in clips.items():
            print(
                f"{name:<20}" + "".join(f"{colour:>8.1f} {time:>5.2f}" for colour, time in surfaces.values())
            )
    errors = [error for surfaces in clips.values() for error in surfaces.values()]
    return int(any(colour > COLOUR_TARGET or time > TIME_TARGET for colour, time in errors))
