/** The picture: the video, or the film strip's frame where no video can play, and what must be said about it. */

import { el, setText } from "./dom.js";
import { clearedSurface } from "./draw.js";
import { buildVideo } from "./player.js";

const EMPTY_TEXT = "Choose a clip and ask when something happens. The answer appears here, on one time axis.";

export function buildVideoPane() {
  const video = buildVideo();
  const still = el("canvas", { className: "tl-still", attrs: { "aria-hidden": "true" } });
  const held = el("canvas", { className: "tl-held", attrs: { "aria-hidden": "true", hidden: true } });
  const busy = el("div", { className: "tl-busy", attrs: { "aria-hidden": "true" } });
  const note = el("p", { className: "tl-stage-note", attrs: { dir: "auto" } });
  const slot = el("div", { className: "tl-slot tl-stage-slot" });
  const node = el("div", { className: "tl-stage" }, video, still, held, busy, note, slot);
  return { node, video, still, held, busy, note, slot };
}

/** Leave the present picture before the eyes until the file that takes over has gone to the same time. */
export function holdPicture({ video, held }) {
  if (video.videoWidth === 0) return;
  [held.width, held.height] = [video.videoWidth, video.videoHeight];
  held.getContext("2d").drawImage(video, 0, 0);
  held.hidden = false;
  const release = () => (held.hidden = true);
  for (const name of ["seeked", "error"]) video.addEventListener(name, release, { once: true });
}

export function showVideoPane(pane, state, player, failure, strip) {
  const { value } = state;
  const still = !player.playable && strip.ready && state.hasAxis;
  pane.video.hidden = !player.playable;
  pane.still.hidden = !still;
  pane.busy.hidden = value.state !== "loading";
  const text = noteText(value, failure);
  pane.note.hidden = !text;
  setText(pane.note, text);
  pane.node.dataset.kind = value.state === "error" ? "error" : failure ? "failure" : value.state;
  const picture = String(player.playable || still);
  if (pane.node.dataset.picture !== picture) {
    // The note has another place now: as another node, so that nothing on the page moves.
    const note = pane.note.cloneNode(true);
    pane.note.replaceWith(note);
    pane.note = note;
  }
  pane.node.dataset.picture = picture;
  if (still) drawStill(pane, state, strip);
}

function noteText(value, failure) {
  if (value.state === "error") return value.message ?? "Something went wrong. Ask again.";
  if (value.state === "loading") return value.message ?? "Working";
  if (value.state === "empty") return value.message ?? EMPTY_TEXT;
  return failure ?? "";
}

function drawStill(pane, state, strip) {
  const surface = clearedSurface(pane.still);
  if (!surface) return;
  const { context, width, height } = surface;
  const scale = Math.min(width / strip.aspect, height);
  const tileWidth = scale * strip.aspect;
  const [left, top] = [(width - tileWidth) / 2, (height - scale) / 2];
  strip.draw(context, strip.tileAt(state.playhead_s), left, top, tileWidth, scale);
}
