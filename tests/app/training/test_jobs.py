"""Training jobs: one at a time, cancelled and resumed, and alive when the app is not."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.home import Home, open_home
from app.job_queue import Busy
from app.training.figures import curves_figure, progress_figure, sides_figure
from app.training.jobs import NOTHING_YET, STOPPING, JobStatus, RefreshRequest, TrainingJobs, refresh_command
from app.training.runs import refresh_runs
from tempo_core.errors import InputError
from tests.app.annotating import until
from tests.app.training.fake_job import FakeJob, failing


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def fake(tmp_path: Path) -> FakeJob:
    return FakeJob(tmp_path)


def wish(home: Home, name: str = "run") -> RefreshRequest:
    return RefreshRequest(
        snapshot=home.snapshots / "s",
        folder=home.root / "training" / name,
        recipe="quick",
        checkpoint=None,
        by="ada",
    )


def wait(jobs: TrainingJobs, good: Callable[[JobStatus], bool], patience_s: float = 600.0) -> JobStatus:
    give_up_s = time.monotonic() + patience_s
    while not good(status := jobs.status()):
        assert time.monotonic() < give_up_s, status
        time.sleep(0.02)
    return status


def test_a_job_runs_to_its_end(home: Home, fake: FakeJob) -> None:
    jobs = TrainingJobs(home, command=fake)
    assert jobs.status() == JobStatus(state="idle", message=NOTHING_YET)
    assert jobs.curves() == []
    assert jobs.start(wish(home)).state == "running"
    status = wait(jobs, lambda now: now.stage == "sft" and now.step == 3)
    assert (status.state, status.steps, status.by, status.recipe) == ("running", 3, "ada", "quick")
    assert jobs.running()
    assert [line["step"] for line in jobs.curves()] == [1, 2, 3, 3.25], "the next step has begun"
    assert (status.unit, status.batch, status.batches, status.seconds_to_come) == ("steps", 1, 4, 1200)
    assert status.share_done == pytest.approx(3.25 / 3)
    assert status.seconds_left is not None
    assert 0 < status.seconds_left <= 4000
    fake.release()
    status = wait(jobs, lambda now: now.state == "done")
    assert status.message == "An adapter was made."
    assert not status.can_resume
    assert (status.seconds_left, status.seconds_to_come) == (None, None)
    assert len(jobs.curves()) == 8
    assert len(jobs.progress()) == 8
    assert (jobs.report("outcome") or {})["state"] == "kept"
    (run,) = refresh_runs(jobs.root)
    assert run.answers("corrected", "new")["set/1"]["model_id"] == "new"


def test_one_job_at_a_time(home: Home, fake: FakeJob) -> None:
    jobs, second_server = TrainingJobs(home, command=fake), TrainingJobs(home, command=fake)
    jobs.start(wish(home))
    with pytest.raises(Busy, match="runs already"):
        second_server.start(wish(home, "another"))
    assert second_server.status().folder == jobs.status().folder
    fake.release()
    wait(second_server, lambda now: now.state == "done")
    wait(jobs, lambda now: not jobs.running())
    second_server.start(wish(home, "another"))
    wait(second_server, lambda now: now.state == "done")


def test_cancel_and_resume(home: Home, fake: FakeJob) -> None:
    jobs = TrainingJobs(home, command=fake)
    with pytest.raises(InputError, match="nothing to cancel"):
        jobs.cancel()
    with pytest.raises(InputError, match="no job to go on with"):
        jobs.resume("ada")
    jobs.start(wish(home))
    wait(jobs, lambda now: now.step == 3)
    jobs.cancel()
    status = wait(jobs, lambda now: now.state == "cancelled" and not jobs.running())
    assert status.can_resume
    jobs.resume("eva")
    fake.release()
    status = wait(jobs, lambda now: now.state == "done")
    assert status.by == "eva"


def test_a_job_is_asked_to_stop_once(home: Home, tmp_path: Path) -> None:
    """It saves its state first, and a second SIGTERM would end it before it has."""
    gate, script = tmp_path / "gate", tmp_path / "job.py"
    script.write_text(
        "import json, signal, sys, time\nfrom pathlib import Path\n"
        "folder, gate, asked = Path(sys.argv[1]), Path(sys.argv[2]), []\n"
        "signal.signal(signal.SIGTERM, lambda *_: (asked.append(1), (folder / 'asked').write_text(str(len(asked)))))\n"
        "(folder / 'ready').touch()\n"
        "while not gate.exists(): time.sleep(0.02)\n"
        "state = {'state': 'cancelled', 'stage': 'sft', 'stages': [], 'message': 'Stopped.', 'step': 0, 'steps': 0}\n"
        "(folder / 'state.part').write_text(json.dumps(state))\n"
        "(folder / 'state.part').replace(folder / 'state.json')\n"
    )
    command = [sys.executable, str(script)]
    jobs = TrainingJobs(home, command=lambda wish, _: [*command, str(wish.folder), str(gate)])
    folder = wish(home).folder
    jobs.start(wish(home))
    wait(jobs, lambda now: (folder / "ready").exists())
    assert not jobs.status().stopping
    for _ in range(3):
        status = jobs.cancel()
        assert (status.state, status.message, status.stopping) == ("running", STOPPING, True)
    wait(jobs, lambda now: (folder / "asked").exists())
    gate.touch()
    status = wait(jobs, lambda now: now.state == "cancelled" and not jobs.running())
    assert (status.message, status.stopping) == ("Stopped.", False)
    assert (folder / "asked").read_text() == "1"


def test_those_who_look_keep_nobody_from_starting(home: Home, fake: FakeJob) -> None:
    jobs, over = TrainingJobs(home, command=fake), threading.Event()
    lookers = [threading.Thread(target=_look, args=(TrainingJobs(home), over)) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        assert not any(TrainingJobs(home).running() for _ in range(200))
        assert jobs.start(wish(home)).state == "running"
    finally:
        over.set()
        for looker in lookers:
            looker.join()
        fake.release()
    wait(jobs, lambda now: now.state == "done")


def _look(jobs: TrainingJobs, over: threading.Event) -> None:
    while not over.is_set():
        jobs.running()
        time.sleep(0.001)


def test_an_attempt_that_is_killed_does_not_repeat_what_the_one_before_said(
    home: Home, fake: FakeJob
) -> None:
    failed = TrainingJobs(home, command=failing)
    failed.start(wish(home))
    wait(failed, lambda now: now.message.startswith("There is no recipe 'no-such-recipe'. Use one of: "))
    jobs = TrainingJobs(home, command=fake)
    jobs.resume("ada")
    wait(jobs, lambda now: now.step == 3)
    os.killpg(json.loads((home.root / "training" / "current.json").read_text())["pid"], signal.SIGKILL)
    status = wait(jobs, lambda now: now.state == "stopped")
    assert status.message == "It was interrupted. It can go on from its last saved state."


HALF_WRITTEN = """
import os, signal, sys
from pathlib import Path
from tempo_core import files
from train import checkpoints

