"""The Annotate page in Chromium: queue, saving, conflicts, and what happens when server or tab go away."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from annotations import tables
from annotations.projects import ProjectPlan
from annotations.records import Correction
from annotations.store import Store
from app.home import open_home
from app.media.library import ClipFacts
from tests.app.annotating import (
    NASTY,
    Bench,
    annotator_with,
    edit_of,
    fill,
    open_bench,
    row,
    serve_until_killed,
    serving,
    until,
)
from tests.app.conftest import Profile
from tests.app.fakes import write_clip
from tests.forkserver import processes_with

sync_api = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.browser]

PATIENCE_MS = 300_000
RTL = "مربع أصفر يعبر الصورة 🟨 שלום"
LONG = "a very long question " * 476


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Four rows on four clips, with awkward words."""
    with open_bench(tmp_path / "home", clips=2, rate=2) as bench:
        texts = ["a square crosses", NASTY, LONG, RTL]
        fill(bench.store, bench.home, [row(k + 1, f"clip-{k}", text) for k, text in enumerate(texts)])
        yield bench


@pytest.fixture
def served(bench: Bench, listener: socket.socket, browser_profiles: list[Profile]) -> Iterator[str]:
    """The address of the page."""
    with serving(bench, listener=listener) as url:
        yield url
        for profile in browser_profiles:
            profile.close_pages()


def sit_down(page: Any, url: str, name: str) -> None:
    """Open the page as an annotator and wait for a row with its clip."""
    page.context.set_extra_http_headers({"x-user": f"{name}/annotator"})
    page.goto(f"{url}/annotate")
    wait_ready(page)


def wait_ready(page: Any) -> None:
    page.wait_for_selector('.tl-root[data-state="ready"]:not(.fl-covered)', timeout=PATIENCE_MS)


def chip(page: Any) -> str:
    return str(page.inner_text(".fl-chip"))


def wait_saved(page: Any) -> None:
    """Until the server has everything. The chip alone does not tell: of a quick save it says nothing, and goes on
    saying that the one before is saved.
    """
    page.wait_for_function(
        """document.querySelector(".tl-root").annotatePage.sync?.status.kind === "saved"
          && /^Saved/.test(document.querySelector(".fl-chip").textContent)""",
        timeout=PATIENCE_MS,
    )


def wait_model(page: Any) -> None:
    page.wait_for_function(
        "document.querySelector('.tl-root').timeline.editor.item?.model", timeout=PATIENCE_MS
    )


def wait_preloaded(page: Any) -> None:
    """The next row's clip has its first picture."""
    page.wait_for_function(
        "document.querySelector('.tl-root').timeline.player.hasPreloaded", timeout=PATIENCE_MS
    )


def shown_query(page: Any) -> int:
    return int(page.evaluate("document.querySelector('.tl-root').timeline.editor.item.query_id"))


def look(page: Any) -> None:
    """Step through the clip, as somebody does who is to judge it."""
    page.keyboard.press("ArrowRight")
    wait_shown(page)


def wait_shown(page: Any) -> None:
    """Until no seek is under way, and it is known which frame is shown: that comes a little later."""
    page.wait_for_function(
        """!document.querySelector(".tl-video").seeking
          && document.querySelector(".tl-root").timeline.state.truth !== null"""
    )


def spans(versions: list[Correction]) -> list[list[tuple[int, int]]]:
    return [[(m.start_ms, m.end_ms) for m in version.edit.moments] for version in versions]


def test_accepting_the_models_moments_of_a_clip_and_going_on_takes_two_keys(
    bench: Bench, served: str, page: Any
) -> None:
    name = annotator_with("original-first")
    sit_down(page, served, name)
    wait_model(page)
    assert shown_query(page) == 1
    look(page)
    keys = ["Shift+Enter", "Control+Enter"]
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_function("document.querySelector('.tl-root').timeline.editor.item?.query_id !== 1")
    wait_saved(page)
    newest = bench.store.versions(1)[0]
    assert len(keys) <= 2
    assert spans([newest]) == [[(1000, 2500)]]
    assert (newest.edit.submitted, newest.edit.arm) == (True, "original-first")
    assert newest.edit.moments[0].start_source == "model"
    assert newest.edit.proposal_id == bench.store.proposals(1)[0].id


def test_a_model_first_row_is_accepted_with_one_key(bench: Bench, served: str, page: Any) -> None:
    sit_down(page, served, annotator_with("model-first"))
    wait_model(page)
    assert page.inner_text(".fl-foot").startswith(
        "small · 1 · clip-0 · no answer in this dataset yet to compare the model with"
    )
    look(page)
    page.keyboard.press("Control+Enter")
    wait_saved(page)
    assert spans(bench.store.versions(1)) == [[(1000, 2500)]]


