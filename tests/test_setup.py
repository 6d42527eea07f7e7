"""Preparing a machine: what is found is kept, what is missing is named in one line."""

import ast
import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from scripts import setup

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the requirement files and an empty environment whose Python is the running one."""
    for name in setup.FILES["dev"]:
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    setup.venv_python(tmp_path).symlink_to(sys.executable)
    return tmp_path


def stamp(root: Path, kind: str) -> None:
    (root / ".venv" / f".tempo-{kind}").write_text(setup.fingerprint(root, kind))


def find_python(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs find_python.sh in `folder` with nothing on PATH but what `folder`/bin holds."""
    script = ROOT / "scripts" / "find_python.sh"
    return subprocess.run(
        ["/bin/sh", script],
        cwd=folder,
        env={"PATH": str(folder / "bin"), **environment},
        capture_output=True,
        text=True,
    )


def fake_python(folder: Path, name: str, *, fits: bool, venv: bool = True) -> Path:
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    codes = {"version_info": 0 if fits else 1, "ensurepip": 0 if venv else 1}
    cases = "\n".join(f"  *{word}*) exit {code};;" for word, code in codes.items())
    path.write_text(f'#!/bin/sh\ncase "$2" in\n{cases}\nesac\n')
    path.chmod(0o755)
    return path


class TestFindPython:
    def test_the_first_that_fits_is_taken(self, tmp_path: Path) -> None:
        fake_python(tmp_path, "python3", fits=False)
        right = fake_python(tmp_path, "python3.12", fits=True)
        fake_python(tmp_path, "python3.13", fits=True)
        process = find_python(tmp_path)
        assert (process.returncode, process.stdout.strip()) == (0, str(right))

    def test_none_is_one_line(self, tmp_path: Path) -> None:
        fake_python(tmp_path, "python3", fits=False)
        process = find_python(tmp_path)
        assert process.returncode == 1
        assert process.stderr.count("\n") == 1
        assert "needs Python 3.11, 3.12 or 3.13 and found none" in process.stderr

    def test_one_without_venv_names_the_package(self, tmp_path: Path) -> None:
        fake_python(tmp_path, "python3.11", fits=True, venv=False)
        process = find_python(tmp_path)
        assert process.returncode == 1
        assert process.stderr.strip().endswith("apt install python3-venv. Then run this again.")

    def test_a_named_one_must_fit(self, tmp_path: Path) -> None:
        wrong = fake_python(tmp_path, "python3", fits=False)
        fake_python(tmp_path, "python3.11", fits=True)
        process = find_python(tmp_path, PYTHON=str(wrong))
        assert process.returncode == 1
        assert f"PYTHON={wrong} is not" in process.stderr

    def test_the_running_python_fits(self, tmp_path: Path) -> None:
        process = find_python(tmp_path, PYTHON=sys.executable)
        assert (process.returncode, process.stdout.strip()) == (0, sys.executable)


