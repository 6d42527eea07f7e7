"""Gradio's routes in the running app: what is open, whose files and streams are whose, and what an answer holds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.routes import App
from gradio.state_holder import SessionState
from starlette.requests import Request
from starlette.routing import Route

from annotations.store import Store
from app.auth.users import VISITOR_COOKIE, Authenticator
from app.ground.clip_input import ClipInput
from app.http.gradio_gate import OPEN_ROUTES
from app.media.uploads import OwnedFileBlocks
from tests.app.fakes import write_clip
from tests.app.studio import ALICE, BOB, Answer, Studio, open_studio
from tests.app.test_inventory import flat


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """An app with anonymous visitors."""
    with open_studio(
        tmp_path_factory.mktemp("home"), authenticator=Authenticator(anonymous=True), host="tempo.example"
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def clip_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_clip(tmp_path_factory.mktemp("clips") / "square.mp4").read_bytes()


def test_an_upload_is_known_by_an_address_that_only_its_sender_can_use(
    studio: Studio, clip_bytes: bytes
) -> None:
    answer = studio.upload("my square.mp4", clip_bytes)
    assert answer.status == 200
    [address] = answer.json()
    token, name = address.split("/")
    assert (len(token), name) == (24, "my square.mp4")
    assert studio.request("GET", f"/gradio_api/file={address}").body == clip_bytes
    foreign = studio.request("GET", f"/gradio_api/file={address}", who=BOB)
    unknown = studio.request("GET", f"/gradio_api/file={'x' * 24}/{name}", who=BOB)
    assert (foreign.status, foreign.body) == (404, unknown.body)


def test_a_file_is_not_served_by_its_path(studio: Studio, clip_bytes: bytes) -> None:
    [address] = studio.upload("square.mp4", clip_bytes).json()
    path = studio.home.uploads / address
    assert path.read_bytes() == clip_bytes
    for spelling in (str(path), f"/{path}", f"../{path.name}", f"{address}/../{path.name}", "/etc/passwd"):
        for route in (f"/gradio_api/file={spelling}", f"/gradio_api/file/{spelling}"):
            assert studio.request("GET", route).status == 404


def test_only_a_video_is_shown_in_the_browser(studio: Studio, clip_bytes: bytes) -> None:
    headers_by_name = {}
    for name in ("clip.mp4", "page.html", "drawing.svg", "list.jsonl"):
        [address] = studio.upload(name, clip_bytes).json()
        headers = dict(studio.request("GET", f"/gradio_api/file={address}").headers)
        headers_by_name[name] = (headers["content-type"], headers["content-disposition"].split(";")[0])
    saved = ("application/octet-stream", "attachment")
    assert headers_by_name == {
        "clip.mp4": ("video/mp4", "inline"),
        "page.html": saved,
        "drawing.svg": saved,
        "list.jsonl": saved,
    }


def test_nobody_can_ask_about_anothers_upload(studio: Studio, clip_bytes: bytes) -> None:
    [address] = studio.upload("square.mp4", clip_bytes).json()

    def choose(path: str, who: str, **meta: Any) -> Answer:
        file = {"path": path, "url": f"http://tempo.example/gradio_api/file={path}", **meta}
        values = {"data": [file, None], "fn_index": studio.event("clip_changed"), "session_hash": f"of-{who}"}
        return studio.post("/gradio_api/run/predict", values, who=who)

    marked = {"meta": {"_type": "gradio.FileData"}}
    assert choose(address, ALICE, **marked).status == 200
    for path, who in ((address, BOB), (str(studio.home.uploads / address), ALICE), ("/etc/passwd", ALICE)):
        for meta in ({}, marked):
            answer = choose(path, who, **meta)
            assert answer.status == 422
            assert answer.json()["error"] == "The uploaded clip is no longer kept here. Upload it again."
    assert choose(address, ALICE).status == 422, "Gradio takes no file that is not marked as one"


def test_a_file_that_an_event_returns_is_known_by_its_address(studio: Studio, clip_bytes: bytes) -> None:
    """The browser gets the address of its own upload back, and of a file of the app's one of its own."""
    [address] = studio.upload("square.mp4", clip_bytes).json()
    own, shipped = studio.home.uploads / address, studio.home.uploads / "cache" / "example.mp4"
    shipped.parent.mkdir()
    shipped.write_bytes(b"example")

    async def names() -> list[Any]:
        with OwnedFileBlocks(uploads=studio.uploads, authenticator=Authenticator(anonymous=True)) as blocks:
            outputs = [ClipInput(), ClipInput()]
            event = gr.Button().click(lambda: (str(own), str(shipped)), None, outputs)
        request = Request({"type": "http", "headers": [(b"cookie", f"{VISITOR_COOKIE}={ALICE}".encode())]})
        output = await blocks.process_api(
            blocks.fns[event["id"]], [], SessionState(blocks), request, root_path="http://tempo.example"
        )
        return output["data"]

    first, second = studio.runner.run(names())
    assert (first["path"], first["url"]) == (address, f"http://tempo.example/gradio_api/file={address}")
    assert second["path"].endswith("/example.mp4")
    assert str(studio.home.root) not in json.dumps([first, second])
    assert studio.request("GET", f"/gradio_api/file={second['path']}").body == b"example"
    assert studio.request("GET", f"/gradio_api/file={second['path']}", who=BOB).status == 404


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"hello"),
        ("multipart/form-data", b"--x\r\n\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n--x--',
        ),
        ("multipart/form-data; boundary=x", b"\xff\x00"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="t"\r\n\r\n' + b"y" * 100_000 + b"\r\n--x--\r\n",
        ),
    ],
)
def test_a_body_that_is_no_form_with_files_is_refused_and_leaves_nothing(
    studio: Studio, content_type: str, body: bytes
) -> None:
    before = sorted(studio.home.uploads.rglob("*"))
    answer = studio.request("POST", "/gradio_api/upload", body, headers={"content-type": content_type})
    assert answer.status == 400
    assert sorted(studio.home.uploads.rglob("*")) == before


