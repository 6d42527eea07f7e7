"""What the tab of projects says of one."""

from pathlib import Path

import pytest

from annotations.projects import ProjectPlan
from annotations.rows import Row
from annotations.store import Store
from app.data.projects import progress_html
from tests.app.markup import page_text


@pytest.mark.parametrize(
    ("plan", "answers", "blind"),
    [
        (ProjectPlan(name="week", answers_per_row=2, blind_share=0.3), "2", "30 %"),
        (ProjectPlan(name="week", second_share=0.25, blind_share=0.0), "1; 2 for 25 %", "0 %"),
        (ProjectPlan(name="week"), "1", "as everywhere"),
    ],
)
def test_progress_says_how_many_answers_a_row_gets_and_how_many_rows_are_blind(
    tmp_path: Path, plan: ProjectPlan, answers: str, blind: str
) -> None:
    rows = [Row(qid="1", query="a dog", vid="clip", duration_s=4.0, windows=((1.0, 2.0),))]
    with Store(tmp_path / "rows.sqlite3") as store:
        store.import_rows(rows, dataset="d", op_id="rows")
        project_id = store.add_project(plan, op_id="plan", actor="lead")
        text = page_text(progress_html(store.project_progress(project_id)))
    assert f"Answers a row{answers}\nBlind rows{blind}\n" in text