def test_the_blind_arm_shows_neither_model_nor_original(bench: Bench, served: str, page: Any) -> None:
    sent: list[str] = []
    page.on("response", lambda answer: sent.append(answer.text()) if "/api/queries/1" in answer.url else None)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    name = annotator_with("blind")
    page.context.set_extra_http_headers({"x-user": f"{name}/annotator"})
    page.goto(f"{served}/annotate#q=1")
    wait_ready(page)
    # The next row comes last: by then this one's proposal would have been asked for.
    page.wait_for_function("document.querySelector('.tl-root').annotatePage.ahead?.item", timeout=PATIENCE_MS)
    assert not any("/queries/1/proposal" in url for url in requests)
    assert sent
    assert all('"model":null' in text and '"moments":[]' in text for text in sent)
    assert not any("0.87" in text or "fake-engine" in text for text in sent)
    assert page.locator(".tl-ghost").count() == 0
    assert "hidden until you submit" in page.inner_text(".tl-head")
    page.set_viewport_size({"width": 390, "height": 844})  # the sentence is longer than a phone is wide
    assert (
        page.evaluate("document.querySelector('.tl-chip[data-kind=blind]').getBoundingClientRect().right")
        <= 390
    )


def test_the_next_row_is_usable_at_once_when_it_was_prefetched(bench: Bench, served: str, page: Any) -> None:
    sit_down(page, served, annotator_with("original-first"))
    wait_preloaded(page)
    before = shown_query(page)
    look(page)
    page.route("**/annotate/api/**", lambda route: route.abort())  # what is shown now was there already
    page.evaluate("document.querySelector('.tl-root').timeline.submit()")
    page.wait_for_function(
        f"""(() => {{
          const root = document.querySelector(".tl-root");
          return root.timeline.editor.item?.query_id !== {before}
            && root.dataset.state === "ready" && root.querySelector(".tl-video").readyState >= 2;
        }})()""",
        timeout=PATIENCE_MS,
    )
    page.unroute("**/annotate/api/**")
    wait_saved(page)


PICTURE = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
  const context = canvas.getContext("2d");
  context.drawImage(document.querySelector(".tl-video"), 0, 0, 8, 8);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


def test_the_next_clip_is_there_before_it_is_asked_for_and_nothing_of_its_row_is_recorded(
    bench: Bench, served: str, page: Any
) -> None:
    sit_down(page, served, "ada")
    wait_preloaded(page)
    ahead = page.evaluate("document.querySelector('.tl-root').annotatePage.ahead.item.edit")
    next_id, moments = ahead["query_id"], ahead["original"]["moments"]
    row = bench.store.annotator_row(next_id, "ada")
    assert (row.arm, row.heads) == (None, [])
    with bench.store.database.read() as connection:
        lent = connection.execute(select(tables.assignments.c.query_id)).scalars().all()
    assert lent == [shown_query(page)]
    assert page.locator("video").count() == 3, "the clip, the next one, and the loupe's"
    before = page.evaluate(PICTURE)
    look(page)
    page.route("**/media/**", lambda route: route.abort())
    page.keyboard.press("Control+Enter")
    page.wait_for_function(f"document.querySelector('.tl-root').timeline.editor.item.query_id === {next_id}")
    wait_shown(page)
    after = page.evaluate(PICTURE)
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) > 10, (before, after)
    state = page.evaluate(
        "(({ truth, playhead_s }) => [truth, playhead_s])(document.querySelector('.tl-root').timeline.state)"
    )
    assert state == ["exact", moments[0]["start_ms"] / 1000 if moments else 0]
    stored = until(lambda: bench.store.annotator_row(next_id, "ada"), lambda row: row.arm is not None)
    assert stored.arm == ahead["arm"]


def test_one_key_submits_and_loops_the_first_moment_of_the_next_row(
    bench: Bench, served: str, page: Any
) -> None:
    name = annotator_with("original-first")
    sit_down(page, served, name)
    wait_preloaded(page)
    first = shown_query(page)
    look(page)
    page.keyboard.press("Alt+Shift+Enter")
    page.wait_for_function(
        f"""(({{ editor, player }}) => editor.item.query_id !== {first} && player.playing && player.range.loop)(
          document.querySelector(".tl-root").timeline)"""
    )
    wait_saved(page)
    assert bench.store.annotator_row(first, name).heads[-1].submitted


def test_a_submission_in_the_moment_that_the_clip_begins_to_play_is_refused(
    bench: Bench, served: str, page: Any
) -> None:
    sit_down(page, served, annotator_with("original-first"))
    first = shown_query(page)
    chord = {"key": "Enter", "ctrlKey": True, "bubbles": True}
    says = page.evaluate(
        """async (chord) => {
          const { timeline } = document.querySelector(".tl-root");
          const begins = new Promise((resolve) => timeline.player.on("play", resolve));
          timeline.player.play();
          await begins;
          timeline.player.pause();
          document.activeElement.dispatchEvent(new KeyboardEvent("keydown", chord));
          return document.querySelector(".tl-says").textContent;
        }""",
        chord,
    )
    assert says.startswith("Nothing of the clip was shown yet")
    assert shown_query(page) == first