def test_a_name_with_folders_is_cut_to_its_last_part(studio: Studio) -> None:
    [address] = studio.upload("../../evil name$.mp4", b"x").json()
    assert address.split("/", 1)[1] == "evil name.mp4"


def test_a_route_that_no_page_uses_is_closed(studio: Studio) -> None:
    for method, path in (
        ("GET", "/gradio_api/proxy=http://127.0.0.1:1/"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/gradio_api/openapi.json"),
        ("GET", "/gradio_api/token"),
        ("GET", "/logout"),
        ("POST", "/login"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/call/v2/ground"),
        ("POST", "/gradio_api/call/v2/x"),
        ("POST", "/gradio_api/call/page_ask"),
        ("POST", "/gradio_api/run/ground"),
        ("POST", "/gradio_api/stream/x"),
        ("GET", "/monitoring"),
        ("GET", "/no-such-page"),
    ):
        assert studio.request(method, path, b"{}").status == 404, path


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/heartbeat/\x00",
        "/gradio_api/heartbeat/a\u202eb",
        f"/assets/{'x' * 256}",
        f"/static/{'é' * 128}",
    ],
)
def test_an_address_that_gradio_breaks_at_is_not_found(studio: Studio, path: str) -> None:
    answer = studio.request("GET", path)
    assert (answer.status, answer.json()) == (404, {"error": "There is nothing at this address."})


def test_the_name_of_a_stream_has_a_bound(studio: Studio) -> None:
    assert studio.request("GET", f"/gradio_api/heartbeat/{'x' * 200}").status == 200
    long = "x" * 201
    for answer in (
        studio.request("GET", f"/gradio_api/heartbeat/{long}"),
        studio.request("GET", "/gradio_api/upload_progress", upload_id=long),
        studio.post("/gradio_api/cancel", {"session_hash": long, "fn_index": 0, "event_id": "e"}),
        studio.upload("a.mp4", b"x", upload_id=long),
    ):
        assert answer.status == 400
        assert answer.json()["error"].startswith("A stream's name has 201 characters; it may have 200.")


def test_no_route_sends_the_cookie_back_and_those_that_are_not_open_answer_nothing(studio: Studio) -> None:
    """Every route that Gradio has, asked with a cookie and a range. A route that a later Gradio adds is closed."""
    routes = [route for route in flat(studio.gradio) if isinstance(route, Route)]
    assert len(routes) > 60
    [address] = studio.upload("square.mp4", b"0123456789" * 10).json()
    samples = {"path": "index.js", "path_or_url": address, "session_hash": "never-seen", "page": ""}
    for route in routes:
        path = route.path
        for name in route.param_convertors:
            for form in (f"{{{name}:path}}", f"{{{name}}}"):
                path = path.replace(form, samples.get(name, "1"))
        for method in sorted(route.methods or ()):
            answer = studio.request(
                method, path, b"{}", headers={"range": "bytes=2-5", "authorization": "Basic secret"}
            )
            is_ours = path.startswith(("/gradio_api/file=", "/gradio_api/upload"))
            if (method, route.path) not in OPEN_ROUTES and not is_ours:
                assert answer.status == 404, (method, path)
            for name, value in answer.headers:
                assert name not in ("cookie", "range", "authorization"), (path, name)
                assert ALICE not in value, (path, name)
                assert "secret" not in value, (path, name)
            assert str(studio.home.root) not in answer.text, path


