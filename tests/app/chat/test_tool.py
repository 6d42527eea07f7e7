"""The tool for language models, through the protocol's own client."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from app.auth.users import SESSION_COOKIE, Authenticator
from tests.app.chat.test_routes import data_url
from tests.app.conftest import RunningApp
from tests.app.people import People


def talk(
    url: str, *, headers: dict[str, str] | None = None, calls: list[dict[str, Any]]
) -> tuple[Any, list[Any]]:
    """The tools that a client is shown, and the results of calls of `ground`."""

    async def run() -> tuple[Any, list[Any]]:
        async with (
            streamablehttp_client(f"{url}/mcp", headers=headers) as (incoming, outgoing, _),
            ClientSession(incoming, outgoing) as session,
        ):
            started = await session.initialize()
            tools = await session.list_tools()
            return (started, tools), [await session.call_tool("ground", call) for call in calls]

    return asyncio.run(run())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_client_is_shown_one_tool_and_calls_it(serve: Callable[..., RunningApp], clip: Path) -> None:
    running = serve()
    http = httpx.Client(base_url=running.url, timeout=300)
    uploaded = http.post("/gradio_api/upload", files={"files": ("clip.mp4", clip.read_bytes())}).json()
    calls = [
        {"video": data_url(clip.read_bytes()), "query": "a yellow square"},
        {"video": uploaded[0], "query": "a purple dog"},
        {"video": "http://127.0.0.1:1/clip.mp4", "query": "a square"},
        {"video": "/etc/passwd", "query": "a square"},
        {"video": data_url(b"no clip"), "query": "a square"},
        {"query": "a square"},
    ]
    (started, tools), results = talk(running.url, calls=calls)
    assert [tool.name for tool in tools.tools] == ["ground"]
    assert started.capabilities.resources is None
    assert started.capabilities.prompts is None
    answer, refusal, *failures = results
    assert not answer.isError
    assert answer.content[0].text == "1.0 to 2.5 seconds."
    assert json.loads(answer.content[1].text) == answer.structuredContent
    assert answer.structuredContent["moments"][0]["confidence"] == 0.87
    assert refusal.content[0].text == "No moment of the clip matches."
    assert all(failure.isError for failure in failures)
    messages = [failure.content[0].text for failure in failures]
    assert "a web address is not fetched" in messages[0]
    assert messages[1] == "The uploaded clip is no longer kept here. Upload it again."
    assert "is not a video" in messages[2]
    assert "'video' is a required property" in messages[3]
    # Nothing of Gradio's own server, and no other way of the transport.
    assert http.get("/mcp").status_code == 405
    assert http.get("/gradio_api/mcp/schema").status_code == 404
    assert http.post("/gradio_api/mcp/", json={}).status_code == 404
    assert http.post("/mcp", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    accept = {"accept": "application/json, text/event-stream"}
    json_type = {**accept, "content-type": "application/json"}
    for content in (b'{"jsonrpc": "2.0", "id": 1, "method": "\xff"}', b"{", b'{"id": NaN}'):
        refusal = http.post("/mcp", content=content, headers=json_type)
        assert refusal.status_code == 400
        assert refusal.json()["error"].endswith(("Send one JSON text in UTF-8.", "Send a finite one."))
    for forged in ({}, [], {"jsonrpc": "2.0", "method": 1}):
        assert http.post("/mcp", json=forged, headers=accept).status_code == 400
    http.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_session_is_the_clients_key(serve: Callable[..., RunningApp], clip: Path) -> None:
    people = People().add(vera="visitor")
    running = serve(authenticator=Authenticator(anonymous=False, local=False, accounts=people.accounts))
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"accept": "application/json, text/event-stream"}
    ask = partial(httpx.post, f"{running.url}/mcp", json=request, timeout=300)
    assert ask(headers=accept).status_code == 401
    token = people.token("vera")
    call = {"video": data_url(clip.read_bytes()), "query": "a yellow square"}
    _, (result,) = talk(running.url, headers={"authorization": f"Bearer {token}"}, calls=[call])
    assert not result.isError
    cookie = {"cookie": f"{SESSION_COOKIE}={token}"}
    assert ask(headers={**accept, **cookie}).status_code == 200