class TestStamps:
    def test_nothing_is_done_twice(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        stamp(checkout, "dev")
        monkeypatch.setattr(setup, "pip_install", lambda *_: pytest.fail("pip ran"))
        assert setup.main(["dev"], checkout) == 0
        assert setup.main(["runtime"], checkout) == 0, "what dev holds serves the app"

    def test_runtime_does_not_serve_the_tests(self, checkout: Path) -> None:
        stamp(checkout, "runtime")
        assert setup.is_ready(checkout, "runtime")
        assert not setup.is_ready(checkout, "dev")

    def test_a_changed_pin_asks_for_pip(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        stamp(checkout, "runtime")
        with (checkout / "constraints.txt").open("a") as file:
            file.write("# another\n")
        ran: list[str] = []
        monkeypatch.setattr(setup, "pip_install", lambda _root, kind: ran.append(kind))
        monkeypatch.setattr(setup, "ensure_venv", lambda _root: None)
        monkeypatch.setattr(setup, "check_space", lambda _root: None)
        assert setup.main(["runtime"], checkout) == 0
        assert setup.main(["runtime"], checkout) == 0
        assert ran == ["runtime"]

    def test_a_failed_install_leaves_no_stamp(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise setup.SetupError("no")

        monkeypatch.setattr(setup, "pip_install", fail)
        monkeypatch.setattr(setup, "ensure_venv", lambda _root: None)
        monkeypatch.setattr(setup, "check_space", lambda _root: None)
        assert setup.main(["runtime"], checkout) == 1
        assert not setup.is_ready(checkout, "runtime")


class TestClearLines:
    @pytest.mark.parametrize(
        ("output", "line"),
        [
            (
                "WARNING: Retrying ... Failed to establish a new connection: [Errno 111]\nERROR: No matching",
                "registry cannot be reached",
            ),
            (
                "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
                "the disk is full",
            ),
            (
                "ERROR: No matching distribution found for decord==9",
                "No matching distribution found for decord==9",
            ),
            ("", "it ended without a word"),
        ],
    )
    def test_pip(self, output: str, line: str) -> None:
        assert line in setup.explain_pip(output)
        assert "\n" not in setup.explain_pip(output)

    def test_too_small_a_disk(
        self, checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(setup, "NEEDED_BYTES", 2**70)
        assert setup.main(["runtime"], checkout) == 1
        line = capsys.readouterr().out
        assert "GB free and the packages need" in line
        assert line.count("\n") == 1

    def test_a_folder_that_cannot_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied", str(tmp_path / ".venv"))

        monkeypatch.setattr(setup, "ensure_packages", refuse)
        assert setup.main(["runtime"], tmp_path) == 1
        assert capsys.readouterr().out.startswith(f"tempo: Permission denied: {tmp_path / '.venv'}")


class TestTorch:
    """The registry's build brings gigabytes of CUDA: PyTorch's CPU index is offered where that is in vain."""

    @pytest.fixture(autouse=True)
    def linux(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(setup.platform, "system", lambda: "Linux")

    def test_with_an_accelerator_the_registry_decides(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(setup, "has_nvidia", lambda: True)
        monkeypatch.setattr(
            setup.urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked the network")
        )
        assert setup.torch_index() == []

    def test_without_one_the_cpu_index_is_offered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(setup, "has_nvidia", lambda: False)
        monkeypatch.setattr(setup.urllib.request, "urlopen", lambda *_, **__: nullcontext())
        assert setup.torch_index() == ["--extra-index-url", setup.CPU_TORCH_INDEX]

    def test_an_index_out_of_reach_is_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError("refused")

        monkeypatch.setattr(setup, "has_nvidia", lambda: False)
        monkeypatch.setattr(setup.urllib.request, "urlopen", refuse)
        assert setup.torch_index() == []


class TestBrowser:
    def test_a_named_one_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TEMPO_CHROMIUM", "/somewhere/chromium")
        assert setup.find_browser() == "/somewhere/chromium"

    def test_one_on_path_is_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TEMPO_CHROMIUM", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        chrome = fake_python(tmp_path, "google-chrome", fits=True)
        assert setup.find_browser() == str(chrome)

    def test_none_is_named_with_the_remedy(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("TEMPO_CHROMIUM", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setattr(setup, "ensure_driver", lambda _root: None)
        commands: list[list[str]] = []
        monkeypatch.setattr(setup, "run_quietly", lambda command: commands.append([str(c) for c in command]))
        assert setup.main(["browser"], tmp_path) == 1
        assert commands == [[str(setup.venv_python(tmp_path)), "-m", "playwright", "install", "chromium"]]
        assert "no Chromium for the browser tests. Install one" in capsys.readouterr().out

    def test_a_driver_that_does_not_start_is_said(
        self, checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        python = setup.venv_python(checkout)
        python.unlink()
        python.write_text("#!/bin/sh\necho 'node: error while loading libatomic.so.1' >&2\nexit 127\n")
        python.chmod(0o755)
        wished: list[str] = []
        monkeypatch.setattr(setup, "apt_install", lambda package: bool(wished.append(package)))
        assert setup.main(["browser"], checkout) == 1
        assert wished == ["libatomic1"]
        assert (
            "Playwright does not start: node: error while loading libatomic.so.1" in capsys.readouterr().out
        )


def archive(**files: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}.min.js")
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


class TestAxe:
    def test_it_is_fetched_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = archive(other=b"no", axe=b"axe")
        digest = base64.b64encode(hashlib.sha512(package).digest()).decode()
        monkeypatch.setattr(setup, "AXE_SHA512", digest)
        monkeypatch.setattr(setup, "fetch_axe", lambda: package)
        assert setup.main(["axe"], tmp_path) == 0
        assert setup.axe_path(tmp_path).read_bytes() == b"axe"
        monkeypatch.setattr(setup, "fetch_axe", lambda: pytest.fail("fetched again"))
        assert setup.main(["axe"], tmp_path) == 0

    def test_another_one_is_not_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(setup, "fetch_axe", lambda: archive(axe=b"something else"))
        assert setup.main(["axe"], tmp_path) == 1
        assert "is not what was tested" in capsys.readouterr().out
        assert not setup.axe_path(tmp_path).exists()

    def test_without_a_network_the_tests_go_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError("Network is unreachable")

        monkeypatch.setattr(setup.shutil, "which", lambda _name: None)
        monkeypatch.setattr(setup.urllib.request, "urlopen", refuse)
        assert setup.main(["axe"], tmp_path) == 0
        assert "will be skipped" in capsys.readouterr().out

    def test_npms_own_failure_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        npm = tmp_path / "npm"
        npm.write_text("#!/bin/sh\necho 'npm error ENOTFOUND' >&2\nexit 1\n")
        npm.chmod(0o755)
        monkeypatch.setattr(setup.shutil, "which", lambda _name: str(npm))
        assert setup.main(["axe"], tmp_path) == 0
        assert "ENOTFOUND" in capsys.readouterr().out


def test_every_requirement_is_pinned_and_earns_a_line() -> None:
    decisions = (ROOT / "docs" / "decisions" / "0001-dependencies.md").read_text()
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if not line or line.startswith(("#", "-")):
                continue
            requirement, _, reason = line.partition("#")
            assert "==" in requirement, line
            assert reason.strip(), f"{line}: say what it is for"
            package = requirement.split("==")[0].split("[")[0]
            assert f"**{package}**" in decisions, (
                f"{package} has no line in docs/decisions/0001-dependencies.md"
            )


def pinned(name: str) -> set[str]:
    lines = (ROOT / name).read_text().splitlines()
    return {line.split("==")[0].split("[")[0] for line in lines if "==" in line and not line.startswith("#")}


def test_what_the_product_imports_is_pinned_and_nothing_else() -> None:
    """Packages that transformers asks for by itself are the exception."""
    modules = set()
    for floor in ("tempo_core", "annotations", "train", "app"):
        for path in (ROOT / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                modules |= {name.split(".")[0] for name in names}
    ours = {"tempo_core", "annotations", "train", "app", ""}
    foreign = {name.replace("_", "-") for name in modules - sys.stdlib_module_names - ours}
    imported = {{"PIL": "pillow", "argon2": "argon2-cffi"}.get(name, name) for name in foreign}
    optional = {"psycopg"}
    asked_by_others = {"accelerate", "bitsandbytes"}
    assert imported - optional <= pinned("requirements.txt")
    assert pinned("requirements.txt") - asked_by_others <= imported


def test_the_installed_packages_are_the_pinned_ones() -> None:
    """What is tested is what is pinned."""
    from importlib.metadata import version

    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            pinned = line.partition("#")[0].partition(";")[0].strip()
            if "==" in pinned and not (";" in line and os.uname().machine != "x86_64"):
                package, _, number = pinned.partition("==")
                assert version(package.split("[")[0]).split("+")[0] == number, package