def test_one_visitor_cannot_follow_anothers_events(studio: Studio) -> None:
    assert studio.request("GET", "/gradio_api/heartbeat/hash-of-alice").status == 200
    for method, path, query, values in (
        ("GET", "/gradio_api/queue/data", {"session_hash": "hash-of-alice"}, {}),
        ("GET", "/gradio_api/heartbeat/hash-of-alice", {}, {}),
        ("POST", "/gradio_api/queue/join", {}, {"session_hash": "hash-of-alice", "data": [], "fn_index": 0}),
        ("POST", "/gradio_api/cancel", {}, {"session_hash": "hash-of-alice", "fn_index": 0, "event_id": "e"}),
    ):
        answer = studio.request(method, path, json.dumps(values).encode(), who=BOB, **query)
        assert answer.status == 404, path
        assert answer.json() == {"error": "There is no such stream of yours. Reload the page."}


def test_the_result_of_a_call_is_its_callers(studio: Studio) -> None:
    event = studio.post("/gradio_api/call/ask", {"data": ["", "a square", 5]}).json()["event_id"]
    assert studio.request("GET", f"/gradio_api/call/ask/{event}", who=BOB).status == 404
    assert studio.request("GET", f"/gradio_api/call/ask/{event}").status == 200


def test_the_progress_of_an_upload_is_its_senders(studio: Studio) -> None:
    assert studio.upload("square.mp4", b"x", upload_id="progress-of-alice").status == 200
    foreign = studio.request("GET", "/gradio_api/upload_progress", who=BOB, upload_id="progress-of-alice")
    assert foreign.status == 404


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b'{"data": [9223372036854775808]}', "beyond 64 bits"),
        (b'{"data": [-' + b"9" * 4000 + b"]}", "beyond 64 bits"),
        (b'{"data": ["\\ud800"]}', "half of a character"),
        (b'{"\\udfff": 1, "data": []}', "half of a character"),
        (b'{"data": [NaN]}', "no JSON number"),
        (b'{"data": [' + b"[" * 100 + b"]" * 100 + b"]}", "nests more than"),
        (b'{"data": ' + b"[" * 100_000, "no JSON"),
        (b"[]", "one JSON object"),
        (b'{"data": ["\xff"]}', "no JSON"),
        (b'{"session_hash": 7, "data": [], "fn_index": 0}', "must be a text"),
    ],
)
@pytest.mark.parametrize(
    "path", ["/gradio_api/queue/join", "/gradio_api/call/ask", "/gradio_api/run/predict"]
)
def test_a_body_that_cannot_be_stored_is_explained(studio: Studio, path: str, body: bytes, rule: str) -> None:
    answer = studio.post(path, body)
    assert answer.status == 400
    assert rule in answer.json()["error"]


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/run/predict"])
@pytest.mark.parametrize("number", [None, -1, 2**53, "0", 0.5, [0]])
def test_an_event_or_a_component_that_no_page_has_is_explained(
    studio: Studio, path: str, number: object
) -> None:
    answer = studio.post(path, {"data": [], "fn_index": number, "session_hash": "numbers"})
    assert answer.status == 400
    assert "`fn_index`" in answer.json()["error"]
    if number is not None:
        answer = studio.post(
            path, {"data": [], "fn_index": 0, "trigger_id": number, "session_hash": "numbers"}
        )
        assert answer.status == 400
        assert "`trigger_id`" in answer.json()["error"]


def test_a_body_of_an_event_has_a_bound(studio: Studio) -> None:
    assert studio.post("/gradio_api/call/ask", b'"' + b"x" * 2**20 + b'"').status == 413


def test_the_page_and_its_settings_name_no_folder_of_the_server(studio: Studio) -> None:
    for path in ("/", "/config", "/gradio_api/info"):
        answer = studio.request("GET", path)
        assert answer.status == 200
        assert str(studio.home.root) not in answer.text
        assert str(Path.cwd()) not in answer.text


def test_readiness_and_metrics_of_the_whole_app(studio: Studio) -> None:
    ready = studio.request("GET", "/health/ready")
    assert ready.json() == {"ready": True, "parts": {"model": "ok", "database": "ok", "disk": "ok"}}
    assert studio.request("GET", "/metrics").status == 403


def test_gradios_web_app_is_not_made_anew_by_every_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_made, create_app = 0, App.create_app

    def count(*parts: Any, **options: Any) -> App:
        nonlocal num_made
        num_made += 1
        return create_app(*parts, **options)

    monkeypatch.setattr(App, "create_app", staticmethod(count))
    with (
        Store(tmp_path / "rows.sqlite3") as store,
        open_studio(
            tmp_path / "home", authenticator=Authenticator(anonymous=True), host="tempo.example", store=store
        ),
    ):
        assert num_made == 3  # as the Blocks begin, by `queue`, for the server
