"""The container file is built and run where a container tool is, and its base can be had."""

import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import pytest

ROOT = Path(__file__).resolve().parents[1]
BASE = "python:3.11-slim-bookworm"
ADDRESS = "http://127.0.0.1:17860"


def container_tool() -> str:
    """The name of a tool that works and has the base image or can pull it; the test is skipped otherwise."""
    reasons = []
    for name in ("docker", "podman"):
        if shutil.which(name) is None:
            reasons.append(f"{name} is not installed")
            continue
        for words in (["info"], ["image", "inspect", BASE], ["pull", BASE]):
            outcome = subprocess.run([name, *words], capture_output=True, text=True, check=False)
            if outcome.returncode == 0 and words[0] != "info":
                return name
            if outcome.returncode and words[0] != "image":
                lines = (outcome.stderr or outcome.stdout).strip().splitlines()
                reasons.append(f"{name} {' '.join(words)}: {lines[-1] if lines else 'failed'}")
                break
    pytest.skip("; ".join(reasons))


@pytest.mark.slow
def test_the_container_serves_the_page() -> None:
    tool = container_tool()
    image, name = "tempo-studio-test", "tempo-studio-test"
    build = [tool, "build", "-q", "-f", "Containerfile", "-t", image]
    if tool == "podman":
        build += ["--format", "docker"]  # its own format holds no health check
    torch_index = os.environ.get("TORCH_INDEX", "https://download.pytorch.org/whl/cpu")
    subprocess.run([*build, "--build-arg", f"TORCH_INDEX={torch_index}", "."], cwd=ROOT, check=True)
    start = [
        tool,
        "run",
        "-d",
        "--rm",
        "--name",
        name,
        "-v",
        f"{name}:/data",
        "-p",
        f"{ADDRESS.removeprefix('http://')}:7860",
    ]

    def logs() -> str:
        outcome = subprocess.run([tool, "logs", name], capture_output=True, text=True, check=True)
        return outcome.stdout + outcome.stderr

    try:
        subprocess.run([*start, image], check=True)
        wait_until_served(tool, name)
        account = re.search(r"made the account '(\w+)'.*: (\S+)", logs())
        assert account is not None
        person = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        form = urlencode({"name": account[1], "password": account[2], "next": "/"}).encode()
        request = urllib.request.Request(f"{ADDRESS}/sign-in", form, {"origin": ADDRESS})
        with person.open(request) as page:
            assert page.url == f"{ADDRESS}/"
            assert b"Tempo" in page.read()
        user = subprocess.run([tool, "exec", name, "id", "-un"], capture_output=True, text=True, check=True)
        assert user.stdout.strip() == "tempo"
        # A second container on the same volume finds the first one's accounts.
        subprocess.run([tool, "stop", name], capture_output=True, check=True)
        subprocess.run([*start, image], check=True)
        wait_until_served(tool, name)
        assert "made the account" not in logs()
    finally:
        subprocess.run([tool, "rm", "-f", name], capture_output=True, check=False)
        subprocess.run([tool, "volume", "rm", "-f", name], capture_output=True, check=False)


def wait_until_served(tool: str, name: str) -> None:
    """Wait until the container answers; it must not end meanwhile."""
    while True:
        try:
            with urllib.request.urlopen(f"{ADDRESS}/health/live") as answer:
                assert answer.status == 200
                return
        except (urllib.error.URLError, ConnectionError):
            state = subprocess.run([tool, "inspect", name], capture_output=True, check=False)
            assert state.returncode == 0, "the container ended"
            time.sleep(1)


def test_the_container_holds_what_the_package_is_built_from() -> None:
    text = (ROOT / "Containerfile").read_text()
    for name in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        assert name in text
        assert (ROOT / name).is_file()
    for package in ("tempo_core", "annotations", "train", "app"):
        assert f"COPY {package} {package}" in text
