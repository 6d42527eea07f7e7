/** The picture: the video, or the film strip's frame where no video can play, and what must be said about it. */

import { el, setText } from "./dom.js";
import { begin } from "./draw.js";

const EMPTY_TEXT = "Choose a clip and ask when something happens. The answer appears here, on one time axis.";

export function buildVideoPane() {
  const video = el("video", {
    className: "tl-video",
    attrs: { preload: "auto", playsinline: true, tabindex: "-1", "aria-label": "Clip" },
  });
  const still = el("canvas", { className: "tl-still", attrs: { "aria-hidden": "true" } });
  const busy = el("div", { className: "tl-busy", attrs: { "aria-hidden": "true" } });
  const note = el("p", { className: "tl-stage-note", attrs: { dir: "auto" } });
  return {
    node: el("div", { className: "tl-stage" }, video, still, busy, note),
    video,
    still,
    busy,
    note,
    drawn: null,
  };
}

export function showVideoPane(videoPane, state, player, failure, strip) {
  const { value } = state;
  const still = !player.playable && strip.ready && state.hasAxis;
  videoPane.video.hidden = !player.playable;
  videoPane.still.hidden = !still;
  videoPane.busy.hidden = value.state !== "loading";
  const text = noteText(value, failure);
  videoPane.note.hidden = !text;
  setText(videoPane.note, text);
  videoPane.node.dataset.kind = value.state === "error" ? "error" : failure ? "failure" : value.state;
  videoPane.node.dataset.picture = String(player.playable || still);
  if (still) drawStill(videoPane, state, strip);
}

function noteText(value, failure) {
  if (value.state === "error") return value.message ?? "Something went wrong. Ask again.";
  if (value.state === "loading") return value.message ?? "Working";
  if (value.state === "empty") return value.message ?? EMPTY_TEXT;
  return failure ?? "";
}

function drawStill(videoPane, state, strip) {
  const surface = begin(videoPane.still);
  if (!surface) return;
  const { context, width, height } = surface;
  const scale = Math.min(width / strip.aspect, height);
  const [tileWidth, tileHeight] = [scale * strip.aspect, scale];
  strip.draw(
    context,
    strip.tileAt(state.playhead_s),
    (width - tileWidth) / 2,
    (height - tileHeight) / 2,
    tileWidth,
    tileHeight,
  );
}
