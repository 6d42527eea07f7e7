/** The drill, offered once: one line below the lanes until it is begun, declined, or a first row is submitted. */

import { el } from "./dom.js";

export function offerDrill(bench) {
  const { drill, root, signal } = bench;
  if (drill.known) return;
  const press = (text, run) =>
    el("button", { className: "tl-small", text, attrs: { type: "button" }, on: { click: run } });
  const decline = () => {
    if (!drill.known) drill.remember("declined");
    node.remove();
  };
  const begin = () => (drill.start(), drill.known && node.remove());
  const node = el(
    "span",
    { className: "tl-drill-offer" },
    el("span", { text: "First time here?" }),
    press("Try the keys, 90 s", begin),
    press("No, thanks", () => (decline(), bench.focusTimeline())),
  );
  root.addEventListener("tl-submit", decline, { signal, once: true });
  bench.editor.addEventListener("change", () => drill.running && node.remove(), { signal });
  bench.bar.node.insertBefore(node, bench.bar.says);
}
