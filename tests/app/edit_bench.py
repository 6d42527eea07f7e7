"""A page with the workbench open, and the few things that tests do on it."""

from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page

from tests.app.timeline_harness import read_number

GRAB = """() => {
  const video = document.querySelector(".tl-video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  return Array.from(context.getImageData(0, 14, canvas.width, 1).data);
}"""

LOUPE = """(side) => {
  const canvas = document.querySelector(`.tl-loupe [data-side=${side}] canvas.tl-loupe-main`);
  const sheet = document.createElement("canvas");
  [sheet.width, sheet.height] = [320, 180];
  sheet.getContext("2d").drawImage(canvas, 0, 0, 320, 180);
  return Array.from(sheet.getContext("2d").getImageData(0, 14, 320, 1).data);
}"""


def number_in(data: list[int]) -> int:
    row = np.array(data, np.uint8).reshape(1, -1, 4)[..., :3]
    return read_number(np.repeat(row, 15, axis=0))


class Bench:
    """One page with an item open, and the few things that tests do on it."""

    def __init__(self, browser: Browser, address: str, query: str = "", **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1440, "height": 1000}, **options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.address = address
        self.open(query)

    def open(self, query: str) -> None:
        self.page.goto(f"{self.address}/?{query}")
        self.ready()

    def ready(self) -> None:
        self.page.wait_for_selector("body[data-ready=true]", timeout=60_000)
        self.page.wait_for_function("() => document.querySelector('.tl-video').readyState >= 2")
        self.settle()

    def settle(self) -> None:
        """Until no seek is under way, the shown frame is known, and two refreshes have passed."""
        still = "() => !document.querySelector('.tl-video').seeking && view.state.truth !== null"
        self.page.wait_for_function(still)
        self.page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")
        self.page.wait_for_function(still)

    def settle_nothing(self) -> None:
        """Two refreshes, where no clip is open."""
        self.page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def run(self, expression: str) -> Any:
        return self.page.evaluate(f"() => {expression}")

    def times(self) -> list[list[int]]:
        return list(self.run("view.editor.moments.map((m) => [m.start_ms, m.end_ms])"))

    def sources(self) -> list[list[str]]:
        return list(self.run("view.editor.moments.map((m) => [m.start_source, m.end_source])"))

    def commits(self) -> list[str]:
        return list(self.run("commits.map((c) => c.command.type)"))

    def number(self) -> int:
        """The number of the picture that the video really shows."""
        return number_in(self.page.evaluate(GRAB))

    def edge(self, idx: int, edge: str) -> Any:
        return self.page.locator(f"[data-lane=mine] .tl-own >> nth={idx}").locator(f"[data-edge={edge}]")

    def x(self, time_s: float, lane: str = "mine") -> tuple[float, float]:
        box = self.page.locator(f"[data-lane={lane}]").bounding_box()
        assert box is not None
        start_s, span_s = self.run("[view.state.viewport.start_s, view.state.viewport.span_s]")
        return box["x"] + box["width"] * (time_s - start_s) / span_s, box["y"] + box["height"] / 2

    def px_s(self) -> float:
        return float(self.run("view.state.viewport.span_s / view.state.viewport.width"))

    def drag(self, from_s: float, to_s: float, *, modifiers: tuple[str, ...] = (), drop: bool = True) -> None:
        self.page.mouse.move(*self.x(from_s))
        self.page.mouse.down()
        for key in modifiers:
            self.page.keyboard.down(key)
        self.page.mouse.move(*self.x(to_s), steps=6)
        if drop:
            self.page.mouse.up()
        for key in modifiers:
            self.page.keyboard.up(key)
        if drop:
            self.settle()
