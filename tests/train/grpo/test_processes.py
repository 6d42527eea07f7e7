"""PIR-GRPO as real processes: killed with SIGKILL it ends with the same bytes; two processes share a step."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[3]
PYTHON = [sys.executable]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
pytestmark = pytest.mark.slow


def run(*arguments: str | Path | int, launcher: list[str] = PYTHON) -> int:
    """The exit status of a run; with a step, it kills itself there."""
    command = [*launcher, "-m", "tests.train.grpo.small_run", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode


@pytest.fixture(scope="module")
def whole(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert run(checkpoint, out) == 0
    return out


def test_a_run_killed_again_and_again_ends_with_the_same_adapter(
    whole: Path, checkpoint: Path, tmp_path: Path
) -> None:
    assert run(checkpoint, tmp_path, 3) == -signal.SIGKILL
    assert run(checkpoint, tmp_path, 5) == -signal.SIGKILL
    assert run(checkpoint, tmp_path) == 0
    name = "adapter/adapter_model.safetensors"
    assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_two_processes_share_every_step(whole: Path, checkpoint: Path, tmp_path: Path) -> None:
    assert run(checkpoint, tmp_path, launcher=TORCHRUN) == 0
    assert json.loads((tmp_path / "done.json").read_text())["steps"] == 6
    lines = (tmp_path / "curves.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 7))
    shared, single = (load_file(out / "adapter/adapter_model.safetensors") for out in (tmp_path, whole))
    assert shared.keys() == single.keys()
    assert any(bool((value != single[name]).any()) for name, value in shared.items())
