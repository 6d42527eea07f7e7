/** Earlier answers, the newest first. The one that is open stands in the page's address, so that a reload opens it again. */
const build = ({ open, answers }) => {
  const address = new URL(location);
  if (open) address.searchParams.set("answer", open);
  else if (open === "") address.searchParams.delete("answer");
  history.replaceState(history.state, "", address);
  const rows = answers.map(({ id, query, line, title }) => {
    const text = make("span", { textContent: query });
    const button = make("button", { type: "button", title: line }, text, make("small", { textContent: title }));
    if (id === open) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => trigger("select", { id }));
    return make("li", {}, button);
  });
  const none = make("p", { className: "tempo-empty", textContent: "Your questions and their answers are listed here." });
  const label = make("p", { className: "tempo-label", textContent: "Earlier questions" });
  return [make("div", { className: "tempo-earlier" }, label, rows.length ? make("ol", {}, ...rows) : none)];
};
draw();
