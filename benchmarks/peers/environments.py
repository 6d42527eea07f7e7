"""An environment of its own for each peer, made once and kept, with the versions that are pinned here."""

import hashlib
import os
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


def python_of(environment: Environment, folder: Path) -> Path:
    """The environment's interpreter; the environment is made where it is not there yet. Raises InputError, with uv's
    last line, where it cannot be made."""
    if not environment.requirements:
        return Path(sys.executable)
    text = "\n".join([*environment.requirements, str(environment.with_project), sys.version])
    home = folder / hashlib.sha256(text.encode()).hexdigest()[:12]
    python = home / "bin" / "python"
    if (home / "ready").exists():
        return python
    venv.create(home, clear=True)
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    if environment.with_project:
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
        (packages / "project.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        command.append("--no-deps")
    try:
        outcome = subprocess.run(
            [*command, *environment.requirements], capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"uv took more than {TIMEOUT_S} s for {environment.requirements}.") from error
    if outcome.returncode:
        last = (outcome.stderr.strip().splitlines() or ["uv said nothing"])[-1]
        raise InputError(f"{', '.join(environment.requirements)} cannot be installed here: {last}")
    (home / "ready").touch()
    return python


def variables() -> dict[str, str]:
    """A worker's environment variables: one thread, and the project's packages within reach."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": str(ROOT)}
