"""An environment of its own for each peer, made once and kept, with the versions that are pinned here."""

import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

from tempo_core.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 1800


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """What a peer needs."""

    requirements: tuple[str, ...] = ()
    """Pinned, as uv takes them."""
    with_project: bool = False
    """Whether the project's own packages stand behind the peer's: torch and transformers are then the same on both
    sides, and only what is listed here differs."""
    repository: tuple[str, str] | None = None
    """Address and commit of sources that no registry has; their folder can be imported from."""
    folders: tuple[str, ...] = ()
    """Of the repository, what is checked out."""
    ffmpeg_of_pyav: bool = False
    """Whether a library that looks for FFmpeg's finds those that PyAV's wheel brings, under their usual names."""


def python_of(environment: Environment, folder: Path) -> Path:
    """The environment's interpreter; the environment is made where it is not there yet. Raises InputError, with uv's
    or git's last line, where it cannot be made."""
    if environment == Environment():
        return Path(sys.executable)
    home = home_of(environment, folder)
    python = home / "bin" / "python"
    if (home / "ready").exists():
        return python
    venv.create(home, clear=True)
    packages = packages_of(home)
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    if environment.with_project:
        (packages / "project.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        command.append("--no-deps")
    if environment.requirements:
        failure = f"{', '.join(environment.requirements)} cannot be installed here"
        _run([*command, *environment.requirements], failure)
    if environment.repository is not None:
        address, commit = environment.repository
        failure = f"{address} cannot be cloned here"
        sources = home / "sources"
        clone = ["git", "clone", "--quiet", "--filter=blob:none", "--no-checkout"]
        _run([*clone, address, str(sources)], failure)
        _run(["git", "-C", str(sources), "checkout", commit, "--", *environment.folders], failure)
        (packages / "sources.pth").write_text(f"{sources}\n", encoding="utf-8")
    if environment.ffmpeg_of_pyav:
        usual = home / "ffmpeg"
        usual.mkdir()
        for library in (packages / "av.libs").iterdir():
            if match := re.fullmatch(r"(lib(?:av|sw)\w+)-\w+(\.so\.\d+)\..*", library.name):
                (usual / "".join(match.groups())).symlink_to(library.resolve())
    (home / "ready").touch()
    return python


def home_of(environment: Environment, folder: Path) -> Path:
    """Where the environment lies: another place for whatever else it needs."""
    text = f"{environment} {sys.version}"
    return folder.resolve() / hashlib.sha256(text.encode()).hexdigest()[:12]


def packages_of(home: Path) -> Path:
    return Path(sysconfig.get_path("purelib", vars={"base": str(home)}))


def _run(command: list[str], failure: str) -> None:
    try:
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{failure}: {command[0]} took more than {TIMEOUT_S} s.") from error
    if outcome.returncode:
        last = (outcome.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InputError(f"{failure}: {last}")


def variables(environment: Environment, folder: Path) -> dict[str, str]:
    """A worker's environment variables: one thread, and the project's packages within reach."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TORCHCODEC_NUM_THREADS")
    values = {**os.environ, **dict.fromkeys(names, "1"), "PYTHONPATH": str(ROOT)}
    if environment.ffmpeg_of_pyav:
        home = home_of(environment, folder)
        values["LD_LIBRARY_PATH"] = f"{home / 'ffmpeg'}:{packages_of(home) / 'av.libs'}"
    return values
