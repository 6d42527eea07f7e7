"""HTML as a reader sees it: its text and its tags."""

from html.parser import HTMLParser

HOSTILE = '<x-hostile onload="alert(1)">&"\' ${1+1} {{value}}'
"""Text of a person or a model that would do harm as markup."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [value for _, value in attrs if value is not None]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader


def page_text(html: str) -> str:
    """The text of a piece of HTML, without its markup."""
    return "".join(_read(html).texts)


def attributes(html: str) -> list[str]:
    """The values of every attribute, in order."""
    return _read(html).attributes


def hostile_texts(html: str) -> int:
    """How often HOSTILE is read as the text that it is. Fails when any of it became markup."""
    reader = _read(html)
    assert "x-hostile" not in reader.tags, html
    return "\n".join([*reader.texts, *reader.attributes]).count(HOSTILE)
