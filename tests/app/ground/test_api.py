"""The HTTP API, driven by gradio_client and by plain requests, with good and with bad input."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.__main__ import claim_port
from app.ground.contexts import ContextStore
from app.ground.engines import EngineProvider
from tempo_core.errors import MemoryShortage
from tests.app.conftest import RunningApp, own_environment, running_app
from tests.app.people import Clock

gradio_client = pytest.importorskip("gradio_client")
pytestmark = pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")  # gradio 6.31 on pandas 3
PATIENCE_S = 300
INCIDENT = re.compile(r"incident [0-9a-f]{8}")


@pytest.fixture(scope="module")
def clock() -> Clock:
    """The time that contexts are told."""
    return Clock()


@pytest.fixture(scope="module")
def module_app(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[RunningApp]:
    folder, own = tmp_path_factory.mktemp("api") / "home", claim_port("127.0.0.1", 0)
    with own_environment(), running_app(folder, own, contexts=ContextStore(clock=clock)) as running:
        yield running


@pytest.fixture
def running(module_app: RunningApp, clock: Clock) -> RunningApp:
    """The module's app with a sound engine, which has encoded nothing."""
    module_app.engine.broken = None
    module_app.engine.encoded.clear()
    contexts = module_app.app.state.grounding.contexts
    clock.pass_s(contexts.ttl_s + 1)
    contexts.sweep()
    assert len(contexts) == 0
    return module_app


def client_of(running: RunningApp) -> Any:
    return gradio_client.Client(
        running.url, verbose=False, analytics_enabled=False, httpx_kwargs={"timeout": PATIENCE_S}
    )


def ground(client: Any, clip: Path, query: str, **settings: Any) -> dict[str, Any]:
    answer = client.predict(
        video=gradio_client.handle_file(clip),
        query=query,
        api_name="/ground",
        **settings,
    )
    assert isinstance(answer, dict)
    return answer


def error_of(client: Any, *inputs: Any, **named: Any) -> str:
    with pytest.raises(gradio_client.exceptions.AppError) as caught:
        ground(client, *inputs, **named)
    return str(caught.value)


def test_grounds_a_query_and_answers_another_from_the_same_context(running: RunningApp, clip: Path) -> None:
    client = client_of(running)
    first = ground(client, clip, "a yellow square", token_budget=40, allocator="uniform", n_best=3)
    assert first["moments"] == [{"start_s": 1.0, "end_s": 2.5, "confidence": 0.87}]
    assert first["allocation"]["allocator"] == "uniform"
    assert first["allocation"]["budget_tokens"] == 40
    assert first["clip"]["title"] == "square.mp4"
    assert first["reused"] is False
    second = client.predict(context_id=first["context_id"], query="a purple dog", n_best=1, api_name="/ask")
    assert (second["refused"], second["reused"]) == (True, True)
    assert second["context_id"] == first["context_id"]
    assert len(running.engine.encoded) == 1
    json.dumps(second)


def test_the_same_clip_and_settings_are_not_encoded_twice(running: RunningApp, clip: Path) -> None:
    client = client_of(running)
    ground(client, clip, "a yellow square")
    assert ground(client, clip, "something else")["reused"] is True
    assert ground(client, clip, "something else", token_budget=24)["reused"] is False
    assert len(running.engine.encoded) == 2


def test_the_endpoints_are_described(running: RunningApp) -> None:
    described = client_of(running).view_api(return_format="dict")["named_endpoints"]
    assert set(described) == {"/ground", "/ground_each", "/ask", "/ask_library"}
    everywhere = [parameter["parameter_name"] for parameter in described["/ask_library"]["parameters"]]
    assert everywhere == ["folder", "query"]
    names = [parameter["parameter_name"] for parameter in described["/ground"]["parameters"]]
    assert names == ["video", "query", "token_budget", "allocator", "step_s", "n_best"]
    assert httpx.get(f"{running.url}/status", timeout=PATIENCE_S).json() == {
        "state": "ready",
        "message": "fake-engine is ready.",
        "model_id": "fake-engine",
        "model": "",
        "offered": [],
    }


