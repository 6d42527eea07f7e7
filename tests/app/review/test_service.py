"""The review desk and its routes, without a browser."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from annotations.proposers import ANY
from annotations.records import ADJUDICATION, Edit, EditedMoment, Prediction, ProposedMoment
from annotations.rows import Row
from annotations.store import Store
from app.auth.users import Role
from app.http.dependencies import prepare_app
from app.job_queue import JobQueue
from app.media.dataset_clips import DatasetClips
from app.media.library import MediaLibrary
from app.review.page import ReviewPage
from app.review.service import ReviewService
from app.review.view import anchoring_html, costs_html, people_html
from app.timeline.parts import check_value
from tests.app.data.test_service import NASTY, OneUser, asked_by
from tests.app.fakes import light_draw, light_prepare


def edit(*windows_ms: tuple[int, int], **more: Any) -> Edit:
    moments = tuple(EditedMoment(start_ms=a, end_ms=b) for a, b in windows_ms)
    return Edit(verdict="moments", moments=moments, **more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Three queries: two annotators far apart, two close together, and one answer only."""
    rows = [
        Row(
            qid=str(n),
            query=NASTY if n == 1 else f"thing {n}",
            vid=f"v{n}",
            duration_s=60,
            windows=((10, 20),),
        )
        for n in (1, 2, 3)
    ]
    with Store(tmp_path / "cqvh.sqlite3") as store:
        store.import_rows(rows, dataset="qvh", op_id="i")
        store.save_proposer("qvh", ANY, op_id="named", actor="test")
        moment = ProposedMoment(start_ms=9_000, end_ms=21_000, confidence=0.8)
        proposal = store.propose(1, Prediction(model_id=NASTY, moments=(moment,)), op_id="p")
        screen: dict[str, Any] = {"proposal_id": proposal.id, "active_ms": 6_000, "key_presses": 5}
        store.submit(1, edit((10_000, 20_000), **screen), annotator="ada", parent_id=None, op_id="a1")
        store.submit(1, edit((40_000, 50_000)), annotator="bob", parent_id=None, op_id="b1")
        store.submit(2, edit((10_000, 20_000)), annotator="ada", parent_id=None, op_id="a2")
        store.submit(2, edit((11_000, 20_000)), annotator="bob", parent_id=None, op_id="b2")
        store.submit(3, edit((10_000, 20_000)), annotator="ada", parent_id=None, op_id="a3")
        yield store


def service(store: Store) -> ReviewService:
    """A desk whose clips are all missing."""
    folder = Path(store.database.url.database or "").parent / "clips"
    folder.mkdir(exist_ok=True)
    media = MediaLibrary(folder, light_prepare, light_draw)
    return ReviewService(store, DatasetClips(store, media, JobQueue("clips"), folder))


def client(store: Store, *roles: Role, name: str = "eve") -> TestClient:
    authenticator = OneUser(anonymous=False)
    stand_in = SimpleNamespace(
        require=lambda request, role: authenticator.require(asked_by(*roles, name=name), role)
    )
    app = FastAPI()
    prepare_app(app, stand_in)  # type: ignore[arg-type]
    app.include_router(ReviewPage(service(store), authenticator).routes())
    return TestClient(app)


def decision(op_id: str, **more: Any) -> dict[str, Any]:
    return {"op_id": op_id, "verdict_parent_id": None, "parent_id": None, "note": None, **more}


def test_least_agreement_comes_first_and_a_decided_row_is_gone(store: Store) -> None:
    eve = client(store, Role.ADJUDICATOR)
    page = eve.get("/review/api/queue").json()
    assert [(row["query_id"], row["agreement"]) for row in page["rows"]] == [
        (1, 0.0),
        (2, pytest.approx(0.9)),
    ]
    assert page["rows"][0]["text"] == NASTY
    after = eve.get("/review/api/queue", params={"after": 1}).json()
    assert [row["query_id"] for row in after["rows"]] == [2]
    assert eve.get("/review/api/queue", params={"dataset": "none"}).json()["rows"] == []
    correction = store.versions(1)[0]
    response = eve.post(
        "/review/api/queries/1/verdict", json=decision("x", adopt={"kind": "annotator", "id": correction.id})
    )
    assert response.status_code == 200, response.text
    assert response.json()["verdict"]["correction_id"] == correction.id
    assert [row["query_id"] for row in eve.get("/review/api/queue").json()["rows"]] == [2]


