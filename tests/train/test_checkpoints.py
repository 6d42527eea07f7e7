"""Files of a run: a reader never finds half a file, and what a kill cut short is not read."""

import json
import threading
from pathlib import Path

import pytest

from tempo_core.errors import InputError
from train.checkpoints import append_line, exclusive_lock, open_run, read_lines, write_json, write_lines


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(ValueError, match="nan"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert (tmp_path / "x.json").read_text() == '{\n "a": 1\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_who_reads_while_threads_write_finds_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_json(path, {"values": []})
    rounds, stop = 200, threading.Event()

    def write(size: int) -> None:
        for _ in range(rounds):
            write_json(path, {"values": [size] * size})

    def read() -> None:
        while not stop.is_set():
            sizes.add(len(json.loads(path.read_text())["values"]))

    sizes: set[int] = set()
    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(size,)) for size in (10, 2000)]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    reader.join()
    assert sizes <= {0, 10, 2000}
    assert len(json.loads(path.read_text())["values"]) in (10, 2000)


def test_a_line_that_a_kill_cut_short_is_not_read_and_goes_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "curves.jsonl"
    assert read_lines(path) == []
    append_line(path, {"step": 1})
    with path.open("a") as file:
        file.write('{"step"')
    assert read_lines(path) == [{"step": 1}]
    append_line(path, {"step": 2})
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
    write_lines(path, [{"step": 3}])
    assert path.read_text() == '{"step": 3}\n'
    path.write_text('{"step"')
    append_line(path, {"step": 4})
    assert path.read_text() == '{"step": 4}\n'


def test_a_folder_belongs_to_one_run(tmp_path: Path) -> None:
    assert open_run(tmp_path, {"a": (1, 2), "b": 1}) is False
    assert open_run(tmp_path, {"a": [1, 2], "b": 1}) is False
    with pytest.raises(InputError, match="differs in b, c"):
        open_run(tmp_path, {"a": [1, 2], "b": 2, "c": 3})
    write_json(tmp_path / "done.json", {})
    assert open_run(tmp_path, {"a": [1, 2], "b": 1}) is True


def test_one_run_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with exclusive_lock(folder), pytest.raises(InputError, match="A run is at work"), exclusive_lock(folder):
        pass
    with exclusive_lock(folder):
        pass
