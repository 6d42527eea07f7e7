const build = (value) => {
  const entries = value.entries.map((entry) => {
    const marks = entry.marks.map((textContent) => make("i", { textContent }));
    const title = make("b", { textContent: entry.title });
    const head = make("p", { className: "head" }, title, make("span", { textContent: entry.when }), ...marks);
    const lines = entry.lines.map((textContent) => make("p", { textContent, dir: "auto" }));
    const back = entry.restores === null ? null : make("button", { type: "button", textContent: entry.restores.label });
    back?.addEventListener("click", () => {
      for (const button of element.querySelectorAll("button")) button.disabled = true;
      trigger("select", { to_id: entry.restores.id, query_id: value.query_id, parent_id: value.parent_id });
    });
    return make("li", { className: entry.kind }, head, ...lines, back);
  });
  const title = make("h3", { textContent: value.query, dir: "auto" });
  const links = value.links.map(([textContent, href]) => make("a", { textContent, href }));
  return [title, make("p", { className: "where" }, value.where, ...links), make("ol", {}, ...entries)];
};
draw();