def test_a_key_that_is_held_submits_one_row(bench: Bench, served: str, page: Any) -> None:
    name = annotator_with("original-first")
    sit_down(page, served, name)
    wait_preloaded(page)
    timeline = "document.querySelector('.tl-root').timeline"
    first = shown_query(page)
    look(page)
    page.keyboard.down("Alt")
    page.keyboard.down("Shift")
    page.keyboard.down("Enter")
    page.wait_for_function(f"{timeline}.editor.item?.query_id !== {first} && {timeline}.player.playing")
    second = shown_query(page)
    page.wait_for_function(f"{timeline}.player.video.currentTime > {timeline}.player.range.start_s + 0.3")
    for _ in range(20):
        page.keyboard.down("Enter")  # again and again, as a held key comes
    assert shown_query(page) == second
    for key in ("Enter", "Shift", "Alt"):
        page.keyboard.up(key)
    wait_saved(page)
    assert not bench.store.annotator_row(second, name).heads


def test_an_edge_that_was_looped_is_looped_in_the_next_row_too(served: str, page: Any) -> None:
    sit_down(page, served, annotator_with("original-first"))
    wait_preloaded(page)
    timeline = "document.querySelector('.tl-root').timeline"
    first = shown_query(page)
    look(page)
    page.keyboard.press("Alt+Shift+Enter")
    page.wait_for_function(f"{timeline}.editor.item?.query_id !== {first} && {timeline}.player.playing")
    second = shown_query(page)
    wait_preloaded(page)
    page.keyboard.press("]")
    end_ms = page.evaluate(f"{timeline}.editor.moments[0].end_ms")
    assert page.evaluate(f"{timeline}.player.range.start_s") * 1000 == max(0, end_ms - 1000)
    wait_preloaded(page)
    opening_s = page.evaluate("document.querySelector('.tl-ahead').currentTime")
    page.keyboard.press("Alt+Shift+Enter")
    page.wait_for_function(
        f"![{first}, {second}, undefined].includes({timeline}.editor.item?.query_id) && {timeline}.player.playing"
    )
    moment, selection, start_s = page.evaluate(
        f"(({{ editor, player }}) => [editor.moments[0], editor.selection, player.range.start_s])({timeline})"
    )
    assert selection == {"id": moment["id"], "edge": "end", "lane": "mine"}
    assert page.evaluate("document.activeElement.dataset.edge") == "end"
    assert start_s * 1000 == max(0, moment["end_ms"] - 1000)
    assert opening_s == pytest.approx(start_s, abs=0.1), "its first picture was there before"  # ten a second


def test_the_wish_for_a_loop_is_for_the_next_row_alone(bench: Bench, served: str, page: Any) -> None:
    sit_down(page, served, annotator_with("blind"))
    wait_preloaded(page)
    first = shown_query(page)
    look(page)
    page.keyboard.press("n")
    page.keyboard.press("Alt+Shift+Enter")
    timeline = "document.querySelector('.tl-root').timeline"
    waits = "document.querySelector('.tl-doing').textContent === 'A new moment loops · Esc stops'"
    page.wait_for_function(f"{timeline}.editor.item?.query_id !== {first} && {waits}")
    second = shown_query(page)
    page.keyboard.press("n")
    assert page.evaluate(f"{timeline}.player.range.loop")
    page.keyboard.press("Alt+Shift+Enter")
    page.wait_for_function(
        f"![{first}, {second}, undefined].includes({timeline}.editor.item?.query_id) && {waits}"
    )
    page.keyboard.press("Control+Shift+Enter")  # back to a row that has a moment
    page.wait_for_function(f"{timeline}.editor.item?.query_id === {second}")
    wait_ready(page)
    wait_shown(page)
    assert page.evaluate(f"{timeline}.editor.moments.length") == 1
    assert page.evaluate(f"[{timeline}.player.going, {timeline}.player.range]") == [False, None]


def test_a_row_that_somebody_else_got_meanwhile_gives_way_to_the_next(
    bench: Bench, served: str, page: Any
) -> None:
    bench.service.reviews_wanted = 1
    sit_down(page, served, "ada")
    wait_preloaded(page)
    ahead_id = page.evaluate("document.querySelector('.tl-root').annotatePage.ahead.item.edit.query_id")
    lent = bench.store.next_query("bo", op_id="bo", excluding=[shown_query(page)])
    assert lent is not None
    assert lent.query_id == ahead_id
    first = shown_query(page)
    look(page)
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        f"![{first}, {ahead_id}].includes(document.querySelector('.tl-root').timeline.editor.item?.query_id)",
        timeout=PATIENCE_MS,
    )
    wait_ready(page)
    assert bench.store.annotator_row(ahead_id, "ada").arm is None


def test_a_clip_that_was_loaded_ahead_is_given_up_by_whoever_goes_back(
    bench: Bench, served: str, page: Any
) -> None:
    sit_down(page, served, "ada")
    first = shown_query(page)
    page.keyboard.press("Shift+N")
    page.wait_for_function(f"document.querySelector('.tl-root').timeline.editor.item?.query_id !== {first}")
    wait_preloaded(page)
    page.keyboard.press("Control+Shift+Enter")
    page.wait_for_function(f"document.querySelector('.tl-root').timeline.editor.item?.query_id === {first}")
    assert not page.evaluate("document.querySelector('.tl-ahead').hasAttribute('src')")


