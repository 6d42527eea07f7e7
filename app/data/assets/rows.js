const share = (value) => (value === null ? "–" : value.toFixed(2));
const build = (value) => {
  if (value.rows.length === 0) return [make("p", { className: "tempo-empty", textContent: value.empty })];
  const names = ["", "Query", "Video", "Split", "Answers", "Agreement", "Suspicion"];
  const name = (textContent, i) => make("th", { scope: "col", textContent, className: `c${i}` });
  const head = make("tr", {}, ...names.map(name));
  const rows = value.rows.map((row) => {
    const open = make("button", { type: "button", dir: "auto", title: "Show the history" },
      make("span", { textContent: row.text }));
    const tr = make("tr", { className: row.query_id === value.chosen ? "chosen" : "" });
    open.addEventListener("click", () => {
      for (const other of element.querySelectorAll("tr.chosen")) other.classList.remove("chosen");
      tr.classList.add("chosen");
      trigger("select", { query_id: row.query_id });
    });
    const marks = [row.adjudicated ? "decided" : null, row.flagged ? "flagged" : null].filter(Boolean);
    const answers = make("td", { className: "c4" }, make("span", { textContent: String(row.reviews) }),
      ...marks.map((textContent) => make("i", { textContent })));
    const cell = (textContent, idx) => make("td", { textContent, className: `c${idx}` });
    tr.append(cell(row.qid, 0), make("td", { className: "c1" }, open), cell(row.vid, 2), cell(row.split, 3), answers,
      cell(share(row.agreement), 5), cell(share(row.score), 6));
    return tr;
  });
  return [make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))];
};
draw();
