"""The Annotate page: first run, a row in each state, saving, and the end of the queue."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from annotations.projects import ProjectPlan
from annotations.queue import BrowseFilter
from annotations.rows import Row
from annotations.store import Store
from app.home import Home
from scripts.scene import Scene, api, make_sample, new_id, settle, visit
from scripts.stage import PATIENCE_MS, Served, StageError
from train.shapeworld.clips import write_frames

EDGE = "]"
API = "/annotate/api"


def first_run(page: Any, served: Served) -> None:
    visit(page, served, "/annotate")
    page.get_by_role("heading", name="Start with a sample project").wait_for(timeout=PATIENCE_MS)


def _row(served: Served, arm: str) -> dict[str, Any]:
    """The first row of the sample that this annotator sees in this way; any row when none is."""
    items = []
    for query_id in range(1, 40):
        try:
            items.append(api(served, f"{API}/queries/{query_id}"))
        except OSError:
            break
    if not items:
        raise StageError("the sample project has no rows.")
    row: dict[str, Any] = next((item for item in items if item["edit"]["arm"] == arm), items[0])
    return row


def _open(page: Any, served: Served, arm: str = "original-first") -> dict[str, Any]:
    """A row that is ready to be edited, with the model's proposal if it is to be seen."""
    make_sample(served)
    row = _row(served, arm)
    visit(page, served, f"/annotate#q={row['edit']['query_id']}")
    page.locator(".tl-root[data-state=ready], .tl-root .tl-span").first.wait_for(timeout=PATIENCE_MS)
    if arm != "blind":
        page.wait_for_function(
            "() => document.querySelector('.tl-root')?.timeline?.editor?.item?.model", timeout=PATIENCE_MS
        )
    settle(page)
    return row


def ready(page: Any, served: Served) -> None:
    _open(page, served)


def blind(page: Any, served: Served) -> None:
    _open(page, served, "blind")


def editing(page: Any, served: Served) -> None:
    """The start of a moment under work: the loupe shows the last frame out and the first one in."""
    _open(page, served)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("[")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    settle(page, 1500)


def offline(page: Any, served: Served) -> None:
    _open(page, served)
    page.context.set_offline(True)
    page.keyboard.press("ArrowDown")
    page.keyboard.press(EDGE)
    page.keyboard.press("ArrowLeft")
    page.locator(".fl-chip[data-kind=offline]").wait_for(timeout=PATIENCE_MS)


def conflict(page: Any, served: Served) -> None:
    """Another window of the same person saves first."""
    query_id = _open(page, served)["edit"]["query_id"]
    present = api(served, f"{API}/queries/{query_id}")["edit"]
    theirs = {"verdict": "no-moment", "moments": [], "reason": "The scene never shows it", "submitted": False}
    body = {"op_id": new_id(), "parent_id": present["parent_id"], "edit": {**theirs, "arm": present["arm"]}}
    api(served, f"{API}/queries/{query_id}/edits", body)
    page.keyboard.press("f")
    page.locator("dialog.fl-conflict").wait_for(timeout=PATIENCE_MS)


def reasons(page: Any, served: Served) -> None:
    _open(page, served)
    page.keyboard.press("0")
    page.locator("dialog[open]").wait_for()


def comment(page: Any, served: Served) -> None:
    _open(page, served)
    page.keyboard.press("q")
    page.locator("dialog[open]").wait_for()


def keys(page: Any, served: Served) -> None:
    _open(page, served)
    page.keyboard.press("?")
    page.locator("dialog[open]").wait_for()


def drill(page: Any, served: Served) -> None:
    """The drill at its fourth step: the end of a moment is to be moved."""
    _open(page, served)
    page.evaluate("document.querySelector('.tl-root').timeline.tutorial.start()")
    for key in ("Shift+ArrowDown", ".", EDGE):
        page.keyboard.press(key)
    settle(page)


def guidelines(page: Any, served: Served) -> None:
    """A row of a project that says what is asked of its annotators."""
    make_sample(served)
    text = "Mark the whole time in which the thing can be seen.\n\nIt begins with the first frame that shows any of it."
    plan = ProjectPlan(
        name="week 1", rows=BrowseFilter(dataset="sample"), people=(served.account,), guidelines=text
    )
    with Store(Home(served.home).database) as store:
        if not any(project.name == plan.name for project in store.projects()):
            store.add_project(plan, op_id=new_id(), actor="lead")
    _open(page, served)


