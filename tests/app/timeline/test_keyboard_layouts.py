"""Keyboards and fingers other than the usual ones: places on other boards, real touches, a browser without frames."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.app.timeline.editor_page import PATIENCE_MS, EditorPage

pytestmark = pytest.mark.browser


PRESS = """([code, key, shiftKey]) => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", { code, key, shiftKey, bubbles: true, cancelable: true }))"""


@pytest.fixture
def editor(editor: EditorPage) -> EditorPage:
    editor.page.locator("[data-lane=ruler]").focus()
    return editor


@pytest.mark.parametrize(
    ("board", "start", "end"),
    [
        ("German", "ü", "+"),
        ("French", "Dead", "$"),
        ("Italian", "è", "+"),
        ("Spanish", "Dead", "+"),
        ("Dvorak", "/", "="),
        ("Russian", "х", "ъ"),
    ],
)
def test_the_places_of_the_brackets_lead_to_the_edges(
    editor: EditorPage, board: str, start: str, end: str
) -> None:
    for code, key, edge in (("BracketLeft", start, "start"), ("BracketRight", end, "end")):
        editor.page.evaluate(PRESS, [code, key, False])
        assert editor.run("view.editor.selection.edge") == edge, board


def test_letters_of_other_scripts_count_by_their_place(editor: EditorPage) -> None:
    editor.page.evaluate(PRESS, ["KeyF", "а", False])  # Russian
    editor.page.evaluate(PRESS, ["KeyB", "β", False])  # Greek: nothing to split here
    editor.page.evaluate(PRESS, ["KeyI", "ı", False])  # Turkish: the start is where the playhead is already
    editor.page.evaluate(PRESS, ["KeyP", "З", True])
    assert editor.run("view.editor.doc.flagged") is True
    assert editor.run("view.player.range.end_s") == 4
    assert editor.run("[view.keys.find('key:f', null).id, view.keys.find('key:i', null).id]") == [
        "flag",
        "markStart",
    ]


BOARDS = {
    # What the keys of a laptop without number block give, plain and with Shift; the letters are in LETTERS.
    "German": {
        **{f"Digit{k}": (str(k), sign) for k, sign in enumerate('=!"§$%&/()')},
        **{
            "Minus": ("ß", "?"),
            "Equal": ("Dead", "Dead"),
            "BracketLeft": ("ü", "Ü"),
            "BracketRight": ("+", "*"),
        },
        **{"Comma": (",", ";"), "Period": (".", ":"), "Slash": ("-", "_"), "Backslash": ("#", "'")},
    },
    "French": {
        **{f"Digit{k}": (sign, str(k)) for k, sign in enumerate("à&é\"'(-è_ç")},
        **{
            "Minus": (")", "°"),
            "Equal": ("=", "+"),
            "BracketLeft": ("Dead", "Dead"),
            "BracketRight": ("$", "£"),
        },
        **{"KeyM": (",", "?"), "Comma": (";", "."), "Period": (":", "/"), "Slash": ("!", "§")},
    },
    "Nordic": {
        **{f"Digit{k}": (str(k), sign) for k, sign in enumerate('=!"#¤%&/()')},
        **{
            "Minus": ("+", "?"),
            "Equal": ("Dead", "Dead"),
            "BracketLeft": ("å", "Å"),
            "BracketRight": ("Dead", "Dead"),
        },
        **{"Comma": (",", ";"), "Period": (".", ":"), "Slash": ("-", "_"), "Backslash": ("'", "*")},
    },
}
LETTERS = {
    "German": dict(zip("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXZY", strict=True)),
    "French": dict(zip("abcdefghijklmnopqrstuvwxyz", "QBCDEFGHIJKL;NOPARSTUVZXYW", strict=True)),
    "Nordic": {letter: letter.upper() for letter in "abcdefghijklmnopqrstuvwxyz"},
}
"""Which place of a US board carries a letter."""
NAMED = ("Enter", "Escape", "Delete", "Backspace", "Home", "End", "PageUp", "PageDown")
ARROWS = ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown")

REACHED = """async (presses) => {
  const { chordOf } = await import("/ui-assets/keyboard.js");
  const reached = new Set();
  for (const press of presses) {
    for (const ctrlKey of [false, true])
      for (const altKey of [false, true])
        reached.add(chordOf(new KeyboardEvent("keydown", { ...press, ctrlKey, altKey })));
  }
  return view.keys.bindings.map(({ id, chords }) => [id, chords, chords.filter((chord) => reached.has(chord))]);
}"""