def test_an_item_shows_everybody_and_starts_from_their_median(store: Store) -> None:
    opened = client(store, Role.ADJUDICATOR).get("/review/api/queries/2").json()
    assert check_value(opened["item"]) == opened["item"]
    part, review = opened["item"]["edit"], opened["review"]
    assert [other["name"] for other in part["others"]] == ["ada", "bob"]
    assert [(m["start_ms"], m["end_ms"]) for m in part["edit"]["moments"]] == [(10_500, 20_000)]
    assert part["original"] == {"moments": [{"start_ms": 10_000, "end_ms": 20_000}], "refused": False}
    assert part["model"] is None
    assert [candidate["key"] for candidate in review["candidates"]] == [1, 2, 3]
    assert part["arm"] == "adjudication"
    assert part["frame_count"] == 60 * 25
    assert "v2.mp4 is not here" in opened["item"]["message"]
    first = client(store, Role.ADJUDICATOR).get("/review/api/queries/1").json()
    assert first["item"]["edit"]["model"]["moments"][0]["confidence"] == 0.8


def test_the_adjudicators_own_answer_becomes_the_verdict_once(store: Store) -> None:
    eve = client(store, Role.ADJUDICATOR)
    message = decision("mine", edit=edit((10_500, 20_000), key_presses=3).to_dict())
    answers = [eve.post("/review/api/queries/2/verdict", json=message) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    resolved = store.resolved(2)
    assert resolved.source == "verdict"
    assert resolved.correction is not None
    assert resolved.correction.annotator == "eve"
    assert len(store.corrections(2)) == 3


def test_the_second_adjudicator_sees_both_answers_and_nothing_is_overwritten(store: Store) -> None:
    eve, fay = (client(store, Role.ADJUDICATOR, name=name) for name in ("eve", "fay"))
    eve.post("/review/api/queries/2/verdict", json=decision("e", edit=edit((10_000, 20_000)).to_dict()))
    answer = fay.post(
        "/review/api/queries/2/verdict", json=decision("f", edit=edit((1_000, 2_000)).to_dict())
    )
    assert answer.status_code == 409
    conflict = answer.json()
    assert conflict["theirs"]["adjudicator"] == "eve"
    assert conflict["theirs"]["edit"]["moments"][0]["start_ms"] == 10_000
    assert conflict["yours"]["moments"][0]["start_ms"] == 1_000
    assert store.latest(2, "fay") is None
    row = store.versions(2)[0]
    adopting = fay.post(
        "/review/api/queries/2/verdict", json=decision("g", adopt={"kind": "annotator", "id": row.id})
    )
    assert adopting.status_code == 409
    parents = {"verdict_parent_id": conflict["theirs"]["id"]}
    message = decision("h", edit=edit((1_000, 2_000)).to_dict()) | parents
    assert fay.post("/review/api/queries/2/verdict", json=message).status_code == 200
    assert store.resolved(2).moments == edit((1_000, 2_000)).windows


def test_bad_messages_are_refused_with_a_sentence(store: Store) -> None:
    eve = client(store, Role.ADJUDICATOR)
    address = "/review/api/queries/2/verdict"
    good = edit((1_000, 2_000)).to_dict()
    wrong: list[dict[str, Any]] = [
        {},
        decision("a"),
        decision("", edit=good),
        decision("b", edit=good, adopt={"kind": "annotator", "id": 1}),
        decision("c", adopt={"kind": "odd", "id": 1}),
        decision("d", adopt={"kind": "annotator", "id": "1"}),
        decision("e", adopt={"kind": "model", "id": 99}),
        decision("f", adopt={"kind": "annotator", "id": 99}),
        decision("g", edit={"verdict": "odd"}),
        decision("h", edit={**good, "extra": 1}),
        decision("i", edit={"verdict": "no-moment"}),
        decision("j", edit={**good, "moments": [{"start_ms": 5}]}),
        decision("k", edit={**good, "moments": "x"}),
        decision("l", edit=good, note=3),
        decision("m", edit=edit((1_000, 900_000)).to_dict()),
        decision("n", edit=good) | {"verdict_parent_id": "1"},
        decision("o", edit={**good, "flagged": "yes"}),
        decision("p", edit={**good, "active_ms": "x"}),
    ]
    for message in wrong:
        answer = eve.post(address, json=message)
        assert answer.status_code == 400, (message, answer.text)
        assert answer.json()["error"].endswith((".", "?")), message
    assert store.verdicts(2) == []
    assert store.latest(2, "eve") is None
    assert eve.post(address, content="x", headers={"content-type": "application/json"}).status_code == 400
    assert eve.post(address, content="{}", headers={"content-type": "text/plain"}).status_code in (400, 415)
    assert eve.post(address, content="[]", headers={"content-type": "application/json"}).status_code == 400
    assert eve.get("/review/api/queries/99").status_code == 404
    assert eve.post("/review/api/queries/99/verdict", json=decision("q", edit=good)).status_code == 404
    assert eve.get("/review/api/queue", params={"after": 99}).status_code == 400


@pytest.mark.parametrize("role", [Role.VISITOR, Role.ANNOTATOR, Role.RESEARCHER])
def test_only_adjudicators_are_answered(store: Store, role: Role) -> None:
    somebody = client(store, role)
    message = decision("x", edit=edit((1_000, 2_000)).to_dict())
    answers = [
        somebody.get("/review/api/queue"),
        somebody.get("/review/api/queries/1"),
        somebody.post("/review/api/queries/1/verdict", json=message),
    ]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert all("role adjudicator" in answer.json()["error"] for answer in answers)
    assert store.verdicts(1) == []


def test_figures_are_drawn_for_adjudicators_and_escape_names(store: Store) -> None:
    page = ReviewPage(service(store), OneUser(anonymous=False))
    with gr.Blocks() as blocks:
        page.build(blocks)
    view = page.view.figures
    changes = page.figures("", asked_by(Role.ADJUDICATOR))
    assert "2 pairs of answers, 1 repaired proposal." in changes[view.line]
    assert [trace.name for trace in changes[view.agreement].data] == [
        "annotators (2 pairs)",
        "released and corrected (3 pairs)",
    ]
    assert '<th scope="row">ada</th><td>3</td><td>0.45</td>' in changes[view.table]
    assert "&lt;img src=x" in changes[view.costs]
    assert "<img" not in changes[view.costs]
    assert changes[view.anchoring] == ""
    json.dumps(changes[view.repair].to_plotly_json(), default=list)
    assert list(page.figures("", asked_by(Role.ANNOTATOR))) == [view.line]
    none = page.figures("none", asked_by(Role.ADJUDICATOR))
    assert "0 pairs" in none[view.line]
    assert people_html([], {}) == costs_html([]) == ""


def test_what_was_shown_before_answering_is_told_of_decided_rows(store: Store) -> None:
    page = ReviewPage(service(store), OneUser(anonymous=False))
    with gr.Blocks() as blocks:
        page.build(blocks)
    correction = store.submit(
        2, edit((10_000, 20_000), arm="original-first"), annotator=NASTY, parent_id=None, op_id="n"
    )
    own = store.submit(
        2, edit((30_000, 40_000), arm=ADJUDICATION), annotator="eve", parent_id=None, op_id="e"
    )
    store.adjudicate(2, correction_id=own.id, adjudicator="eve", parent_id=None, op_id="d")
    anchoring_text = page.figures("", asked_by(Role.ADJUDICATOR))[page.view.figures.anchoring]
    assert correction.edit.arm == "original-first"
    assert "<td>1</td><td>0.00</td><td>0</td><td>–</td><td>1</td><td>100%</td>" in anchoring_text
    assert "tIoU with the adjudicated answer of at least 0.7" in anchoring_text
    assert "<img" not in anchoring_text
    assert anchoring_html([], []) == ""


def test_the_median_lies_where_a_frame_begins_once_there_is_a_clip(store: Store, clip: Path) -> None:
    reviewing = service(store)
    shutil.copy(clip, reviewing.dataset_clips.folder / "v2.mp4")
    eve = asked_by(Role.ADJUDICATOR, name="eve").user
    while (opened := reviewing.item(eve, 2))["item"]["state"] == "loading":
        time.sleep(0.02)
    part = opened["item"]["edit"]
    assert part["frame_rate"] == 10.0
    assert [(m["start_ms"], m["end_ms"]) for m in part["edit"]["moments"]] == [(10_500, 20_000)]
    store.submit(2, edit((10_030, 20_000)), annotator="cleo", parent_id=None, op_id="c2")
    store.submit(2, edit((10_060, 20_000)), annotator="dora", parent_id=None, op_id="d2")
    part = reviewing.item(eve, 2)["item"]["edit"]  # between 10,030 and 10,060 lies no frame of ten a second
    assert [(m["start_ms"], m["end_ms"]) for m in part["edit"]["moments"]] == [(10_000, 20_000)]
    reviewing.dataset_clips.job_queue.close()


def test_edges_that_are_no_frame_are_refused_and_nothing_is_stored(store: Store, clip: Path) -> None:
    eve = client(store, Role.ADJUDICATOR)
    shutil.copy(clip, Path(store.database.url.database or "").parent / "clips" / "v2.mp4")
    while eve.get("/review/api/queries/2").json()["item"]["state"] == "loading":
        time.sleep(0.02)
    address = "/review/api/queries/2/verdict"
    for number, (span, at_ms) in enumerate([((1_033, 2_000), 1_033), ((1_000, 9_000), 9_000)]):
        answer = eve.post(address, json=decision(f"off{number}", edit=edit(span).to_dict()))
        assert answer.status_code == 400
        assert (
            f"An edge at {at_ms} ms is no frame of this clip, which has 40 frames" in answer.json()["error"]
        )
    assert store.verdicts(2) == []
    assert store.latest(2, "eve") is None
    for number, span in enumerate(
        [(1_000, 2_000), (10_000, 20_000), (10_500, 20_000)]
    ):  # frames, a person's, the median
        parents = {
            "verdict_parent_id": number or None,
            "parent_id": (number and store.latest(2, "eve").id) or None,
        }  # type: ignore[union-attr]
        message = decision(f"on{number}", edit=edit(span).to_dict()) | parents
        answers = [eve.post(address, json=message) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200], answers[0].text


def test_agreeing_that_nothing_matches_is_adopted_like_any_row(store: Store) -> None:
    rows = [
        Row(qid="9", query="nothing", vid="v9", windows=()),
        Row(qid="10", query="none", vid="v9", verdict="no-moment"),
    ]
    store.import_rows(rows, dataset="empty", op_id="e")
    eve = client(store, Role.ADJUDICATOR)
    for qid in ("9", "10"):
        query_id = store.find("empty", qid).id
        candidates = eve.get(f"/review/api/queries/{query_id}").json()["review"]["candidates"]
        assert [(candidate["kind"], candidate["verdict"]) for candidate in candidates] == [
            ("original", "no-moment")
        ]
        answer = eve.post(
            f"/review/api/queries/{query_id}/verdict",
            json=decision(qid, adopt={"kind": "original", "id": None}),
        )
        assert answer.status_code == 200, answer.text
        assert store.resolved(query_id).correction.edit.verdict == "no-moment"  # type: ignore[union-attr]
