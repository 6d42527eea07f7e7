"""PIR-GRPO as real processes: killed with SIGKILL it ends with the same bytes; two processes share a step."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tests.train.grpo import small_run

pytestmark = pytest.mark.slow


def run(processes: ForkServerContext, checkpoint: Path, out: Path, kill_at: int | None = None) -> int | None:
    """The exit status of a run; with a step, it kills itself there."""
    process = processes.Process(target=small_run.main, args=(checkpoint, out, kill_at))
    process.start()
    process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def whole(processes: ForkServerContext, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert run(processes, checkpoint, out) == 0
    return out


def test_a_run_killed_again_and_again_ends_with_the_same_adapter(
    whole: Path, processes: ForkServerContext, checkpoint: Path, tmp_path: Path
) -> None:
    assert run(processes, checkpoint, tmp_path, 3) == -signal.SIGKILL
    assert run(processes, checkpoint, tmp_path, 5) == -signal.SIGKILL
    assert run(processes, checkpoint, tmp_path) == 0
    name = "adapter/adapter_model.safetensors"
    assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_two_processes_share_every_step(
    whole: Path, processes: ForkServerContext, checkpoint: Path, tmp_path: Path
) -> None:
    """Launched as torchrun launches a file, from the server of processes that are ready."""
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id="shared",
        local_addr="localhost",
        start_method=processes.get_start_method(),
        max_restarts=0,
    )
    # In a thread of its own, where it leaves pytest's signals alone.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(elastic_launch(launch, small_run.main), checkpoint, tmp_path).result()
    assert json.loads((tmp_path / "done.json").read_text())["steps"] == 6
    lines = (tmp_path / "curves.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 7))
    shared, single = (load_file(out / "adapter/adapter_model.safetensors") for out in (tmp_path, whole))
    assert shared.keys() == single.keys()
    assert any(bool((value != single[name]).any()) for name, value in shared.items())