def test_the_page_says_that_the_next_clip_is_being_prepared(bench: Bench, served: str, page: Any) -> None:
    may_end = threading.Event()
    media = bench.service.dataset_clips.media
    prepare = media._prepare

    def prepare_slowly(source: Path, folder: Path, **parts: Any) -> ClipFacts:
        assert source.stem == first_vid or may_end.wait(300)
        return prepare(source, folder, **parts)

    first_vid = bench.store.query(1).row.vid
    media._prepare = prepare_slowly
    page.context.set_extra_http_headers({"x-user": "ada/annotator"})
    page.goto(f"{served}/annotate#q=1")
    wait_ready(page)
    page.wait_for_function(
        "/^Next row: .*clip/.test(document.querySelector('.fl-next').textContent)", timeout=PATIENCE_MS
    )
    assert page.locator(".tl-ahead").count() == 0
    may_end.set()
    wait_preloaded(page)
    assert page.inner_text(".fl-next") == ""


def test_shot_changes_come_after_their_clip(bench: Bench, served: str, page: Any) -> None:
    may_end = threading.Event()

    def find_shots(clip: Path, facts: ClipFacts, *, cancel: threading.Event) -> list[int]:
        assert may_end.wait(300)
        return [1500]

    bench.service.dataset_clips._find_shots = find_shots
    sit_down(page, served, annotator_with("original-first"))
    assert page.evaluate("document.querySelector('.tl-root').timeline.editor.item.shots_ms") == []
    may_end.set()
    shots = "document.querySelector('.tl-root').timeline.snaps.filter(({ kind }) => kind === 'shot')"
    page.wait_for_function(f"{shots}.length === 1", timeout=PATIENCE_MS)
    page.keyboard.press("c")
    wait_shown(page)
    assert page.evaluate("document.querySelector('.tl-root').timeline.state.playhead_s") == pytest.approx(
        1.5, abs=0.1
    )


def test_any_text_is_shown_as_text(bench: Bench, served: str, page: Any) -> None:
    sit_down(page, served, "ada")
    for query_id, text in ((2, NASTY), (3, LONG), (4, RTL)):
        page.goto("about:blank")
        page.goto(f"{served}/annotate#q={query_id}")
        wait_ready(page)
        assert page.inner_text(".tl-query").strip() == text.strip()
        assert page.locator(".tl-query").get_attribute("dir") == "auto"
        assert page.locator(".tl-root img[src=x]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")


def test_edits_survive_a_reload_while_the_server_is_away(bench: Bench, served: str, page: Any) -> None:
    sit_down(page, served, annotator_with("original-first"))
    page.context.set_offline(True)
    page.keyboard.press("]")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "/^Offline, 3 edits kept here/.test(document.querySelector('.fl-chip').textContent)"
    )
    assert bench.store.corrections(1) == []
    page.route("**/edits", lambda route: route.abort())
    page.context.set_offline(False)
    page.reload()
    wait_ready(page)
    page.wait_for_function("/3 edits kept here/.test(document.querySelector('.fl-chip').textContent)")
    assert page.evaluate("document.querySelector('.tl-root').timeline.editor.moments[0].end_ms") == 2300
    page.keyboard.press("Control+z")  # undo goes on where it was
    assert page.evaluate("document.querySelector('.tl-root').timeline.editor.moments[0].end_ms") == 2200
    page.unroute("**/edits")
    wait_saved(page)
    ends = [correction.edit.moments[0].end_ms for correction in bench.store.corrections(1)]
    assert ends == [2100, 2200, 2300, 2200]


def test_a_closed_tabs_edits_are_sent_by_the_next_one(bench: Bench, served: str, page: Any) -> None:
    name = annotator_with("original-first")
    page.route("**/edits", lambda route: route.abort())
    sit_down(page, served, name)
    page.keyboard.press("f")
    page.wait_for_function("/1 edit kept here/.test(document.querySelector('.fl-chip').textContent)")
    other = page.context.new_page()
    page.close()
    # An open tab sends its own edits; the browser knows a little later that this one is closed.
    other.goto(f"{served}/ui-assets/address.js")
    other.wait_for_function("async () => (await navigator.locks.query()).held.length === 0")
    sit_down(other, served, name)
    wait_saved(other)
    assert len(bench.store.corrections(1)) == 1


