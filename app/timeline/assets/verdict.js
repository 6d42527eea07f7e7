/** Beside the moments: what kind of answer this is, why, and what was wrong with the row. */

import { el, setText } from "./dom.js";

const VERDICTS = [
  ["moments", "Moments"],
  ["no-moment", "No matching moment"],
  ["cannot-judge", "Cannot judge"],
];

/** Build the panel for a workbench; `show()` brings it up to date. */
export function buildVerdict(editorView) {
  const { editor } = editorView;
  const choices = VERDICTS.map(([verdict, text]) =>
    el("button", {
      className: "tl-small",
      text,
      attrs: { type: "button", role: "radio", "aria-checked": "false", "data-verdict": verdict },
      on: { click: () => choose(verdict) },
    }),
  );
  const why = el("p", { className: "tl-faint fl-why" });
  const flag = toggle("Flag", "F", "Flag for adjudication", () => editorView.actions.flag());
  const comment = toggle("Comment", "Q", "Comment, and what was wrong with the row", () => editorView.comment.open_());
  const group = el("div", { className: "fl-verdicts", attrs: { role: "radiogroup", "aria-label": "Verdict" } }, ...choices);
  const node = el(
    "section",
    { className: "fl-verdict", attrs: { "aria-label": "Verdict" } },
    el("h3", { text: "Verdict" }),
    group,
    why,
    el("div", { className: "fl-marks" }, flag, comment),
  );
  group.addEventListener("keydown", (event) => walk(event, choices));

  function choose(verdict) {
    if (verdict === "moments") editor.apply({ type: "setVerdict", verdict });
    else editorView.askWhy();
  }

  function show() {
    const { doc, item } = editor;
    for (const button of choices) {
      const on = doc.verdict === button.dataset.verdict;
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on ? 0 : -1;
      button.disabled = !item;
    }
    setText(why, whyWords(doc, item));
    flag.disabled = comment.disabled = !item;
    flag.setAttribute("aria-pressed", String(Boolean(doc.flagged)));
    comment.setAttribute("aria-pressed", String(Boolean(doc.note) || doc.categories.length > 0));
  }

  return { node, show };
}

function toggle(text, keys, title, run) {
  return el(
    "button",
    { className: "tl-small", attrs: { type: "button", title, "aria-pressed": "false" }, on: { click: run } },
    el("span", { text }),
    el("kbd", { text: keys, attrs: { "aria-hidden": "true" } }),
  );
}

/** Arrow keys walk through a radio group. */
function walk(event, choices) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  const here = choices.indexOf(document.activeElement);
  choices.at((here + step) % choices.length).focus();
}

function whyWords(doc, item) {
  const wrong = doc.categories.map((key) => item?.error_categories?.[key] ?? key).join("; ");
  const said = doc.verdict === "moments" ? "" : `Because: ${doc.reason ?? "–"}`;
  return [said, wrong && `Row: ${wrong}`].filter(Boolean).join(" · ") || "0 for “no matching moment” or “cannot judge”";
}