def test_several_models_are_asked_in_one_call(running: RunningApp, clip: Path) -> None:
    form = {"token_budget": None, "allocator": "", "step_s": None, "n_best": 5}
    answer = client_of(running).predict(
        video=gradio_client.handle_file(clip), query="a square", models=[""], api_name="/ground_each", **form
    )
    assert [part["model_id"] for part in answer["answers"]] == ["fake-engine"]
    assert answer["failures"] == []
    with pytest.raises(gradio_client.exceptions.AppError, match="'secret' is not offered here"):
        client_of(running).predict(
            video=gradio_client.handle_file(clip),
            query="a square",
            models=["secret"],
            api_name="/ground_each",
            **form,
        )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "query is empty"),
        (" \t\n ", "query is empty"),
        ("x" * 10_000, "10000 characters"),
        ("a red\x00circle", "control character U[+]0000"),
        ("a red \x1b[31mcircle", "control character U[+]001B"),
    ],
)
def test_a_bad_query_is_explained(running: RunningApp, clip: Path, query: str, expected: str) -> None:
    client = client_of(running)
    assert re.search(expected, error_of(client, clip, query))
    assert ground(client, clip, "still up")["refused"] is False


def test_a_query_in_another_language_is_answered(running: RunningApp, clip: Path) -> None:
    assert ground(client_of(running), clip, "红色的圆圈出现 — où est le chat ?")["query"].startswith(
        "红色的圆圈"
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"token_budget": 3}, "cannot hold 8 frames"),
        ({"token_budget": -5}, "1 or more"),
        ({"step_s": 1e9}, "between 0.1 and 600"),
        ({"step_s": -1}, "between 0.1 and 600"),
        ({"n_best": 50}, "."),
    ],
)
def test_a_bad_setting_is_explained(
    running: RunningApp, clip: Path, settings: dict[str, Any], expected: str
) -> None:
    client = client_of(running)
    assert re.search(expected, error_of(client, clip, "a square", **settings))
    assert ground(client, clip, "still up")["refused"] is False


def test_a_missing_clip_is_explained(running: RunningApp) -> None:
    client = client_of(running)
    with pytest.raises(gradio_client.exceptions.AppError, match="There is no clip"):
        client.predict(video=None, query="a square", api_name="/ground")