def test_the_second_browser_sees_both_versions(bench: Bench, served: str, page: Any, chromium: Any) -> None:
    name = annotator_with("original-first")
    sit_down(page, served, name)
    context = chromium.new_context()
    other = context.new_page()
    other.set_default_timeout(PATIENCE_MS)
    sit_down(other, served, name)
    other.goto("about:blank")
    other.goto(f"{served}/annotate#q=1")
    wait_ready(other)
    page.keyboard.press("]")
    page.keyboard.press("ArrowRight")
    wait_saved(page)
    other.keyboard.press("[")
    other.keyboard.press("ArrowLeft")
    other.wait_for_selector(".fl-conflict[open]", timeout=PATIENCE_MS)
    assert spans(bench.store.corrections(1)) == [[(1000, 2100)]]
    cells = [cell.inner_text() for cell in other.locator(".fl-diff tr").nth(2).locator("td").all()]
    assert cells == ["0:00.90 – 0:02.00", "0:01.00 – 0:02.10"]
    other.keyboard.press("Escape")
    assert other.locator(".fl-conflict[open]").count() == 1
    other.click("text=Keep mine")
    wait_saved(other)
    assert spans(bench.store.corrections(1)) == [[(1000, 2100)], [(900, 2000)]]
    wait_shown(other)
    other.keyboard.press("Control+Enter")
    other.wait_for_function("document.querySelector('.tl-root').timeline.editor.item?.query_id !== 1")
    newest = until(lambda: bench.store.corrections(1)[-1], lambda version: version.edit.submitted)
    assert spans([newest]) == [[(900, 2000)]]
    context.close()


def test_theirs_can_be_taken(bench: Bench, served: str, page: Any) -> None:
    name = annotator_with("original-first")
    sit_down(page, served, name)
    assert bench.save(1, edit_of((300, 3000)), who=f"{name}/annotator").status_code == 200
    page.keyboard.press("f")
    page.wait_for_selector(".fl-conflict[open]", timeout=PATIENCE_MS)
    page.click("text=Take theirs")
    page.wait_for_function("document.querySelector('.tl-root').timeline.editor.moments[0]?.start_ms === 300")
    page.keyboard.press("]")
    page.keyboard.press("ArrowRight")
    wait_saved(page)
    assert spans(bench.store.corrections(1)) == [[(300, 3000)], [(300, 3100)]]


def test_the_moments_of_both_windows_can_be_kept(bench: Bench, served: str, page: Any) -> None:
    name = annotator_with("original-first")
    sit_down(page, served, name)
    assert bench.save(1, edit_of((300, 900), (1500, 3000)), who=f"{name}/annotator").status_code == 200
    page.keyboard.press("f")
    page.wait_for_selector(".fl-conflict[open]", timeout=PATIENCE_MS)
    page.click("text=Keep the moments of both")
    page.wait_for_function("document.querySelector('.tl-root').timeline.editor.moments.length === 2")
    wait_saved(page)
    newest = until(lambda: bench.store.corrections(1), lambda versions: len(versions) == 2)[-1]
    assert spans([newest]) == [[(300, 900), (1000, 3000)]]
    assert newest.edit.flagged


def test_a_row_of_which_nothing_was_shown_is_not_submitted(bench: Bench, served: str, page: Any) -> None:
    sit_down(page, served, annotator_with("original-first"))
    wait_model(page)  # or its coming would be said in the place of what is waited for
    # The words stay for a few seconds only, in which a busy machine may not look.
    page.evaluate(
        """() => {
          const line = document.querySelector(".tl-status");
          window.said = "";
          new MutationObserver(() => (window.said += line.textContent))
            .observe(line, { childList: true, characterData: true, subtree: true });
        }"""
    )
    page.keyboard.press("Control+Enter")
    page.wait_for_function("/Nothing of the clip was shown yet/.test(window.said)")
    assert bench.store.corrections(1) == []
    look(page)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("document.querySelector('.tl-root').timeline.editor.item?.query_id !== 1")
    wait_saved(page)
    assert [version.edit.submitted for version in bench.store.corrections(1)] == [True]


def test_what_the_server_fails_at_is_tried_three_times_and_holds_nothing_else_up(
    bench: Bench, served: str, page: Any
) -> None:
    sit_down(page, served, annotator_with("original-first"))
    attempts: list[str] = []

    def fail(route: Any) -> None:
        attempts.append(route.request.url)
        route.fulfill(status=500, json={"error": "Something went wrong on the server."})

    page.route("**/queries/1/edits", fail)
    page.keyboard.press("f")
    page.wait_for_function(
        "/^The server failed, 1 edit kept here/.test(document.querySelector('.fl-chip').textContent)"
    )
    assert len(attempts) == 3
    page.click(".fl-bar >> text=Skip")
    page.wait_for_function("document.querySelector('.tl-root').timeline.editor.item?.query_id !== 1")
    second = shown_query(page)
    page.keyboard.press("f")
    until(lambda: bench.store.corrections(second), bool)
    assert (len(attempts), bench.store.corrections(1)) == (3, [])
    page.unroute("**/queries/1/edits")
    page.click(".fl-chip")
    wait_saved(page)
    assert [version.edit.flagged for version in bench.store.corrections(1)] == [True]


