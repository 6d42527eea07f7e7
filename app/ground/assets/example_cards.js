const build = (examples) => {
  const chips = make("div", { className: "tempo-chips" });
  const cards = examples.map((example, clip) => {
    const thumb = make("video", { src: `/examples/${clip}#t=2`, muted: true, preload: "metadata", tabIndex: -1 });
    thumb.setAttribute("aria-hidden", "true");
    const card = make("button", { type: "button" }, thumb, make("span", { textContent: example.title }));
    card.setAttribute("aria-pressed", "false");
    card.title = [example.licence, example.source].filter(Boolean).join(" · ");
    card.addEventListener("click", () => choose(clip));
    return card;
  });
  const choose = (clip) => {
    cards.forEach((card, i) => card.setAttribute("aria-pressed", String(i === clip)));
    chips.replaceChildren(...examples[clip].questions.map((text, question) => {
      const chip = make("button", { type: "button", textContent: text });
      chip.addEventListener("click", () => trigger("select", { clip, question, keep_clip: true }));
      return chip;
    }));
    trigger("select", { clip, question: 0, keep_clip: false });
  };
  const label = make("p", { className: "tempo-label", textContent: "Or try an example" });
  return [label, make("div", { className: "tempo-cards" }, ...cards), chips];
};
draw();
