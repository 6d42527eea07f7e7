import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_core import forkserver, sandbox
from tempo_core.sandbox import ChildLimits, run_child
from tempo_core.video import probe, sample
from tests.processes import children_of, fork_servers_of, is_running
from tests.videos import constant, write_clip

pytestmark = pytest.mark.skipif(not forkserver.AVAILABLE, reason="this system has no fork server")


def echo(text: str) -> dict[str, object]:
    answer = run_child("tests.child_tasks:echo", {"say": text}, name="nothing", limits=ChildLimits())
    os.close(answer.output)
    return answer.result


def test_a_clip_read_by_a_fork_is_the_clip_read_by_a_fresh_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "clip.mp4", constant(50), audio_s=2.0)
    forked = probe(path), sample(path, fps=5)
    monkeypatch.setattr(sandbox, "start_child", partial(sandbox.start_child, forked=False))
    started = probe(path), sample(path, fps=5)
    assert forked[0] == started[0]
    assert np.array_equal(forked[1].frames, started[1].frames)
    assert np.array_equal(forked[1].times_s, started[1].times_s)


def test_a_fork_has_nothing_of_the_program_or_of_other_children(monkeypatch: pytest.MonkeyPatch) -> None:
    def surroundings(_: int) -> dict[str, Any]:
        answer = run_child("tests.child_tasks:surroundings", {}, name="nothing", limits=ChildLimits())
        os.close(answer.output)
        return answer.result

    monkeypatch.setenv("TEMPO_SECRET", "of the program")
    with open(os.devnull), ThreadPoolExecutor(4) as pool:
        children = [*pool.map(surroundings, range(8))]
    for child in children:
        assert {*child["descriptors"]} == {0, 1, 2, *child["own"]}
        names = {"PATH", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX", "LC_ALL", "TMPDIR"}
        assert {*child["environment"]} == names
        assert child["threads"] == 2  # the task's, and the one that leaves with the parent
    assert len({child["scratch"] for child in children}) == 8
    servers = fork_servers_of(os.getpid())
    assert servers
    while any(is_running(child) for server in servers for child in children_of(server)):
        time.sleep(0.01)


def test_a_server_that_ended_is_replaced_and_no_child_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    echo("first")
    before = forkserver._servers["tests"].process.pid  # those of other packages serve the tests to come
    os.kill(before, signal.SIGKILL)
    while is_running(before):
        time.sleep(0.01)
    assert echo("second")["said"] == "second"
    assert "No child could be forked" in caplog.text
    caplog.clear()
    assert echo("third")["said"] == "third"
    assert not caplog.text
    after = forkserver._servers["tests"].process.pid
    assert after != before
    assert is_running(after)


def test_many_threads_fork_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda number: echo(str(number)), range(40))]
    assert [answer["said"] for answer in answers] == [str(number) for number in range(40)]
    assert len({answer["pid"] for answer in answers}) == 40


def test_a_server_ends_with_its_program(tmp_path: Path) -> None:
    code = (
        "import os, time\n"
        "from tempo_core.sandbox import *\n"
        "run_child('tests.child_tasks:echo', {'say': 1}, name='x', limits=ChildLimits())\n"
        f"open({str(tmp_path / 'ready')!r}, 'w').close()\n"
        "time.sleep(3600)"
    )
    root = str(Path(__file__).parents[2])
    program = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": root})
    while not (tmp_path / "ready").exists():
        assert program.poll() is None
        time.sleep(0.05)
    servers = fork_servers_of(program.pid)
    assert len(servers) == 1
    program.kill()
    program.wait()
    while any(map(is_running, servers)):
        time.sleep(0.05)
