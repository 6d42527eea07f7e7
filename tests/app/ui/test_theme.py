"""The stylesheets: every page gets all of them, so that none may style what belongs to another."""

import re

from app.ui.theme import STYLES, style


def test_no_two_stylesheets_style_the_same_class() -> None:
    owners: dict[str, set[str]] = {}
    for path in STYLES.glob("*.css"):
        sheet = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for name in re.findall(r"^\s*(\.tempo-[\w-]+)", sheet, flags=re.MULTILINE):
            owners.setdefault(name, set()).add(path.name)
    assert len(owners) > 20, "the classes are found"
    assert {name: sheets for name, sheets in owners.items() if len(sheets) > 1} == {}


def test_every_stylesheet_is_on_the_page() -> None:
    page = style()
    assert all(path.read_text(encoding="utf-8") in page for path in STYLES.glob("*.css"))
