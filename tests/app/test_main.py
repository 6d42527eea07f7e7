"""`python -m app`: one clear line and exit code 2 for what can be mended."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from annotations.store import Store
from app.__main__ import (
    DEFAULT_REVIEWS,
    claim_port,
    main,
    masked_settings,
    open_authenticator,
    server_settings,
)
from app.annotate.service import REVIEWS_WANTED
from app.home import open_home
from tempo_core.errors import InputError


def stated_error(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    for option in (
        "--checkpoint",
        "--endpoint",
        "--adapter",
        "--host",
        "--port",
        "--no-four-bit",
        "--home",
        "--database",
        "--reviews-wanted",
        "--blind-share",
        "--sign-in",
        "--allow-anonymous-visitors",
        "--trusted-proxies",
        "--base-path",
        "accounts",
    ):
        assert option in output


def test_a_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["--port", str(port), "--home", str(tmp_path)]) == 2
    assert f"Cannot listen on 127.0.0.1:{port}" in stated_error(capsys)


@pytest.mark.parametrize("port", ["-1", "70000"])
def test_a_port_that_is_none(port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", port, "--home", str(tmp_path)]) == 2
    assert "between 0 and 65535" in stated_error(capsys)


def test_a_base_path_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPO_BASE_PATH", "https://lab.example/tempo")
    assert main(["--port", "0", "--home", str(tmp_path)]) == 2
    assert "--base-path is 'https://lab.example/tempo'; it must begin with a slash" in stated_error(capsys)


def test_a_row_wants_at_least_one_annotator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--reviews-wanted", "0", "--port", "0", "--home", str(tmp_path)]) == 2
    assert "--reviews-wanted must be at least 1; got 0" in stated_error(capsys)
    assert DEFAULT_REVIEWS == REVIEWS_WANTED


def test_a_blind_share_in_tenths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--blind-share", "0.25", "--port", "0", "--home", str(tmp_path)]) == 2
    assert "share of blind rows is 0.25; give 0, 0.1" in stated_error(capsys)


def test_a_home_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--port", "0", "--home", str(tmp_path / "file")]) == 2
    assert "cannot write to its folder" in stated_error(capsys)


def test_an_unknown_host() -> None:
    with pytest.raises(InputError, match="not an address"):
        claim_port("no such host", 0)


def run(home: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "app", "--port", "0", "--home", str(home), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_a_damaged_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{ this is not")
    options = ["--port", "0", "--home", str(tmp_path / "home"), "--checkpoint", str(tmp_path / "checkpoint")]
    assert main(options) == 2
    assert "config.json cannot be read as JSON" in stated_error(capsys)


def test_an_endpoint_is_an_address_and_its_checkpoint_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--port", "0", "--home", str(tmp_path / "home"), "--endpoint"]
    assert main([*options, "gpu.example"]) == 2
    assert "no http or https address" in stated_error(capsys)
    assert main([*options, "http://gpu.example", "--checkpoint", "x"]) == 2
    assert "no checkpoint folder x" in stated_error(capsys)


@pytest.mark.slow
def test_serves_before_the_model_is_there_and_stops_when_told(tmp_path: Path) -> None:
    process = run(tmp_path / "home")
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "serving http" in line:
                break
        url = line.split()[2]
        deadline_s = time.monotonic() + 240
        while time.monotonic() < deadline_s:
            try:
                with urllib.request.urlopen(f"{url}/status", timeout=300) as answer:
                    status = json.load(answer)
                break
            except OSError:
                time.sleep(0.1)
        assert status["state"] in ("loading", "ready", "failed")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=240)
    assert process.returncode in (0, 2, 130)


def test_the_first_start_makes_the_local_account_and_says_its_password_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = open_home(tmp_path / "home")
    with Store(home.database) as store:
        authenticator = open_authenticator(home, store, host="0.0.0.0")
        output = capsys.readouterr().out
        assert "made the account 'local'" in output
        assert "needed to sign in" in output
        password = output.split()[-1]
        assert authenticator.accounts.sign_in("local", password, "192.0.2.1")
        assert not authenticator.is_local
        open_authenticator(home, store, host="0.0.0.0")
        assert capsys.readouterr().out == ""
        assert open_authenticator(home, store).is_local
        assert not open_authenticator(home, store, sign_in=True).is_local


@pytest.mark.parametrize(
    ("trusted", "peer", "client"),
    [
        ("", "127.0.0.1", "127.0.0.1"),
        ("", "198.51.100.9", "198.51.100.9"),
        ("127.0.0.1", "127.0.0.1", "192.0.2.7"),
        ("10.0.0.0/8, 127.0.0.1", "10.1.2.3", "192.0.2.7"),
        ("10.0.0.0/8", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_only_a_trusted_proxy_says_where_a_request_comes_from(trusted: str, peer: str, client: str) -> None:
    """What the visitor wrote into the header itself stands before what the proxy added, and is not believed."""
    clients = []

    async def studio(scope: Any, receive: Any, send: Any) -> None:
        clients.append(scope["client"][0])

    config = server_settings(studio, trusted)
    config.load()
    headers = [(b"x-forwarded-for", b"203.0.113.66, 192.0.2.7")]
    scope = {"type": "http", "client": (peer, 4000), "scheme": "http", "headers": headers}
    asyncio.run(config.loaded_app(scope, None, None))
    assert clients == [client]


def test_settings_come_from_the_environment_and_secrets_are_masked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "TEMPO_REVIEWS_WANTED": "0",
        "TEMPO_METRICS_TOKEN": "sesame",
        "TEMPO_OIDC_CLIENT_SECRET": "sesame",
        "TEMPO_DATABASE": "postgresql://ada:ses@me@db.example/cqvh?sslmode=require",
    }
    assert masked_settings({"HOME": "/home/ada", **settings}) == [
        "TEMPO_DATABASE=postgresql://ada:***@db.example/cqvh?sslmode=require",
        "TEMPO_METRICS_TOKEN=***",
        "TEMPO_OIDC_CLIENT_SECRET=***",
        "TEMPO_REVIEWS_WANTED=0",
    ]
    monkeypatch.setenv("TEMPO_REVIEWS_WANTED", "0")
    assert main(["--port", "0", "--home", str(tmp_path)]) == 2
    assert "--reviews-wanted must be at least 1; got 0" in stated_error(capsys)
    # what is typed goes first
    monkeypatch.setenv("TEMPO_PORT", "70000")
    assert main(["--reviews-wanted", "3", "--port", "-1", "--home", str(tmp_path)]) == 2
    assert "between 0 and 65535; got -1" in stated_error(capsys)


def test_a_trusted_proxy_must_be_an_address() -> None:
    with pytest.raises(InputError, match=r"names 'proxy\.example', which is no address or network"):
        server_settings(None, "127.0.0.1, proxy.example")
