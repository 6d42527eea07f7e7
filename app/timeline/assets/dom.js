/** Building DOM without markup: every text passes through textContent. */

export function el(tag, { className = "", text = null, attrs = {}, on = {} } = {}, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== null) node.textContent = text;
  for (const [name, value] of Object.entries(attrs)) {
    if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const [name, handler] of Object.entries(on)) node.addEventListener(name, handler);
  node.append(...children.filter(Boolean));
  return node;
}

/** A button. `content` is a text, a node, or a list of them; `attrs` may name it for the ear (aria-label) or on hover. */
export function button(className, content, run, attrs = {}) {
  return el("button", { className, attrs: { type: "button", ...attrs }, on: { click: run } }, ...[content].flat());
}

/** A small button with the key that does the same beside its text. */
export function keyButton(text, keys, run, { label = null, className = "" } = {}) {
  const sign = keys && el("kbd", { text: keys, attrs: { "aria-hidden": "true" } });
  const classes = ["tl-small", className].filter(Boolean).join(" ");
  return button(classes, [el("span", { text }), sign], run, { "aria-label": label });
}

const SVG = "http://www.w3.org/2000/svg";

/** A 16 by 16 icon from one path; the control that holds it carries the name. */
export function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "tl-icon");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

/** A modal dialog with a title and a Close button; a press beside it closes it too, and so does Escape. */
export function dialog(title, ...children) {
  const head = el("div", { className: "tl-row" }, el("h3", { text: title }));
  const node = el("dialog", { className: "tl-help", attrs: { "aria-label": title } }, head, ...children);
  head.append(button("tl-button tl-close", "Close", () => node.close()));
  node.addEventListener("click", (event) => event.target === node && node.close());
  return node;
}

/** Set a text only when it differs, so that screen readers and layout are left alone. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttr(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

export function setStyle(node, name, value) {
  if (node.style[name] !== value) node.style[name] = value;
}

/** One child per entry, reused by key so that focus and typed text stay; children without an entry go. */
export function keyed(parent, entries, keyOf, create, update) {
  const oldChildren = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  entries.forEach((entry, idx) => {
    const key = String(keyOf(entry, idx));
    const child = oldChildren.get(key) ?? create(entry, idx);
    child.dataset.key = key;
    oldChildren.delete(key);
    if (parent.children[idx] !== child) parent.insertBefore(child, parent.children[idx] ?? null);
    update(child, entry, idx);
  });
  for (const child of oldChildren.values()) child.remove();
}

/** Load a stylesheet once; resolves when it is there, or failed. */
export function loadStylesheet(href) {
  const links = [...document.querySelectorAll("link[data-tl]")];
  if (links.some((link) => link.getAttribute("href") === href)) return Promise.resolve();
  return new Promise((resolve) => {
    const attrs = { rel: "stylesheet", href, "data-tl": true };
    document.head.append(el("link", { attrs, on: { load: resolve, error: resolve } }));
  });
}
