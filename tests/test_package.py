"""`pip install .`: what it brings along, and that nothing which the packages read at run time stays behind."""

import importlib
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("tempo_core", "annotations", "train", "app")


def test_the_package_depends_on_what_the_requirements_pin() -> None:
    lines = (line.partition(" #")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    assert PROJECT["project"]["dependencies"] == [line for line in lines if line and line[0] not in "#-"]


def test_every_file_beside_the_sources_is_installed() -> None:
    patterns = [pattern.removeprefix("**/") for pattern in PROJECT["tool"]["setuptools"]["package-data"]["*"]]
    made_here = {".py", ".pyi"}
    beside = [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        # A file of bytecode has another ending while a process writes it.
        if path.is_file() and path.suffix not in made_here and path.parent.name != "__pycache__"
    ]
    assert len(beside) > 80
    assert [path for path in beside if not any(fnmatch(path.name, pattern) for pattern in patterns)] == []


@pytest.mark.parametrize("script", PROJECT["project"]["scripts"])
def test_a_console_script_is_a_command(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, _, function = PROJECT["project"]["scripts"][script].partition(":")
    assert getattr(importlib.import_module(module), function)(["--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_the_extras_are_pinned_and_the_packages_are_typed() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert set(extras) == {"postgres", "gpu", "cluster"}
    assert all("==" in requirement for requirements in extras.values() for requirement in requirements)
    developing = (ROOT / "requirements-dev.txt").read_text()
    assert all(requirement in developing for requirement in extras["postgres"])
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)
