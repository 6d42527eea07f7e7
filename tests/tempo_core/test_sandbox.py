import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_core import forkserver, sandbox
from tempo_core.errors import Cancelled, InputError, VideoError
from tempo_core.proxy import normalise
from tempo_core.sandbox import ChildAnswer, ChildDied, ChildLimits, open_regular, run_child, unbound_parts
from tempo_core.video import VideoLimits, probe, sample
from tests.videos import constant, write_clip, write_webp


@pytest.fixture(params=["forked", "started"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children are forked where the system can, and started anew."""
    if request.param == "started":
        monkeypatch.setattr(sandbox, "start_child", functools.partial(sandbox.start_child, forked=False))
    elif not forkserver.AVAILABLE:
        pytest.skip("this system has no fork server")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children are started anew."""
    monkeypatch.setattr(sandbox, "start_child", functools.partial(sandbox.start_child, forked=False))


def run(task: str, limits: ChildLimits | None = None, **options: Any) -> ChildAnswer:
    job = {key: options.pop(key) for key in ("say", "pids", "secret", "out") if key in options}
    return run_child(
        f"tests.child_tasks:{task}", job, name="clip.mp4", limits=limits or ChildLimits(), **options
    )


def is_gone(pid: int, within_s: float = 30.0) -> bool:
    """Whether a process ends (or is only a corpse) in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.usefixtures("both_ways")
def test_a_child_answers_with_json_bulk_data_and_progress(tmp_path: Path) -> None:
    path = tmp_path / "given.txt"
    path.write_text("hello")
    file, shares = os.open(path, os.O_RDONLY), []
    try:
        answer = run("echo", say="hi", file=file, on_progress=shares.append)
    finally:
        os.close(file)
    assert answer.result["said"] == "hi"
    assert answer.result["file"] == "hello"
    assert answer.result["pid"] == answer.result["session"] != os.getsid(0)
    assert shares == [0.25, 1.0]
    assert os.pread(answer.output, 10, 0) == b"bulk"
    os.close(answer.output)


@pytest.mark.usefixtures("both_ways")
def test_a_child_has_its_limits_and_nothing_heavy_loaded() -> None:
    answer = run("inside", ChildLimits(memory_bytes=2**31, cpu_s=7, output_bytes=2**20))
    os.close(answer.output)
    assert answer.result == {"limits": [2**31, 7, 2**20, 0], "heavy": []}


@pytest.mark.parametrize(
    ("task", "kind", "message"),
    [
        ("refuse_video", VideoError, "^This is why.$"),
        ("refuse_input", InputError, "^That is why.$"),
        ("fault", RuntimeError, "KeyError: 'there'"),
        ("crash", ChildDied, "The decoder crashed on 'clip.mp4' .SIGSEGV.* Re-encode"),
        ("leave", ChildDied, "without an answer .code 3."),
        ("eat_memory", ChildDied, "needs more memory than its limit"),
        ("write_much", ChildDied, "larger than 1048576 bytes"),
    ],
)
@pytest.mark.usefixtures("both_ways")
def test_every_end_of_a_child_is_a_clear_error(task: str, kind: type[Exception], message: str) -> None:
    limits = ChildLimits(memory_bytes=2**29, output_bytes=2**20)
    with pytest.raises(kind, match=message) as caught:
        run(task, limits)
    if isinstance(caught.value, ChildDied):
        causes = {"crash": "crash", "eat_memory": "memory", "write_much": "size"}
        assert caught.value.cause == causes.get(task, "")


@pytest.mark.usefixtures("both_ways")
def test_processor_seconds_are_limited() -> None:
    with pytest.raises(ChildDied, match="more than 1 s of processor time") as caught:
        run("burn", ChildLimits(cpu_s=1))
    assert caught.value.cause == "time"


@pytest.mark.usefixtures("both_ways")
def test_wall_seconds_are_limited_and_the_whole_group_is_killed(tmp_path: Path) -> None:
    pids, wall_s = tmp_path / "pids", 1.0
    while not pids.exists():  # a busy machine may not even start the child in time
        wall_s *= 2
        with pytest.raises(ChildDied, match=f"not read within {wall_s:g} s"):
            run("sleep_with_child", ChildLimits(wall_s=wall_s, confined=False), pids=str(pids))
    assert all(is_gone(int(pid)) for pid in pids.read_text().split())


@pytest.mark.usefixtures("both_ways")
def test_a_set_event_stops_the_child_at_once(tmp_path: Path) -> None:
    cancel, pids = threading.Event(), tmp_path / "pids"
    with pytest.raises(Cancelled, match=r"'clip\.mp4' was stopped"):
        run(
            "sleep_with_child",
            ChildLimits(confined=False),
            pids=str(pids),
            cancel=cancel,
            on_progress=lambda _: cancel.set(),
        )
    assert all(is_gone(int(pid)) for pid in pids.read_text().split())


def test_a_child_leaves_when_its_parent_dies(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "from tempo_core.sandbox import *\n"
        f"job = {{'pids': {str(pids)!r}}}\n"
        "run_child('tests.child_tasks:sleep_with_child', job, name='x', limits=ChildLimits(confined=False))"
    )
    root = str(Path(__file__).parents[2])
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": root})
    while not pids.exists():
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    child, helper = map(int, pids.read_text().split())
    assert is_gone(child)
    os.kill(helper, signal.SIGKILL)


@pytest.mark.usefixtures("both_ways")
def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    def opened() -> set[tuple[str, str]]:
        """Number and name of each. What earlier tests left may be closed at any time."""
        descriptors = set()
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):  # the one that lists them
                descriptors.add((number, os.readlink(f"/proc/self/fd/{number}")))
        return descriptors

    os.close(run("echo", say=1).output)
    before = opened()
    os.close(run("echo", say=1).output)
    for task in ("refuse_video", "crash"):
        with pytest.raises(VideoError):
            run(task)
    assert opened() <= before


needs_confinement = pytest.mark.skipif(
    sys.platform != "linux" or bool(unbound_parts()), reason="this system has no Landlock, or no seccomp"
)
OWN = {"read the file": "done", "write its own": "done", "thread": "done", "signal to itself": "done"}


def outcomes_of(folder: Path, *, confined: bool) -> dict[str, Any]:
    """What a child could do that tries to reach out, with `secret` and `out` in a folder and a file to read."""
    for name, text in {"given": "hello", "secret": "mine alone", "out": ""}.items():
        (folder / name).write_text(text)
    file = os.open(folder / "given", os.O_RDONLY)
    try:
        answer = run(
            "reach_out",
            ChildLimits(confined=confined),
            file=file,
            secret=str(folder / "secret"),
            out=str(folder / "out"),
        )
    finally:
        os.close(file)
    os.close(answer.output)
    return answer.result


@needs_confinement
@pytest.mark.usefixtures("both_ways")
def test_a_child_reaches_no_network_no_process_and_no_other_file(tmp_path: Path) -> None:
    outcomes = outcomes_of(tmp_path, confined=True)
    assert {name: outcomes.pop(name) for name in OWN} == OWN
    assert outcomes == dict.fromkeys(outcomes, "EPERM") | {
        **dict.fromkeys(("write a neighbour", "make a file", "make a folder", "make a link"), "EACCES"),
        **dict.fromkeys(
            ("remove a neighbour", "read a neighbour", "list its folder", "read accounts"), "EACCES"
        ),
        **dict.fromkeys(("rename a neighbour", "read the parent's environment"), "EACCES"),
    }
    assert (tmp_path / "secret").read_text() == "mine alone"
    assert (tmp_path / "out").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "out", "secret"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_same_attempts_go_well_without(tmp_path: Path) -> None:
    """Otherwise the test before would say nothing."""
    outcomes = outcomes_of(tmp_path, confined=False)
    refused = {name for name, outcome in outcomes.items() if outcome != "done"}
    # What comes after the neighbour is gone.
    assert refused == {
        "rename a neighbour",
        "read a neighbour",
        "rights of a neighbour",
        "times of a neighbour",
    }


@needs_confinement
@pytest.mark.parametrize("name", ["clip.mkv", "clip.webp"])
@pytest.mark.slow
def test_reading_gives_the_same_with_and_without_bounds(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "clip.webp":
        write_webp(path, [100, 40, 400])
    else:
        write_clip(path, constant(50), audio_s=2.0)
    bound, free = (VideoLimits(child=ChildLimits(confined=confined)) for confined in (True, False))
    assert probe(path, limits=bound) == probe(path, limits=free)
    frames = [sample(path, fps=5, limits=limits) for limits in (bound, free)]
    assert np.array_equal(frames[0].times_s, frames[1].times_s)
    assert np.array_equal(frames[0].frames, frames[1].frames)
    copies = []
    for limits in (bound, free):
        info = normalise(path, tmp_path / "copy.mp4", limits=limits)
        copies.append(
            replace(info, sha256="", size_bytes=0)
        )  # the encoder's threads give other bytes each time
    assert copies[0] == copies[1]


@pytest.mark.skipif(sys.platform != "linux", reason="stands for an old kernel of Linux")
@pytest.mark.usefixtures("started")
def test_a_kernel_without_landlock_is_said_once_and_the_work_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    older = "from tempo_core import confinement as c; c.CREATE_RULESET = 9999;"
    monkeypatch.setattr(
        sandbox, "BOOT", sandbox.BOOT.replace("from tempo_core", f"{older}from tempo_core", 1)
    )
    sandbox._log_unbound.cache_clear()
    for _ in range(2):
        answer = run("echo", say="hi")
        os.close(answer.output)
        assert answer.result["said"] == "hi"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "The child processes that read foreign files are not bounded in every way here (files: Function not "
        "implemented). Their limits of memory, time and size hold."
    ]


def test_the_folder_that_a_program_starts_in_gives_its_modules_only(tmp_path: Path) -> None:
    for name in ("data/cqvh.sqlite3", "package/__init__.py", "module.py", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    readable, listable = sandbox.library_paths((str(tmp_path), str(tmp_path / "python.zip")))
    of_folder = {name for path in readable if Path(path).parent == tmp_path for name in [Path(path).name]}
    assert of_folder == {"package", "module.py", "python.zip"}
    assert listable == [str(tmp_path)]


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    plain = tmp_path / "plain.mp4"
    plain.write_bytes(b"x")
    os.close(open_regular(plain, follow_links=False))
    (tmp_path / "link.mp4").symlink_to(plain)
    os.mkfifo(tmp_path / "pipe.mp4")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket.mp4"))
    listener.close()
    cases = {
        "link.mp4": "symbolic link. Give the file",
        "pipe.mp4": "not a regular file",
        "socket.mp4": "cannot be opened",
        "none.mp4": "There is no file",
        "": "not a regular file",
        "a\0b.mp4": "not a file name",
        "x" * 300 + ".mp4": "cannot be opened",
    }
    for name, message in cases.items():
        with pytest.raises(VideoError, match=message) as caught:
            open_regular(f"{tmp_path}/{name}", follow_links=False)
        assert str(tmp_path.parent) not in str(caught.value)


def test_links_are_followed_to_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    targets = {"link": "blob", "to_link": "link.mp4", "to_pipe": "pipe", "to_folder": ".", "to_none": "no"}
    for name, target in targets.items():
        (tmp_path / f"{name}.mp4").symlink_to(tmp_path / target)
    for name in ("link.mp4", "to_link.mp4"):
        fd = open_regular(tmp_path / name)
        assert os.read(fd, 9) == b"x"
        os.close(fd)
    for name, message in {"to_pipe": "regular", "to_folder": "folder", "to_none": "There is no file"}.items():
        with pytest.raises(VideoError, match=message):
            open_regular(tmp_path / f"{name}.mp4")
