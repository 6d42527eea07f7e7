"""The review page in Chromium: one key adopts, least agreement first, conflicts, nothing lost."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annotations.projects import ProjectPlan
from annotations.proposers import ANY
from annotations.records import Edit, EditedMoment, Prediction, ProposedMoment
from annotations.rows import Row
from annotations.store import Store
from app.auth.users import SESSION_COOKIE, Authenticator
from scripts.setup import axe_path
from tests.app.conftest import CUT_OFF, Profile, RunningApp
from tests.app.people import People
from tests.app.test_accessibility import serious_in_either_theme

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # gradio 6.31 on pandas 3
]

SLOW_MS = 300_000
NASTY = '<img src=x onerror="window.hurt=1"> ${window.hurt=2} {{hurt}} \u202eabc'


def edit(*windows_ms: tuple[int, int], **more: Any) -> Edit:
    moments = tuple(EditedMoment(start_ms=a, end_ms=b) for a, b in windows_ms)
    return Edit(verdict="moments", moments=moments, **more)


@pytest.fixture
def store(tmp_path: Path, clip: Path) -> Iterator[Store]:
    """Query 1: close answers; 2: far apart, with a clip and a nasty text; 3: one answer, flagged; 4: untouched."""
    videos = tmp_path / "home-0" / "videos"
    videos.mkdir(parents=True)
    shutil.copy(clip, videos / "square.mp4")
    texts = ["close answers", NASTY, "flagged", "untouched"]
    with Store(tmp_path / "rows.sqlite3") as store:
        rows = [
            Row(
                qid=str(n),
                query=text,
                vid="square" if n == 2 else f"none{n}",
                duration_s=4.0,
                windows=((1.0, 2.0),),
            )
            for n, text in enumerate(texts, start=1)
        ]
        store.import_rows(rows, dataset="squares", op_id="rows")
        store.save_proposer("squares", ANY, op_id="named", actor="test")
        moment = ProposedMoment(start_ms=900, end_ms=2100, confidence=0.8)
        store.propose(2, Prediction(model_id="tiny", moments=(moment,)), op_id="p")
        store.submit(1, edit((1000, 2000)), annotator="ada", parent_id=None, op_id="a1")
        store.submit(1, edit((1000, 2100)), annotator="bob", parent_id=None, op_id="b1")
        store.submit(2, edit((500, 1500), note=NASTY), annotator="ada", parent_id=None, op_id="a2")
        store.submit(2, edit((1300, 3300)), annotator="bob", parent_id=None, op_id="b2")
        store.submit(3, edit((1000, 2000), flagged=True), annotator="ada", parent_id=None, op_id="a3")
        yield store


KEPT = """() => new Promise((resolve) => {
  const asked = indexedDB.open("tempo-annotate");
  asked.onsuccess = () => {
    const all = asked.result.transaction("histories").objectStore("histories").getAllKeys();
    all.onsuccess = () => resolve(all.result);
  };
})"""


def wait_kept(page: Any) -> None:
    """Until the browser has the edits of one row, which it gets a little after they are shown."""
    page.wait_for_function(f"({KEPT})().then((keys) => keys.length === 1)")


def query_text(page: Any) -> Any:
    return page.locator("#review .tl-query")


def opened(page: Any, running: RunningApp, query_id: int | None = None) -> Any:
    """The page with a row on it, ready for keys."""
    page.set_default_timeout(SLOW_MS)
    page.goto(f"{running.url}/review" + (f"?query={query_id}" if query_id else ""))
    expect(page.locator(".rv-rows li").first).to_be_attached(timeout=SLOW_MS)
    return page


def test_one_key_adopts_an_answer_and_the_next_row_is_there(
    page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    running = serve(store=store)
    opened(page, running)
    expect(page.locator(".rv-list button span")).to_have_text(["flagged", NASTY, "close answers"])
    page.keyboard.press("1")
    expect(query_text(page)).to_have_text(NASTY)
    verdict = store.verdict(3)
    assert verdict is not None
    assert (verdict.correction_id, verdict.adjudicator) == (store.versions(3)[0].id, "local")
    assert store.latest(3, "local") is None, "an annotator's answer was named, not copied"
    expect(page.locator(".rv-list button span")).to_have_text([NASTY, "close answers"])
    page.keyboard.press("4")  # ada, bob, tiny, the release
    expect(query_text(page)).to_have_text("close answers")
    correction = store.latest(2, "local")
    assert correction is not None
    assert [(m.start_ms, m.end_ms, m.start_source) for m in correction.edit.moments] == [
        (1000, 2000, "original")
    ]
    page.keyboard.press("9")
    expect(query_text(page)).to_have_text("close answers")
    page.keyboard.press("2")
    expect(page.locator(".rv-queue h3")).to_have_text("Nothing to decide")
    page.keyboard.press("1")
    assert store.verdicts(1)[-1].correction_id == store.versions(1)[1].id


def test_rows_show_what_remains_and_the_own_lane_decides(
    page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    running = serve(store=store)
    opened(page, running, 2)
    expect(page.locator("#review video").first).to_have_js_property("readyState", 4, timeout=SLOW_MS)
    assert page.evaluate("window.hurt") is None
    expect(page.locator(".rv-rows q")).to_have_text(NASTY)
    expect(page.locator(".rv-delta")).to_have_text(
        ["Δ0.40", "Δ0.90", "Δ0.40", "Δ0.90", "Δ0.00", "Δ0.30", "Δ0.10", "Δ0.40"]
    )
    page.keyboard.press("BracketRight")
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator(".rv-delta").nth(1)).to_have_text("Δ0.10")
    wait_kept(page)
    page.reload()
    expect(page.locator(".rv-delta").nth(1)).to_have_text("Δ0.10", timeout=SLOW_MS)
    page.keyboard.press("Control+Enter")
    expect(query_text(page)).to_have_text("flagged")
    correction = store.latest(2, "local")
    assert correction is not None
    assert [(m.start_ms, m.end_ms) for m in correction.edit.moments] == [(900, 1400)]
    assert (correction.edit.arm, correction.edit.submitted) == ("adjudication", True)
    assert correction.edit.key_presses == 3
    page.keyboard.press("Control+Shift+Enter")
    expect(query_text(page)).to_have_text(NASTY)
    expect(page.locator(".rv-line")).to_contain_text("Decided by local")


def test_times_of_the_answers_are_written_in_the_unit_that_was_chosen(
    page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    running = serve(store=store)
    opened(page, running, 2)
    edges = page.locator(".rv-rows li").first.locator(".rv-edge")
    expect(edges).to_have_text(["0:00.50Δ0.40", "0:01.50Δ0.90"])
    page.keyboard.press("t")
    expect(edges).to_have_text(["0.50Δ0.40", "1.50Δ0.90"])
    page.reload()
    expect(edges).to_have_text(["0.50Δ0.40", "1.50Δ0.90"], timeout=SLOW_MS)


def test_guidelines_stand_beside_the_query_and_move_nothing(
    page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    plan = ProjectPlan(name="week one", qids=("2",), guidelines="Mind the ends.\n" * 40)
    store.add_project(plan, op_id="plan", actor="lead")
    running = serve(store=store)
    opened(page, running, 2)
    guide, text = page.locator("#review .tl-head .fl-guide"), page.locator("#review .fl-guide-text")
    expect(text).to_be_visible()
    places = """() => [".tl-query", ".tl-stage", ".tl-axis", ".rv-below"].map(
      (part) => document.querySelector(`#review ${part}`).getBoundingClientRect().top + scrollY)"""
    for width in (1440, 700, 390):
        page.set_viewport_size({"width": width, "height": 1000})
        opened_at = page.evaluate(places)
        box = text.bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width
        guide.locator("summary").click()
        expect(text).to_be_hidden()
        assert page.evaluate(places) == opened_at
        guide.locator("summary").click()
        expect(text).to_be_visible()
    page.set_viewport_size({"width": 1440, "height": 1000})
    query, beside = query_text(page).bounding_box(), guide.bounding_box()
    assert query is not None
    assert beside is not None
    assert beside["x"] >= query["x"] + query["width"]
    assert abs(beside["y"] - query["y"]) < 20
    with_guidelines = page.evaluate(places)
    guide.evaluate("(node) => { node.hidden = true; }")
    assert page.evaluate(places) == with_guidelines


def test_a_closed_tab_loses_no_edit_and_a_decision_clears_it(
    page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    running = serve(store=store)
    opened(page, running, 2)
    page.keyboard.press("BracketRight")
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator(".rv-delta").nth(1)).to_have_text("Δ0.10")
    wait_kept(page)
    other = page.context.new_page()
    page.close()
    opened(other, running, 2)
    expect(other.locator(".rv-delta").nth(1)).to_have_text("Δ0.10")
    other.keyboard.press("Control+z")
    expect(other.locator(".rv-delta").nth(1)).to_have_text("Δ0.90")
    assert other.evaluate(KEPT) == [["review/local", 2]]
    other.keyboard.press("1")
    expect(query_text(other)).to_have_text("flagged")
    assert other.evaluate(KEPT) == []


def test_two_quick_presses_decide_once_and_a_released_refusal_is_one_key(
    page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    store.import_rows(
        [Row(qid="9", query="nothing here", vid="none9", windows=())], dataset="empty", op_id="e"
    )
    query_id = store.find("empty", 9).id
    store.submit(query_id, edit((1000, 2000), flagged=True), annotator="ada", parent_id=None, op_id="a9")
    running = serve(store=store)
    opened(page, running, query_id)
    expect(page.locator(".rv-verdict")).to_contain_text("No matching moment")
    page.keyboard.press("2")
    page.keyboard.press("2")
    expect(query_text(page)).not_to_have_text("nothing here")
    expect(page.locator(".rv-line")).to_contain_text("Saved: empty")
    correction = store.latest(query_id, "local")
    assert correction is not None
    assert (correction.edit.verdict, correction.edit.moments) == ("no-moment", ())
    assert len(store.verdicts(query_id)) == 1
    expect(page.locator(".rv-conflict")).to_be_hidden()


def test_a_refused_answer_is_said_and_can_be_mended(
    page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    running = serve(store=store)
    opened(page, running, 2)
    expect(page.locator("#review video").first).to_have_js_property("readyState", 4, timeout=SLOW_MS)
    page.evaluate(
        """() => { const { editor } = document.querySelector("#review .tl-root").timeline;
        editor.apply({ type: "setEdge", id: editor.moments[0].id, edge: "end", ms: 1433, exact: true }); }"""
    )
    page.keyboard.press("Control+Enter")
    panel = page.locator(".rv-conflict")
    expect(panel).to_contain_text("An edge at 1433 ms is no frame of this clip")
    assert store.verdict(2) is None
    panel.get_by_role("button", name="Go on editing").click()
    page.keyboard.press("BracketRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Control+Enter")
    expect(query_text(page)).not_to_have_text(NASTY)
    assert store.verdict(2) is not None


def test_starting_from_a_row_decides_nothing(
    page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    running = serve(store=store)
    opened(page, running, 2)
    page.keyboard.press("Shift+Digit2")
    expect(page.locator(".rv-delta").nth(2)).to_have_text("Δ0.00")
    assert store.verdict(2) is None
    page.locator(".rv-begin").nth(3).click()
    expect(page.locator(".rv-delta").nth(6)).to_have_text("Δ0.00")
    assert store.verdict(2) is None


def test_two_adjudicators_conflict_and_nothing_is_overwritten(
    chromium: Any, page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    people = People(store=store).add(eve="adjudicator", fay="adjudicator")
    running = serve(
        store=store, authenticator=Authenticator(anonymous=False, local=False, accounts=people.accounts)
    )
    eve, fay = page, chromium.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    for name, own_page in (("eve", eve), ("fay", fay)):
        cookie = {"name": SESSION_COOKIE, "value": people.token(name), "url": running.url}
        own_page.context.add_cookies([cookie])
        opened(own_page, running, 2)
    eve.keyboard.press("1")
    expect(query_text(eve)).not_to_have_text(NASTY)
    fay.keyboard.press("2")
    panel = fay.locator(".rv-conflict")
    expect(panel).to_be_visible()
    expect(panel.locator("dd")).to_have_text(["0:00.50–0:01.50", "0:01.30–0:03.30"])
    assert [verdict.adjudicator for verdict in store.verdicts(2)] == ["eve"]
    fay.keyboard.press("3")
    assert len(store.verdicts(2)) == 1, "keys wait until the conflict is settled"
    panel.get_by_role("button", name="Replace it with mine").click()
    expect(query_text(fay)).not_to_have_text(NASTY)
    verdicts = store.verdicts(2)
    assert [verdict.adjudicator for verdict in verdicts] == ["eve", "fay"]
    assert verdicts[1].parent_id == verdicts[0].id
    fay.context.close()


def test_a_decision_waits_for_the_server(page: Any, serve: Callable[..., RunningApp], store: Store) -> None:
    running = serve(store=store)
    page.route("**/verdict", lambda route: route.abort())
    opened(page, running, 1)
    page.keyboard.press("1")
    panel = page.locator(".rv-conflict")
    expect(panel).to_contain_text("Your decision is kept here.")
    assert store.verdict(1) is None
    page.unroute("**/verdict")
    panel.get_by_role("button", name="Send again").click()
    expect(query_text(page)).not_to_have_text("close answers")
    assert len(store.verdicts(1)) == 1


def test_rows_that_agree_are_decided_at_once_and_taken_back(
    page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    latest = store.latest(1, "bob")
    assert latest is not None
    store.submit(1, edit((1000, 2040)), annotator="bob", parent_id=latest.id, op_id="b1-again")
    running = serve(store=store)
    opened(page, running)
    page.locator("#review-adoption > button").click()
    page.locator("#adoption-preview").click()
    expect(page.locator("#adoption-rows")).to_contain_text("close answers")
    expect(page.locator("#adoption-line")).to_contain_text("1 row would be decided.")
    page.locator("#adoption-adopt").click()
    expect(page.locator("#adoption-line")).to_contain_text("1 row decided.")
    verdict = store.verdict(1)
    assert verdict is not None
    assert verdict.correction_id == store.versions(1)[0].id
    page.locator("#adoption-undo").click()
    expect(page.locator("#adoption-line")).to_contain_text("1 row is open again")
    assert store.verdict(1) is None


def test_figures_unfold(page: Any, serve: Callable[..., RunningApp], store: Store) -> None:
    running = serve(store=store)
    opened(page, running)
    page.locator("#review-figures > button").click()
    expect(page.locator("#review-annotators th[scope=row]")).to_have_text(["ada", "bob"], timeout=SLOW_MS)
    expect(page.locator("#review-agreement .js-plotly-plot")).to_be_visible(timeout=SLOW_MS)


@pytest.mark.skipif(not axe_path().exists(), reason="needs axe-core, which `make test` fetches")
def test_axe_finds_nothing_serious_on_rows_or_figures(
    page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    running = serve(store=store)
    opened(page, running, 1)
    assert serious_in_either_theme(page) == []
    page.locator("#review-figures > button").click()
    expect(page.locator("#review-agreement .js-plotly-plot")).to_be_visible(timeout=SLOW_MS)
    assert serious_in_either_theme(page) == []


def test_nothing_to_decide_is_said(page: Any, serve: Callable[..., RunningApp], tmp_path: Path) -> None:
    with Store(tmp_path / "empty.sqlite3") as empty:
        running = serve(store=empty)
        page.set_default_timeout(SLOW_MS)
        page.goto(f"{running.url}/review")
        expect(page.locator(".rv-queue h3")).to_have_text("Nothing to decide", timeout=SLOW_MS)
        expect(page.locator("#review")).to_contain_text("Rows come here when two people answered one")


def test_a_fault_of_the_page_does_not_pass_for_a_missing_server(
    profile: Profile, serve: Callable[..., RunningApp], store: Store
) -> None:
    faults: list[str] = []
    running = serve(store=store)
    page = profile.context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)) if CUT_OFF not in str(error) else None)
    page.route("**/review/api/queue*", lambda route: route.fulfill(json={"unheard": "of"}))
    page.goto(f"{running.url}/review")
    line = page.locator(".rv-line")
    expect(line).to_have_text("This page has met a fault of its own. Reload it.", timeout=SLOW_MS)
    assert len(faults) == 1
    page.unroute("**/review/api/queue*")
    page.route("**/review/api/queue*", lambda route: route.abort())
    page.reload()
    expect(line).to_have_text("The server cannot be reached. Reload the page to try again.", timeout=SLOW_MS)
    assert len(faults) == 1
