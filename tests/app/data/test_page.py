"""The data page in Chromium: search, history, import and export, as people do them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annotations.__main__ import main
from annotations.importing import import_file
from annotations.projects import ProjectPlan
from annotations.records import Edit, EditedMoment
from annotations.store import Store
from scripts.setup import axe_path
from tests.app.conftest import RunningApp
from tests.app.test_accessibility import serious_in_either_theme

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # gradio 6.31 on pandas 3
]

SLOW_MS = 300_000
NASTY = [
    '<img src=x onerror="window.hurt=1"> ${window.hurt=2} {{hurt}}',
    "أين يركض الكلب",
    "🐕" * 40,
    "long " * 1900,
]


def edit(*windows_ms: tuple[int, int]) -> Edit:
    return Edit(verdict="moments", moments=tuple(EditedMoment(start_ms=a, end_ms=b) for a, b in windows_ms))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Sixty rows, four of them with texts that try something."""
    texts = [*NASTY, *(f"thing number {n}" for n in range(4, 60))]
    lines = [
        json.dumps({"qid": n, "query": text, "vid": f"v{n}", "duration": 60, "relevant_windows": [[10, 20]]})
        for n, text in enumerate(texts)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(lines))
    with Store(tmp_path / "cqvh.sqlite3") as store:
        import_file(store, file, op_id="rows", actor="local", dataset="things")
        yield store


@pytest.fixture
def data(page: Any, serve: Callable[..., RunningApp], store: Store) -> Any:
    """The page with its first rows."""
    page.set_default_timeout(SLOW_MS)
    page.running = serve(store=store)
    page.goto(f"{page.running.url}/data")
    expect(page.locator("#data-rows tbody tr")).to_have_count(50, timeout=SLOW_MS)
    return page


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def test_texts_are_text_and_rows_come_in_pages(data: Any) -> None:
    cells = data.locator("#data-rows td.c1 span")
    assert [cells.nth(n).text_content() for n in range(4)] == NASTY
    data.locator("#data-rows td.c1 button").first.click()
    expect(data.locator("#data-history h3")).to_have_text(NASTY[0])
    assert data.evaluate("window.hurt") is None
    expect(data.locator("#data-count")).to_have_text("1–50 of 60")
    data.locator("#data-forward").click()
    expect(data.locator("#data-rows tbody tr")).to_have_count(10)
    expect(data.locator("#data-count")).to_have_text("51–60 of 60")
    expect(data.locator("#data-forward")).to_be_disabled()
    data.locator("#data-search textarea, #data-search input").fill("number 17")
    expect(data.locator("#data-rows td.c1 span")).to_have_text(["thing number 17"])
    data.locator("#data-search textarea, #data-search input").fill("nowhere")
    expect(data.locator("#data-rows")).to_have_text("No row fits these filters.")


def test_history_restores_a_version_and_shows_a_conflict(data: Any, store: Store) -> None:
    first = store.submit(5, edit((1_000, 2_000)), annotator="local", parent_id=None, op_id="a")
    second = store.submit(5, edit((3_000, 4_000)), annotator="local", parent_id=first.id, op_id="b")
    data.locator("#data-rows td.c1 button").nth(4).click()
    entries = data.locator("#data-history li")
    expect(entries.locator(".head b")).to_have_text(["local, version 2", "local, version 1", "As released"])
    entries.nth(1).get_by_role("button").click()
    expect(entries.first.locator(".head b")).to_have_text("local, version 3")
    third = store.latest(5, "local")
    assert third is not None
    assert (third.restores_id, third.parent_id) == (first.id, second.id)
    elsewhere = store.submit(5, edit((5_000, 6_000)), annotator="local", parent_id=third.id, op_id="c")
    entries.last.get_by_role("button").click()
    expect(data.locator("#data-history-line")).to_contain_text("moved on")
    expect(entries.first.locator(".head b")).to_have_text("local, version 4")
    assert store.latest(5, "local") == elsewhere, "nothing was overwritten"