path = Path(sys.argv[1]) / "state.json"
state = {"state": "running", "stage": "sft", "stages": ["sft"], "message": "Learning.", "step": 1, "steps": 3}
checkpoints.write_json(path, state)

def half(part):
    os.truncate(part, part.stat().st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)

files.sync = half
checkpoints.write_json(path, {**state, "step": 2})
"""
"""A job that is killed in the middle of writing where it stands."""


def test_a_state_that_was_half_written_is_never_read(home: Home) -> None:
    jobs = TrainingJobs(
        home, command=lambda request, _: [sys.executable, "-c", HALF_WRITTEN, str(request.folder)]
    )
    folder = wish(home).folder
    jobs.start(wish(home))
    status = wait(jobs, lambda now: now.state == "stopped")
    assert (status.stage, status.step, status.steps) == ("sft", 1, 3)
    assert json.loads((folder / "state.json").read_text())["step"] == 1
    assert len(list(folder.glob(".state.json.*"))) == 1, "it was killed half way"


def test_what_the_app_writes_of_a_job_is_replaced_whole(
    home: Home, fake: FakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that ends in the middle of marking a job leaves the mark of before."""
    jobs = TrainingJobs(home, command=fake)
    jobs.start(wish(home))
    wait(jobs, lambda now: now.step == 3)

    def half(part: Path) -> None:
        os.truncate(part, 20)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tempo_core.files.sync", half)
        with pytest.raises(KeyboardInterrupt):
            jobs.cancel()
    assert not jobs.status().stopping
    fake.release()
    wait(jobs, lambda now: now.state == "done")


