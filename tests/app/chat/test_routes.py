"""The chat routes as OpenAI's clients use them: answers, streams, and every refusal in OpenAI's form."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from annotations.store import Store
from app.auth.users import Authenticator
from app.chat import requests
from app.ground.engines import EngineProvider, EngineStatus
from app.home import open_home
from tempo_core.errors import TempoError
from tempo_core.video import sample
from tests.app.fakes import FakeEngine, fake_ground, light_draw, light_prepare
from tests.app.people import People

PATH = "/v1/chat/completions"


def data_url(content: bytes, kind: str = "video/mp4") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def body(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "tempo", "messages": [{"role": "user", "content": list(parts)}], **more}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def video(content: bytes) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": data_url(content)}}


def image(content: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": data_url(content, "image/png")}}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The app with a fake engine, for this machine's own account."""
    from app.__main__ import prepare_surroundings
    from app.build import build_app

    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "GRADIO_TEMP_DIR",
            "GRADIO_ANALYTICS_ENABLED",
            "HF_HUB_OFFLINE",
            "HF_HUB_DISABLE_TELEMETRY",
        ):
            patch.setenv(name, "")
        folder = tmp_path_factory.mktemp("home")
        home = open_home(folder)
        prepare_surroundings(home.uploads)
        people = People(store=Store(home.database))
        people.add(vera="visitor")

        def build(authenticator: Authenticator) -> TestClient:
            app = build_app(
                engines=EngineProvider.of(FakeEngine()),
                home=open_home(folder),
                authenticator=authenticator,
                examples_folder=None,
                prepare=light_prepare,
                draw=light_draw,
                ground=fake_ground,
            )
            return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)

        signed = Authenticator(anonymous=False, local=False, accounts=people.accounts)
        yield {"local": build(Authenticator(anonymous=False)), "signed": build(signed), "people": people}
        people.store.close()


@pytest.fixture
def client(studio: Any) -> TestClient:
    return studio["local"]


def test_a_clip_and_a_question_get_a_sentence_and_the_answers_json(client: TestClient, clip: Path) -> None:
    answer = client.post(PATH, json=body(text("a yellow square"), video(clip.read_bytes()), temperature=0.2))
    assert answer.status_code == 200
    values = answer.json()
    assert values["object"] == "chat.completion"
    assert values["model"] == "fake-engine"
    (choice,) = values["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "1.0 to 2.5 seconds."
    tempo = choice["message"]["tempo"]
    assert tempo["moments"] == [{"start_s": 1.0, "end_s": 2.5, "confidence": 0.87}]
    assert tempo["query"] == "a yellow square"
    refused = client.post(PATH, json=body(video(clip.read_bytes()), text("a purple dog")))
    assert refused.json()["choices"][0]["message"]["content"] == "No moment of the clip matches."
    assert refused.json()["choices"][0]["message"]["tempo"]["reused"], "the same clip is not encoded again"


def test_the_content_may_be_the_json_itself(client: TestClient, clip: Path) -> None:
    request = body(text("a square"), video(clip.read_bytes()), response_format={"type": "json_object"})
    message = client.post(PATH, json=request).json()["choices"][0]["message"]
    assert json.loads(message["content"]) == message["tempo"]


def test_a_later_question_is_about_the_clip_before(client: TestClient, clip: Path) -> None:
    messages = [
        {"role": "system", "content": "You find moments."},
        {"role": "user", "content": [video(clip.read_bytes()), text("a square")]},
        {"role": "assistant", "content": "1.0 to 2.5 seconds."},
        {"role": "user", "content": "a purple dog"},
    ]
    answer = client.post(PATH, json={"model": "fake-engine", "messages": messages}).json()
    assert answer["choices"][0]["message"]["tempo"]["query"] == "a purple dog"


def test_pictures_are_the_frames_of_a_clip(client: TestClient, tmp_path: Path) -> None:
    from tempo_core.picture_clip import clip_of_pictures

    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    parts = [image(picture(colour)) for colour in colours]
    answer = client.post(PATH, json=body(*parts, text("a green frame"), fps=2))
    assert answer.status_code == 200, answer.text
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip_of_pictures([picture(colour) for colour in colours], 2))
    frames = sample(path, at=[0.1, 0.6, 1.1])
    assert frames.times_s.tolist() == [0.0, 0.5, 1.0]
    assert frames.end_s == pytest.approx(1.5, abs=0.01)
    for frame, colour in zip(frames.frames, colours, strict=True):
        assert abs(frame.reshape(-1, 3).mean(0) - colour).max() < 6


def test_a_stream_is_chunks_and_an_end(client: TestClient, clip: Path) -> None:
    request = body(
        text("a square"), video(clip.read_bytes()), stream=True, stream_options={"include_usage": True}
    )
    with client.stream("POST", PATH, json=request) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        blocks = "".join(answer.iter_text()).split("\n\n")
    lines = [block.removeprefix("data: ") for block in blocks if block.startswith("data: ")]
    assert all(block.startswith(("data: ", ": ")) for block in blocks if block)
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == "1.0 to 2.5 seconds."
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "stop"]


def test_a_stream_that_fails_says_so_in_the_stream(client: TestClient, clip: Path) -> None:
    engine = client.app.state.grounding.engines.get()  # type: ignore[attr-defined]
    assert client.post(PATH, json=body(text("a square"), video(clip.read_bytes()))).status_code == 200
    engine.broken = TempoError("The endpoint is down. Ask again later.")
    request = body(text("a broken square"), video(clip.read_bytes()), stream=True)
    with client.stream("POST", PATH, json=request) as answer:
        lines = [line for line in "".join(answer.iter_text()).split("\n\n") if line.startswith("data: ")]
    engine.broken = None
    assert "The endpoint is down" in json.loads(lines[0].removeprefix("data: "))["error"]["message"]
    assert lines[-1] == "data: [DONE]"


