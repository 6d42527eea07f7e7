"""What the workbench shows of every kind of item, and what it tells the page around it."""

import pytest
from playwright.sync_api import Browser, expect

from tests.app.edit_bench import Bench

pytestmark = pytest.mark.browser

expect.set_options(timeout=15_000)  # a busy machine is slow, not wrong


@pytest.mark.parametrize("name", ["blind", "waiting", "refused", "empty"])
def test_every_kind_of_item_says_what_it_is(chromium: Browser, address: str, name: str) -> None:
    bench = Bench(chromium, address, f"item={name}")
    model = bench.page.locator("[data-lane=model]")
    original = bench.page.locator("[data-lane=original]")
    if name == "blind":
        expect(model).to_contain_text("Hidden until you submit")
        expect(original).to_contain_text("Hidden until you submit")
        assert bench.times() == []
        bench.press("2", "v", "Shift+Enter")
        expect(bench.page.locator(".tl-says")).to_contain_text("hidden until you submit")
        assert bench.commits() == []
    elif name == "waiting":
        expect(model).to_contain_text("not there yet")
        assert len(bench.times()) == 2
    elif name == "refused":
        expect(model).to_contain_text("No matching moment")
        bench.press("Shift+Enter", "Control+Enter")
        assert bench.run("submits[0].verdict") == "no-moment"
    else:
        expect(original).to_contain_text("No matching moment")
    assert bench.faults == []
    bench.context.close()


def test_words_of_strangers_are_shown_as_words(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, "item=hostile")
    assert bench.page.locator(".tl-query").evaluate("(n) => n.textContent") == bench.run(
        "view.editor.item.query"
    )
    assert bench.run("document.body.dataset.hit ?? null") is None
    assert bench.page.locator(".tl-root img").count() == 0
    bench.context.close()


def test_review_shows_everybody(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, "item=reviewed&mode=review")
    assert bench.page.locator(".tl-other").count() == 2
    bench.page.mouse.move(*bench.x(3.0, "other-2"))
    expect(bench.page.locator(".tl-tip")).to_contain_text("grace")
    bench.run("view.editor.apply({ type: 'adopt', moments: view.editor.item.others[1].moments })")
    assert bench.times() == [[2400, 4400]]
    bench.context.close()


def test_a_page_may_ask_why_itself_and_hears_where_to_go(bench: Bench) -> None:
    bench.run(
        """(() => { window.heard = [];
        document.addEventListener("tl-ask", (event) => (event.preventDefault(), heard.push(event.type)));
        for (const name of ["tl-previous", "tl-skip"])
          document.addEventListener(name, (event) => heard.push(event.type)); })()"""
    )
    bench.press("0", "Control+Shift+Enter")
    bench.run("view.skip()")
    assert bench.run("heard") == ["tl-ask", "tl-previous", "tl-skip"]
    expect(bench.page.get_by_role("dialog")).to_have_count(0)


def test_an_item_can_be_closed(bench: Bench) -> None:
    bench.run("view.load(null)")
    bench.settle_nothing()
    bench.page.keyboard.press("n")
    bench.run("view.actions.add()")
    assert bench.times() == []
    assert bench.page.locator(".tl-own").count() == 0
    assert bench.commits() == []


def test_the_buttons_under_the_picture_do_what_they_say(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, "item=unanswered")
    bench.page.get_by_role("button", name="Next moment (Down)").click()
    bench.settle()
    assert (bench.run("view.editor.selection.id"), bench.number()) == (2, 150)
    bench.page.get_by_role("button", name="Previous moment (Up)").click()
    bench.settle()
    assert (bench.run("view.editor.selection.id"), bench.number()) == (1, 50)
    bench.page.get_by_role("button", name="Fit the whole clip (Z goes round)").click()
    bench.run("view.focusTimeline()")
    rate = bench.page.get_by_label("Playback speed")
    for keys, speed in (("ll", "1.5"), ("j", "1"), ("jj", "0.25"), ("kg", "2")):
        for key in keys:
            bench.page.keyboard.press(key)
        expect(rate).to_have_value(speed)
    bench.context.close()


def test_nothing_moves_on_the_page_when_the_proposal_comes(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, "item=coming")
    late = "(([model, frames]) => (view.update({ ...view.state.value, frames }), view.setModel(model)))"
    given = bench.page.evaluate(
        """async () => { const { edit, frames } = await (await fetch("/items/ready")).json();
        return [edit.model, frames]; }"""
    )
    tops = """[...document.querySelectorAll(".tl-lane:not([hidden])")]
      .map((row) => [row.dataset.row, row.getBoundingClientRect().top])"""
    before = bench.run(tops)
    expect(bench.page.locator("[data-row=tokens] .tl-note")).to_have_text("not there yet")
    bench.press("]")
    bench.page.evaluate(late, given)
    bench.settle()
    assert bench.run(tops) == before
    assert bench.times() == [[2000, 4000], [6000, 8000]]
    expect(bench.page.locator(".tl-says")).to_have_text(
        "The model has answered: Shift + Enter takes its moments."
    )
    expect(bench.page.locator("[data-row=tokens] .tl-note")).to_contain_text("0 to")
    bench.press("d")
    assert bench.times()[0] == [2000, 4520]
    bench.context.close()


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_flagging_and_commenting_moves_nothing(bench: Bench, width: int) -> None:
    bench.page.set_viewport_size({"width": width, "height": 1000})
    bench.settle()
    tops = """[...document.querySelectorAll(".tl-lane:not([hidden]), .tl-stage")]
      .map((part) => part.getBoundingClientRect().top)"""
    before = bench.run(tops)
    chips = bench.page.locator(".tl-chip-row .tl-chip:visible")
    expect(chips.filter(has_text="Flagged")).to_have_count(0)
    bench.press("f")
    expect(chips.filter(has_text="Flagged")).to_be_visible()
    assert bench.run(tops) == before
