"""The data desk and the data page's handlers, without a browser."""

import asyncio
import json
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from annotations import formats
from annotations.records import Edit, EditedMoment
from annotations.rows import Row
from annotations.store import Store
from app.auth.users import Authenticator, Role, User
from app.data.downloads import ZIP, Downloads, download_routes
from app.data.layout import TabState
from app.data.page import DataPage
from app.data.service import DataService
from app.http.dependencies import prepare_app
from app.job_queue import Job, JobQueue
from tempo_core.errors import InputError
from tests.app.markup import page_text

NASTY = "<img src=x onerror=alert(1)> ${1+1} {{value}}"
ADA = User(id="ada", name="ada", roles=frozenset(Role))


class OneUser(Authenticator):
    """Accounts in which everybody is one person with the roles that a test gives them."""

    __slots__ = ()

    def resolve(self, request: Any) -> User | None:
        return request.user


def job() -> Job:
    return Job("ada")


def asked_by(*roles: Role, name: str = "ada") -> Any:
    return SimpleNamespace(user=User(id=name, name=name, roles=frozenset(roles)))


EVERYTHING = asked_by(*Role)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DataService]:
    """A store of three rows, one of them nasty."""
    proposals = [
        ("A dog runs", "v", (10, 20)),
        (NASTY, "v", (0, 150)),
        ("A cat", "w", (4, 8)),
    ]
    rows = [
        Row(
            qid=str(n),
            qid_is_int=True,
            query=query,
            vid=f"{vid}_0.0_150.0",
            duration_s=150,
            split="train" if vid == "w" else "val",
            windows=(pair,),
        )
        for n, (query, vid, pair) in enumerate(proposals, start=1)
    ]
    with Store(tmp_path / "cqvh.sqlite3") as store:
        store.import_rows(rows, dataset="qvh", op_id="import")
        (tmp_path / "exports").mkdir()
        job_queue = JobQueue("data")
        yield DataService(store, Downloads(tmp_path / "exports"), tmp_path / "snapshots", job_queue)
        job_queue.close()


@pytest.fixture
def page(service: DataService) -> DataPage:
    page = DataPage(service, OneUser(anonymous=False))
    with gr.Blocks() as blocks:
        page.build(blocks)
    return page


def edit(*windows_ms: tuple[int, int]) -> Edit:
    return Edit(verdict="moments", moments=tuple(EditedMoment(start_ms=a, end_ms=b) for a, b in windows_ms))


def chosen(data: Any) -> Any:
    return SimpleNamespace(_data=data)


def last(steps: AsyncIterator[dict[Any, Any]]) -> dict[Any, Any]:
    """What a handler that streams shows in the end."""

    async def run() -> dict[Any, Any]:
        changes: dict[Any, Any] = {}
        async for change in steps:
            changes |= change
        return changes

    return asyncio.run(run())


def filled(tab: Any, **changes: Any) -> dict[Any, Any]:
    """A tab's form as it stands on a fresh page, with changes by the components' names."""
    fields = {component: component.value for component in tab.form.values()}
    return fields | {tab.form[name]: value for name, value in changes.items()}


def test_arriving_shows_rows_and_only_what_one_may_do(page: DataPage) -> None:
    view = page.view
    changes = page.arrive(asked_by(Role.ANNOTATOR))
    rows = json.loads(changes[view.rows.rows])["rows"]
    assert [row["text"] for row in rows] == ["A dog runs", NASTY, "A cat"]
    assert "1–3 of 3" in changes[view.rows.count]
    assert [changes[tab]["visible"] for tab in (view.imports.tab, view.exports.tab, view.compare.tab)] == [
        False
    ] * 3
    assert changes[view.exports.form["dataset"]]["choices"] == ["qvh"]
    choices = ("format", "rule", "snapping", "saliency", "refusals")
    defaults = [view.exports.form[name].value for name in choices]
    assert defaults == ["qvhighlights", "latest", "outward", "keep+neutral", "apart"]
    changes = page.arrive(asked_by(Role.VISITOR))
    assert list(changes) == [view.rows.count]
    assert "role annotator" in changes[view.rows.count]


