"""What the timeline of editing shows of every kind of item, and what it tells the page around it."""

import pytest
from playwright.sync_api import expect

from tests.app.timeline.editor_page import EditorPage

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", ["blind", "waiting", "refused", "empty"])
def test_every_kind_of_item_says_what_it_is(editor: EditorPage, name: str) -> None:
    editor.open(f"item={name}")
    model = editor.page.locator("[data-lane=model]")
    original = editor.page.locator("[data-lane=original]")
    if name == "blind":
        expect(model).to_contain_text("Hidden until you submit")
        expect(original).to_contain_text("Hidden until you submit")
        assert editor.times() == []
        editor.press("2", "v", "Shift+Enter")
        expect(editor.said).to_contain_text("hidden until you submit")
        assert editor.commits() == []
    elif name == "waiting":
        expect(model).to_contain_text("not there yet")
        assert len(editor.times()) == 2
    elif name == "refused":
        expect(model).to_contain_text("No matching moment")
        editor.press("Shift+Enter", "Control+Enter")
        assert editor.run("submits[0].verdict") == "no-moment"
    else:
        expect(original).to_contain_text("No matching moment")


def test_words_of_strangers_are_shown_as_words(editor: EditorPage) -> None:
    editor.open("item=hostile")
    assert editor.page.locator(".tl-query").evaluate("(n) => n.textContent") == editor.run(
        "view.editor.item.query"
    )
    assert editor.run("document.body.dataset.hit ?? null") is None
    assert editor.page.locator(".tl-root img").count() == 0


def test_review_shows_everybody(editor: EditorPage) -> None:
    editor.open("item=reviewed&mode=review")
    assert editor.page.locator(".tl-other").count() == 2
    editor.page.mouse.move(*editor.x(3.0, "other-2"))
    expect(editor.page.locator(".tl-tip")).to_contain_text("grace")
    editor.run("view.editor.apply({ type: 'adopt', moments: view.editor.item.others[1].moments })")
    assert editor.times() == [[2400, 4400]]


def test_a_page_may_ask_why_itself_and_hears_where_to_go(editor: EditorPage) -> None:
    editor.run(
        """(() => { window.heard = [];
        view.root.addEventListener("tl-ask", (event) => (event.preventDefault(), heard.push(event.type)));
        for (const name of ["tl-previous", "tl-skip"])
          view.root.addEventListener(name, (event) => heard.push(event.type)); })()"""
    )
    editor.press("0", "Control+Shift+Enter")
    editor.run("view.skip()")
    assert editor.run("heard") == ["tl-ask", "tl-previous", "tl-skip"]
    expect(editor.page.get_by_role("dialog")).to_have_count(0)


def test_an_item_can_be_closed(editor: EditorPage) -> None:
    editor.run("view.load(null)")
    editor.settle_nothing()
    editor.page.keyboard.press("n")
    editor.run("view.actions.add()")
    assert editor.times() == []
    assert editor.page.locator(".tl-own").count() == 0
    assert editor.commits() == []


def test_the_buttons_under_the_picture_do_what_they_say(editor: EditorPage) -> None:
    editor.open("item=unanswered")
    editor.page.get_by_role("button", name="Next moment (Down)").click()
    editor.settle()
    assert (editor.run("view.editor.selection.id"), editor.number()) == (2, 150)
    editor.page.get_by_role("button", name="Previous moment (Up)").click()
    editor.settle()
    assert (editor.run("view.editor.selection.id"), editor.number()) == (1, 50)
    editor.page.get_by_role("button", name="Fit the whole clip (Z goes round)").click()
    editor.run("view.focusTimeline()")
    rate = editor.page.get_by_label("Playback speed")
    for keys, speed in (("ll", "1.5"), ("j", "1"), ("jj", "0.25"), ("kg", "2")):
        for key in keys:
            editor.page.keyboard.press(key)
        expect(rate).to_have_value(speed)


def test_nothing_moves_on_the_page_when_the_proposal_comes(editor: EditorPage) -> None:
    editor.open("item=coming")
    late = "(([model, frames]) => (view.update({ ...view.state.value, frames }), view.setModel(model)))"
    model_and_frames = editor.page.evaluate(
        """async () => { const { edit, frames } = await (await fetch("/items/ready")).json();
        return [edit.model, frames]; }"""
    )
    tops = """[...document.querySelectorAll(".tl-lane:not([hidden])")]
      .map((row) => [row.dataset.row, row.getBoundingClientRect().top])"""
    before = editor.run(tops)
    expect(editor.page.locator("[data-row=tokens] .tl-note")).to_have_text("not there yet")
    editor.press("]")
    editor.page.evaluate(late, model_and_frames)
    editor.settle()
    assert editor.run(tops) == before
    assert editor.times() == [[2000, 4000], [6000, 8000]]
    expect(editor.said).to_have_text("The model has answered: Shift + Enter takes its moments.")
    expect(editor.page.locator("[data-row=tokens] .tl-note")).to_contain_text("0 to")
    editor.press("d")
    assert editor.times()[0] == [2000, 4520]


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_flagging_and_commenting_moves_nothing(editor: EditorPage, width: int) -> None:
    editor.page.set_viewport_size({"width": width, "height": 1000})
    editor.settle()
    tops = """[...document.querySelectorAll(".tl-lane:not([hidden]), .tl-stage")]
      .map((part) => part.getBoundingClientRect().top)"""
    before = editor.run(tops)
    chips = editor.page.locator(".tl-chip-row .tl-chip:visible")
    expect(chips.filter(has_text="Flagged")).to_have_count(0)
    editor.press("f")
    expect(chips.filter(has_text="Flagged")).to_be_visible()
    assert editor.run(tops) == before
