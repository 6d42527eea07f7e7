"""The container file is built and run where a container tool is, and its base can be had."""

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BASE = "python:3.11-slim-bookworm"


def container_tool() -> str:
    """The name of a tool that works and has the base image; the test is skipped otherwise."""
    reasons = []
    for name in ("docker", "podman"):
        if shutil.which(name) is None:
            reasons.append(f"{name} is not installed")
            continue
        for words in (["info"], ["pull", BASE]):
            done = subprocess.run([name, *words], capture_output=True, text=True, check=False)
            if done.returncode:
                lines = (done.stderr or done.stdout).strip().splitlines()
                reasons.append(f"{name} {' '.join(words)}: {lines[-1] if lines else 'failed'}")
                break
        else:
            return name
    pytest.skip("; ".join(reasons))


@pytest.mark.slow
def test_the_container_serves_the_page() -> None:
    tool = container_tool()
    image, name = "tempo-studio-test", "tempo-studio-test"
    build = [tool, "build", "-q", "-f", "Containerfile", "-t", image]
    cpu = ["--build-arg", "TORCH_INDEX=https://download.pytorch.org/whl/cpu"]
    subprocess.run([*build, *cpu, "."], cwd=ROOT, check=True)
    subprocess.run(
        [tool, "run", "-d", "--rm", "--name", name, "-p", "127.0.0.1:17860:7860", image], check=True
    )
    try:
        while True:
            try:
                with urllib.request.urlopen("http://127.0.0.1:17860/health/live") as answer:
                    assert answer.status == 200
                    break
            except (urllib.error.URLError, ConnectionError):
                running = subprocess.run([tool, "inspect", name], capture_output=True, check=False)
                assert running.returncode == 0, "the container ended"
                time.sleep(1)
        with urllib.request.urlopen("http://127.0.0.1:17860/") as page:
            assert b"Tempo" in page.read()
    finally:
        subprocess.run([tool, "rm", "-f", name], capture_output=True, check=False)


def test_the_container_holds_what_the_package_is_built_from() -> None:
    text = (ROOT / "Containerfile").read_text()
    for name in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        assert name in text
        assert (ROOT / name).is_file()
    for package in ("tempo_core", "annotations", "train", "app"):
        assert f"COPY {package} {package}" in text
