"""The routes of the Annotate page without a browser: who may, what is refused, what is stored."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from annotations import tables
from annotations.importing import import_file
from annotations.projects import ProjectPlan
from annotations.proposers import ANY
from annotations.queue import QueueFilter
from annotations.records import Edit, Prediction, ProposedMoment
from annotations.snapshot import take_snapshot
from app.annotate.proposals import WORTH_AGE
from app.annotate.sample_project import COLLEAGUE, WORDS
from app.annotate.service import AnnotationService
from app.auth.users import GRANTS, Role, User
from tempo_core.errors import InputError
from tests.app.annotating import NASTY, Bench, annotator_with, edit_of, fill, open_bench, row, until
from tests.app.fakes import write_clip
from train.data.example_files import read_examples

READS = ("/me", "/sample", "/queries/1", "/queries/1/proposal")
WRITES: dict[str, Any] = {
    "/next": {"op_id": "n"},
    "/queries/1/edits": {"op_id": "e", "parent_id": None, "edit": edit_of((0, 1000))},
    "/queries/1/skip": {"op_id": "s"},
    "/queries/1/look": {},
    "/sample": {},
    "/sample/remove": {},
}


@contextmanager
def three_rows(folder: Path) -> Iterator[Bench]:
    """Three rows on two clips; the third row's clip is missing."""
    with open_bench(folder / "home", clips=2, rate=2) as bench:
        rows = [row(1, "first"), row(2, "second", NASTY), row(3, "lost")]
        fill(bench.store, bench.home, rows, without=("lost",))
        yield bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with three_rows(tmp_path) as bench:
        yield bench


