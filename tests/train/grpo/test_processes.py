"""PIR-GRPO as real processes: killed with SIGKILL it ends with the same bytes; two processes share a step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tests.train.grpo.small_run"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def start(*arguments: str | Path, command: list[str] = COMMAND) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = [*command, *map(str, arguments)]
    return subprocess.Popen(whole, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def run(*arguments: str | Path, command: list[str] = COMMAND, kill_at: str | None = None) -> int:
    """The exit status of a run, killed when it tells of a step."""
    with start(*arguments, command=command) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == kill_at:
                process.kill()
    return process.returncode


@pytest.fixture(scope="module")
def whole(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert run(checkpoint, out) == 0
    return out


def test_a_run_killed_again_and_again_ends_with_the_same_adapter(
    whole: Path, checkpoint: Path, tmp_path: Path
) -> None:
    assert run(checkpoint, tmp_path, kill_at="3") == -9
    assert run(checkpoint, tmp_path, kill_at="5") == -9
    assert run(checkpoint, tmp_path) == 0
    name = "adapter/adapter_model.safetensors"
    assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_two_processes_share_every_step(whole: Path, checkpoint: Path, tmp_path: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    launcher = [sys.executable, *torchrun, "-m", "tests.train.grpo.small_run"]
    assert run(checkpoint, tmp_path, command=launcher) == 0
    assert json.loads((tmp_path / "done.json").read_text())["steps"] == 6
    lines = (tmp_path / "curves.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 7))
    found, alone = (load_file(out / "adapter/adapter_model.safetensors") for out in (tmp_path, whole))
    assert found.keys() == alone.keys()
    assert any(bool((value != alone[name]).any()) for name, value in found.items())
