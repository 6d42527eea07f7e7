"""A folder's index: what was done stays done, what changed is done anew, and one bad clip stops nobody."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tempo_core.errors import Cancelled, InputError
from tempo_core.library.contexts import ContextFiles, EncodingSettings
from tempo_core.library.index import ClipIndex, IndexProgress, index_folder, make_sheet
from tempo_core.library.search import ask_library
from tests.tempo_core.conftest import make_video

PLAIN = EncodingSettings()


def test_every_clip_is_encoded_once(engine: Any, two_clips: Path, index: ClipIndex) -> None:
    steps: list[IndexProgress] = []
    report = index_folder(engine, two_clips, index, on_progress=steps.append)
    assert report.encoded == ["a.mp4", "later/b.mp4"]
    assert [(step.done, step.total) for step in steps] == [(1, 2), (2, 2)]
    assert steps[-1].seconds_left == 0
    again = index_folder(engine, two_clips, index, workers=3)
    assert (again.encoded, again.unchanged) == ([], 2)
    entries = index.entries(two_clips, engine, PLAIN)
    assert [entry.end_s for entry in entries.values()] == [6.0, 6.0]
    sheet = index.sheet(entries["a.mp4"].sha256 or "")
    assert sheet is not None
    assert sheet.tile(3.0)[:2] == b"\xff\xd8"


def test_a_bad_clip_is_named_and_the_others_go_on(
    engine: Any, two_clips: Path, index: ClipIndex, tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    shutil.copytree(two_clips, folder)
    (folder / "a-bad.mp4").write_text("no video " * 100)
    (folder / "empty.mp4").touch()
    (folder / os.fsdecode(b"\xff.mp4")).write_text("no video " * 100)
    (folder / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (folder / ".hidden.mp4").write_text("no video " * 100)
    (folder / "linked.mp4").symlink_to(folder / "a.mp4")
    (folder / "circle.mp4").symlink_to(folder / "circle.mp4")
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    report = index_folder(engine, folder, index)
    assert report.encoded == ["a.mp4", "later/b.mp4", "linked.mp4"]
    assert sorted(report.problems) == [
        "?.mp4",
        "a-bad.mp4",
        "circle.mp4",
        "empty.mp4",
        "gone.mp4",
        "pipe.mp4",
    ]
    assert "link to a file that is not there" in report.problems["gone.mp4"]
    assert "a pipe, a socket or a device" in report.problems["pipe.mp4"]
    assert report.problems["?.mp4"] == "Its name is no text in UTF-8. Rename it."
    assert "not a video file" in report.problems["a-bad.mp4"]
    assert str(tmp_path) not in "".join(report.problems.values())
    answer = ask_library(engine, folder, index, "a red circle")
    assert list(answer.problems) == ["a-bad.mp4", "empty.mp4"]
    assert len(answer.ends_s) == 3


def test_changed_clips_are_encoded_anew_and_vanished_ones_dropped(
    engine: Any, two_clips: Path, index: ClipIndex, tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    shutil.copytree(two_clips, folder)
    index_folder(engine, folder, index)
    before = index.entries(folder, engine, PLAIN)["a.mp4"]
    shutil.copyfile(folder / "later" / "b.mp4", folder / "a.mp4")
    os.utime(folder / "a.mp4", ns=(1, before.mtime_ns + 1))
    (folder / "later" / "b.mp4").unlink()
    report = index_folder(engine, folder, index)
    assert (report.encoded, report.dropped) == (["a.mp4"], ["later/b.mp4"])
    entries = index.entries(folder, engine, PLAIN)
    assert list(entries) == ["a.mp4"]
    assert entries["a.mp4"].sha256 != before.sha256


def test_a_stopped_run_goes_on(engine: Any, two_clips: Path, index: ClipIndex) -> None:
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        index_folder(engine, two_clips, index, cancel=cancel, on_progress=lambda progress: cancel.set())
    report = index_folder(engine, two_clips, index)
    assert (report.encoded, report.unchanged) == (["later/b.mp4"], 1)

    def interrupt(progress: IndexProgress) -> None:
        raise KeyboardInterrupt

    settings = EncodingSettings(fps=2.0)
    with pytest.raises(KeyboardInterrupt):
        index_folder(engine, two_clips, index, settings, on_progress=interrupt)
    assert index_folder(engine, two_clips, index, settings).unchanged == 1


def test_without_room_a_clip_is_encoded_again_for_the_question(
    engine: Any, two_clips: Path, index: ClipIndex, tmp_path: Path
) -> None:
    index_folder(engine, two_clips, index)
    whole = ask_library(engine, two_clips, index, "a red circle")
    small = ClipIndex(tmp_path / "small", max_bytes=index.contexts.total_bytes() * 3 // 4)
    report = index_folder(engine, two_clips, small)
    assert report.not_stored == ["later/b.mp4"]
    assert small.contexts.total_bytes() <= small.contexts.max_bytes
    answer = ask_library(engine, two_clips, small, "a red circle")
    assert answer.to_dict()["moments"] == whole.to_dict()["moments"]
    assert answer.without == whole.without


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite3").write_text("no database " * 100)
    with pytest.raises(InputError, match=r"remove index\.sqlite3"):
        ClipIndex(tmp_path)


def test_wrong_input_is_refused(engine: Any, index: ClipIndex, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no folder"):
        index_folder(engine, tmp_path / "none", index)
    with pytest.raises(InputError, match="At least one worker"):
        index_folder(engine, tmp_path, index, workers=0)


def test_a_sheet_has_few_pictures() -> None:
    assert len(make_sheet(make_video(count=40)).times_s) == 16
    assert make_sheet(make_video(count=1)).times_s == (0.0,)
    assert ContextFiles(Path("never")).total_bytes() == 0


def test_a_server_leaves_alone_what_failed(
    engine: Any, two_clips: Path, index: ClipIndex, tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    shutil.copytree(two_clips, folder)
    (folder / "bad.mp4").write_text("no video " * 100)
    index_folder(engine, folder, index)
    again = index_folder(engine, folder, index, only_new=True)
    assert (again.encoded, again.unchanged, list(again.problems)) == ([], 2, ["bad.mp4"])
    shutil.copyfile(folder / "a.mp4", folder / "bad.mp4")
    runs: list[int] = []

    def run(encode: Any) -> Any:
        runs.append(1)
        return encode()

    mended = index_folder(engine, folder, index, only_new=True, run=run)
    assert (mended.encoded, mended.unchanged, mended.problems) == (["bad.mp4"], 2, {})
    assert runs == []  # the same content is encoded already


WAITING = """
import sys, time
from tempo_core.__main__ import main
from tempo_core.library.index import ClipIndex

