"""The Review, Data and Train pages on the sample project, with answers of two people more."""

from typing import Any

from annotations.records import Edit, EditedMoment
from annotations.store import Store
from scripts.scene import Scene, make_sample, settle, visit
from scripts.stage import PATIENCE_MS, Served

OFFSETS_MS = {"ada": 300, "bo": -1300}
"""How far each person's edges lie from the released ones."""


def _answers(served: Served) -> None:
    """Two people have answered the first rows, not quite alike; done once."""
    make_sample(served)
    with Store(served.home / "cqvh.sqlite3") as store:
        for row in store.browse(limit=6).rows:
            query = store.query(row.query_id)
            for name, offset_ms in OFFSETS_MS.items():
                if store.latest(query.id, name) is None and query.original:
                    edit = _shift_edges(query.original, offset_ms, query.row.duration_s or 1.0)
                    store.submit(query.id, edit, annotator=name, parent_id=None, op_id=f"{name}-{query.id}")


def _shift_edges(moments: Any, offset_ms: int, duration_s: float) -> Edit:
    placed = [moment.to_ms() for moment in moments][:1]
    end_of_clip_ms = round(duration_s * 1000)
    edges = [
        (max(0, start_ms + offset_ms), min(end_of_clip_ms, end_ms - offset_ms)) for start_ms, end_ms in placed
    ]
    return Edit(
        verdict="moments",
        moments=tuple(
            EditedMoment(start_ms=start_ms, end_ms=max(start_ms + 40, end_ms)) for start_ms, end_ms in edges
        ),
        active_ms=9_000,
        key_presses=6,
    )


def review_empty(page: Any, served: Served) -> None:
    make_sample(served)
    page.route(
        "**/review/api/queue*",
        lambda route: route.fulfill(json={"rows": [], "more": False, "datasets": ["sample"]}),
    )
    visit(page, served, "/review")
    settle(page, 2000)


def review(page: Any, served: Served) -> None:
    _answers(served)
    visit(page, served, "/review")
    page.locator(".rv-rows li").first.wait_for(timeout=PATIENCE_MS)
    settle(page, 1500)


def review_figures(page: Any, served: Served) -> None:
    review(page, served)
    page.get_by_role("button", name="Agreement, pace and repair cost").click()
    page.locator("#review-repair .js-plotly-plot").wait_for(timeout=PATIENCE_MS)
    settle(page)


def data(page: Any, served: Served) -> None:
    _answers(served)
    visit(page, served, "/data")
    page.locator("#data-rows tbody tr").first.wait_for(timeout=PATIENCE_MS)


def data_history(page: Any, served: Served) -> None:
    data(page, served)
    page.locator("#data-rows td.c1 button").first.click()
    page.locator("#data-history li").first.wait_for(timeout=PATIENCE_MS)


def data_nothing(page: Any, served: Served) -> None:
    data(page, served)
    page.locator("#data-search textarea, #data-search input").fill("nowhere")
    page.get_by_text("No row fits these filters.").wait_for(timeout=PATIENCE_MS)


def _data_tab(page: Any, served: Served, name: str) -> None:
    data(page, served)
    tab = page.get_by_role("tab", name=name, exact=True)
    if tab.is_visible():
        tab.click()
    else:  # on a narrow window the last tabs are in a menu
        page.locator(".overflow-menu > button").click()
        page.locator(".overflow-dropdown button").get_by_text(name, exact=True).click()
    settle(page)


def data_import(page: Any, served: Served) -> None:
    _data_tab(page, served, "Import")


def data_export(page: Any, served: Served) -> None:
    _data_tab(page, served, "Export")
    page.locator("#data-export").click()
    page.locator("#data-export-files a").first.wait_for(timeout=PATIENCE_MS)


def data_compare(page: Any, served: Served) -> None:
    _data_tab(page, served, "Before and after")
    page.locator("#data-compare").click()
    page.locator("#data-compare-result td").first.wait_for(timeout=PATIENCE_MS)


def data_figures(page: Any, served: Served) -> None:
    _data_tab(page, served, "Figures")
    page.locator("#data-progress .js-plotly-plot").wait_for(timeout=PATIENCE_MS)
    settle(page)


def train(page: Any, served: Served) -> None:
    _answers(served)
    visit(page, served, "/train")
    page.locator("#train-start").wait_for(timeout=PATIENCE_MS)
    settle(page, 2000)


SCENES = (
    Scene(name="review-empty", act=review_empty),
    Scene(name="review-row", act=review),
    Scene(name="review-figures", act=review_figures),
    Scene(name="data-rows", act=data),
    Scene(name="data-history", act=data_history),
    Scene(name="data-nothing", act=data_nothing),
    Scene(name="data-import", act=data_import),
    Scene(name="data-export", act=data_export),
    Scene(name="data-compare", act=data_compare),
    Scene(name="data-figures", act=data_figures),
    Scene(name="train", act=train),
)
