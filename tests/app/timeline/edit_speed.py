"""How fast editing answers, measured inside the page, for the benchmark."""

from dataclasses import dataclass
from typing import Any

DRAG = """async (frames) => {
  const axis = document.querySelector(".tl-axis");
  Element.prototype.setPointerCapture = () => {};
  const track = document.querySelector("[data-lane=mine]");
  const box = track.getBoundingClientRect();
  const moment = view.editor.moments[9];
  const x = box.left + view.state.viewport.x(moment.end_ms / 1000);
  const send = (type, px) => track.dispatchEvent(new PointerEvent(type, { pointerId: 9, pointerType: "mouse",
    button: 0, clientX: px, clientY: box.top + 20, bubbles: true, cancelable: true }));
  const refresh = () => new Promise(requestAnimationFrame);
  const [gaps, work] = [[], []];
  send("pointerdown", x);
  let before = await refresh();
  for (let k = 0; k < frames; k += 1) {
    const from = performance.now();
    send("pointermove", x + 18 * Math.sin(k / 7));
    const now = await refresh();
    view.root.offsetHeight;
    work.push(performance.now() - Math.max(from, now));
    gaps.push(now - before);
    before = now;
  }
  send("pointerup", x);
  return { gaps, work };
}"""

KEYS = """async (presses) => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => done(performance.now());
    channel.port2.postMessage(0);
  }));
  const press = (type, key) => document.activeElement.dispatchEvent(
    new KeyboardEvent(type, { key, code: key, bubbles: true, cancelable: true }));
  const [repaint, seek] = [[], []];
  for (let k = 0; k < presses; k += 1) {
    const key = k % 10 < 5 ? "ArrowRight" : "ArrowLeft";
    const from = performance.now();
    press("keydown", key);
    repaint.push((await painted()) - from);
    while (view.state.truth === null && performance.now() - from < 5000) await new Promise((r) => setTimeout(r, 1));
    seek.push(performance.now() - from);
    press("keyup", key);
    await new Promise((r) => setTimeout(r, 30));
  }
  return { repaint, seek, truth: view.state.truth };
}"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Milliseconds, one entry per refresh or key press."""

    gaps: list[float]
    """Between two screen refreshes while dragging."""
    work: list[float]
    """Spent drawing in a refresh while dragging."""
    repaint: list[float]
    """From a key press to the painted answer."""
    seek: list[float]
    """From a key press to the picture that the browser says it presented."""


def measure(page: Any, *, frames: int = 300, presses: int = 30) -> Speed:
    """Drag an edge among 20 moments, then nudge it by keys. The page has the crowded item open."""
    drag = page.evaluate(DRAG, frames)
    page.wait_for_function("() => view.state.truth !== null")
    page.keyboard.press("]")
    page.wait_for_function("() => view.state.truth !== null")
    keys = page.evaluate(KEYS, presses)
    return Speed(gaps=drag["gaps"], work=drag["work"], repaint=keys["repaint"], seek=keys["seek"])


def share(values: list[float], part: float) -> float:
    """The value below which `part` of all lie."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]