@pytest.mark.parametrize(
    ("status", "words", "is_retried"),
    [
        (400, "Not saved: No, thank you.", False),
        (401, "Signed out, 1 edit kept here · retry now", True),
        (403, "Not allowed, 1 edit kept here · retry now", True),
        (413, "Not saved: No, thank you.", False),
        (429, "The server is busy, 1 edit kept here · retry now", True),
        (500, "The server failed, 1 edit kept here · retry now", True),
        (502, "The server is busy, 1 edit kept here · retry now", True),
        (503, "The server is busy, 1 edit kept here · retry now", True),
        (504, "The server is busy, 1 edit kept here · retry now", True),
        (507, "The server is full, 1 edit kept here · retry now", True),
    ],
)
def test_the_chip_says_what_kept_an_edit_from_being_saved(
    bench: Bench, served: str, page: Any, status: int, words: str, is_retried: bool
) -> None:
    sit_down(page, served, annotator_with("original-first"))
    page.route("**/edits", lambda route: route.fulfill(status=status, json={"error": "No, thank you."}))
    page.keyboard.press("f")
    sync_api.expect(page.locator(".fl-chip")).to_have_text(words, timeout=PATIENCE_MS)
    assert page.get_attribute(".fl-chip", "title") == "No, thank you."
    alarm, colour, cursor = page.evaluate(
        """() => {
          const chip = document.querySelector(".fl-chip");
          const probe = document.createElement("i");
          probe.style.color = "var(--tl-alarm)";
          chip.after(probe);
          const colours = [getComputedStyle(probe).color, getComputedStyle(chip).color];
          probe.remove();
          return [...colours, getComputedStyle(chip).cursor];
        }"""
    )
    assert (colour, cursor == "pointer") == (alarm, is_retried)
    page.unroute("**/edits")
    if is_retried:
        page.click(".fl-chip")
        wait_saved(page)
    assert len(bench.store.corrections(1)) == int(is_retried)


def test_a_comment_that_was_typed_survives_escape(bench: Bench, served: str, page: Any) -> None:
    sit_down(page, served, annotator_with("original-first"))
    page.keyboard.press("q")
    page.get_by_role("textbox", name="Comment").fill("the dog leaves earlier")
    page.keyboard.press("Escape")
    wait_saved(page)
    assert until(lambda: bench.store.corrections(1), bool)[0].edit.note == "the dog leaves earlier"
    page.keyboard.press("q")
    page.get_by_role("textbox", name="Comment").fill("something else")
    page.click("text=Leave as it was")
    page.keyboard.press("q")
    assert page.get_by_role("textbox", name="Comment").input_value() == "the dog leaves earlier"


@pytest.mark.parametrize("name", ["kinetics_flipping_a_pancake.mkv", "charades_3MSZA.mp4"])
def test_an_edge_on_a_real_clip_is_stored_where_a_frame_begins(
    tmp_path: Path, shared_data: Path, page: Any, name: str
) -> None:
    with open_bench(tmp_path / "home", real=True) as bench, serving(bench) as url:
        bench.store.import_rows([row(1, "real", duration_s=None)], dataset="real", op_id="r")
        file = shared_data / "videos" / name
        (bench.home.videos / f"real{file.suffix}").write_bytes(file.read_bytes())
        sit_down(page, url, annotator_with("original-first"))
        page.keyboard.press("]")
        page.keyboard.press("ArrowRight")
        wait_saved(page)
        ready = bench.service.dataset_clips.look("real").ready
        assert ready is not None
        end_ms = bench.store.corrections(1)[0].edit.moments[0].end_ms
        frame = round(end_ms * ready.frame_rate / 1000)
        assert end_ms == pytest.approx(frame * 1000 / ready.frame_rate, abs=0.51)
        assert 2000 < end_ms <= 2000 + 2 * 1000 / ready.frame_rate
        assert len(ready.clip.strip_path.read_bytes()) > 1000


def test_skip_and_previous_lead_there_and_back(bench: Bench, served: str, page: Any) -> None:
    sit_down(page, served, "ada")
    first = shown_query(page)
    page.click(".fl-bar >> text=Skip")
    page.wait_for_function(f"document.querySelector('.tl-root').timeline.editor.item?.query_id !== {first}")
    wait_ready(page)
    page.keyboard.press("Control+Shift+Enter")
    page.wait_for_function(f"document.querySelector('.tl-root').timeline.editor.item?.query_id === {first}")


def test_going_back_keeps_what_was_done_to_the_row_one_came_from(
    bench: Bench, served: str, page: Any
) -> None:
    sit_down(page, served, "ada")
    first = shown_query(page)
    page.click(".fl-bar >> text=Skip")
    page.wait_for_function(f"document.querySelector('.tl-root').timeline.editor.item?.query_id !== {first}")
    wait_ready(page)
    second = shown_query(page)
    page.keyboard.press("f")
    wait_saved(page)
    for way, there in (("Previous", first), ("Skip", second)):
        page.click(f".fl-bar >> text={way}")
        page.wait_for_function(
            f"document.querySelector('.tl-root').timeline.editor.item?.query_id === {there}"
        )
        wait_ready(page)
    assert page.evaluate("document.querySelector('.tl-root').timeline.editor.doc.flagged") is True
    page.keyboard.press("f")
    wait_saved(page)
    until(lambda: len(bench.store.corrections(second)), lambda count: count == 2)
    assert [correction.edit.flagged for correction in bench.store.corrections(second)] == [True, False]


