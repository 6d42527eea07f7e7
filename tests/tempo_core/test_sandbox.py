import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tempo_core.errors import Cancelled, InputError, VideoError
from tempo_core.sandbox import ChildAnswer, ChildDied, ChildLimits, open_regular, run_child


def run(task: str, limits: ChildLimits | None = None, **options: Any) -> ChildAnswer:
    job = {key: options.pop(key) for key in ("say", "pids") if key in options}
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
def test_every_end_of_a_child_is_a_clear_error(task: str, kind: type[Exception], message: str) -> None:
    limits = ChildLimits(memory_bytes=2**29, output_bytes=2**20)
    with pytest.raises(kind, match=message) as caught:
        run(task, limits)
    if isinstance(caught.value, ChildDied):
        assert caught.value.crashed == (task == "crash")


def test_processor_seconds_are_limited() -> None:
    with pytest.raises(ChildDied, match="more than 1 s of processor time"):
        run("burn", ChildLimits(cpu_s=1))


def test_wall_seconds_are_limited_and_the_whole_group_is_killed(tmp_path: Path) -> None:
    pids, wall_s = tmp_path / "pids", 1.0
    while not pids.exists():  # a busy machine may not even start the child in time
        wall_s *= 2
        with pytest.raises(ChildDied, match=f"not read within {wall_s:g} s"):
            run("sleep_with_child", ChildLimits(wall_s=wall_s), pids=str(pids))
    assert all(is_gone(int(pid)) for pid in pids.read_text().split())


def test_a_set_event_stops_the_child_at_once(tmp_path: Path) -> None:
    cancel, pids = threading.Event(), tmp_path / "pids"
    with pytest.raises(Cancelled, match=r"'clip\.mp4' was stopped"):
        run("sleep_with_child", pids=str(pids), cancel=cancel, on_progress=lambda _: cancel.set())
    assert all(is_gone(int(pid)) for pid in pids.read_text().split())


def test_a_child_leaves_when_its_parent_dies(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "from tempo_core.sandbox import *\n"
        f"job = {{'pids': {str(pids)!r}}}\n"
        "run_child('tests.child_tasks:sleep_with_child', job, name='x', limits=ChildLimits())"
    )
    root = str(Path(__file__).parents[2])
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": root})
    while not (pids.exists() and len(pids.read_text().split()) == 2):
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    child, helper = map(int, pids.read_text().split())
    assert is_gone(child)
    os.kill(helper, signal.SIGKILL)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))

    os.close(run("echo", say=1).output)
    before = opened()
    os.close(run("echo", say=1).output)
    for task in ("refuse_video", "crash"):
        with pytest.raises(VideoError):
            run(task)
    assert opened() == before


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
