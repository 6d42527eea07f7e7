/**
 * How picture, numbers and lanes share the screen while annotating. "screen": everything that is edited in one window
 * height, the same for every row. "wide": the picture over the whole width, the lanes below it. The picture can also
 * stand in a window of its own, for a second screen: `PictureWindow`.
 */

import { el, setText } from "./dom.js";
import { timeText } from "./format.js";
import { handleKeys } from "./keyboard.js";

const STORAGE_KEY = "tempo.layout";
const LAYOUTS = { screen: "One screen", wide: "Wide picture" };

export class Layout {
  constructor(root, storage, signal) {
    Object.assign(this, { root, storage });
    const name = storage.getItem(STORAGE_KEY);
    this.#show(name in LAYOUTS ? name : "screen");
    addEventListener("resize", () => this.measure(), { signal });
  }

  get words() {
    return LAYOUTS[this.root.dataset.layout];
  }

  cycle() {
    const names = Object.keys(LAYOUTS);
    const name = names[(names.indexOf(this.root.dataset.layout) + 1) % names.length];
    this.storage.setItem(STORAGE_KEY, name);
    this.#show(name);
  }

  /** Tell the stylesheet how far below the window's top the timeline begins. */
  measure() {
    const top_px = this.root.getBoundingClientRect().top + scrollY;
    this.root.style.setProperty("--tl-top", `${Math.max(0, Math.round(top_px))}px`);
  }

  #show(name) {
    this.root.dataset.layout = name;
    this.measure();
  }
}

/**
 * The picture in a window of its own. The player stays where it is, because browsers load a video anew that moves to
 * another document; the window shows every frame that the player presents. Keys work there as in the timeline.
 */
export class PictureWindow {
  #popup = null;
  #canvas = null;
  #caption = null;

  constructor(view) {
    this.view = view;
    view.signal.addEventListener("abort", () => this.close());
    addEventListener("pagehide", () => this.close(), { signal: view.signal });
  }

  get open() {
    return this.#popup !== null && !this.#popup.closed;
  }

  toggle() {
    if (this.open) return this.close();
    const popup = window.open("", "tempo-picture", "popup,width=960,height=600");
    if (!popup) return this.view.say("The browser blocked the window. Allow pop-up windows for this page, and try again.");
    this.#fill(popup);
    popup.addEventListener("pagehide", () => this.#forget());
    this.view.root.dataset.picture = "apart";
    this.view.state.touch("edit", "viewport", "playhead");
    return undefined;
  }

  close() {
    this.#popup?.close();
    this.#forget();
  }

  #forget() {
    if (!this.#popup) return;
    this.#popup = this.#canvas = this.#caption = null;
    delete this.view.root.dataset.picture;
    this.view.state.touch("edit", "viewport", "playhead");
  }

  #fill(popup) {
    const page = popup.document;
    page.title = "Picture";
    const canvas = el("canvas", { attrs: { role: "img", "aria-label": "The clip’s picture" } });
    const caption = el("p", { attrs: { dir: "auto" } });
    const styles = [
      [page.body, { margin: "0", background: "#05070a", color: "#fff", font: "16px system-ui, sans-serif" }],
      [canvas, { display: "block", width: "100vw", height: "calc(100vh - 44px)", objectFit: "contain" }],
      [caption, { margin: "0", padding: "10px 14px", height: "24px", overflow: "hidden", whiteSpace: "nowrap" }],
    ];
    for (const [node, style] of styles) Object.assign(node.style, style);
    page.body.replaceChildren(canvas, caption);
    canvas.addEventListener("click", () => this.view.actions.toggle());
    handleKeys(this.view, page);
    [this.#popup, this.#canvas, this.#caption] = [popup, canvas, caption];
    this.draw();
  }

  /** The frame that the player shows now. */
  draw() {
    if (!this.open) return;
    const { view } = this;
    const { video } = view.player;
    setText(this.#caption, `${timeText(view.state.playhead_s)} · ${view.queryText}`);
    if (!view.player.playable || video.readyState < 2) return;
    if (this.#canvas.width !== video.videoWidth) this.#canvas.width = video.videoWidth;
    if (this.#canvas.height !== video.videoHeight) this.#canvas.height = video.videoHeight;
    this.#canvas.getContext("2d").drawImage(video, 0, 0);
  }
}