save, saved = ClipIndex.save, []

def save_and_wait(*arguments):
    save(*arguments)
    saved.append(arguments)
    while len(saved) == 3:
        time.sleep(0.01)

ClipIndex.save = save_and_wait
sys.exit(main(sys.argv[1:]))
"""
"""`python -m tempo_core`, which waits for a signal once it has three clips."""


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(checkpoint: Path, two_clips: Path, tmp_path: Path) -> None:
    folder, home = tmp_path / "clips", tmp_path / "home"
    folder.mkdir()
    for number in range(20):  # the same pictures with other bytes behind them
        box = (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big")
        (folder / f"{number:02d}.mp4").write_bytes((two_clips / "a.mp4").read_bytes() + box)
    words = ["index", str(folder), "--checkpoint", str(checkpoint)]
    environment = {**os.environ, "TEMPO_HOME": str(home), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, *words],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # background jobs ignore it
    )
    contexts = home / "library" / "contexts"
    while process.poll() is None and len(list(contexts.glob("*.safetensors"))) < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "What is encoded is kept" in errors
    assert "Traceback" not in errors
    entry_count = len(list(contexts.glob("*.safetensors")))
    assert 1 <= entry_count < 20
    command = [sys.executable, "-m", "tempo_core", *words, "--json"]
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    report = json.loads(again.stdout)
    assert len(report["encoded"]) + report["unchanged"] == 20
    assert entry_count - 1 <= report["unchanged"] < 20
    assert report["problems"] == []
