const PLAYS_MS = 4500;
/** A picture from inside a moment. It moves for under five seconds after it comes, and while it is pointed at. */
const picture = (clip, [start_s, end_s]) => {
  const video = make("video", { src: addressOf(`/examples/${clip}#t=${start_s}`), muted: true, preload: "metadata", tabIndex: -1 });
  video.playsInline = true;
  video.setAttribute("aria-hidden", "true");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const restart = () => (video.currentTime = start_s);
  const rest = () => (video.pause(), restart());
  let timer = 0;
  const play = () => {
    clearTimeout(timer);
    if (still.matches) return;
    restart();
    video.play().catch(() => {}); // a browser that does not let it play shows the picture
  };
  video.addEventListener("timeupdate", () => (video.currentTime >= end_s || video.ended) && !video.paused && restart());
  still.addEventListener("change", rest);
  const seen = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    seen.disconnect();
    play();
    timer = setTimeout(rest, PLAYS_MS);
  });
  seen.observe(video);
  return { video, play, rest };
};
const build = (examples) => {
  const chips = make("div", { className: "tempo-chips" });
  const cards = examples.map((example, clip) => {
    const { video, play, rest } = picture(clip, example.loop_s);
    const card = make("button", { type: "button" }, video, make("span", { textContent: example.title }));
    card.title = [example.licence, example.source].filter(Boolean).join(" · ");
    for (const name of ["pointerenter", "focus"]) card.addEventListener(name, play);
    for (const name of ["pointerleave", "blur"]) card.addEventListener(name, rest);
    card.addEventListener("click", () => (list(clip), trigger("select", { clip })));
    return card;
  });
  const list = (clip) => {
    cards.forEach((card, i) => card.setAttribute("aria-pressed", String(i === clip)));
    chips.replaceChildren(...examples[clip].questions.map((text, question) => {
      const chip = make("button", { type: "button", textContent: text });
      chip.addEventListener("click", () => trigger("submit", { clip, question }));
      return chip;
    }));
  };
  if (examples.length) list(0);
  const label = make("p", { className: "tempo-label", textContent: "Or try an example: a question asks at once" });
  return [label, chips, make("div", { className: "tempo-cards" }, ...cards)];
};
draw();
