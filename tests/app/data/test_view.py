"""What the data page says, read as a person reads it: text stays text, counts are words."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from annotations.formats import Contents, Problem
from app.data.downloads import ZIP, DownloadBundle
from app.data.service import ImportOutcome, RefusedFile
from app.data.view import (
    FACTS,
    SHOWN_FILES,
    comparison_html,
    count_line,
    export_html,
    facts_html,
    import_html,
    links_html,
    progress_html,
)
from app.job_queue import Progress
from app.ui.templates import status_html
from tests.app.markup import HOSTILE, attributes, hostile_texts, page_text


def problem(**fields: Any) -> Problem:
    return Problem(**{"file": "f", "line": 3, "field": "x", "value": "v", "rule": "r", **fields})


def test_every_text_of_a_report_is_escaped() -> None:
    everywhere = problem(file=HOSTILE, field=HOSTILE, value=HOSTILE, rule=HOSTILE)
    report = SimpleNamespace(added=1, unchanged=0, proposals=0, corrections=0, empty={HOSTILE: 1})
    file: Any = SimpleNamespace(
        file_name=HOSTILE,
        format=HOSTILE,
        dataset=HOSTILE,
        report=report,
        problems=(everywhere,),
        omissions=(HOSTILE,),
        contents=(Contents(unit=HOSTILE, held=2, taken=1),),
    )
    refused = RefusedFile(HOSTILE, HOSTILE, (everywhere,))
    assert (
        hostile_texts(import_html(ImportOutcome(imported=(file,), refused=(refused,)))) == 3 + 4 + 2 + 4 + 3
    )


def test_a_line_is_a_line_and_an_empty_one_keeps_its_place() -> None:
    assert hostile_texts(status_html(HOSTILE)) == 1
    assert page_text(status_html()) == "\N{NO-BREAK SPACE}"
    assert 'role="alert"' in status_html("no", error=True)
    assert 'role="status"' in status_html("yes")


def test_links_name_their_files_and_lead_to_them(tmp_path: Path) -> None:
    name = 'a<b>&".csv'
    bundle = DownloadBundle(id="x" * 24, folder=tmp_path)
    for file in (name, "a.manifest.json", "page.html"):
        (tmp_path / file).write_text("12345")
    bundle.pack()
    html = links_html(bundle, bundle.names())
    assert [line.strip() for line in page_text(html).splitlines() if line.strip()][1:] == [
        "a.manifest.json 5 B",
        f"{name} 5 B",
        "page.html 5 B",
    ]
    assert f"/data/files/{'x' * 24}/a%3Cb%3E%26%22.csv" in attributes(html)
    assert f"/data/files/{'x' * 24}/{ZIP}" in attributes(html)
    assert "more files" not in html
    many = links_html(bundle, [name] * (SHOWN_FILES + 1200))
    assert "and 1,200 more files in everything.zip" in page_text(many)


def test_an_export_says_what_was_lost_and_counts_one_row_as_one() -> None:
    report = SimpleNamespace(
        counts={"no moment": 1, "unchanged": 2, HOSTILE: 3, "none of these": 0},
        dropped={"notes": 1, HOSTILE: 2},
        rows=1,
        format=HOSTILE,
        problems=[problem(value=HOSTILE)],
    )
    outcome: Any = SimpleNamespace(
        report=report, snapshot_sha256="0" * 64, bundle=SimpleNamespace(folder=Path("none")), names=[]
    )
    html = export_html(outcome)
    text = page_text(html)
    for words in ("1 row as", "1 row: no moment", "2 rows: unchanged", "1 row loses notes, which"):
        assert words in text
    assert "none of these" not in text
    assert hostile_texts(html) == 4


def test_a_comparison_names_both_rules_and_its_files(tmp_path: Path) -> None:
    scores = {"brief": {"MR-full-R1@0.5": 66.666, "other": 1.0}}
    comparison = SimpleNamespace(
        rows=1200,
        changed=1,
        unscored=1,
        official=SimpleNamespace(scores=scores),
        strict=SimpleNamespace(scores={"brief": {"MR-full-R1@0.5": None}}),
    )
    outcome: Any = SimpleNamespace(
        comparison=comparison, bundle=DownloadBundle(id="x" * 24, folder=tmp_path), names=[]
    )
    html = comparison_html(outcome)
    assert "1,200 rows compared, 1 of them changed." in page_text(html)
    assert '<th scope="col">Official</th><th scope="col">Strict</th>' in html
    assert '<th scope="row">R1@0.5</th><td>66.67</td><td>–</td>' in html
    assert "1 row with a refusal before or after" in page_text(html)


def test_progress_and_counts_are_sentences() -> None:
    waiting = progress_html(Progress(stage="queued", position=2))
    assert page_text(waiting).strip() == "Waiting; 2 before this one…"
    assert 'value="42"' in progress_html(Progress(stage="writing", fraction=0.42))
    assert hostile_texts(progress_html(Progress(stage=HOSTILE))) == 2
    assert (count_line(50, 10, 1234), count_line(0, 0, 0)) == ("51–60 of 1,234", "No rows")
    numbers = dict.fromkeys(FACTS, 1234)
    assert "<dt>With video</dt><dd>1,234</dd>" in facts_html(numbers)