def test_a_message_names_files_and_not_where_they_lie(home: Home, fake: FakeJob) -> None:
    jobs = TrainingJobs(home, command=fake)
    jobs.start(wish(home))
    fake.release()
    folder = wait(jobs, lambda now: now.state == "done" and not jobs.running()).folder
    assert folder is not None
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, "message": f"{folder} holds another run."}))
    assert jobs.status().message == f"{folder.name} holds another run."


def test_a_killed_job_is_seen_and_resumed(home: Home, fake: FakeJob) -> None:
    jobs = TrainingJobs(home, command=fake)
    jobs.start(wish(home))
    wait(jobs, lambda now: now.step == 3)
    pid = json.loads((home.root / "training" / "current.json").read_text())["pid"]
    os.killpg(pid, signal.SIGKILL)
    status = wait(jobs, lambda now: now.state == "stopped")
    assert status.message == "It was interrupted. It can go on from its last saved state."
    assert status.can_resume
    fake.release()
    jobs.resume("ada")
    wait(jobs, lambda now: now.state == "done")


def test_a_job_that_is_cancelled_before_it_can_say_so_is_cancelled_all_the_same(
    home: Home, tmp_path: Path
) -> None:
    """While it still imports its libraries, SIGTERM ends it at once."""
    script = "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(3600)"
    ready = tmp_path / "ready"
    jobs = TrainingJobs(home, command=lambda request, _: [sys.executable, "-c", script, str(ready)])
    jobs.start(wish(home))
    wait(jobs, lambda now: ready.exists())
    jobs.cancel()
    status = wait(jobs, lambda now: now.state == "cancelled")
    assert (status.message, status.can_resume) == ("Stopped; it can go on from there.", True)
    with pytest.raises(InputError, match="nothing to cancel"):
        jobs.cancel()


def test_time_left_runs_down_and_is_not_told_when_it_has_run_out(home: Home, tmp_path: Path) -> None:
    """A step may take longer than all of them were thought to."""
    gate, script = tmp_path / "gate", tmp_path / "job.py"
    script.write_text(
        "import json, sys, time\nfrom pathlib import Path\n"
        "folder, gate = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "def write(values):\n"
        "    (folder / 'state.part').write_text(json.dumps(values))\n"
        "    (folder / 'state.part').replace(folder / 'state.json')\n"
        "state = {'state': 'running', 'stage': 'sft', 'stages': [], 'message': 'Learning.', 'step': 1, 'steps': 3}\n"
        "state |= {'seconds_left': 1000, 'at_ms': (time.time() - 400) * 1000}\n"
        "write(state)\n"
        "gate.with_suffix('.ready').touch()\n"
        "while not gate.exists(): time.sleep(0.02)\n"
        "write(state | {'at_ms': 0})\n"
        "gate.with_suffix('.late').touch()\n"
        "while gate.exists(): time.sleep(0.02)\n"
    )
    command = [sys.executable, str(script)]
    jobs = TrainingJobs(home, command=lambda request, _: [*command, str(request.folder), str(gate)])
    jobs.start(wish(home))
    until(gate.with_suffix(".ready").exists, bool)
    status = jobs.status()
    assert status.seconds_left is not None
    assert 0 < status.seconds_left <= 600
    gate.touch()
    until(gate.with_suffix(".late").exists, bool)
    status = jobs.status()
    assert (status.state, status.seconds_left) == ("running", None)
    gate.unlink()
    wait(jobs, lambda now: not jobs.running())


