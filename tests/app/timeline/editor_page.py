"""Pages with a timeline open, and the few things that tests do on them."""

from typing import Any

import numpy as np
from playwright.sync_api import Browser, Locator, Page, ViewportSize

from tests.app.timeline.harness import read_number

VIEWPORT: ViewportSize = {"width": 1440, "height": 1000}
PATIENCE_MS = 300_000
REFRESHED = "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"

CLOCK = """
  const realTimers = [window.setTimeout, window.clearTimeout], timers = new Map();
  let [now_ms, ids] = [0, 0];
  window.setTimeout = (call, ms = 0) => (timers.set(++ids, { call, due_ms: now_ms + ms }), ids);
  window.clearTimeout = (id) => timers.delete(id);
  const wait = async (ms) => {
    const end_ms = now_ms + ms;
    for (;;) {
      const due = [...timers].filter(([, timer]) => timer.due_ms <= end_ms);
      if (due.length === 0) break;
      const [id, { call, due_ms }] = due.sort(([, a], [, b]) => a.due_ms - b.due_ms)[0];
      timers.delete(id);
      now_ms = due_ms;
      call();
      await null;
    }
    now_ms = end_ms;
  };
  const restoreTimers = () => ([window.setTimeout, window.clearTimeout] = realTimers);
"""
"""Timers that fire when a test waits, in their order, however fast or slow the machine is."""

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


class EditorPage:
    """One page with an item open, and the few things that tests do on it."""

    def __init__(self, browser: Browser, address: str, query: str = "", **options: Any) -> None:
        self.context = browser.new_context(viewport=VIEWPORT, **options)
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.address = address
        self.page.goto(f"{address}/?{query}")
        self.ready()

    def open(self, query: str = "") -> None:
        """Open an item on the page that is there, as a fresh page would: nothing is stored, pressed or scrolled."""
        self.page.set_viewport_size(VIEWPORT)
        self.page.emulate_media(media="null")  # as the browser has it
        self.page.mouse.move(0, 0)
        self.page.evaluate(
            "(query) => { localStorage.clear(); sessionStorage.clear(); scrollTo(0, 0); return openItem(query); }",
            query,
        )
        self.ready()

    def ready(self) -> None:
        self.page.wait_for_selector("body[data-ready=true]")
        self.page.wait_for_function("() => document.querySelector('.tl-video').readyState >= 2")
        self.settle()

    def settle(self) -> None:
        """Until no seek is under way, the shown frame is known, and two refreshes have passed."""
        still = "() => !document.querySelector('.tl-video').seeking && view.state.truth !== null"
        self.page.wait_for_function(still)
        self.page.evaluate(REFRESHED)
        self.page.wait_for_function(still)

    def settle_nothing(self) -> None:
        """Two refreshes, where no clip is open."""
        self.page.evaluate(REFRESHED)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def run(self, expression: str) -> Any:
        return self.page.evaluate(f"() => {expression}")

    @property
    def said(self) -> Locator:
        """What was said last; the timeline itself shows it for a few seconds, in which a busy machine may not look."""
        return self.page.locator("#said")

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
