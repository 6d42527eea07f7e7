/** What whoever leads a project asks of its annotators, beside the row. Open until somebody closes it in this browser. */

import { el, loadStylesheet, setText } from "./dom.js";
import { storage } from "./storage.js";

const STORED = "tempo-guidelines-closed";

export async function loadGuidelinesStyle(assets, version) {
  await loadStylesheet(`${assets}/guidelines.css?v=${version}`);
}

export function buildGuidelines() {
  const title = el("summary", { text: "Guidelines" });
  const text = el("div", { className: "fl-guide-text", attrs: { dir: "auto" } });
  const node = el("details", { className: "fl-guide", attrs: { hidden: true } }, title, text);
  let shown = null;
  node.addEventListener("toggle", () => shown && remember(shown, node.open));

  /** `project` is { name, guidelines } of the row on screen, or null; an empty text takes no room. */
  function show(project) {
    shown = null;
    node.hidden = !project?.guidelines;
    if (node.hidden) return;
    setText(title, `Guidelines of ${project.name}`);
    setText(text, project.guidelines);
    node.open = !closedNames().includes(project.name);
    shown = project.name;
  }

  return { node, show };
}

function closedNames() {
  try {
    const names = JSON.parse(storage.getItem(STORED) ?? "[]");
    return Array.isArray(names) ? names : [];
  } catch {
    return []; // another program wrote there
  }
}

function remember(name, isOpen) {
  const others = closedNames().filter((other) => other !== name);
  storage.setItem(STORED, JSON.stringify(isOpen ? others : [...others, name].slice(-50)));
}
