"""The editor's pure modules, imported in a page of Chromium: commands, history, snapping, agreement."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Browser, Page

from annotations.records import Edit
from app.timeline import mount_assets
from tests.app.timeline.editor_page import PATIENCE_MS
from tests.app.timeline.harness import serving

pytestmark = pytest.mark.browser

ITEM = {
    "query_id": 7,
    "frame_rate": 25,
    "frame_count": 300,
    "arm": "original-first",
    "edit": None,
    "grid_ms": 2000,
    "shots_ms": [3960],
    "original": {
        "moments": [{"start_ms": 2000, "end_ms": 4000}, {"start_ms": 6000, "end_ms": 8000}],
        "refused": False,
    },
    "model": {
        "proposal_id": 3,
        "model_id": "tiny",
        "moments": [
            {"start_ms": 2120, "end_ms": 4400, "confidence": 0.8},
            {"start_ms": 9000, "end_ms": 10000, "confidence": 0.4},
        ],
        "refused": False,
        "relevance": 0.9,
    },
}

START = """
const { Editor } = await import("/ui-assets/editor.js");
const editor = new Editor();
const commits = [], refusals = [];
editor.addEventListener("commit", (event) => commits.push(event.detail));
editor.addEventListener("refused", (event) => refusals.push(event.detail.message));
editor.load({ ...item, ...changes }, history);
const times = () => editor.moments.map((m) => [m.start_ms, m.end_ms]);
const sources = () => editor.moments.map((m) => [m.start_source, m.end_source]);
"""


@pytest.fixture(scope="module")
def sheet(chromium: Browser) -> Iterator[Page]:
    app = FastAPI()
    mount_assets(app)
    app.get("/", response_class=HTMLResponse)(lambda: "<!doctype html><title>modules</title>")
    with serving(app) as url:
        page = chromium.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(url)
        yield page
        page.close()


def edit(sheet: Page, body: str, history: Any = None, **changes: Any) -> Any:
    """What `body` returns, run with an editor that has ITEM (with `changes`) open."""
    script = f"async ([item, changes, history]) => {{ {START} {body} }}"
    return sheet.evaluate(script, [ITEM, changes, history])


def module(sheet: Page, name: str, body: str) -> Any:
    return sheet.evaluate(f"async () => {{ const m = await import('/ui-assets/{name}.js'); {body} }}")


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ("blind", []),
        ("original-first", [[2000, 4000], [6000, 8000]]),
        ("model-first", [[2120, 4400], [9000, 10000]]),
    ],
)
def test_the_arm_decides_what_mine_starts_from(sheet: Page, arm: str, expected: list[list[int]]) -> None:
    assert edit(sheet, "return times();", arm=arm) == expected


def test_a_proposal_that_comes_late_fills_only_an_untouched_document(sheet: Page) -> None:
    late = "editor.setModel(item.model); return times();"
    assert edit(sheet, late, arm="model-first", model=None) == [[2120, 4400], [9000, 10000]]
    touched = "editor.apply({ type: 'setFlag', value: true });" + late
    assert edit(sheet, touched, arm="model-first", model=None) == [[2000, 4000], [6000, 8000]]


@pytest.mark.parametrize(
    ("arm", "late", "opening"),
    [
        ("blind", "", "nothing"),
        ("original-first", "", "original"),
        ("model-first", "", "original"),
        ("model-first", "editor.setModel(item.model);", "model"),
        ("model-first", "editor.select({ id: 1, edge: 'end' }); editor.setModel(item.model);", "original"),
        ("model-first", "editor.setModel(item.model); editor.load(item, editor.history());", "model"),
        ("model-first", "editor.load({ ...item, edit: editor.edit() });", "version"),
    ],
)
def test_an_edit_says_what_the_lane_began_with(sheet: Page, arm: str, late: str, opening: str) -> None:
    assert edit(sheet, f"{late} return editor.edit().opening;", arm=arm, model=None) == opening


def test_a_proposal_that_comes_late_leaves_an_edge_in_hand_alone(sheet: Page) -> None:
    late = """editor.select({ id: 1, edge: "end" });
    return [editor.setModel(item.model), times(), editor.selection.edge];"""
    outcome = [False, [[2000, 4000], [6000, 8000]], "end"]
    assert edit(sheet, late, arm="model-first", model=None) == outcome


def test_a_clock_that_is_set_adds_no_working_time(sheet: Page) -> None:
    script = """const clock = Date.now;
    editor.note();
    Date.now = () => clock() + 3_600_000;
    editor.note();
    Date.now = clock;
    return editor.edit().active_ms;"""
    assert edit(sheet, script) < 1000


def test_what_it_says_is_what_the_store_reads(sheet: Page) -> None:
    request = edit(
        sheet,
        """editor.apply({ type: "takeEdge", id: 1, edge: "end", source: "model" });
        editor.apply({ type: "setUncertainty", id: 1, edge: "end", ms: 500 });
        editor.apply({ type: "setNote", value: "gradual" });
        editor.note({ key: true, at_ms: 1000 }); editor.note({ key: true, at_ms: 3000 }); editor.note({ at_ms: 60000 });
        return editor.edit();""",
        reasons=[{"kind": "hole", "text": "One-clip hole"}],
    )
    stored = Edit.from_dict(request)
    assert stored.to_request() == request
    assert (stored.submitted, stored.proposal_id, stored.arm) == (False, 3, "original-first")
    assert (stored.opening, stored.screen_reasons) == ("original", ("hole",))
    assert (stored.active_ms, stored.key_presses) == (17_000, 2)
    assert stored.moments[0].end_source == "model"
    assert stored.moments[0].end_ms == 4400
    assert stored.moments[0].end_uncertainty_ms == 500


def test_edges_stop_at_neighbours_and_at_the_ends(sheet: Page) -> None:
    body = """
    editor.apply({ type: "setEdge", id: 1, edge: "end", ms: 7000 });
    editor.apply({ type: "setEdge", id: 2, edge: "start", ms: 100 });
    editor.apply({ type: "setEdge", id: 2, edge: "end", ms: 99000 });
    editor.apply({ type: "setEdge", id: 1, edge: "start", ms: 99000 });
    return [times(), sources()];"""
    assert edit(sheet, body) == [
        [[5960, 6000], [6000, 12000]],
        [["hand", "hand"], ["original", "hand"]],
    ]


def test_pushing_makes_neighbours_way_and_keeps_them_a_frame_long(sheet: Page) -> None:
    push = """
    editor.apply({ type: "setEdge", id: 1, edge: "end", ms: %s, push: true });
    return [times(), sources()[1]];"""
    assert edit(sheet, push % 7000) == [[[2000, 7000], [7000, 8000]], ["hand", "original"]]
    assert edit(sheet, push % 99_000) == [[[2000, 11960], [11960, 12000]], ["hand", "hand"]]


def test_times_lie_on_frames_whatever_the_rate(sheet: Page) -> None:
    body = """
    for (const ms of [2001, 2017, 2033]) editor.apply({ type: "setEdge", id: 1, edge: "start", ms });
    const steps = [];
    for (let k = 0; k < 40; k += 1) {
      editor.apply({ type: "nudgeEdge", id: 1, edge: "end", frames: 1 });
      steps.push(times()[0][1]);
    }
    return [times()[0][0], steps];"""
    start, steps = edit(sheet, body, frame_rate=30_000 / 1001, frame_count=360)
    assert start == 2035  # frame 61, the nearest to 2033 ms
    assert steps == [round(1000 * (120 + k) / (30_000 / 1001)) for k in range(1, 41)]


def test_an_untouched_edge_keeps_its_exact_time(sheet: Page) -> None:
    body = "editor.apply({ type: 'nudgeEdge', id: 1, edge: 'end', frames: 1 }); return editor.moments[0];"
    moment = edit(sheet, body, frame_rate=30_000 / 1001, frame_count=360)
    assert (moment["start_ms"], moment["start_source"]) == (2000, "original")
    assert (moment["end_ms"], moment["end_source"]) == (4037, "hand")


def test_split_merge_delete_and_new(sheet: Page) -> None:
    body = """
    const seen = [];
    editor.apply({ type: "split", id: 1, ms: 3010 }); seen.push(times());
    editor.apply({ type: "merge", id: 1 }); seen.push(times());
    editor.apply({ type: "deleteMoment", id: 1 }); seen.push(times(), editor.selection.id);
    editor.apply({ type: "newMoment", start_ms: 500, end_ms: 7000 }); seen.push(times(), editor.selection.id);
    editor.apply({ type: "newMoment", start_ms: 6500, end_ms: 6900 }); seen.push(refusals);
    return seen;"""
    assert edit(sheet, body) == [
        [[2000, 3000], [3000, 4000], [6000, 8000]],
        [[2000, 4000], [6000, 8000]],
        [[6000, 8000]],
        2,
        [[520, 6000], [6000, 8000]],
        4,
        ["There is no free room for a moment here."],
    ]


def test_one_edge_from_the_model_and_the_other_kept(sheet: Page) -> None:
    body = """
    editor.apply({ type: "takeEdge", id: 1, edge: "start", source: "model" });
    editor.apply({ type: "takeEdge", id: 1, edge: "start", source: "model" });
    return [times()[0], sources()[0], refusals.length];"""
    assert edit(sheet, body) == [[2120, 4000], ["model", "original"], 1]


def test_accepting_replaces_what_overlaps_and_rejecting_is_only_a_mark(sheet: Page) -> None:
    body = """
    editor.apply({ type: "acceptModel", index: 0 });
    editor.apply({ type: "acceptModel", index: 1 });
    editor.apply({ type: "rejectModel", index: 1 });
    return [times(), sources(), editor.doc.rejected];"""
    assert edit(sheet, body) == [
        [[2120, 4400], [6000, 8000], [9000, 10000]],
        [["model", "model"], ["original", "original"], ["model", "model"]],
        [1],
    ]
    everything = "editor.apply({ type: 'acceptAll' }); return times();"
    assert edit(sheet, everything) == [[2120, 4400], [9000, 10000]]
    refused = {**ITEM["model"], "moments": [], "refused": True}  # type: ignore[dict-item]
    verdict = (
        "editor.apply({ type: 'acceptAll' });"
        "return [editor.edit().verdict, editor.edit().moments, editor.obstacle];"
    )
    assert edit(sheet, verdict, model=refused) == ["no-moment", [], None]


def test_a_gesture_is_one_commit_and_one_undo(sheet: Page) -> None:
    body = """
    for (const ms of [4100, 4500, 5000]) editor.preview({ type: "setEdge", id: 1, edge: "end", ms });
    const during = [times()[0][1], commits.length];
    editor.settle();
    const after = [times()[0][1], commits.length, commits[0].edit.moments[0].end_ms];
    editor.preview({ type: "setEdge", id: 1, edge: "end", ms: 2500 });
    editor.cancel();
    editor.preview({ type: "setEdge", id: 1, edge: "end", ms: 2500 });
    editor.preview({ type: "setEdge", id: 1, edge: "end", ms: 5000 });
    editor.settle();
    const cancelled = [times()[0][1], commits.length];
    editor.undo();
    return [during, after, cancelled, times()[0][1], commits.map((c) => c.command.type)];"""
    assert edit(sheet, body) == [
        [5000, 0],
        [5000, 1, 5000],
        [5000, 1],
        4000,
        ["setEdge", "undo"],
    ]


def test_undo_and_redo_survive_a_reload(sheet: Page) -> None:
    body = """
    for (let k = 0; k < 60; k += 1) editor.apply({ type: "nudgeEdge", id: 1, edge: "end", frames: 1 });
    editor.apply({ type: "setVerdict", verdict: "no-moment", reason: "event absent" });
    editor.undo(); editor.undo();
    return [times(), editor.history()];"""
    before, history = edit(sheet, body)
    assert before[0] == [2000, 5960]  # stopped at the neighbour after 50 frames, then one step back
    replay = """
    const seen = [times()];
    while (editor.canRedo) editor.redo();
    seen.push(editor.edit().verdict);
    while (editor.canUndo) editor.undo();
    return [...seen, times()];"""
    back = edit(sheet, replay, history=history)
    assert back == [before, "no-moment", [[2000, 4000], [6000, 8000]]]
    assert edit(sheet, "return editor.canUndo;", history={**history, "query_id": 8}) is False


def test_a_shot_beats_a_proposal_and_a_proposal_beats_the_grid(sheet: Page) -> None:
    body = """
    const { FrameClock } = await import("/ui-assets/frames.js");
    const { snapCandidates, snapTarget, snapWords, snapSource } = await import("/ui-assets/snapping.js");
    const list = snapCandidates(item, new FrameClock(25, 300));
    const say = (ms, ms_per_px, edge) => {
      const target = snapTarget(ms, list, ms_per_px, edge);
      return target && [target.ms, snapWords(target), snapSource(target)];
    };
    return [say(3990, 10, "end"), say(4020, 5, "end"), say(4390, 10, "end"), say(4390, 10, "start"),
      say(9950, 30, "end"), say(5900, 20, "end"), say(10100, 50, "end"), say(10300, 50, "end"),
      say(10450, 50, "end")];"""
    assert edit(sheet, body) == [
        [3960, "shot cut", "snap"],
        [4000, "the original’s edge", "original"],
        [4400, "the model’s edge", "model"],
        None,
        [10000, "the model’s edge", "model"],
        [6000, "the 2-second grid", "snap"],
        [10000, "the model’s edge", "model"],
        [10000, "the 2-second grid", "snap"],
        None,
    ]


def test_snapping_shows_nothing_of_what_a_blind_annotator_may_not_see(sheet: Page) -> None:
    body = """
    const { FrameClock } = await import("/ui-assets/frames.js");
    const { snapCandidates } = await import("/ui-assets/snapping.js");
    const list = snapCandidates({ ...item, arm: "blind" }, new FrameClock(25, 300));
    return [...new Set(list.map((c) => c.kind))].sort();"""
    assert edit(sheet, body) == ["grid", "shot"]


def test_agreement_matches_moments_in_order(sheet: Page) -> None:
    body = """
    const span = (s, e) => ({ start_ms: s, end_ms: e });
    const a = [span(0, 2000), span(4000, 8000)], b = [span(0, 1000), span(5000, 9000), span(9500, 9900)];
    return [m.matchedTiou(a, b), m.setF1(a, b, 0.5), m.setF1(a, b, 0.7),
      m.matchedTiou([], []), m.matchedTiou(a, [])];"""
    assert module(sheet, "moments", body) == pytest.approx([(0.5 + 0.6) / 3, 0.8, 0, 1, 0])