def test_a_job_outlives_the_app(home: Home, fake: FakeJob) -> None:
    """The child is no part of the app's process group, and a fresh app finds it by its lock."""
    TrainingJobs(home, command=fake).start(wish(home))
    pid = json.loads((home.root / "training" / "current.json").read_text())["pid"]
    assert os.getpgid(pid) != os.getpgid(0)
    assert os.getsid(pid) != os.getsid(0)
    later = TrainingJobs(home, command=fake)
    wait(later, lambda now: now.state == "running" and now.step == 3)
    later.cancel()
    wait(later, lambda now: now.state == "cancelled" and not later.running())


def test_a_job_that_fails_at_once_says_why(home: Home) -> None:
    jobs = TrainingJobs(home, command=failing)
    jobs.start(wish(home))
    status = wait(jobs, lambda now: now.state == "stopped")
    assert status.message.startswith("There is no recipe 'no-such-recipe'. Use one of: ")


def test_the_command_of_a_refresh(home: Home) -> None:
    command = refresh_command(wish(home), home)
    assert command[1:4] == ["-m", "train", "refresh"]
    assert command[command.index("--by") + 1] == "ada"
    assert "--no-pir" not in command
    assert "--no-pir" in refresh_command(wish(home).model_copy(update={"pir": False}), home)
    assert not {"--checkpoint", "--adapter", "--protocol"}.intersection(command)
    served = wish(home).model_copy(update={"adapter": home.root / "mine", "protocol": "time_r1"})
    words = refresh_command(served, home)
    assert words[words.index("--adapter") + 1] == str(home.root / "mine")
    assert words[words.index("--protocol") + 1] == "time_r1"


def test_figures_draw_what_there_is() -> None:
    assert curves_figure([]).layout.annotations[0].text.startswith("Curves appear")
    lines = [
        {"stage": "sft", "step": 2, "loss": 1.0, "exact": 0.5, "length": 9},
        {
            "stage": "pir-grpo",
            "step": 1,
            "loss": 7.0,
            "reward": 0.4,
            "tiou": 0.3,
            "refusal": 1.0,
            "length": 8,
        },
    ]
    figure = curves_figure(lines)
    traces = {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}
    assert traces["loss"] == ([2], [1.0])
    assert traces["mean reward"] == ([3], [0.4])
    assert traces["length"] == ([2, 3], [9, 8])
    assert {shape.x0 for shape in figure.layout.shapes} == {2}, "a line where the stage changes"
    assert not curves_figure(lines[:1]).layout.shapes
    progress = progress_figure(
        [
            {"stage": "checking", "unit": "rows", "step": 1, "steps": 4, "seconds": 30},
            {"stage": "comparing", "unit": "answers", "step": 2, "steps": 2, "seconds": 90, "iou": 0.5},
        ],
        {"checking": "Looking at clips"},
    )
    points = [(trace.name, list(trace.x), list(trace.y)) for trace in progress.data]
    assert points == [
        ("Looking at clips, rows", [0.5], [25]),
        ("comparing, answers", [1.5], [100]),
        ("answers", [2], [0.5]),
    ]
    assert progress_figure([], {}).layout.annotations[0].text.startswith("How far each stage")
    sides = sides_figure({"Truth": [[1, 2]], "Old": [], "New": [[0, 1], [2, 3]]}, 4.0)
    assert [list(trace.x) for trace in sides.data] == [[1], [0], [1, 1]]
    assert [list(trace.base) for trace in sides.data] == [[1], [0], [0, 2]]
    assert [annotation.text for annotation in sides.layout.annotations] == ["no moment"]
