/** Canvas drawing in CSS pixels, crisp at any device pixel ratio, in the stylesheet's colours, light or dark as the page is. */

/** Size a canvas to its box and give a cleared context, or null while it has no size. */
export function clearedSurface(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const ratio = devicePixelRatio || 1;
  const [deviceWidth, deviceHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== deviceWidth || canvas.height !== deviceHeight) {
    canvas.width = deviceWidth;
    canvas.height = deviceHeight;
  }
  const context = canvas.getContext("2d");
  context.setTransform(deviceWidth / width, 0, 0, deviceHeight / height, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height, pixel: 1 / ratio };
}

const TOP_PX = 4;
const hatches = new Map();

/** A diagonal pattern in one colour; it marks what no sampled frame covers. */
export function hatch(context, colour) {
  if (!hatches.has(colour)) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const brush = tile.getContext("2d");
    brush.strokeStyle = colour;
    brush.lineWidth = 1.5;
    brush.beginPath();
    for (const offset of [-8, 0, 8]) {
      brush.moveTo(offset, 8);
      brush.lineTo(offset + 8, 0);
    }
    brush.stroke();
    hatches.set(colour, tile);
  }
  return context.createPattern(hatches.get(colour), "repeat");
}

/** Step bars from the bottom: `height_of(idx)` in 0..1. Neighbours keep a hairline apart while there is room. */
export function stepBars({ context, width, height, pixel }, viewport, parts, heightOf, { fill, blank }) {
  for (const part of parts) {
    const left = viewport.x(part.start_s);
    const right = viewport.x(part.end_s);
    if (right < 0 || left > width) continue;
    if (part.idx < 0) {
      context.fillStyle = blank;
      context.fillRect(left, 0, right - left, height);
      continue;
    }
    const from = Math.round(left / pixel) * pixel;
    const room = Math.round(right / pixel) * pixel - from;
    const bar = Math.max(pixel, heightOf(part.idx) * (height - TOP_PX));
    context.fillStyle = fill;
    context.fillRect(from, height - bar, Math.max(pixel, room > 4 ? room - 1 : room), bar);
  }
}

/** A stepped line with a pale area below it: the value holds until the next frame. */
export function stepLine({ context, width, height }, viewport, parts, heightOf, { stroke, fill, blank }) {
  context.lineWidth = 1.5;
  context.strokeStyle = stroke;
  const line = new Path2D();
  let open = false;
  for (const part of parts) {
    const left = viewport.x(part.start_s);
    const right = viewport.x(part.end_s);
    if (part.idx < 0) {
      context.fillStyle = blank;
      context.fillRect(left, 0, right - left, height);
      open = false;
      continue;
    }
    if (right < -2 || left > width + 2) {
      open = false;
      continue;
    }
    const y = height - 1 - heightOf(part.idx) * (height - 1 - TOP_PX);
    context.fillStyle = fill;
    context.fillRect(left, y, right - left, height - y);
    if (open) line.lineTo(left, y);
    else line.moveTo(left, y);
    line.lineTo(right, y);
    open = true;
  }
  context.stroke(line);
}

export function dashedLine({ context, width }, y, colour) {
  context.save();
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.setLineDash([4, 3]);
  context.beginPath();
  context.moveTo(0, Math.round(y) + 0.5);
  context.lineTo(width, Math.round(y) + 0.5);
  context.stroke();
  context.restore();
}

const COLOURS = ["surface", "sunken", "line", "ink", "soft", "accent", "bar", "hatch", "ghost"];

export function readColours(root) {
  const style = getComputedStyle(root);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--tl-${name}`).trim()]));
}

function isDark(root) {
  if (root.closest(".dark")) return true;
  if (root.closest(".gradio-container, gradio-app")) return false;
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Keep `root[data-theme]` true to the page, and call back when it changes. */
export function followTheme(root, onChange, signal) {
  const update = () => {
    const theme = isDark(root) ? "dark" : "light";
    if (root.dataset.theme === theme) return;
    root.dataset.theme = theme;
    onChange();
  };
  const observer = new MutationObserver(update);
  for (const node of [document.documentElement, document.body]) {
    observer.observe(node, { attributes: true, attributeFilter: ["class"] });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update, { signal });
  signal.addEventListener("abort", () => observer.disconnect());
  update();
}
