"""`python -m benchmarks peers`: a tiny run without anything to install, the table, and what counts as the same."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.cpu import rss_mib
from benchmarks.peers import clips, worker
from benchmarks.peers.environments import Environment, home_of, packages_of, python_of, variables
from benchmarks.peers.learning import NUM_GENERATIONS, tempo_steps
from benchmarks.peers.rows import Row, Side
from benchmarks.peers.runner import agreement, measure, table
from tempo_core.errors import InputError
from tempo_core.video import probe, sample


def test_a_tiny_run_measures_both_sides_in_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    assert main(["peers", "--out", str(tmp_path), "--only", "saved", "--rounds", "2", "--saves", "3"]) == 0
    report = json.loads((tmp_path / "peers.json").read_text())
    (row,) = report["rows"]
    assert row["name"] == "3 saved answers"
    assert [len(side["cpu_s"]) for side in row["sides"]] == [2, 2]
    assert [side["agreement"] for side in row["sides"]] == [None, 1.0]
    assert all(len(side["peak_mib"]) == 2 and min(side["peak_mib"]) > 5 for side in row["sides"])
    assert (tmp_path / "peers.md").read_text() == table(report)
    assert "Store.submit" in capsys.readouterr().out
    assert list(temporary.glob("peers-*")) == [], "the workers' folders go with them"


def test_bad_options_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["peers", "--out", str(tmp_path), "--only", "nothing"]) == 2
    assert "150 frames of 150 s, 1080p H.264" in capsys.readouterr().err, "the rows that there are"
    assert main(["peers", "--out", str(tmp_path), "--rounds", "0"]) == 2
    assert "--rounds must be 1 or more; got 0" in capsys.readouterr().err


def test_a_peer_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    sides = (
        Side(name="ours", function="save_sqlite"),
        Side(name="broken", function="no_such_work"),
        Side(name="theirs", function="save_sqlite"),
    )
    row = Row(name="saves", sides=sides, arguments={"saves": 1}, agreement="writes")
    ours, broken, theirs = measure(row, 2, tmp_path)
    assert (ours.problem, theirs.problem, theirs.agreement) == (None, None, 1.0)
    assert broken.problem == "KeyError: 'no_such_work'"
    report = {"rows": [{"name": "saves", "sides": [vars_of(side) for side in (ours, broken, theirs)]}]}
    assert "|  | broken | not measured: KeyError: 'no_such_work' | | | |" in table(report)


def vars_of(result: object) -> dict[str, object]:
    return {
        name: getattr(result, name)
        for name in ("side", "cpu_s", "wall_s", "peak_mib", "agreement", "problem")
    }


def test_the_table_has_medians_spread_and_ratios() -> None:
    sides: list[dict[str, object]] = [
        {"side": "Tempo", "cpu_s": [2.0, 1.0, 4.0], "peak_mib": [90.0, 99.6], "agreement": None},
        {"side": "peer", "cpu_s": [8.0, 3.0, 4.0], "peak_mib": [1200.0], "agreement": 0.5},
    ]
    report = {"rows": [{"name": "work", "sides": [{**side, "problem": None} for side in sides]}]}
    assert table(report).splitlines()[2:] == [
        "| work | Tempo | 2.000 (1.000 to 4.000) | 1.00 | 100 |  |",
        "|  | peer | 4.000 (3.000 to 8.000) | 2.00 | 1,200 | 50% |",
    ]


def test_what_is_the_same() -> None:
    assert agreement(["a", "b"], ["a", "c"]) == 0.5
    assert agreement(["a", "b"], ["a"]) == 0.5
    assert agreement([[10.0, 20.0], [0.0, 0.0]], [[12.0, 22.0], [90.0, 0.0]]) == 0.5
    assert agreement([[1.0], [2.0]], 2) == 1.0
    assert agreement(3, 4) == 0.0


def test_a_long_clip_repeats_what_was_coded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "PART_FRAMES", 10)
    path = tmp_path / "clip.mp4"
    clips.make_clip(path, "H.264", seconds=1, height=90)
    info = probe(path)
    assert (info.frame_count, info.variable_rate, info.notes) == (30, False, ())
    first, second, third = np.split(sample(path, at=[idx / 30 + 0.01 for idx in range(30)]).frames, 3)
    assert np.array_equal(first, second)
    assert np.array_equal(first, third)


def test_the_means_of_a_frame_are_those_of_its_squares() -> None:
    frame = np.zeros((17, 24, 3), dtype=np.uint8)
    frame[:2, :3] = 10, 20, 30
    (means,) = worker.summary(frame[None])
    assert means[:6] == [10.0, 20.0, 30.0, 0.0, 0.0, 0.0]
    assert len(means) == 8 * 8 * 3


def test_scores_are_compared_number_by_number() -> None:
    assert worker.flat({"b": {"x": 1.5}, "a": 2}) == ["/a 2", "/b/x 1.5"]


@pytest.mark.slow
def test_a_step_of_learning_samples_all_answers(tmp_path: Path) -> None:
    assert tempo_steps(1, tmp_path)() == NUM_GENERATIONS


def test_memory_counts_children() -> None:
    """Of a process of its own: what other tests left in this one may end at any time."""
    child = "data = bytearray(100_000_000); print(flush=True); input()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-S', '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"\n"
        assert rss_mib(parent.pid) > 80
        parent.communicate(b"\n")


def test_an_environment_has_its_repository_and_its_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def pretend(command: list[str], failure: str) -> None:
        commands.append(command)
        if "pip" in command:
            libraries = packages_of(home_of(environment, tmp_path)) / "av.libs"
            libraries.mkdir()
            for name in ("libavcodec-5e6b81c2.so.62.28.102", "libdav1d-f4b27961.so.7.0.0"):
                (libraries / name).touch()

    monkeypatch.setattr("benchmarks.peers.environments._run", pretend)
    environment = Environment(
        requirements=("av==1",), repository=("https://x/y", "c0ffee"), folders=("z",), ffmpeg_of_pyav=True
    )
    python_of(environment, tmp_path)
    home = home_of(environment, tmp_path)
    assert [command[:2] for command in commands[1:]] == [["git", "clone"], ["git", "-C"]]
    assert commands[2][-3:] == ["c0ffee", "--", "z"]
    assert (packages_of(home) / "sources.pth").read_text() == f"{home / 'sources'}\n"
    assert [link.name for link in (home / "ffmpeg").iterdir()] == ["libavcodec.so.62"]
    assert variables(environment, tmp_path)["LD_LIBRARY_PATH"].startswith(str(home / "ffmpeg"))

    commands.clear()
    python_of(environment, tmp_path)
    assert commands == [], "it is made once"


def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    nowhere = Environment(repository=(str(tmp_path / "nothing"), "c0ffee"))
    with pytest.raises(InputError, match="nothing cannot be cloned here: fatal"):
        python_of(nowhere, tmp_path)