def test_an_export_is_byte_for_byte_the_commands(
    data: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.submit(5, edit((1_000, 2_500)), annotator="ada", parent_id=None, op_id="a")
    monkeypatch.setenv("TEMPO_HOME", str(tmp_path))
    target = tmp_path / "cli" / "things.csv"
    assert (
        main(
            ["export", "--database", str(tmp_path / "cqvh.sqlite3"), "--format", "csv", "--out", str(target)]
        )
        == 0
    )
    tab(data, "Export")
    form = data.locator("#data-export-format input")
    form.click()
    data.get_by_role("option", name="Tidy CSV").click()
    data.locator("#data-export").click()
    links = data.locator("#data-export-files a")
    expect(links).to_have_text(
        ["everything.zip", "things.csv.manifest.json", "things.csv", "things.csv.LICENSE"]
    )
    for name in ("things.csv", "things.csv.manifest.json", "things.csv.LICENSE"):
        with data.expect_download() as waiting:
            links.get_by_text(name, exact=True).click()
        assert Path(waiting.value.path()).read_bytes() == (target.parent / name).read_bytes()


def test_an_import_through_the_page_tells_what_came_and_what_did_not(
    data: Any, store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "more.jsonl"
    good = {"qid": 900, "query": NASTY[0], "vid": "x", "duration": 10, "relevant_windows": [[0, 2]]}
    file.write_text("\n".join(json.dumps(line) for line in (good, {**good, "qid": 901, "query": 7})))
    tab(data, "Import")
    data.locator("#data-files input[type=file]").set_input_files(str(file))
    expect(data.locator("#data-files .file-preview")).to_contain_text(
        "more"
    )  # while it is sent it is named elsewhere
    data.locator("#data-import").click()
    report = data.locator("#data-import-report")
    expect(report).to_contain_text("1 row breaks a rule, so nothing of it came in")
    expect(report.locator("td").nth(1)).to_have_text("2")
    assert list(store.datasets()) == ["things"]
    data.get_by_label("Leave out rows that break a rule").check()
    data.locator("#data-import").click()
    expect(report).to_contain_text("1 added")
    assert store.find("more", 900).row.query == NASTY[0]
    assert data.evaluate("window.hurt") is None


def test_figures_and_comparison_are_drawn(data: Any, store: Store) -> None:
    store.submit(5, edit((40_000, 50_000)), annotator="ada", parent_id=None, op_id="a")
    tab(data, "Figures")
    expect(data.locator("#data-facts dd").first).to_have_text("60")
    expect(data.locator("#data-progress .js-plotly-plot")).to_be_visible(timeout=SLOW_MS)
    tab(data, "Before and after")
    data.locator("#data-compare").click()
    result = data.locator("#data-compare-result")
    expect(result).to_contain_text("60 rows compared, 1 of them changed", timeout=SLOW_MS)
    expect(result.locator("td").nth(1)).to_have_text("98.33")
    page_link = result.get_by_role("link", name="strict.html")
    answer = data.request.get(f"{data.running.url}{page_link.get_attribute('href')}")
    assert "text/html" in answer.headers["content-type"]
    assert "things corrected" in answer.text()


@pytest.mark.skipif(not axe_path().exists(), reason="needs axe-core, which `make test` fetches")
def test_axe_finds_nothing_serious_on_any_tab(
    page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    store.add_project(ProjectPlan(name="week one", guidelines="Mind the ends."), op_id="plan", actor="lead")
    running = serve(store=store)
    page.goto(f"{running.url}/data")
    page.locator("#data-rows td.c1 button").nth(4).click()
    expect(page.locator("#data-history li")).to_have_count(1, timeout=SLOW_MS)
    assert serious_in_either_theme(page) == []
    for name, button, selector in (
        ("Import", "#data-import", "#data-import-line [role=alert]"),
        ("Export", "#data-export", "#data-export-files a"),
        ("Before and after", "#data-compare", "#data-compare-result table"),
        ("Projects", "#project-count", "#project-progress dl"),
    ):
        tab(page, name)
        page.locator(button).click()
        expect(page.locator(selector).first).to_be_visible(timeout=SLOW_MS)
        expect(page.locator(button)).to_be_enabled()
        page.mouse.move(0, 0)
        assert serious_in_either_theme(page) == [], name


def test_a_project_is_made_changed_and_watched(data: Any, store: Store) -> None:
    tab(data, "Projects")
    expect(data.locator("#project-progress")).to_contain_text("There are no projects")
    data.locator("#project-name input, #project-name textarea").fill("week one")
    data.locator("#project-count").click()
    expect(data.locator("#project-line")).to_contain_text("60 rows, 60 answers.")
    data.locator("#project-make").click()
    expect(data.locator("#project-line")).to_contain_text("week one is open; nobody takes part yet.")
    expect(data.locator("#project-progress")).to_contain_text("60 rows wait for a clip")
    expect(data.locator("#project-progress")).to_contain_text("Blind rows")
    query_id = store.queue(limit=1)[0].query_id
    store.submit(query_id, edit((1000, 2000)), annotator="ada", parent_id=None, op_id="a")
    data.locator("#project-state").get_by_text("paused").click()
    data.locator("#project-save").click()
    expect(data.locator("#project-edit-line")).to_contain_text("Saved.")
    expect(data.locator("#project-progress")).to_contain_text("paused")
    expect(data.locator("#project-progress")).to_contain_text("ada (takes no part)")
    expect(data.locator("#project-progress")).to_contain_text("1 of 60")
    assert store.projects()[0].state == "paused"
    # The same name again is explained, and nothing is lost.
    data.locator("#project-name input, #project-name textarea").fill("week one")
    data.locator("#project-make").click()
    expect(data.locator("#project-line")).to_contain_text("There is a project 'week one' already")
