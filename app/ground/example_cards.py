"""Example clips as cards, and the questions of the chosen one as chips.

The template is empty and the cards are built from a constant in the script with `textContent`, so that no
title or question ever passes through a template.
"""

import json

import gradio as gr

from app.ground.examples import Example

_SCRIPT = """
/* events: 'select' */
const examples = %s;
const make = (tag, props, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};
const chips = make('div', { className: 'tempo-chips' });
const cards = examples.map((example, clip) => {
  const thumb = make('video', { src: `/examples/${clip}#t=2`, muted: true, preload: 'metadata' });
  thumb.tabIndex = -1;
  thumb.setAttribute('aria-hidden', 'true');
  const card = make('button', { type: 'button' }, thumb, make('span', { textContent: example.title }));
  card.setAttribute('aria-pressed', 'false');
  card.title = [example.licence, example.source].filter(Boolean).join(' · ');
  card.addEventListener('click', () => choose(clip));
  return card;
});
const choose = (clip) => {
  cards.forEach((card, i) => card.setAttribute('aria-pressed', String(i === clip)));
  chips.replaceChildren(...examples[clip].questions.map((text, question) => {
    const chip = make('button', { type: 'button', textContent: text });
    chip.addEventListener('click', () => trigger('select', { clip, question, keep_clip: true }));
    return chip;
  }));
  trigger('select', { clip, question: 0, keep_clip: false });
};
element.replaceChildren(
  make('p', { className: 'tempo-label', textContent: 'Or try an example' }),
  make('div', { className: 'tempo-cards' }, ...cards),
  chips,
);
"""


def example_cards(examples: list[Example]) -> gr.HTML:
    """The cards; the `select` event carries {"clip", "question", "keep_clip"} by number."""
    rows = [
        {"title": e.title, "questions": list(e.questions), "licence": e.licence, "source": e.source}
        for e in examples
    ]
    constant = json.dumps(rows).replace("</", "<\\/")
    return gr.HTML(
        None,
        html_template='<div class="tempo-examples"></div>',
        js_on_load=_SCRIPT % constant,
        apply_default_css=False,
        elem_id="ground-examples",
        visible=bool(examples),
    )