def test_a_refusal_needs_a_reason_and_is_stored(bench: Bench, served: str, page: Any) -> None:
    sit_down(page, served, annotator_with("original-first"))
    page.click("text=No matching moment")
    page.keyboard.press("1")
    page.wait_for_selector('[data-verdict="no-moment"][aria-checked="true"]')
    look(page)
    page.keyboard.press("Control+Enter")
    wait_saved(page)
    edit = until(lambda: bench.store.versions(1), bool)[0].edit
    assert (edit.verdict, edit.reason, edit.moments) == ("no-moment", "event absent", ())


def test_the_end_of_the_queue_and_a_missing_clip_are_said_calmly(
    bench: Bench, served: str, page: Any
) -> None:
    bench.store.archive("small", op_id="gone", actor="test")
    bench.store.import_rows([row(9, "lost")], dataset="other", op_id="o")
    page.context.set_extra_http_headers({"x-user": "ada/annotator"})
    page.goto(f"{served}/annotate")
    page.wait_for_selector("text=lost.mp4", timeout=PATIENCE_MS)
    assert "the folder videos of TEMPO_HOME" in page.inner_text(".tl-stage-note")
    page.click(".fl-bar >> text=Skip")
    page.wait_for_selector("text=Nothing left in the queue")
    assert "1 skipped in this session" in page.inner_text(".fl-card")


def test_a_project_shows_its_guidelines_and_ends(bench: Bench, served: str, page: Any) -> None:
    plan = ProjectPlan(name="week one", qids=("2",), people=("ada",), guidelines=f"Mind the ends. {NASTY}")
    bench.store.add_project(plan, op_id="plan", actor="lead")
    sit_down(page, served, "ada")
    assert shown_query(page) == 2
    assert page.inner_text(".fl-guide summary") == "Guidelines of week one"
    assert page.inner_text(".fl-guide-text") == f"Mind the ends. {NASTY}"
    assert page.inner_text(".fl-progress") == "week one · 0 done · 1 left"
    page.click(".fl-guide summary")
    page.wait_for_function("localStorage.getItem('tempo-guidelines-closed')")  # it is kept after it is closed
    page.reload()
    wait_ready(page)
    assert not page.is_visible(".fl-guide-text"), "closed in this browser"
    look(page)
    page.keyboard.press("n")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=Nothing left for you in week one", timeout=PATIENCE_MS)


def test_look_again_opens_a_clip_that_was_just_put_there(bench: Bench, served: str, page: Any) -> None:
    bench.store.import_rows([row(9, "lost_0.0_4.0")], dataset="other", op_id="o")
    query_id = bench.store.find("other", 9).id
    page.context.set_extra_http_headers({"x-user": "ada/annotator"})
    page.goto(f"{served}/annotate#q={query_id}")
    page.wait_for_selector("text=videos cut FOLDER", timeout=PATIENCE_MS)
    write_clip(bench.home.videos / "lost_0.0_4.0.mp4", hue=90)
    page.click(".tl-stage .fl-look")  # beside the words that say what is missing
    wait_ready(page)
    assert shown_query(page) == query_id
    assert not page.is_visible(".fl-look")


def test_first_run_makes_and_removes_the_sample_project(tmp_path: Path, page: Any) -> None:
    with open_bench(tmp_path / "home", clips=2, rate=2) as bench, serving(bench) as url:
        page.context.set_extra_http_headers({"x-user": "ruth/researcher"})
        page.goto(f"{url}/annotate")
        page.click("text=Make the sample project")
        wait_ready(page)
        assert page.inner_text(".fl-foot").startswith("sample")
        page.click("text=Remove the sample project")
        page.wait_for_selector("text=Start with a sample project", timeout=PATIENCE_MS)
        assert bench.store.queue() == []


def test_fifty_edits_survive_a_killed_server(tmp_path: Path, page: Any) -> None:
    home, name = open_home(tmp_path / "home"), annotator_with("original-first")
    with Store(home.database) as store:
        fill(store, home, [row(1, "clip")])
    port = free_port()
    server = start_server(home.root, port)
    try:
        sit_down(page, f"http://127.0.0.1:{port}", name)
        page.keyboard.press("]")
        for number in range(50):
            page.keyboard.press("ArrowLeft" if number % 2 else "ArrowRight")
            if number == 20:
                stop_server(server)
        page.wait_for_function(
            "/^Offline, \\d+ edits kept here/.test(document.querySelector('.fl-chip').textContent)"
        )
        row_count = int(re.findall(r"\d+", chip(page))[0])
        server = start_server(home.root, port)
        wait_saved(page)
    finally:
        stop_server(server)
    with Store(home.database) as store:
        versions = store.corrections(1)
    assert [version.edit.moments[0].end_ms for version in versions] == [
        2100 - 100 * (k % 2) for k in range(50)
    ]
    assert [version.revision for version in versions] == list(range(1, 51))
    assert [version.parent_id for version in versions] == [None, *(version.id for version in versions[:-1])]
    assert row_count >= 29


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def start_server(folder: Path, port: int) -> BaseProcess:
    """The page in a process of its own, which can be killed; the second one has everything imported."""
    processes = processes_with(serve_until_killed.__module__)
    serves = processes.Event()
    server = processes.Process(target=serve_until_killed, args=(folder, port, serves))
    server.start()
    until(lambda: serves.is_set() or not server.is_alive(), bool)
    assert serves.is_set(), "the server ended while starting"
    return server