def test_filters_pages_and_bad_filters(page: DataPage) -> None:
    view, who = page.view, asked_by(Role.ANNOTATOR)
    rows = view.rows

    def show(
        *filters: str, state: TabState | None = None, target: Any = rows.form["text"], user: Any = who
    ) -> Any:
        values = {**dict(zip(rows.form.values(), filters, strict=True)), view.tab_state: state or TabState()}
        copy = SimpleNamespace(elem_id=target.elem_id)  # as Gradio makes of a component that was updated
        return page.show_rows(values, user, SimpleNamespace(target=copy))

    changes = show(" dog ", "qvh", "val", "open", "", "suspicion", state=TabState(offset=50))
    assert [row["qid"] for row in json.loads(changes[view.rows.rows])["rows"]] == ["1"]
    assert changes[view.tab_state].offset == 0
    none = show("zzz", "", "", "any", "", "import")
    assert json.loads(none[view.rows.rows])["empty"] == "No row fits these filters."
    everything = ("", "", "", "any", "", "import")
    offsets = {
        (120, 50, rows.forward): 100,
        (120, 100, rows.forward): 100,
        (120, 100, rows.back): 50,
        (120, 30, rows.back): 0,
        (120, 100, rows.form["dataset"]): 0,
        (0, 0, rows.forward): 0,
    }
    answers = {
        key: show(*everything, state=TabState(total=key[0], offset=key[1]), target=key[2]) for key in offsets
    }
    assert {key: changes[view.tab_state].offset for key, changes in answers.items()} == offsets
    bad = show("", "", "", "odd", "", "import")
    assert "state is 'odd'" in page_text(bad[rows.count])
    refused = show(*everything, user=asked_by(Role.VISITOR))
    assert list(refused) == [view.rows.count]


def test_history_and_restore(page: DataPage, service: DataService) -> None:
    view, who = page.view, asked_by(Role.ANNOTATOR)
    first = service.store.submit(1, edit((10_000, 30_000)), annotator="ada", parent_id=None, op_id="a")
    service.store.submit(1, edit((5_000, 6_000)), annotator="bob", parent_id=None, op_id="b")
    second = service.store.submit(1, edit((1_000, 2_000)), annotator="ada", parent_id=first.id, op_id="c")
    changes = page.choose(TabState(), who, chosen({"query_id": 1}))
    story = json.loads(changes[view.rows.history])
    assert story["parent_id"] == second.id
    assert [entry["title"] for entry in story["entries"]] == [
        "ada, version 2",
        "bob, version 1",
        "ada, version 1",
        "As released",
    ]
    assert story["entries"][0]["restores"] is None
    wish = {"query_id": 1, "to_id": first.id, "parent_id": second.id}
    changes = page.restore(who, chosen(wish))
    assert "Restored" in changes[view.rows.history_line]
    assert service.store.resolved(1).moments == first.edit.windows
    changes = page.restore(who, chosen(wish))
    assert "moved on" in changes[view.rows.history_line]
    assert len(service.store.corrections(1)) == 4, "a stale page restores nothing"
    newest = service.store.latest(1, "ada")
    assert newest is not None
    page.restore(who, chosen({"query_id": 1, "to_id": None, "parent_id": newest.id}))
    assert [(m.start_s, m.end_s) for m in service.store.resolved(1).moments or ()] == [(10.0, 20.0)]


@pytest.mark.parametrize("data", [None, {}, {"query_id": 99}, {"query_id": "1"}, {"query_id": True}, "x"])
def test_unknown_rows_and_strange_events_are_answered_with_a_sentence(page: DataPage, data: Any) -> None:
    who = asked_by(Role.ANNOTATOR)
    assert "There is no query" in page.choose(TabState(), who, chosen(data))[page.view.rows.history_line]
    assert 'role="alert"' in page.restore(who, chosen(data))[page.view.rows.history_line]