BAD_BODIES = [
    ({}, "`model` is missing"),
    (body(), "holds no text"),
    (body(text("a square")), "No message holds a clip"),
    (body(video(b"x")), "holds no text"),
    (body(text("x"), video(b"x"), video(b"y")), "One clip at a time"),
    (body(text("x"), video(b"x"), image(b"y")), "One clip at a time"),
    (body(text("x"), {"type": "video_url", "video_url": {"url": "http://127.0.0.1/x"}}), "is not fetched"),
    (body(text("x"), {"type": "video_url", "video_url": {"url": "file:///etc/passwd"}}), "is not fetched"),
    (body(text("x"), {"type": "image_url", "image_url": {"url": data_url(b"x")}}), "must be a data URL"),
    (
        body(text("x"), {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,%%"}}),
        "is no base64",
    ),
    (
        body(text("x"), {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,"}}),
        "holds no bytes",
    ),
    (body(text("x"), {"type": "input_audio", "input_audio": {}}), "cannot be read"),
    (body(text("x"), image(b"not a picture")), "Picture 1 cannot be read"),
    (body(text("x"), *[image(b"x")] * 513), "at most 512"),
    (body(text("x" * 600), video(b"....ftyp")), "at most 500"),
    (body(text("x"), video(b"x"), n=2), "`n` is 2"),
    (body(text("x"), video(b"x"), tools=[{}]), "`tools`"),
    (body(text("x"), video(b"x"), stream="yes please"), "`stream`"),
    (body(text("x"), video(b"x"), fps=1e9), "`fps`"),
    ({"model": "tempo", "messages": [{"role": "tool", "content": "x"}]}, "`messages.0.role`"),
    ({"model": "tempo", "messages": "x"}, "`messages`"),
    ([], "must be one JSON object"),
]


@pytest.mark.parametrize(("sent", "message"), BAD_BODIES, ids=[message for _, message in BAD_BODIES])
def test_what_cannot_be_asked_is_said_in_openais_form(client: TestClient, sent: Any, message: str) -> None:
    answer = client.post(PATH, json=sent)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert message in error["message"]
    assert error["type"] == "invalid_request_error"
    assert set(error) == {"message", "type", "param", "code"}


def test_forged_and_oversized_bodies(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    json_header = {"content-type": "application/json"}
    for content in (b"", b"{", b"\xff", b'{"model": NaN}', b"[" * 100_000):
        assert client.post(PATH, content=content, headers=json_header).status_code == 400
    assert client.post(PATH, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    monkeypatch.setattr("app.chat.routes.MAX_BODY_BYTES", 1000)
    answer = client.post(PATH, json=body(text("x"), video(b"x" * 1000)))
    assert answer.status_code == 413
    assert "1000 bytes" in answer.json()["error"]["message"]
    assert requests.MAX_BODY_BYTES == 48 * 2**20


def test_models(client: TestClient) -> None:
    (card,) = client.get("/v1/models").json()["data"]
    assert card["id"] == "fake-engine"
    assert client.get("/v1/models/fake-engine").json() == card
    missing = client.get("/v1/models/other/model")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"
    assert client.post(PATH, json={**body(text("x"), video(b"x")), "model": "gpt"}).status_code == 404


def test_while_the_model_loads_it_is_asked_again_later(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = client.app.state.grounding.engines  # type: ignore[attr-defined]
    monkeypatch.setattr(engines, "_engine", None)
    monkeypatch.setattr(engines, "status", EngineStatus(state="loading", message="The model is loading."))
    answer = client.post(PATH, json=body(text("x"), video(b"x")))
    assert answer.status_code == 503
    assert answer.json()["error"] == {
        "message": "The model is loading.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    assert client.get("/v1/models").json()["data"] == []


def test_a_session_is_the_key(studio: Any, clip: Path) -> None:
    client, token = studio["signed"], studio["people"].token("vera")
    request = body(text("a square"), video(clip.read_bytes()))
    nobody = client.post(PATH, json=request)
    assert nobody.status_code == 401
    assert nobody.json()["error"]["code"] == "invalid_api_key"
    forged = client.post(PATH, json=request, headers={"authorization": "Bearer " + "A" * 43})
    assert forged.status_code == 401
    response = client.post(PATH, json=request, headers={"authorization": f"Bearer {token}"})
    assert response.status_code == 200, response.text
    assert client.get("/v1/models", headers={"authorization": f"Bearer {token}"}).status_code == 200


def test_a_queue_that_is_full_and_an_error_of_the_model(client: TestClient, clip: Path) -> None:
    grounding = client.app.state.grounding  # type: ignore[attr-defined]
    assert client.post(PATH, json=body(text("a square"), video(clip.read_bytes()))).status_code == 200
    grounding.queues.model.limit, limit = 0, grounding.queues.model.limit
    answer = client.post(PATH, json=body(text("a circle"), video(clip.read_bytes())))
    grounding.queues.model.limit = limit
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["error"]["type"] == "rate_limit_error"
    engine = grounding.engines.get()
    engine.broken = TempoError("The endpoint is down. Ask again later.")
    answer = client.post(PATH, json=body(text("a square"), video(clip.read_bytes())))
    engine.broken = RuntimeError("secret detail")
    fault = client.post(PATH, json=body(text("a square"), video(clip.read_bytes())))
    engine.broken = None
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        503,
        "The endpoint is down. Ask again later.",
    )
    assert fault.status_code == 500
    assert "incident" in fault.json()["error"]["message"]
    assert "secret" not in fault.text
