/** The drill, offered once: one line below the lanes until it is begun, declined, or a first row is submitted. */

import { el } from "./dom.js";

export function offerTutorial(editorView) {
  const { tutorial, root, signal } = editorView;
  if (tutorial.known) return;
  const press = (text, run) =>
    el("button", { className: "tl-small", text, attrs: { type: "button" }, on: { click: run } });
  const decline = () => {
    if (!tutorial.known) tutorial.remember("declined");
    node.remove();
  };
  const begin = () => (tutorial.start(), tutorial.known && node.remove());
  const node = el(
    "span",
    { className: "tl-drill-offer" },
    el("span", { text: "First time here?" }),
    press("Try the keys, 90 s", begin),
    press("No, thanks", () => (decline(), editorView.focusTimeline())),
  );
  root.addEventListener("tl-submit", decline, { signal, once: true });
  editorView.editor.addEventListener("change", () => tutorial.running && node.remove(), { signal });
  editorView.bar.node.insertBefore(node, editorView.bar.says);
}