@pytest.mark.parametrize("board", BOARDS)
def test_every_key_is_reached_on_a_laptop(editor: EditorPage, board: str) -> None:
    presses = [{"code": "Space", "key": " ", "shiftKey": shift} for shift in (False, True)]
    presses += [{"code": key, "key": key, "shiftKey": s} for key in (*NAMED, *ARROWS) for s in (False, True)]
    for code, pair in BOARDS[board].items():
        presses += [{"code": code, "key": key, "shiftKey": shift} for shift, key in enumerate(pair)]
    for letter, place in LETTERS[board].items():
        code = "Semicolon" if place == ";" else f"Key{place}"
        presses += [{"code": code, "key": letter, "shiftKey": False}]
        presses += [{"code": code, "key": letter.upper(), "shiftKey": True}]
    for press in presses:
        press["shiftKey"] = bool(press["shiftKey"])
    rows = editor.page.evaluate(REACHED, presses)
    assert [row for row in rows if not row[2]] == []
    # A press that one board gives runs one binding, the same as the sheet says.
    chords = [
        (chord, when)
        for _, chords, when in editor.run("view.keys.bindings.map((b) => [b.id, b.chords, b.when])")
        for chord in chords
    ]
    assert len(chords) == len(set(chords))


RESTS = """() => new Promise((done) => {
  let [last, still] = [scrollY, 0];
  const look = () => {
    still = scrollY === last ? still + 1 : 0;
    last = scrollY;
    still < 20 ? requestAnimationFrame(look) : done();
  };
  requestAnimationFrame(look);
})"""
"""A flung page glides on after the finger has left it."""


class Fingers:
    """Touches as the browser gets them from a screen."""

    def __init__(self, editor: EditorPage) -> None:
        self.editor, self.cdp = editor, editor.context.new_cdp_session(editor.page)

    def __call__(self, kind: str, *points: tuple[float, float]) -> None:
        touch_points = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
        self.cdp.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": touch_points})
        self.editor.page.evaluate(
            "() => new Promise(requestAnimationFrame)"
        )  # moves of one refresh are merged

    def pinch(self, x: float, y: float, dx: float, dy: float, by: float) -> None:
        """Two fingers at (dx, dy) on either side of a point go apart until they are `by` times as far."""
        ends = [1 + (by - 1) * k / 8 for k in range(9)]
        self("Start", (x - dx, y - dy))
        self("Start", (x - dx, y - dy), (x + dx, y + dy))
        for far in ends[1:]:
            self("Move", (x - dx * far, y - dy * far), (x + dx * far, y + dy * far))
        self("End")
        self.editor.settle()


@pytest.fixture
def phone(chromium: Browser, address: str) -> Iterator[EditorPage]:
    editor = EditorPage(chromium, address, has_touch=True, is_mobile=True)
    editor.page.set_viewport_size({"width": 390, "height": 844})
    editor.page.locator("[data-lane=strip]").scroll_into_view_if_needed()
    editor.settle()
    yield editor
    editor.context.close()
    assert editor.faults == []


@pytest.mark.parametrize(("dx", "dy"), [(20.0, 0.0), (18.0, 40.0), (4.0, 45.0)])
def test_two_fingers_zoom_by_how_far_they_part_and_around_their_middle(
    phone: EditorPage, dx: float, dy: float
) -> None:
    x, y = phone.x(4.0, "original")
    Fingers(phone).pinch(x, y, dx, dy, by=2.0)
    span_s = phone.run("view.state.viewport.span_s")
    assert span_s == pytest.approx(6.0, abs=0.6)
    assert phone.run("view.state.viewport.x(4)") == pytest.approx(
        phone.run(f"{x} - view.tracks.getBoundingClientRect().left"), abs=6
    )
    assert phone.run("visualViewport.scale") == 1
    assert (phone.commits(), phone.times()) == ([], [[2000, 4000], [6000, 8000]])
    Fingers(phone).pinch(x, y, 2 * dx, 2 * dy, by=0.5)
    assert phone.run("view.state.viewport.span_s") == pytest.approx(12.0, abs=0.8)


def test_one_finger_scrolls_the_page_up_and_down_and_the_axis_sideways(phone: EditorPage) -> None:
    phone.run("(view.state.viewport.show(2, 8), view.state.touch('viewport'))")
    phone.settle()
    x, y = phone.x(5.0, "model")
    finger, before = Fingers(phone), phone.run("scrollY")
    for way in ((0, -15), (-15, 0)):
        finger("Start", (x, y))
        for k in range(1, 9):
            finger("Move", (x + k * way[0], y + k * way[1]))
        finger("End")
        phone.page.evaluate(RESTS)
        phone.settle()
        if way[0] == 0:
            assert phone.run("scrollY") > before + 60
            assert phone.run("view.state.viewport.start_s") == 2
            x, y = phone.x(5.0, "model")
    assert phone.run("view.state.viewport.start_s") > 3
    assert phone.commits() == []


def test_the_loupe_shows_stills_that_do_not_count_as_exact_where_no_browser_tells(
    chromium: Browser, address: str
) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.add_init_script("delete HTMLVideoElement.prototype.requestVideoFrameCallback")
    page.goto(f"{address}/?item=ready")
    page.wait_for_selector("body[data-ready=true]")
    page.keyboard.press("BracketRight")
    for badge in (page.locator(".tl-loupe .tl-badge"), page.locator(".tl-status .tl-badge")):
        expect(badge).to_have_attribute("data-truth", "approximate")
    alpha: Any = page.evaluate(
        "document.querySelector('.tl-loupe-main').getContext('2d').getImageData(20, 20, 1, 1).data[3]"
    )
    assert alpha == 255
    context.close()
