"""Nothing leaves the host unless somebody asked for a checkpoint, an endpoint or a download."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.setup import find_browser
from tests.app.offline_visit import hooked_environment

ROOT = Path(__file__).resolve().parents[2]


def can_unshare() -> bool:
    """Whether this user may make a network namespace."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0


def test_the_hook_tells_and_refuses_what_leaves(tmp_path: Path) -> None:
    """Otherwise the next test would say nothing."""
    code = """
import socket, urllib.request
for host in ("192.0.2.1", "pages.example", "127.0.0.1"):
    try:
        urllib.request.urlopen(f"http://{host}:9/", timeout=5)
    except OSError:
        pass
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
    try:
        datagrams.sendto(b"x", ("192.0.2.2", 53))
    except OSError:
        pass
"""
    environment = {**os.environ, **hooked_environment(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert (tmp_path / "attempts").read_text().splitlines() == [
        "socket.getaddrinfo 192.0.2.1",
        "socket.getaddrinfo pages.example",
        "socket.sendto 192.0.2.2",
    ]


@pytest.mark.slow
@pytest.mark.browser
def test_pages_and_a_question_need_nothing_from_elsewhere(tmp_path: Path) -> None:
    if find_browser() is None:
        pytest.skip("needs Chromium, which `make test` installs")
    namespace = ["unshare", "-n"] if can_unshare() else []
    command = [*namespace, sys.executable, "-m", "tests.app.offline_visit", str(tmp_path)]
    visit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert visit.returncode == 0, visit.stderr
    report = json.loads(visit.stdout.splitlines()[-1])
    assert report["attempts"] == []
    assert report["away"] == []
    assert report["requests"] > 20
    assert report["answer"]
    if namespace:
        assert report["interfaces"] == ["lo"]