def test_every_handler_asks_for_its_role(page: DataPage) -> None:
    view, visitor, annotator = page.view, asked_by(Role.VISITOR), asked_by(Role.ANNOTATOR)
    assert (
        "role annotator" in page.choose(TabState(), visitor, chosen({"query_id": 1}))[view.rows.history_line]
    )
    assert "role annotator" in page.restore(visitor, chosen({"query_id": 1}))[view.rows.history_line]
    assert "role annotator" in page.figures(visitor)[view.figures.facts]
    assert "role administrator" in last(page.bring_in(filled(view.imports), annotator))[view.imports.line]
    form = filled(view.exports, dataset="qvh")
    assert "role researcher" in last(page.take_out(form, annotator))[view.exports.line]
    form = filled(view.compare, dataset="qvh")
    assert "role researcher" in last(page.compare(form, annotator))[view.compare.line]


def test_figures_count_the_store(page: DataPage) -> None:
    changes = page.figures(asked_by(Role.ANNOTATOR))
    assert "<dt>Queries</dt><dd>3</dd>" in changes[page.view.figures.facts]
    assert changes[page.view.figures.progress].data[0].x == (3,)


def test_import_reports_what_came_and_names_what_did_not(page: DataPage, tmp_path: Path) -> None:
    view = page.view
    good = {"qid": 7, "query": NASTY, "vid": "x", "duration": 10, "relevant_windows": [[0, 2]]}
    bad = {**good, "qid": 8, "relevant_windows": [[4, 2]]}
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in (good, bad)))
    changes = last(page.bring_in(filled(view.imports, files=[str(file)], dataset="more"), EVERYTHING))
    assert "1 row breaks a rule, so nothing of it came in" in changes[view.imports.result]
    assert "<td>rows.jsonl</td><td>2</td>" in changes[view.imports.result]
    form = filled(view.imports, files=[str(file)], dataset="more", keep_going=True)
    changes = last(page.bring_in(form, EVERYTHING))
    assert "1 added" in changes[view.imports.result]
    assert "1 left out" in changes[view.imports.result]
    assert changes[view.rows.form["dataset"]]["choices"] == [("All", ""), ("more", "more"), ("qvh", "qvh")]
    assert changes[view.imports.button]["interactive"]
    for changes in ({"files": []}, {"format": "odd"}, {"split": "odd"}):
        form = filled(view.imports, **{"files": [str(file)], **changes})
        assert 'role="alert"' in last(page.bring_in(form, EVERYTHING))[view.imports.line], changes


@pytest.mark.parametrize("name", ["page.html", "photo.png", "empty.csv"])
def test_files_of_no_format_are_refused_by_name(service: DataService, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"" if name == "empty.csv" else b"<html>\x00\xff")
    outcome = service.import_files(job(), ADA, files=(tmp_path / name,))
    assert outcome.imported == ()
    assert outcome.refused[0][0] == name
    assert "no format known" in outcome.refused[0][1]


FORMATS = [name for name in formats.names() if name in formats.export_names() and name != "predictions"]


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_goes_out_and_comes_in_again(service: DataService, tmp_path: Path, form: str) -> None:
    out = service.export(job(), ADA, format=form, dataset="qvh", frame_rate=25.0, keep_going=True)
    assert any("manifest" in name.lower() for name in out.names)
    with zipfile.ZipFile(out.bundle.folder / ZIP) as archive:
        assert sorted(archive.namelist()) == list(out.names)
    papers = ("manifest", "license", "readme", "raw", "diff", "no_moment", "labels.xml")
    files = tuple(
        out.bundle.folder / name for name in out.names if not any(part in name.lower() for part in papers)
    )
    back = service.import_files(job(), ADA, files=files, format=form, dataset="again")
    assert back.refused == ()
    assert sum(outcome.report.added for outcome in back.imported) == 3