def test_a_break_is_an_incident_and_nothing_else(
    running: RunningApp, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running.engine.broken = RuntimeError("cannot open /home/secret/model.bin")
    message = error_of(client_of(running), clip, "a square")
    assert INCIDENT.search(message)
    assert "secret" not in message
    assert "Traceback" not in message
    assert "cannot open /home/secret/model.bin" in caplog.text
    running.engine.broken = None
    assert ground(client_of(running), clip, "still up")["refused"] is False


def test_a_clip_that_the_memory_does_not_hold_is_told_and_the_model_goes_on(
    running: RunningApp, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running.engine.broken = MemoryShortage("This clip's tokens take 18.8 GB. Give fewer frames.")
    message = error_of(client_of(running), clip, "a square")
    assert "This clip's tokens take 18.8 GB. Give fewer frames." in message
    assert not INCIDENT.search(message)
    running.engine.broken = None
    assert ground(client_of(running), clip, "still up")["refused"] is False


def test_clips_that_were_asked_about_make_room(running: RunningApp, clip: Path) -> None:
    client, contexts = client_of(running), running.app.state.grounding.contexts
    ground(client, clip, "a square")
    (stored,) = contexts._contexts.values()
    stored.context.cache_bytes = lambda: 1000
    running.engine.shortages = [MemoryShortage("Too much.", missing_bytes=1001)]
    with pytest.raises(gradio_client.exceptions.AppError, match="Too much"):
        ground(client, clip, "a square", token_budget=64)
    assert len(contexts) == 1
    running.engine.shortages = [MemoryShortage("Too much.", missing_bytes=1000)]
    assert ground(client, clip, "a square", token_budget=64)["refused"] is False
    (newer,) = contexts._contexts.values()
    assert newer.id != stored.id


def call(running: RunningApp, data: list[Any]) -> str:
    """What a program without gradio_client gets back."""
    response = httpx.post(f"{running.url}/gradio_api/call/ground", json={"data": data}, timeout=PATIENCE_S)
    if response.status_code != 200:
        return response.text
    event = response.json()["event_id"]
    return httpx.get(f"{running.url}/gradio_api/call/ground/{event}", timeout=PATIENCE_S).text


@pytest.mark.parametrize("path", ["/etc/passwd", "pyproject.toml", "{home}/cqvh.sqlite3", "../../etc/passwd"])
def test_a_file_that_nobody_uploaded_is_not_read(running: RunningApp, path: str) -> None:
    running.home.database.write_text("secret")
    uploads = [*running.home.uploads.rglob("*")]
    path = path.replace("{home}", str(running.home.root))
    events = call(
        running, [{"path": path, "meta": {"_type": "gradio.FileData"}}, "a square", None, "saa", None, 5]
    )
    assert "event: error" in events
    assert "root:" not in events
    assert running.engine.encoded == []
    assert [*running.home.uploads.rglob("*")] == uploads


def test_an_address_is_not_fetched(running: RunningApp) -> None:
    paths: list[str] = []

    class Noting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(404)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Noting) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        for host in (f"127.0.0.1:{other.server_port}", "tempo.invalid"):
            file = {"path": f"http://{host}/clip.mp4", "meta": {"_type": "gradio.FileData"}}
            events = call(running, [file, "a square", None, "saa", None, 5])
            assert "event: error" in events
            assert "an address is not fetched" in events
        other.shutdown()
    assert paths == []


def test_server_files_are_not_served(running: RunningApp) -> None:
    running.home.database.write_text("secret")
    for path in ("/etc/passwd", str(running.home.database), str(Path("pyproject.toml").absolute())):
        answer = httpx.get(f"{running.url}/gradio_api/file={path}", timeout=PATIENCE_S)
        assert answer.status_code in (403, 404)


def test_an_upload_above_the_limit_is_refused(serve: Callable[..., RunningApp], tmp_path: Path) -> None:
    running = serve(max_upload_bytes=64 * 1024)
    enormous = tmp_path / "enormous.mp4"
    enormous.write_bytes(b"\0" * 300_000)
    with enormous.open("rb") as file:
        answer = httpx.post(f"{running.url}/gradio_api/upload", files={"files": file}, timeout=PATIENCE_S)
    assert answer.status_code == 413
    assert httpx.get(f"{running.url}/status", timeout=PATIENCE_S).json()["state"] == "ready"


def test_a_model_that_is_still_loading_is_said(serve: Callable[..., RunningApp], clip: Path) -> None:
    gate = threading.Event()
    running = serve(engines=EngineProvider(lambda: gate.wait(300)))
    try:
        assert httpx.get(f"{running.url}/status", timeout=PATIENCE_S).json()["state"] == "loading"
        assert "loading" in error_of(client_of(running), clip, "a square")
    finally:
        gate.set()


def test_one_visitor_cannot_use_anothers_clip_or_context(
    serve: Callable[..., RunningApp], clip: Path
) -> None:
    running = serve(anonymous=True)
    browser = partial(httpx.Client, base_url=running.url, timeout=PATIENCE_S)
    with browser() as alice, browser() as bob:
        alice.get("/status")
        bob.get("/status")
        with clip.open("rb") as file:
            path = alice.post("/gradio_api/upload", files={"files": ("square.mp4", file)}).json()[0]
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, "a square", None, "saa", None, 5]
        answer = _result(alice, "ground", data)
        url, context = answer["clip"]["url"], answer["context_id"]
        assert alice.get(url).status_code == 200
        assert bob.get(url).status_code == 404
        assert _result(alice, "ask", [context, "again", 5])["reused"] is True
        assert "no longer kept" in _text(bob, "ask", [context, "again", 5])


def _text(client: httpx.Client, name: str, data: list[Any]) -> str:
    event = client.post(f"/gradio_api/call/{name}", json={"data": data}).json()["event_id"]
    return client.get(f"/gradio_api/call/{name}/{event}").text


def _result(client: httpx.Client, name: str, data: list[Any]) -> dict[str, Any]:
    text = _text(client, name, data)
    assert "event: complete" in text, text
    return json.loads(text.split("data: ", 1)[1].splitlines()[0])[0]
