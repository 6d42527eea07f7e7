/** The picture: the video, or the film strip's frame where no video can play, and what must be said about it. */

import { el, setText } from "./dom.js";
import { begin } from "./draw.js";

const EMPTY_TEXT = "Choose a clip and ask when something happens. The answer appears here, on one time axis.";

export function buildStage() {
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

export function showStage(stage, state, player, failure, strip) {
  const { value } = state;
  const still = !player.playable && strip.ready && state.hasAxis;
  stage.video.hidden = !player.playable;
  stage.still.hidden = !still;
  stage.busy.hidden = value.state !== "loading";
  const text = noteText(value, failure);
  stage.note.hidden = !text;
  setText(stage.note, text);
  stage.node.dataset.kind = value.state === "error" ? "error" : failure ? "failure" : value.state;
  stage.node.dataset.picture = String(player.playable || still);
  if (still) drawStill(stage, state, strip);
}

function noteText(value, failure) {
  if (value.state === "error") return value.message ?? "Something went wrong. Ask again.";
  if (value.state === "loading") return value.message ?? "Working";
  if (value.state === "empty") return value.message ?? EMPTY_TEXT;
  return failure ?? "";
}

function drawStill(stage, state, strip) {
  const surface = begin(stage.still);
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
