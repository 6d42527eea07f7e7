const build = ({ moments, note, more, without, without_count }) => {
  const cards = moments.map((moment, rank) => {
    const picture = moment.picture ? make("img", { src: `data:image/jpeg;base64,${moment.picture}`, alt: "" }) : null;
    const words = [`${rank + 1}. ${moment.times}`, moment.clip, `P ${moment.probability}`];
    const lines = words.map((text, idx) => make("span", { textContent: text, className: ["times", "clip", "p"][idx] }));
    const card = make("button", { type: "button", tabIndex: rank ? -1 : 0 }, picture, ...lines);
    card.setAttribute("aria-label", words.join(", "));
    card.addEventListener("click", () => {
      cards.forEach((other) => other.setAttribute("aria-current", String(other === card)));
      trigger("select", { rank });
    });
    return card;
  });
  const list = make("ol", {}, ...cards.map((card) => make("li", {}, card)));
  list.addEventListener("keydown", (event) => {
    const here = cards.indexOf(document.activeElement);
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -here, End: cards.length - 1 - here };
    if (here < 0 || !(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const next = cards[Math.min(cards.length - 1, Math.max(0, here + steps[event.key]))];
    cards.forEach((card) => (card.tabIndex = card === next ? 0 : -1));
    next.focus();
  });
  const absent = make(
    "details",
    { hidden: !without_count },
    make("summary", { textContent: `Not in ${without_count} ${without_count === 1 ? "clip" : "clips"}` }),
    make("ul", {}, ...without.map((clip) => make("li", { textContent: clip }))),
  );
  return [list, make("p", { textContent: [more, note].filter(Boolean).join(" ") }), absent];
};
draw();