def long_clip(page: Any, served: Served) -> None:
    """Two moments of a clip of 40 minutes, the second of which is edited."""
    vid, duration_s = "long-film", 2400.0
    path = served.home / "videos" / f"{vid}.mp4"
    if not path.exists():
        make_long_clip(path, duration_s)
        moments = ((312.0, 345.0), (1804.0, 1822.0))
        row = Row(
            qid="1", query="The bar stands in the middle", vid=vid, duration_s=duration_s, windows=moments
        )
        with Store(Home(served.home).database) as store:
            store.import_rows([row], dataset="films", op_id=new_id())
    with Store(Home(served.home).database) as store:
        query_id, share = store.find("films", "1").id, store.blind_share()
        store.save_blind_share(0.0, op_id=new_id(), actor="scenes")  # a blind row shows no moments
    visit(page, served, f"/annotate#q={query_id}")
    page.locator(".tl-root[data-state=ready]").wait_for(timeout=PATIENCE_MS)
    with Store(Home(served.home).database) as store:
        store.save_blind_share(share, op_id=new_id(), actor="scenes")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("[")
    settle(page, 1500)


def make_long_clip(path: Path, duration_s: float, *, rate: int = 4) -> None:
    """A bar that crosses the picture once a minute, before a colour that changes every minute."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, bar_px = 180, 320, 32

    def frames() -> Iterator[np.ndarray]:
        for number in range(round(duration_s * rate)):
            minute, share = divmod(number / rate / 60, 1)
            colour = np.random.default_rng(int(minute)).integers(40, 200, 3)
            frame = np.empty((height, width, 3), dtype=np.uint8)
            frame[:] = colour
            left = round(share * (width - bar_px))
            frame[:, left : left + bar_px] = 240
            yield frame

    write_frames(frames(), path, size=(height, width), rate=rate)


def loading(page: Any, served: Served) -> None:
    make_sample(served)
    page.route(f"**{API}/next", lambda route: None)
    visit(page, served, "/annotate")
    page.get_by_text("Looking for the next row").wait_for(timeout=PATIENCE_MS)


def missing(page: Any, served: Served) -> None:
    """A row whose clip nobody has put into the videos folder."""
    make_sample(served)
    row = _row(served, "original-first")
    query_id = row["edit"]["query_id"]
    says = "The clip NUsG9BgSes0_210.0_360.0 is not here. Put NUsG9BgSes0_210.0_360.0.mp4 into the folder videos."
    missing_clip = {"state": "error", "message": says, "video": None, "strip": None, "frames": None}
    item = {**row, **missing_clip, "edit": {**row["edit"], "missing_video": says, "model": None}}
    answer = {"content_type": "application/json", "body": json.dumps(item)}
    page.route(f"**{API}/queries/{query_id}", lambda route: route.fulfill(**answer))
    visit(page, served, f"/annotate#q={query_id}")
    page.get_by_text("is not here").first.wait_for(timeout=PATIENCE_MS)
    settle(page)


def whole_queue(page: Any, served: Served) -> None:
    make_sample(served)
    body = json.dumps({"item": None, "empty": False, "progress": {"done": 12, "left": 0}})
    page.route(f"**{API}/next", lambda route: route.fulfill(content_type="application/json", body=body))
    visit(page, served, "/annotate")
    page.get_by_role("heading", name="Nothing left in the queue").wait_for(timeout=PATIENCE_MS)


def signed_out(page: Any, served: Served) -> None:
    """The session ended while the page was open."""
    make_sample(served)
    body = json.dumps({"error": "You are signed out. Sign in and try again."})
    refuse = {"status": 401, "content_type": "application/json", "body": body}
    page.route(f"**{API}/me", lambda route: route.fulfill(**refuse))
    visit(page, served, "/annotate")
    page.get_by_role("heading", name="You are signed out").wait_for(timeout=PATIENCE_MS)


SCENES = (
    Scene(name="annotate-first-run", act=first_run),
    Scene(name="annotate-ready", act=ready),
    Scene(name="annotate-blind", act=blind),
    Scene(name="annotate-editing", act=editing),
    Scene(name="annotate-offline", act=offline),
    Scene(name="annotate-conflict", act=conflict, whole=False),
    Scene(name="annotate-reasons", act=reasons, whole=False),
    Scene(name="annotate-comment", act=comment, whole=False),
    Scene(name="annotate-keys", act=keys, whole=False),
    Scene(name="annotate-drill", act=drill, whole=False),
    Scene(name="annotate-guidelines", act=guidelines),
    Scene(name="annotate-long", act=long_clip),
    Scene(name="annotate-loading", act=loading),
    Scene(name="annotate-missing", act=missing),
    Scene(name="annotate-done", act=whole_queue),
    Scene(name="annotate-signed-out", act=signed_out),
)
