"""What a checkpoint's own card says that the model understands: plain sentences out of the folder's README.md.

    about = read_about(folder)
    about.understands        # "questions in varied English about: things of six colours, ..."
    about.does_not           # "natural video. It names the words that it was taught: ..."

A card may begin a paragraph with "**Understands**" and another one with "**Does not understand**", as the shipped
model's does. Of any other card the first paragraph of prose is taken, which on the hub says what the model is.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "README.md"
MAX_CHARACTERS = 420
"""Of one text: a longer one ends with a sentence before, or with an ellipsis."""
CARD_BYTES = 256 * 1024
"""What is read of a card."""

_FRONT_MATTER = re.compile(r"\A\ufeff?---\n.*?\n---\n", re.DOTALL)
_FENCED = re.compile(r"^(```|~~~).*?^\1\s*$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_NO_PROSE = re.compile(r"\s*(?:[#|>*+<!\[=-]|\d+[.)]\s| {4})")
"""How headings, tables, quotations, lists, HTML, pictures, badges, rules and indented code begin."""
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a model says of itself."""

    understands: str = ""
    """What can be asked; empty where the card does not say."""
    does_not: str = ""
    """What cannot."""
    summary: str = ""
    """The first paragraph of a card that says neither."""


def read_about(folder: Path) -> About | None:
    """What the card in a checkpoint's or adapter's folder says; None where there is none, or it says nothing.

    A card is decoration: one that cannot be read counts as none.
    """
    try:
        with (folder / FILE_NAME).open("rb") as file:
            text = file.read(CARD_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    about = parse_card(text)
    return about if about != About() else None


def parse_card(text: str) -> About:
    """The parts of a card's Markdown, as plain text of at most MAX_CHARACTERS each."""
    text = _FRONT_MATTER.sub("", text.replace("\r\n", "\n"))
    text = _COMMENT.sub("", _FENCED.sub("", text))
    paragraphs = [part for part in re.split(r"\n\s*\n", text) if part.strip()]

    def after(opening: str) -> str:
        marked = re.compile(rf"\s*(?:\*\*|__){opening}(?:\*\*|__)\s*", re.IGNORECASE)
        return next((_plain(marked.sub("", part, count=1)) for part in paragraphs if marked.match(part)), "")

    understands, does_not = after("understands"), after("does not understand")
    if understands or does_not:
        return About(understands=understands, does_not=does_not)
    prose = (part for part in paragraphs if not _NO_PROSE.match(part) and _SENTENCE_END.search(part))
    return About(summary=_plain(next(prose, "")))


def _plain(markdown: str) -> str:
    """Markdown of one paragraph as plain text, cut at a sentence's end."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", markdown)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<[^>\n]*>", "", text)
    text = re.sub(r"(\*\*|__|`)(.+?)\1", r"\2", text)
    text = " ".join(text.split())
    if len(text) <= MAX_CHARACTERS:
        return text
    ends = [end.end() for end in _SENTENCE_END.finditer(text, 0, MAX_CHARACTERS)]
    return text[: ends[-1]] if ends else text[: MAX_CHARACTERS - 1].rsplit(" ", 1)[0] + "…"