@pytest.fixture(scope="module")
def closed_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The same for requests that are all refused, and leave nothing."""
    with three_rows(tmp_path_factory.mktemp("closed")) as bench:
        bench.ready(1)
        yield bench


@pytest.mark.parametrize("who", [None, "eve/visitor"])
def test_only_annotators_are_answered(closed_bench: Bench, who: str | None) -> None:
    status = 401 if who is None else 403
    answers = [closed_bench.get(path, who=who) for path in READS]
    answers += [closed_bench.post(path, body, who=who) for path, body in WRITES.items()]
    assert [answer.status_code for answer in answers] == [status] * len(answers)
    assert all("role annotator" in answer.json()["error"] for answer in answers[:4] if who)
    assert closed_bench.store.corrections(1) == []


def test_only_researchers_make_and_remove_a_project(closed_bench: Bench) -> None:
    assert closed_bench.post("/sample", {}).status_code == 403
    assert closed_bench.post("/sample/remove", {}).status_code == 403


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'"' + b"x" * 600_000 + b'"', "application/json", 413),
    ],
)
def test_a_body_that_cannot_be_one_is_refused(
    closed_bench: Bench, path: str, body: bytes, kind: str, status: int
) -> None:
    headers = {"content-type": kind, "x-user": "ada/researcher"}
    answer = closed_bench.client.post(f"/annotate/api{path}", content=body, headers=headers)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"op_id": None}, "op_id"),
        ({"op_id": ""}, "operation id"),
        ({"op_id": "x" * 300}, "operation id"),
        ({"parent_id": "1"}, "parent_id"),
        ({"parent_id": 1.5}, "parent_id"),
        ({"parent_id": True}, "parent_id"),
        ({"edit": None}, "edit"),
        ({"edit": {"verdict": "perhaps"}}, "verdict"),
        ({"edit": {"verdict": "moments", "colour": "red"}}, "colour"),
        ({"edit": edit_of((1000, 500))}, "moment"),
        ({"edit": edit_of((0, 1000), (900, 2000))}, "overlap"),
        ({"edit": edit_of((0, 9000))}, "frames"),
        ({"edit": edit_of((0, 1033))}, "1033 ms is no frame"),
        ({"edit": edit_of((0, 1000), flagged="yes")}, "flagged"),
        ({"edit": {**edit_of((0, 1000)), "submitted": 1}}, "submitted"),
        ({"edit": edit_of((0, 1000), key_presses=-1)}, "key_presses"),
        ({"edit": edit_of((0, 1000), proposal_id=99)}, "proposal 99"),
        ({"edit": edit_of((0, 1000), note="x" * 10_001)}, "10001 characters"),
        ({"edit": edit_of((0, 1000), note="\x00")}, "NUL"),
        ({"edit": edit_of((0, 1000), categories=["nonsense"])}, "category"),
        ({"edit": {"verdict": "no-moment", "moments": [], "submitted": True}}, "reason"),
        ({"edit": {"verdict": "moments", "moments": [], "submitted": True}}, "needs at least one"),
        ({"edit": {"verdict": "moments", "moments": [1]}}, "edit"),
    ],
)
def test_a_wrong_edit_is_explained_and_not_stored(
    closed_bench: Bench, change: dict[str, Any], words: str
) -> None:
    body = {"op_id": "one", "parent_id": None, "edit": edit_of((0, 1000)), **change}
    answer = closed_bench.post("/queries/1/edits", body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert closed_bench.store.corrections(1) == []


def test_the_store_holds_the_frame_of_every_edge(bench: Bench) -> None:
    bench.ready(1)
    rate = bench.get("/queries/1").json()["edit"]["frame_rate"]
    edit = edit_of((1000, 2000))
    edit["moments"][0]["start_frame"] = 7  # what a page says of frames counts nothing
    assert bench.save(1, edit).status_code == 200
    moment = bench.store.corrections(1)[0].edit.moments[0]
    assert (moment.start_frame, moment.end_frame) == (round(rate), round(2 * rate))


@pytest.mark.parametrize("path", ["/queries/99", "/queries/99/proposal"])
def test_an_unknown_row_is_not_found(closed_bench: Bench, path: str) -> None:
    answer = closed_bench.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("There is no query 99")


def test_writing_to_an_unknown_row_is_not_found(closed_bench: Bench) -> None:
    assert closed_bench.save(99, edit_of((0, 1000))).status_code == 404
    assert closed_bench.post("/queries/99/skip", {"op_id": "x"}).status_code == 404


def test_an_edit_sent_twice_is_stored_once_and_answers_the_same(bench: Bench) -> None:
    first = bench.save(1, edit_of((0, 1000)), op_id="same")
    assert (first.status_code, first.json()["revision"]) == (200, 1)
    assert bench.save(1, edit_of((0, 1000)), op_id="same").json() == first.json()
    assert len(bench.store.corrections(1)) == 1


def test_a_retry_of_a_blind_submission_is_harmless_after_the_reveal(bench: Bench) -> None:
    who = f"{annotator_with('blind')}/annotator"
    bench.ready(1, who=who)
    sent = [
        bench.save(1, edit_of((0, 1000), submitted=True), op_id="blind", who=who).json() for _ in range(2)
    ]
    assert sent[0] == sent[1]
    assert [correction.edit.arm for correction in bench.store.corrections(1)] == ["blind"]
    bench.save(1, edit_of((0, 1100), submitted=True), sent[0]["correction_id"], who=who)
    assert [correction.edit.arm for correction in bench.store.corrections(1)] == ["blind", "original-first"]


def test_anothers_operation_id_is_refused(bench: Bench) -> None:
    assert bench.save(1, edit_of((0, 1000)), op_id="mine").status_code == 200
    answer = bench.save(1, edit_of((0, 1000)), op_id="mine", who="bob/annotator")
    assert answer.status_code == 400
    assert "another request" in answer.json()["error"]


def test_a_stale_parent_is_a_conflict_with_both_versions(bench: Bench) -> None:
    first = bench.save(1, edit_of((0, 1000))).json()["correction_id"]
    second = bench.save(1, edit_of((100, 1000)), first).json()
    answer = bench.save(1, edit_of((200, 1000)), first)
    assert answer.status_code == 409
    conflict = answer.json()
    assert conflict["yours"]["moments"][0]["start_ms"] == 200
    assert conflict["theirs"]["edit"]["moments"][0]["start_ms"] == 100
    assert (conflict["theirs"]["correction_id"], conflict["parent_id"]) == (second["correction_id"], first)
    assert len(bench.store.corrections(1)) == 2


def test_two_annotators_do_not_conflict(bench: Bench) -> None:
    assert bench.save(1, edit_of((0, 1000))).status_code == 200
    assert bench.save(1, edit_of((0, 2000)), who="bob/annotator").status_code == 200


def test_edges_of_original_and_model_may_lie_between_frames(bench: Bench) -> None:
    bench.store.import_rows(
        [row(9, "first", "odd edges", windows=((1.033, 2.061),))], dataset="odd", op_id="o"
    )
    query_id = bench.store.find("odd", 9).id
    bench.ready(query_id)
    assert bench.save(query_id, edit_of((1033, 2061))).status_code == 200
    assert bench.save(query_id, edit_of((1034, 2062)), 1).status_code == 400


def test_the_item_says_everything_that_the_timeline_draws(bench: Bench) -> None:
    who = f"{annotator_with('original-first')}/annotator"
    item = bench.ready(1, who=who)
    edit = item["edit"]
    assert item["video"] == {**item["video"], "duration_s": 4.0, "frame_rate": 10.0}
    assert (edit["frame_rate"], edit["frame_count"], edit["parent_id"], edit["edit"]) == (
        10.0,
        40,
        None,
        None,
    )
    assert edit["original"] == {"moments": [{"start_ms": 1000, "end_ms": 2000}], "refused": False}
    assert edit["progress"] == {"done": 0, "left": 3}
    assert [reason["kind"] for reason in edit["reasons"]] == ["one-clip-window"]
    assert item["strip"]["columns"] == 8
    assert bench.client.get(item["video"]["url"], headers={"x-user": who}).status_code == 200


def test_a_clip_of_a_dataset_is_for_annotators_only(bench: Bench) -> None:
    url = bench.ready(1)["video"]["url"]
    for who, status in {"ada/annotator": 200, "bob/annotator": 200, "eve/visitor": 404}.items():
        assert bench.client.get(url, headers={"x-user": who}).status_code == status
        assert bench.client.get(f"{url}/strip", headers={"x-user": who}).status_code == status


def test_a_row_says_what_was_decided_for_the_same_question(bench: Bench) -> None:
    twins = [
        row(11, "first", "When is it?"),
        row(12, "first", "When is it?"),
        row(13, "second", "When is it?"),
    ]
    fill(bench.store, bench.home, twins, without=("first", "second"))
    first, second, elsewhere = (bench.store.find("small", qid).id for qid in (11, 12, 13))
    original = annotator_with("original-first")
    assert bench.ready(first, who=f"{original}/annotator")["edit"]["twins"] == []
    bench.save(second, edit_of((0, 1000), submitted=True))
    expected = {
        "qid": "12",
        "decided": "correction",
        "verdict": "moments",
        "moments": [{"start_ms": 0, "end_ms": 1000}],
    }
    assert bench.ready(first, who=f"{original}/annotator")["edit"]["twins"] == [expected]
    assert bench.ready(elsewhere, who=f"{original}/annotator")["edit"]["twins"] == []
    blind = annotator_with("blind")
    assert bench.ready(first, who=f"{blind}/annotator")["edit"]["twins"] == []


def test_the_blind_arm_gets_nothing_of_original_and_model(bench: Bench) -> None:
    who = f"{annotator_with('blind')}/annotator"
    bench.ready(1, who=f"{annotator_with('model-first')}/annotator")
    until(lambda: bench.store.proposals(1), bool)
    item, proposal = bench.ready(1, who=who), bench.get("/queries/1/proposal", who=who).json()
    edit = item["edit"]
    assert (edit["arm"], edit["model"], edit["original"]["moments"]) == ("blind", None, [])
    assert (edit["saliency"], edit["reasons"], item["frames"], item["ranked"]) == ([], [], None, [])
    assert proposal == {"state": "hidden", "message": None, "model": None, "frames": None, "ranked": []}
    assert bench.save(1, edit_of((0, 1000), submitted=True), who=who).status_code == 200
    part = bench.ready(1, who=who)["edit"]
    assert (part["arm"], part["model"]["moments"][0]["start_ms"]) == ("original-first", 1000)


def test_the_proposal_comes_later_and_is_stored_with_its_frames(bench: Bench) -> None:
    who = f"{annotator_with('model-first')}/annotator"
    bench.engine.gate.clear()
    assert bench.ready(1, who=who)["edit"]["model"] is None
    assert bench.get("/queries/1/proposal", who=who).json()["state"] == "computing"
    bench.engine.gate.set()
    proposal = until(
        lambda: bench.get("/queries/1/proposal", who=who).json(), lambda state: state["state"] == "ready"
    )
    assert proposal["model"]["moments"] == [{"start_ms": 1000, "end_ms": 2500, "confidence": 0.87}]
    assert proposal["frames"]["times_s"] == [0.5 * k for k in range(8)]
    assert bench.store.proposals(1)[0].prediction.model_id == "fake-engine"
    assert len(bench.engine.encoded) == 1


def test_rows_of_one_clip_are_proposed_for_from_one_reading_of_it(bench: Bench) -> None:
    who = f"{annotator_with('model-first')}/annotator"
    rows = [row(31, "first", "a bird sings"), row(32, "first", "a purple bird")]
    bench.store.import_rows(rows, dataset="birds", op_id="birds")
    bench.store.save_proposer("birds", "fake-engine", op_id="named", actor="test")
    refusals = []
    for qid in (31, 32):
        query_id = bench.store.find("birds", qid).id
        bench.ready(query_id, who=who)
        (proposal,) = until(partial(bench.store.proposals, query_id), bool)
        refusals.append(proposal.prediction.refused)
    assert refusals == [False, True]
    assert len(bench.engine.encoded) == 1
    assert len(bench.service.proposals.grounding.contexts) == 1, "the room is left to people"


def test_a_query_that_the_model_cannot_take_says_so_and_blocks_nothing(bench: Bench) -> None:
    bench.store.import_rows([row(9, "first", "x" * 10_000)], dataset="long", op_id="l")
    bench.store.save_proposer("long", "fake-engine", op_id="named", actor="test")
    query_id = bench.store.find("long", 9).id
    who = f"{annotator_with('model-first')}/annotator"
    assert bench.ready(query_id, who=who)["query"] == "x" * 10_000
    proposal = until(
        lambda: bench.get(f"/queries/{query_id}/proposal", who=who).json(),
        lambda proposal: proposal["state"] == "failed",
    )
    assert "10000 characters" in proposal["message"]
    assert bench.save(query_id, edit_of((0, 1000)), who=who).status_code == 200


def test_a_model_is_not_asked_about_a_dataset_that_it_is_not_named_for(bench: Bench) -> None:
    bench.store.import_rows([row(9, "first", "a real question")], dataset="films", op_id="films")
    query_id, who = bench.store.find("films", 9).id, f"{annotator_with('model-first')}/annotator"
    bench.store.save_proposer("films", "another", op_id="another", actor="test")
    edit = bench.ready(query_id, who=who)["edit"]
    absence = "fake-engine is not named for the dataset films, so it does not propose"
    assert (edit["model"], edit["model_absence"]) == (None, absence)
    answer = bench.get(f"/queries/{query_id}/proposal", who=who).json()
    assert (answer["state"], answer["message"], answer["model"]) == ("none", absence, None)
    # What it said before it lost its name opens no row either.
    moments = (ProposedMoment(start_ms=0, end_ms=900),)
    bench.store.propose(query_id, Prediction(model_id="fake-engine", moments=moments), op_id="earlier")
    assert bench.ready(query_id, who=who)["edit"]["model"] is None
    assert bench.engine.encoded == []
    bench.store.save_proposer("films", "fake-engine", op_id="named", actor="test")
    edit = bench.ready(query_id, who=who)["edit"]
    assert (edit["model"]["moments"][0]["end_ms"], edit["model_absence"]) == (900, None)


def test_a_model_proposes_nothing_where_it_does_not_know_what_is_asked(bench: Bench) -> None:
    bench.store.import_rows([row(9, "first", "an axolotl appears")], dataset="films", op_id="films")
    bench.store.save_proposer("films", "fake-engine", op_id="named", actor="test")
    query_id, who = bench.store.find("films", 9).id, f"{annotator_with('model-first')}/annotator"
    answer = until(
        lambda: bench.get(f"/queries/{query_id}/proposal", who=who).json(),
        lambda answer: answer["state"] != "waiting",  # for the model to be loaded
    )
    absence = "This model does not know “axolotl”, so it says nothing about the clip, and proposes nothing"
    assert (answer["state"], answer["message"], answer["model"]) == ("none", absence, None)
    assert bench.store.proposals(query_id) == []
    assert bench.engine.encoded == []


def test_beside_a_proposal_stands_what_its_model_is_worth_here(bench: Bench) -> None:
    who = f"{annotator_with('original-first')}/annotator"
    bench.ready(1, who=who)
    proposal = until(
        lambda: bench.get("/queries/1/proposal", who=who).json(), lambda answer: answer["state"] == "ready"
    )
    assert proposal["model"]["worth"] == {"answers": 0, "mean_tiou": None}
    bench.save(1, edit_of((1000, 2000), submitted=True), who=who)  # the model says 1000 to 2500
    unseen = {"verdict": "cannot-judge", "reason": "video unavailable", "submitted": True}
    for number in range(WORTH_AGE):  # it is brought up to date now and then
        assert bench.save(3, unseen, who=f"{number}/annotator").status_code == 200
    edit = bench.ready(1, who=who)["edit"]
    assert edit["model"]["worth"] == {"answers": 1, "mean_tiou": pytest.approx(2 / 3)}
    assert bench.ready(1, who=f"{annotator_with('blind')}/annotator")["edit"]["model"] is None


def test_nobody_judges_a_clip_that_is_not_here(bench: Bench) -> None:
    answer = bench.save(3, edit_of((0, 1000), submitted=True))
    assert answer.status_code == 400
    assert "The clip of query 3 is not here" in answer.json()["error"]
    assert bench.save(3, edit_of((0, 1000), submitted=False)).status_code == 200  # a draft decides nothing
    unseen = {"verdict": "cannot-judge", "reason": "video unavailable", "submitted": True}
    draft = bench.store.corrections(3)[-1].id
    assert bench.save(3, unseen, draft).status_code == 200
    assert [version.edit.submitted for version in bench.store.corrections(3)] == [False, True]


def test_a_lane_that_began_before_the_models_proposal_is_not_model_first(bench: Bench) -> None:
    who = f"{annotator_with('model-first')}/annotator"
    bench.engine.gate.clear()
    assert bench.ready(1, who=who)["edit"]["arm"] == "model-first"
    early = edit_of((0, 1000), opening="original", screen_reasons=["one-clip-window"])
    draft = bench.save(1, early, who=who).json()["correction_id"]
    bench.engine.gate.set()
    until(lambda: bench.get("/queries/1/proposal", who=who).json(), lambda answer: answer["state"] == "ready")
    proposal_id = bench.store.proposals(1)[0].id
    content = early | {"proposal_id": proposal_id, "submitted": True}
    assert bench.save(1, content, draft, who=who).status_code == 200
    # Nothing was saved before the proposal came, but the lane had been begun.
    other = f"{annotator_with('model-first', 'bob')}/annotator"
    assert bench.save(1, content, who=other).status_code == 200
    assert bench.save(1, content | {"opening": "model"}, who=f"cy{other}").status_code == 200
    assert [
        (
            correction.edit.arm,
            correction.edit.opening,
            correction.edit.proposal_id,
            correction.edit.screen_reasons,
        )
        for correction in bench.store.corrections(1)
    ] == [
        ("original-first", "original", None, ("one-clip-window",)),
        ("original-first", "original", proposal_id, ("one-clip-window",)),
        ("original-first", "original", proposal_id, ("one-clip-window",)),
        ("model-first", "model", proposal_id, ("one-clip-window",)),
    ]


def test_nothing_that_the_blind_arm_hides_is_recorded_as_seen(bench: Bench) -> None:
    bench.ready(1, who=f"{annotator_with('model-first')}/annotator")
    until(lambda: bench.store.proposals(1), bool)
    who = f"{annotator_with('blind')}/annotator"
    claim = edit_of((0, 1000), proposal_id=1, opening="nothing", screen_reasons=["one-clip-window"])
    assert bench.save(1, claim, who=who).status_code == 200
    edit = bench.store.corrections(1)[0].edit
    assert (edit.arm, edit.proposal_id, edit.opening, edit.screen_reasons) == ("blind", None, "nothing", ())


def test_a_retry_answers_the_same_whatever_the_arm_is_now(bench: Bench) -> None:
    bench.ready(1)
    before = edit_of((0, 1000), arm="model-first")  # as a program wrote it that worked arms out of names
    written = Edit.from_dict(before)
    first = bench.store.submit(1, written, annotator="ada", parent_id=None, op_id="before")
    answer = bench.save(1, edit_of((0, 1000)), op_id="before")
    assert (answer.status_code, answer.json()["correction_id"]) == (200, first.id)
    assert bench.store.arm(1, "ada") == "model-first"
    assert len(bench.store.corrections(1)) == 1


def test_the_row_says_how_many_are_blind(bench: Bench) -> None:
    assert bench.ready(1)["edit"]["blind_share"] == 0.2
    bench.store.save_blind_share(1.0, op_id="all", actor="test")
    names = [f"new{number}" for number in range(40)]
    parts = [bench.get("/queries/1", who=f"{name}/annotator").json()["edit"] for name in names]
    assert {(part["arm"], part["blind_share"]) for part in parts} == {("blind", 1.0)}


def test_the_queue_lends_rows_with_clips_first_and_says_what_is_missing(bench: Bench) -> None:
    query_ids: list[int] = []
    for number in range(3):
        response = bench.post("/next", {"op_id": f"n{number}", "besides": query_ids}).json()
        query_ids.append(response["item"]["edit"]["query_id"])
    assert query_ids == [1, 2, 3]
    missing = response["item"]["edit"]["missing_video"]
    assert "lost.mp4" in missing
    assert "the folder videos of TEMPO_HOME" in missing
    assert response["item"]["message"] == missing
    assert bench.post("/next", {"op_id": "n9", "besides": query_ids}).json()["item"] is None


def test_a_projects_guidelines_and_progress_stand_beside_its_rows(bench: Bench) -> None:
    plan = ProjectPlan(
        name="week", qids=("2",), people=("ada",), guidelines="Mind the ends.", blind_share=1.0
    )
    bench.store.add_project(plan, op_id="plan", actor="lead")
    next_row = bench.post("/next", {"op_id": "n1", "besides": []}).json()
    assert next_row["item"]["edit"]["query_id"] == 2
    assert next_row["item"]["edit"]["project"] == {"name": "week", "guidelines": "Mind the ends."}
    assert next_row["item"]["edit"]["blind_share"] == 1.0
    assert next_row["progress"] == {"done": 0, "left": 1, "project": "week", "waiting": 0, "ended": None}
    assert bench.get("/queries/1").json()["edit"]["project"] is None
    response = bench.post("/next", {"op_id": "n2", "besides": []}, who="bo/annotator").json()
    assert response["item"]["edit"]["query_id"] != 2
    assert "project" not in response["progress"]


def test_a_planted_proposal_looks_like_the_models_and_is_recorded_as_planted(bench: Bench) -> None:
    name = annotator_with("original-first")
    ada = f"{name}/annotator"
    bench.ready(1, who=ada)
    until(
        lambda: bench.get("/queries/1/proposal", who=ada).json(),
        lambda proposal: proposal["state"] == "ready",
    )
    decided = bench.store.submit(
        1,
        Edit.from_dict(edit_of((1000, 2000), submitted=True)),
        annotator="cy",
        parent_id=None,
        op_id="cy",
    )
    bench.store.adjudicate(1, correction_id=decided.id, adjudicator="dee", parent_id=None, op_id="dee")
    project_id = bench.store.add_project(ProjectPlan(name="week"), op_id="plan", actor="lead")
    plant = {
        "query_id": 1,
        "annotator": name,
        "project_id": project_id,
        "correction_id": decided.id,
        "model_id": "fake-engine",
        "moments": [[3000, 4000]],
        "created_at_ms": 1,
    }
    with bench.store.database.engine.begin() as connection:
        connection.execute(insert(tables.plants), plant)
    for response in (bench.get("/queries/1", who=ada), bench.get("/queries/1/proposal", who=ada)):
        model = response.json().get("edit", response.json())["model"]
        assert [(moment["start_ms"], moment["end_ms"]) for moment in model["moments"]] == [(3000, 4000)]
        assert model["model_id"] == "fake-engine"
        assert "plant" not in response.text
    assert bench.get("/queries/1", who=ada).json()["edit"]["arm"] == "model-first"
    # What was decided for the same question would give it away.
    row_asked = bench.store.query(1).row
    fill(bench.store, bench.home, [row(21, row_asked.vid, row_asked.query)], without=(row_asked.vid,))
    twin_id = bench.store.find("small", 21).id
    bench.save(twin_id, edit_of((1000, 2000), submitted=True))
    assert [query.row.qid for query in bench.store.twins(1)] == ["21"]
    assert bench.get("/queries/1", who=ada).json()["edit"]["twins"] == []
    edit = edit_of((3000, 4000), submitted=True, proposal_id=model["proposal_id"], opening="model")
    assert bench.save(1, edit, who=ada).status_code == 200
    stored = bench.store.latest(1, name)
    assert stored is not None
    assert (stored.edit.arm, stored.edit.proposal_id) == ("planted", None)
    (figure,) = bench.store.planted_answers()
    assert (figure.annotator, figure.answers, figure.kept, figure.right) == (name, 1, 1, 0)
    assert [version.annotator for version in bench.store.versions(1)] == ["cy"]


def test_look_again_finds_a_clip_that_was_just_put_there(bench: Bench) -> None:
    bench.store.import_rows([row(70, "late")], dataset="other", op_id="late")
    query_id = bench.store.find("other", 70).id
    assert "late.mp4 is not here" in bench.get(f"/queries/{query_id}").json()["edit"]["missing_video"]
    write_clip(bench.home.videos / "late.mp4", hue=200)
    assert bench.get(f"/queries/{query_id}").json()["edit"]["missing_video"] is not None
    assert bench.post(f"/queries/{query_id}/look", {}).json()["edit"]["missing_video"] is None
    assert bench.ready(query_id)["state"] == "ready"


def test_real_rows_come_with_their_evidence(tmp_path: Path, shared_data: Path) -> None:
    release = shared_data / "qvhighlights" / "highlight_val_release.jsonl"
    with open_bench(tmp_path / "home") as bench:
        import_file(bench.store, release, op_id="val", actor="test", format="qvhighlights")
        who = f"{annotator_with('original-first')}/annotator"
        response = bench.post("/next", {"op_id": "n"}, who=who).json()
        item = bench.get("/queries/3", who=who).json()
    assert (response["progress"], response["empty"]) == ({"done": 0, "left": 1550}, False)
    assert response["item"]["edit"]["query_id"] != 3  # the most suspect row, not the first
    row = json.loads(release.read_text().splitlines()[2])
    edit = item["edit"]
    windows = [{"start_ms": a * 1000, "end_ms": b * 1000} for a, b in sorted(row["relevant_windows"])]
    assert edit["original"]["moments"] == windows
    assert [start_ms // 2000 for start_ms, _, _ in edit["saliency"]] == row["relevant_clip_ids"]
    means = [sum(scores) / 3 for scores in row["saliency_scores"]]
    assert [score for _, _, score in edit["saliency"]] == pytest.approx(means)
    assert f"{row['vid']}.mp4" in edit["missing_video"]
    assert edit["grid_ms"] == 2000


def test_two_annotators_get_different_rows(bench: Bench) -> None:
    bench.service.reviews_wanted = 1
    first = bench.post("/next", {"op_id": "a"}).json()["item"]["edit"]["query_id"]
    second = bench.post("/next", {"op_id": "b"}, who="bob/annotator").json()["item"]["edit"]["query_id"]
    assert first != second


def test_the_upcoming_row_is_lent_as_it_was_shown_and_not_before(bench: Bench) -> None:
    now = bench.post("/next", {"op_id": "a"}).json()["item"]["edit"]["query_id"]
    ahead = [bench.post("/upcoming", {"besides": [now]}).json()["item"]["edit"] for _ in range(2)]
    next_id = ahead[0]["query_id"]
    shown = ("query_id", "arm", "original", "reasons")
    assert [ahead[0][name] for name in shown] == [ahead[1][name] for name in shown]
    assert bench.get(f"/queries/{next_id}").json()["edit"]["arm"] == ahead[0]["arm"]
    bench.post("/next", {"op_id": "b"}, who="bo/annotator")  # other people's draws change nothing
    assert bench.store.annotator_row(next_id, "ada").arm is None
    body = {"op_id": "c", "besides": [now], "upcoming": next_id}
    lent = bench.post("/next", body).json()["item"]["edit"]
    assert [lent[name] for name in shown] == [ahead[0][name] for name in shown]
    assert bench.store.annotator_row(next_id, "ada").arm == ahead[0]["arm"]


def test_an_answer_that_comes_before_its_row_is_lent_has_the_arm_that_was_shown(bench: Bench) -> None:
    now = bench.post("/next", {"op_id": "a"}).json()["item"]["edit"]["query_id"]
    ahead = bench.post("/upcoming", {"besides": [now]}).json()["item"]["edit"]
    bench.ready(ahead["query_id"])
    bench.post("/next", {"op_id": "b"}, who="bo/annotator")
    assert bench.save(ahead["query_id"], edit_of((500, 1000), submitted=True)).status_code == 200
    assert bench.store.annotator_row(ahead["query_id"], "ada").arm == ahead["arm"]


def test_what_is_upcoming_for_one_comes_last_for_others(bench: Bench) -> None:
    bench.service.reviews_wanted = 1
    fill(bench.store, bench.home, [row(n, f"more-{n}", f"more {n}") for n in range(10, 16)])
    people = [f"{name}/annotator" for name in ("ada", "bo", "cy")]
    now, ahead = {}, {}
    for who in people:
        now[who] = bench.post("/next", {"op_id": who}, who=who).json()["item"]["edit"]["query_id"]
        body = {"besides": [now[who]]}
        ahead[who] = bench.post("/upcoming", body, who=who).json()["item"]["edit"]["query_id"]
    assert len({*now.values(), *ahead.values()}) == 6
    for who in people:
        then = {"op_id": f"{who} then", "besides": [now[who]], "upcoming": ahead[who]}
        assert bench.post("/next", then, who=who).json()["item"]["edit"]["query_id"] == ahead[who]
    at_hand = {"besides": [now["ada/annotator"], ahead["ada/annotator"]]}
    left = bench.post("/upcoming", at_hand).json()["item"]["edit"]["query_id"]
    besides = {"besides": [query_id for query_id in range(1, 10) if query_id != left]}
    last = bench.post("/upcoming", besides, who="bo/annotator").json()["item"]["edit"]["query_id"]
    assert last == left, "there is no other"


def test_an_upcoming_row_that_cannot_be_lent_any_more_is_another(bench: Bench) -> None:
    bench.service.reviews_wanted = 1
    now = bench.post("/next", {"op_id": "a"}).json()["item"]["edit"]["query_id"]
    ahead = bench.post("/upcoming", {"besides": [now]}).json()["item"]["edit"]["query_id"]
    lent = bench.store.next_query("bo", op_id="b", excluding=[now])
    assert lent is not None
    assert lent.query_id == ahead
    body = {"op_id": "c", "besides": [now], "upcoming": ahead}
    assert bench.post("/next", body).json()["item"]["edit"]["query_id"] not in (now, ahead)
    assert bench.store.annotator_row(ahead, "ada").arm is None


def test_a_skipped_row_goes_to_somebody_else(bench: Bench) -> None:
    bench.service.reviews_wanted = 1
    assert bench.post("/next", {"op_id": "a"}).json()["item"]["edit"]["query_id"] == 1
    assert bench.post("/queries/1/skip", {"op_id": "s"}).json() == {}
    assert bench.post("/next", {"op_id": "b"}, who="bob/annotator").json()["item"]["edit"]["query_id"] == 1


@pytest.mark.parametrize("besides", ["1", [1.5], [True], [None], list(range(300))])
def test_a_wrong_list_of_rows_is_explained(bench: Bench, besides: Any) -> None:
    assert bench.post("/next", {"op_id": "a", "besides": besides}).status_code == 400


def test_progress_and_what_was_done_are_counted(bench: Bench) -> None:
    bench.ready(2)
    bench.save(2, edit_of((0, 1000), submitted=True))
    bench.save(1, edit_of((0, 1000)))
    assert bench.get("/me").json() == {"annotator": "ada", "makes_projects": False, "done_ids": [2]}
    assert bench.post("/next", {"op_id": "a"}).json()["progress"] == {"done": 1, "left": 2}


@pytest.mark.slow
def test_the_sample_project_is_made_once_and_removed(tmp_path: Path) -> None:
    with open_bench(tmp_path / "home", clips=12, rate=1) as bench:
        who = "ruth/researcher"
        assert bench.post("/next", {"op_id": "n"}, who=who).json()["empty"] is True
        assert bench.post("/sample", {}, who=who).json()["state"] == "making"
        bench.post("/sample", {}, who=who)
        standing = until(lambda: bench.get("/sample").json(), lambda state: state["state"] != "making")
        assert standing == {"state": "present", "dataset": "sample", "fraction": 1.0, "message": None}
        assert bench.store.proposers("sample") == {ANY}
        rows = bench.store.queue(QueueFilter(unseen_by=COLLEAGUE))
        kinds = {reason.reason for item in rows for reason in item.reasons}
        sample_kinds = {
            "one-clip-hole",
            "whole-video",
            "duplicate-query",
            "low-saliency-inside",
            "duration-differs",
        }
        assert len(rows) == 13
        assert sample_kinds <= kinds
        ann = User(id="ann", name="ann", roles=GRANTS[Role.ANNOTATOR])
        assert bench.service.progress(ann) == {"done": 0, "left": 13}, "the colleague's are settled"
        correction = edit_of((0, 2000), submitted=True)
        bench.ready(rows[0].query_id, who=who)  # clips are prepared after the rows are there
        assert bench.save(rows[0].query_id, correction, who=who).status_code == 200
        snapshot = take_snapshot(bench.store, bench.home.snapshots, actor="test")
        examples = read_examples(snapshot.folder)
        taught = [example for example in examples.training if example.source != "original"]
        questions = [len(clip["questions"]) for clip in WORDS["training"][:12]]
        assert len(examples.training) == 13 + sum(questions), (
            "the sample's rows are of the split that teaches"
        )
        held_out = {example.video.stem for example in examples.held_out}
        assert held_out == {f"word-{number}" for number in range(13, 25)}
        own = [example for example in taught if not example.video.stem.startswith("word-")]
        assert [(m.start_s, m.end_s) for example in own for m in example.moments] == [(0.0, 2.0)]
        assert len(taught) == 1 + sum(questions), "the colleague's answers teach, too"
        assert bench.post("/next", {"op_id": "m"}, who=who).json()["item"]["edit"]["dataset"] == "sample"
        assert bench.post("/sample/remove", {}, who=who).json()["state"] == "absent"
        assert bench.store.queue() == []
        assert list(bench.home.videos.rglob("*.mp4")) == []
        bench.post("/sample", {}, who=who)
        again = until(lambda: bench.get("/sample").json(), lambda state: state["state"] != "making")
        assert again["dataset"] == "sample-2"


@pytest.mark.parametrize(("wanted", "left"), [(1, 2), (2, 3)])
def test_how_many_annotators_a_row_wants_can_be_set(bench: Bench, wanted: int, left: int) -> None:
    bench.ready(1)
    assert bench.save(1, edit_of((0, 1000), submitted=True)).status_code == 200
    service = AnnotationService(
        bench.store, bench.service.dataset_clips, bench.service.proposals, reviews_wanted=wanted
    )
    bob = User(id="bob", name="bob", roles=GRANTS[Role.ANNOTATOR])
    assert service.progress(bob) == {"done": 0, "left": left}


def test_a_row_wants_an_annotator(bench: Bench) -> None:
    with pytest.raises(InputError, match="at least one annotator"):
        AnnotationService(bench.store, bench.service.dataset_clips, bench.service.proposals, reviews_wanted=0)
