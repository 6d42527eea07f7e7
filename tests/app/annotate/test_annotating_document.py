"""docs/annotating.md tells the truth: every key is in it, its counts have tests, its roles are the app's."""

import re
from pathlib import Path

import pytest

from app.auth.users import GRANTS, Role

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs" / "annotating.md").read_text(encoding="utf-8")
KEYS = (ROOT / "app" / "timeline" / "assets" / "key_bindings.js").read_text(encoding="utf-8")


def test_every_key_is_described_as_the_page_does() -> None:
    words = re.findall(r'\["\w+", \[.*?\], "([^"]+)", \(', KEYS)
    assert len(words) > 40
    section = DOCUMENT.partition("## Every key")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `.*` \| (.*) \|$", section, flags=re.MULTILINE)
    assert rows == words, "write the tables anew from app/timeline/assets/key_bindings.js"


@pytest.mark.parametrize(
    ("file", "test"),
    [
        ("annotate/test_page.py", "test_accepting_the_models_moments_of_a_clip_and_going_on_takes_two_keys"),
        ("annotate/test_page.py", "test_a_model_first_row_is_accepted_with_one_key"),
        ("timeline/test_keyboard.py", "test_half_a_second_on_one_edge_and_going_on_takes_three_keys"),
        ("timeline/test_keyboard.py", "test_the_end_alone_from_the_model_is_one_key"),
    ],
)
def test_the_counts_have_tests(file: str, test: str) -> None:
    assert f"tests/app/{file}" in DOCUMENT
    assert f"def {test}(" in (ROOT / "tests" / "app" / file).read_text()


def test_the_table_of_roles_is_the_apps() -> None:
    rows = re.findall(rf"^\| ({'|'.join(Role)}) \|(.*)\|$", DOCUMENT, flags=re.MULTILINE)
    assert [name for name, _ in rows] == list(Role)
    columns = [{Role.VISITOR}, {Role.ANNOTATOR}, {Role.ANNOTATOR}, {Role.ADJUDICATOR}, {Role.RESEARCHER}]
    for name, cells in rows:
        may = [cell.strip() == "yes" for cell in cells.split("|")]
        granted = GRANTS[Role(name)]
        assert may == [*(needed <= granted for needed in columns), Role.ADMINISTRATOR in granted]