def test_an_export_is_what_the_command_writes(
    service: DataService, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from annotations.__main__ import main

    service.store.submit(1, edit((10_000, 30_000)), annotator="ada", parent_id=None, op_id="a")
    monkeypatch.setenv("TEMPO_HOME", str(tmp_path))
    for form, name in (("qvhighlights", ""), ("csv", "qvh.csv")):
        out = service.export(job(), ADA, format=form, dataset="qvh")
        target = tmp_path / "cli" / form / name
        arguments = [
            "export",
            "--database",
            str(tmp_path / "cqvh.sqlite3"),
            "--format",
            form,
            "--out",
            str(target),
        ]
        assert main(arguments) == 0, capsys.readouterr().err
        folder = target if not name else target.parent
        written = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert {name: (out.bundle.folder / name).read_bytes() for name in out.names} == written


def test_bad_exports_say_why_and_leave_nothing(page: DataPage, service: DataService) -> None:
    view = page.view
    form = filled(view.exports, dataset=None)
    assert "no dataset to export" in last(page.take_out(form, EVERYTHING))[view.exports.line]
    wrong = ("format", "split", "rule", "snapping", "refusals", "dataset")
    for changes in (*({name: "odd"} for name in wrong), {"format": "label-studio"}):
        form = filled(view.exports, **{"dataset": "qvh", **changes})
        updates = last(page.take_out(form, EVERYTHING))
        assert 'role="alert"' in updates[view.exports.line], changes
        assert updates[view.exports.button]["interactive"]
    assert list(service.downloads.room.iterdir()) == []


def test_comparison_shows_both_rules_and_hands_out_the_reports(page: DataPage, service: DataService) -> None:
    service.store.submit(1, edit((60_000, 70_000)), annotator="ada", parent_id=None, op_id="a")
    tab = page.view.compare
    text = last(page.compare(filled(tab, dataset="qvh"), EVERYTHING))[tab.result]
    assert "3 rows compared, 1 of them changed" in text
    assert '<th scope="row">R1@0.5</th><td>66.67</td><td>66.67</td>' in text
    assert "strict.html" in text
    assert "official.html" in text
    bad = last(page.compare(filled(tab, dataset=""), EVERYTHING))
    assert "no dataset to compare" in bad[tab.line]


def test_files_go_to_researchers_only(service: DataService) -> None:
    out = service.export(job(), ADA, format="csv", dataset="qvh")
    address = f"/data/files/{out.bundle.id}"

    def client(*roles: Role) -> TestClient:
        app = FastAPI()
        authenticator = SimpleNamespace(
            require=lambda request, role: OneUser(anonymous=False).require(asked_by(*roles), role)
        )
        prepare_app(app, authenticator)  # type: ignore[arg-type]
        app.include_router(download_routes(service.downloads))
        return TestClient(app)

    researcher = client(Role.RESEARCHER)
    download = researcher.get(f"{address}/qvh.csv")
    assert download.content == (out.bundle.folder / "qvh.csv").read_bytes()
    assert "attachment" in download.headers["content-disposition"]
    assert researcher.get(f"{address}/{ZIP}").status_code == 200
    assert client(Role.ANNOTATOR).get(f"{address}/qvh.csv").status_code == 403
    for wrong in (
        f"{address}/other.csv",
        f"{address}/../cqvh.sqlite3",
        f"{address}/%2e%2e/%2e%2e/cqvh.sqlite3",
        f"/data/files/{'a' * 24}/qvh.csv",
        "/data/files/../qvh.csv",
        f"{address}/",
    ):
        assert researcher.get(wrong).status_code == 404, wrong


def test_old_parcels_go(tmp_path: Path) -> None:
    now_s = [1e9 * 2]
    downloads = Downloads(tmp_path, ttl_s=10, clock=lambda: now_s[0])
    old = downloads.open()
    assert not old.folder.exists() or downloads.sweep() == 1
    with pytest.raises(InputError):
        downloads.file(old.id, "x")
