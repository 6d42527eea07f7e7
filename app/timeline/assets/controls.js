/** The bar under the picture: every action of the keyboard has a button here. */

import { button, el, icon, setText } from "./dom.js";
import { timeText } from "./format.js";

const ICONS = {
  play: "M4 2.5v11l9-5.5z",
  pause: "M3.5 2.5h3.2v11H3.5zM9.3 2.5h3.2v11H9.3z",
  frameBack: "M11 3v10L4.5 8zM3 3h1.5v10H3z",
  frameOn: "M5 3v10l6.5-5zM11.5 3H13v10h-1.5z",
  previous: "M8 3v10L2 8zM14 3v10L8 8z",
  next: "M2 3v10l6-5zM8 3v10l6-5z",
  zoomOut: "M3 7.2h10v1.6H3z",
  zoomIn: "M7.2 3h1.6v4.2H13v1.6H8.8V13H7.2V8.8H3V7.2h4.2z",
  fit: "M2 3h1.5v10H2zM12.5 3H14v10h-1.5zM4.5 8l2.6-2.4v1.6h1.8V5.6L11.5 8 8.9 10.4V8.8H7.1v1.6z",
  sound:
    "M2 6v4h2.5L8 13V3L4.5 6zM10 5.3a3.6 3.6 0 0 1 0 5.4v-1.8a2 2 0 0 0 0-1.8zM10 2.5a6 6 0 0 1 0 11v-1.5a4.6 4.6 0 0 0 0-8z",
  silent:
    "M2 6v4h2.5L8 13V3L4.5 6zM9.5 6.200l1-1 1.5 1.6 1.5-1.6 1 1L13 7.800l1.5 1.6-1 1-1.5-1.6-1.5 1.6-1-1L11 7.800z",
};

export const RATES = [0.25, 0.5, 1, 1.5, 2, 3, 4];

export function buildControls(actions) {
  const iconButton = (name, label, run) =>
    button("tl-button", icon(ICONS[name]), run, { "aria-label": label, title: label });
  const play = iconButton("play", "Play", actions.toggle);
  play.classList.add("tl-main");
  const mute = iconButton("sound", "Mute", actions.mute);
  const time = el("span", { className: "tl-time" });
  const frame = el("span", { className: "tl-frame" });
  const rates = RATES.map((rate) => el("option", { text: `${rate}×`, attrs: { value: rate, selected: rate === 1 } }));
  const changeRate = () => actions.rate(Number(rate.value));
  const attrs = { "aria-label": "Playback speed" };
  const rate = el("select", { className: "tl-rate", attrs, on: { change: changeRate } }, ...rates);
  const previous = iconButton("previous", "Previous moment (Up)", actions.previousMoment);
  const next = iconButton("next", "Next moment (Down)", actions.nextMoment);
  const frameBack = iconButton("frameBack", "One frame back (Left)", () => actions.step(-1));
  const frameOn = iconButton("frameOn", "One frame on (Right)", () => actions.step(1));
  const zoomOut = iconButton("zoomOut", "Zoom out (−)", () => actions.zoom(1 / 1.6));
  const zoomIn = iconButton("zoomIn", "Zoom in (+)", () => actions.zoom(1.6));
  const fit = iconButton("fit", "Fit the whole clip (F)", actions.fit);
  const helpLabels = { "aria-label": "Keyboard shortcuts", title: "Keyboard shortcuts (?)" };
  const help = button("tl-button", "?", actions.help, helpLabels);
  const node = el(
    "div",
    { className: "tl-controls", attrs: { role: "group", "aria-label": "Playback and zoom" } },
    el("div", { className: "tl-group" }, previous, frameBack, play, frameOn, next),
    el("div", { className: "tl-readout" }, time, frame),
    el("div", { className: "tl-group tl-right" }, rate, mute, zoomOut, zoomIn, fit, help),
  );
  return {
    node,
    play,
    mute,
    fit,
    time,
    frame,
    rate,
    moments: [previous, next],
    media: [play, mute, rate],
    axis: [frameBack, frameOn, zoomOut, zoomIn, fit],
  };
}

export function showTime(controls, state) {
  setText(controls.time, state.hasAxis ? `${timeText(state.playhead_s)} / ${timeText(state.duration_s)}` : "0:00.00");
  setText(controls.frame, state.frame_idx === null ? "" : `frame ${state.frame_idx}`);
}

export function showPlayer(controls, state, player) {
  swap(controls.play, state.playing ? "pause" : "play", state.playing ? "Pause (Space)" : "Play (Space)");
  swap(controls.mute, player.video.muted ? "silent" : "sound", player.video.muted ? "Unmute" : "Mute");
  const rate = String(player.video.playbackRate);
  if (controls.rate.value !== rate) controls.rate.value = rate; // keys change it too, and a new clip starts at 1
  for (const node of controls.media) node.disabled = !player.playable;
  for (const node of controls.axis) node.disabled = !state.hasAxis;
  for (const node of controls.moments) node.disabled = state.value.moments.length === 0;
}

function swap(node, name, label) {
  if (node.dataset.icon === name) return;
  node.dataset.icon = name;
  node.replaceChildren(icon(ICONS[name]));
  nameButton(node, label);
}

export function nameButton(node, label) {
  node.setAttribute("aria-label", label);
  node.title = label;
}
