/** The twin-edge loupe: the last frame on one side of an edge beside the first on the other, and eight more each way. */

import { el, setText } from "./dom.js";

const REACH = 8;
const STRIP_PAUSE_MS = 140;

export function buildLoupe(place) {
  const side = (name) => {
    const canvas = el("canvas", { className: "tl-loupe-main", attrs: { "data-side": name } });
    const caption = el("figcaption");
    const on = { click: (event) => place(Number(event.target.dataset.frame)) };
    const strip = Array.from({ length: REACH }, () => el("canvas", { className: "tl-loupe-tile", on }));
    const tiles = el("div", { className: "tl-loupe-strip" }, ...strip);
    return { canvas, caption, strip, figure: el("figure", { attrs: { "data-side": name } }, canvas, caption, tiles) };
  };
  const title = el("span", { className: "tl-loupe-title" });
  const truth = el("span", { className: "tl-badge" });
  const [left, right] = [side("before"), side("after")];
  const keys = ["Press ", el("kbd", { text: "[" }), " or ", el("kbd", { text: "]" })];
  const words = " to work on an edge: the last frame on one side, the first on the other.";
  const hint = el("div", { className: "tl-loupe-hint" }, el("p", {}, ...keys, words));
  const pair = el("div", { className: "tl-loupe-pair" }, left.figure, right.figure);
  const attrs = { "aria-label": "Frames at the edge" };
  const head = el("div", { className: "tl-row" }, title, truth);
  const node = el("section", { className: "tl-loupe", attrs }, head, pair, hint);
  return { node, title, truth, left, right, timer: 0, key: null };
}

/** Draw what there is of the frames around an edge and ask for the rest: the two in the middle first. */
export function showLoupe(loupe, view) {
  const { editor, grabber } = view;
  const { edge } = editor.selection;
  const moment = editor.selected;
  const active = Boolean(moment && edge);
  if (loupe.node.dataset.active !== String(active)) loupe.node.dataset.active = String(active);
  if (!active) {
    loupe.key = null;
    setText(loupe.title, "Edge loupe");
    setText(loupe.truth, "");
    return;
  }
  const { clock } = editor;
  const first = clock.frame(moment[`${edge}_ms`]);
  setText(
    loupe.title,
    `${edge === "start" ? "Start" : "End"} of moment ${editor.moments.indexOf(moment) + 1}`,
  );
  const [before, after] = edge === "start" ? ["Last out", "First in"] : ["Last in", "First out"];
  setText(loupe.left.caption, first > 0 ? `${before} · ${first - 1}` : "nothing before");
  setText(loupe.right.caption, first < clock.count ? `${after} · ${first}` : "the clip’s end");
  draw(loupe, grabber, first, clock.count);
  const key = `${view.videoUrl} ${first}`;
  if (loupe.key === key) return;
  loupe.key = key;
  if (grabber.working) grabber.want([first, first - 1]); // else once, when the edge rests
  clearTimeout(loupe.timer);
  loupe.timer = setTimeout(() => grabber.want(around(first)), STRIP_PAUSE_MS);
}

/** From the edge outwards. */
function around(first) {
  return Array.from({ length: REACH }, (_, k) => [first + k, first - 1 - k]).flat();
}

function draw({ left, right, truth }, grabber, first, count) {
  const middle = [paint(left.canvas, grabber, first - 1), paint(right.canvas, grabber, first)];
  // Four in the upper row, four in the lower one, in reading order.
  left.strip.forEach((tile, k) => paint(tile, grabber, first - REACH + k));
  right.strip.forEach((tile, k) => paint(tile, grabber, first + k));
  // Before the clip's first frame and after its last there is nothing to show.
  const pictures = middle.filter((_, k) => first - 1 + k >= 0 && first - 1 + k < count);
  const unfinished = grabber.working ? "waiting" : "none";
  const certainty = pictures.every((picture) => picture?.exact) ? "exact" : "approximate";
  const state = pictures.every(Boolean) ? certainty : unfinished;
  truth.dataset.truth = state;
  setText(truth, state === "none" ? "no picture" : state);
}

function paint(canvas, grabber, idx) {
  const picture = grabber.get(idx);
  if (canvas.dataset.frame === String(idx) && canvas.picture === picture) return picture;
  canvas.dataset.frame = String(idx);
  canvas.picture = picture;
  canvas.toggleAttribute("data-empty", !picture);
  if (!picture) {
    if (canvas.width) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    return null;
  }
  canvas.width = picture.canvas.width;
  canvas.height = picture.canvas.height;
  canvas.getContext("2d").drawImage(picture.canvas, 0, 0);
  return picture;
}