def stop_server(server: BaseProcess) -> None:
    """SIGKILL: nothing is tidied up."""
    server.kill()
    server.join()


def test_the_page_works_inside_gradio(serve: Callable[..., Any], tmp_path: Path, page: Any) -> None:
    with Store(tmp_path / "store.sqlite3") as store:
        running = serve(store=store)
        fill(store, running.home, [row(1, "clip"), row(2, "clip", NASTY)])
        page.goto(f"{running.url}/annotate")
        wait_ready(page)
        assert page.locator("nav a, nav button").filter(has_text="Ground").count() >= 1
        page.keyboard.press("f")
        wait_saved(page)
        assert len(store.corrections(shown_query(page))) == 1


def test_a_visitor_gets_a_card_and_no_page(serve: Callable[..., Any], tmp_path: Path, page: Any) -> None:
    with Store(tmp_path / "store.sqlite3") as store:
        running = serve(store=store, anonymous=True)
        answer = page.goto(f"{running.url}/annotate")
        assert answer.status == 403
        assert "Annotate needs the role annotator" in page.inner_text("main")
        assert "gradio" not in page.content()


def fill_storage(page: Any, *, is_full: bool) -> None:
    """As if the browser had no room for edits, or had it again."""
    page.evaluate(
        """(is_full) => {
          window.realPut ??= IDBObjectStore.prototype.put;
          IDBObjectStore.prototype.put = is_full
            ? function () { this.transaction.abort(); throw new DOMException("full", "QuotaExceededError"); }
            : window.realPut;
        }""",
        is_full,
    )


def test_edits_that_the_browser_has_no_room_for_are_told_and_sent(
    bench: Bench, served: str, page: Any
) -> None:
    sit_down(page, served, annotator_with("original-first"))
    page.route("**/edits", lambda route: route.abort())
    fill_storage(page, is_full=True)
    page.keyboard.press("]")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "/^Offline, 1 edit kept in this tab/.test(document.querySelector('.fl-chip').textContent)"
    )
    assert "leave the page open" in page.get_attribute(".fl-chip", "title")
    # Leaving asks first: the edit would be gone.
    with page.expect_event("dialog") as question:
        page.evaluate("void setTimeout(() => location.reload())")
    assert question.value.type == "beforeunload"
    question.value.dismiss()
    # With room again, the next edit stores both.
    fill_storage(page, is_full=False)
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "/^Offline, 2 edits kept here/.test(document.querySelector('.fl-chip').textContent)"
    )
    page.unroute("**/edits")
    wait_saved(page)
    assert [spans([version]) for version in bench.store.corrections(1)] == [
        [[(1000, 2100)]],
        [[(1000, 2200)]],
    ]


def test_edits_are_sent_though_the_browser_stores_nothing(bench: Bench, served: str, page: Any) -> None:
    sit_down(page, served, annotator_with("original-first"))
    fill_storage(page, is_full=True)
    page.keyboard.press("]")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    until(lambda: len(bench.store.corrections(1)), lambda count: count == 3)
    wait_saved(page)
    with page.expect_event("load"):
        page.evaluate("void setTimeout(() => location.reload())")  # nothing waits: it does not ask
    wait_ready(page)


def test_saving_goes_on_after_the_sites_data_was_cleared(bench: Bench, served: str, page: Any) -> None:
    sit_down(page, served, annotator_with("original-first"))
    page.keyboard.press("]")
    page.keyboard.press("ArrowRight")
    wait_saved(page)
    page.evaluate(
        """() => new Promise((resolve) => (indexedDB.deleteDatabase("tempo-annotate").onsuccess = resolve))"""
    )
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    until(lambda: len(bench.store.corrections(1)), lambda count: count == 3)
    wait_saved(page)


def test_choices_hold_though_the_browser_has_no_room_for_them(bench: Bench, served: str, page: Any) -> None:
    page.add_init_script(
        "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };"
    )
    sit_down(page, served, annotator_with("original-first"))
    layouts = []
    for _ in range(2):
        layouts.append(page.get_attribute(".tl-root", "data-layout"))
        page.evaluate("document.querySelector('.tl-root').timeline.layout.cycle()")
    assert layouts[0] != layouts[1]
    assert page.evaluate("document.querySelector('.tl-root').timeline.layout.storage.getItem('tempo.layout')")
