/**
 * Answers about the open clip, and earlier ones about others, the newest first. The one that is open stands in the
 * page's address, so that a reload opens it again.
 */
const build = ({ open, this_clip, earlier }) => {
  const address = new URL(location);
  if (open) address.searchParams.set("answer", open);
  else if (open === "") address.searchParams.delete("answer");
  history.replaceState(history.state, "", address);
  const row = ({ id, query, line, title }) => {
    const text = make("span", { textContent: query });
    const button = make("button", { type: "button", title: line }, text, make("small", { textContent: title }));
    if (id === open) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => trigger("select", { id }));
    return make("li", {}, button);
  };
  const list = (label, answers) => {
    const rows = make("ol", {}, ...answers.map(row));
    rows.setAttribute("aria-label", label);
    return [make("p", { className: "tempo-label", textContent: label }), rows];
  };
  const none = make("p", { className: "tempo-empty", textContent: "Your questions and their answers are listed here." });
  const lists = [
    ...(this_clip.length ? list("This clip", this_clip) : []),
    ...(earlier.length ? list("Earlier", earlier) : []),
  ];
  return [make("div", { className: "tempo-earlier" }, ...(lists.length ? lists : [none]))];
};
draw();
