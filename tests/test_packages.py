"""What is installed: each package by its hash, under a licence that is allowed, and on the bill of materials."""

import re
from pathlib import Path

import pytest

from scripts import packages, setup

ROOT = Path(__file__).resolve().parents[1]
LOCKED = re.compile(r"^(\S+?)(?:\[.*\])?==(\S+)", re.MULTILINE)


def pins(*names: str) -> dict[str, str]:
    """Package → version in requirement or lock files."""
    texts = [re.sub(r"#.*", "", (ROOT / name).read_text()) for name in names]
    return {
        packages.normal_name(name): version.rstrip(";")
        for text in texts
        for name, version in LOCKED.findall(text)
    }


def test_the_locks_hold_every_pin_but_torch_and_nothing_else() -> None:
    pinned = pins("requirements.txt", "requirements-dev.txt", "constraints.txt")
    del pinned["torch"]
    assert pins("requirements.lock", "requirements-dev.lock") == pinned, "run `python -m scripts.lock`"
    assert pins("requirements.txt").items() - pins("requirements.lock").items() == {
        ("torch", pins("requirements.txt")["torch"])
    }


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_package_of_a_lock_has_hashes(name: str) -> None:
    blocks = re.findall(r"^\S.*\n(?:[ ].*\n)*", (ROOT / name).read_text(), re.MULTILINE)[1:]
    assert blocks
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_every_installed_package_has_a_licence_that_is_allowed() -> None:
    licences = {name: packages.licence_of(package) for name, package in packages.installed().items()}
    assert [line for name, licence in licences.items() if (line := packages.objection(name, licence))] == []
    assert {"torch", "av", "gradio"} <= licences.keys()


@pytest.mark.parametrize(
    ("name", "licence", "is_allowed"),
    [
        ("x", "MIT", True),
        ("x", "MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("x", "Apache-2.0 WITH LLVM-exception", True),
        ("x", "AGPL-3.0-only", False),
        ("x", "MIT AND GPL-2.0-only", False),
        ("x", "unknown", False),
        ("krippendorff", "GPL-3.0-or-later", True),
        ("krippendorff", "AGPL-3.0-only", False),
        ("nvidia-cublas", "unknown", True),
    ],
)
def test_the_list_of_licences(name: str, licence: str, is_allowed: bool) -> None:
    assert (packages.objection(name, licence) is None) == is_allowed


def test_the_product_needs_no_package_under_the_gpl() -> None:
    product = pins("requirements.lock").keys() | {"torch"}
    licences = {
        name: packages.licence_of(package)
        for name, package in packages.installed().items()
        if name in product
    }
    assert [name for name, licence in licences.items() if "GPL" in licence] == []


def test_the_bill_of_materials_names_every_package_once() -> None:
    installed = packages.installed()
    bill = packages.bill_of_materials(installed)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert [component["name"] for component in bill["components"]] == [*installed]
    references = {component["bom-ref"] for component in bill["components"]}
    assert len(references) == len(installed)
    needs = {item["ref"]: item["dependsOn"] for item in bill["dependencies"]}
    assert needs.keys() == references
    assert {reference for needed in needs.values() for reference in needed} <= references
    gradio = f"pkg:pypi/gradio@{installed['gradio'].version}"
    assert any(reference.startswith("pkg:pypi/fastapi@") for reference in needs[gradio])


def test_setup_asks_for_hashes_first_and_for_torch_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], **_: object) -> object:
        ran.append(command)
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setattr(setup.subprocess, "run", run)
    monkeypatch.setattr(setup, "torch_index", lambda: ["--extra-index-url", "cpu"])
    setup.pip_install(tmp_path, "dev")
    locked, rest = (command[command.index("--only-binary=:all:") + 1 :] for command in ran)
    assert locked == [
        *("--require-hashes", "--no-deps"),
        *(f"-r{tmp_path / name}" for name in ("requirements.lock", "requirements-dev.lock")),
    ]
    assert rest == ["--extra-index-url", "cpu", "-r", str(tmp_path / "requirements-dev.txt")]


def test_another_hash_is_one_clear_line() -> None:
    output = """ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated ...
    idna==3.20 from https://index.example/idna-3.20-py3-none-any.whl (from -r requirements.lock (line 679)):
        Expected sha256 aaaa
             Got        bbbb
"""
    line = setup.explain_pip(output)
    assert line.startswith(
        "a package (idna==3.20) is not the file that was tested: its hash differs from the lock's"
    )
    assert "\n" not in line
