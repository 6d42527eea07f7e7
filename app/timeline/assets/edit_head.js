/** Above the picture: the query, why the row is here, and how yours compares with the original. */

import { matchedTiou, setF1 } from "./agreement.js";
import { el, icon, setText } from "./dom.js";

const PENCIL =
  "M11.5 1.500 14.500 4.500 5.500 13.500 2 14 2.500 10.500zM3.800 11.100 3.500 12.500 4.900 12.200 12.300 4.800 11.200 3.700z";

export function buildEditHead(editorView) {
  const query = el("p", { className: "tl-query", attrs: { dir: "auto" } });
  const pencil = el(
    "button",
    {
      className: "tl-button",
      attrs: { type: "button", "aria-label": "Propose a better wording", title: "Propose a better wording" },
      on: { click: () => editorView.wording.open_() },
    },
    icon(PENCIL),
  );
  const released = el("p", { className: "tl-released", attrs: { dir: "auto" } });
  const chips = el("div", { className: "tl-chips" });
  const agreement = el("span", { className: "tl-agreement" });
  const flag = mark("Flagged", "flag");
  const note = mark("Comment", "note");
  const slot = el("div", { className: "tl-slot" });
  const words = el(
    "div",
    { className: "tl-head-words" },
    el("div", { className: "tl-query-row" }, query, pencil),
    released,
    el("div", { className: "tl-chip-row" }, chips, agreement, flag, note),
  );
  return {
    node: el("div", { className: "tl-head" }, words, slot),
    query,
    pencil,
    released,
    chips,
    agreement,
    flag,
    note,
    slot,
  };
}

/** A chip that keeps its place while it says nothing, so that nothing moves when it does. */
function mark(text, kind) {
  return el("span", { className: "tl-chip", text, attrs: { "data-kind": kind, "data-off": true } });
}

export function showEditHead(head, { editor, state }) {
  const { item, doc } = editor;
  const imported = item?.query ?? state.value.query;
  const proposed = doc.edited_text;
  setText(head.query, proposed ?? imported ?? "");
  head.released.hidden = !proposed;
  setText(head.released, proposed ? `Released as: ${imported}` : "");
  head.pencil.disabled = !item;
  showChips(head.chips, item);
  head.flag.toggleAttribute("data-off", !doc.flagged);
  head.note.toggleAttribute("data-off", !doc.note);
  head.agreement.hidden = !item || item.arm === "blind" || !item.original;
  if (!head.agreement.hidden) setText(head.agreement, agreementText(editor));
}

function showChips(chips, item) {
  const list = (item?.reasons ?? []).map(({ text }) => [text, "reason"]);
  if (item?.arm === "blind") list.push(["Blind: original and model are hidden until you submit", "blind"]);
  const key = JSON.stringify(list);
  if (chips.dataset.key === key) return;
  chips.dataset.key = key;
  chips.replaceChildren(
    ...list.map(([text, kind]) => el("span", { className: "tl-chip", text, attrs: { "data-kind": kind } })),
  );
}

/** "Yours against the original: tIoU 0.83 · F1@.5 1.00 · F1@.7 0.50" */
function agreementText({ moments, item, doc }) {
  if (doc.verdict === "cannot-judge") return "";
  const original = item.original.moments;
  const number = (value) => value.toFixed(2);
  return (
    `Yours against the original: tIoU ${number(matchedTiou(moments, original))} · ` +
    `F1@.5 ${number(setF1(moments, original, 0.5))} · F1@.7 ${number(setF1(moments, original, 0.7))}`
  );
}
