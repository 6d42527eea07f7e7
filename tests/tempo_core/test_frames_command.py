import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tempo_core.__main__ import main
from tests.videos import constant, number_of, write_clip


def run(*words: str) -> int:
    return main(["frames", *words])


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


@pytest.fixture(name="clip")
def _clip(tmp_path: Path) -> str:
    return str(write_clip(tmp_path / "clip.mp4", constant(75)))


def test_frames_are_written_with_their_true_times(
    clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "frames"
    assert run(clip, "--at", "0.5", "2.99", "--out", str(out), "--json") == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest == json.loads((out / "manifest.json").read_text())
    assert {key: manifest[key] for key in ("video", "reader", "end_s", "notes")} == {
        "video": "clip.mp4",
        "reader": "pyav",
        "end_s": 3.0,
        "notes": [],
    }
    assert [(row["file"], row["time_s"]) for row in manifest["frames"]] == [
        ("00000_000000.480s.png", 0.48),
        ("00001_000002.960s.png", 2.96),
    ]
    assert [number_of(pixels(out / row["file"])) for row in manifest["frames"]] == [12, 74]


def test_one_frame_a_second_unless_told_otherwise(
    clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(clip, "--out", str(tmp_path / "a")) == 0
    assert f"3 frames are in {tmp_path / 'a'}, read with pyav." in capsys.readouterr().out
    assert run(clip, "--fps", "5", "--max-pixels", "3072", "--out", str(tmp_path / "b")) == 0
    written = sorted((tmp_path / "b").glob("*.png"))
    assert len(written) == 15
    assert pixels(written[0]).shape == (48, 64, 3)


@pytest.mark.parametrize(
    "order", ["--at 0.5 --at 2.99 FILE", "FILE --at 0.5 --at 2.99", "--at 0.5 2.99 FILE"]
)
def test_times_may_be_repeated_and_stand_before_the_file(
    clip: str, tmp_path: Path, order: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [clip if word == "FILE" else word for word in order.split()]
    assert run(*words, "--out", str(tmp_path / "out"), "--json") == 0
    manifest = json.loads(capsys.readouterr().out)
    assert [row["time_s"] for row in manifest["frames"]] == [0.48, 2.96]
    written = sorted((tmp_path / "out").glob("*.png"))
    assert [number_of(pixels(path)) for path in written] == [12, 74]


def test_bad_input_writes_nothing(clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "old.png").touch()
    out = tmp_path / "out"
    for words, message in [
        ([clip, "--out", str(tmp_path / "full")], "is not empty"),
        ([clip, "--out", clip], "cannot be used as a folder"),
        ([str(tmp_path / "none.mp4"), "--out", str(out)], "no file"),
        ([clip, "--at", "99", "--out", str(out)], "Times must lie in"),
        ([clip, "--fps", "0", "--out", str(out)], "fps must be a positive number"),
    ]:
        assert run(*words) == 2
        line = capsys.readouterr().err
        assert line.startswith("frames: ")
        assert message in line
        assert len(line.splitlines()) == 1
    assert list(out.iterdir()) == []


def test_a_rate_and_times_exclude_each_other(
    clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(clip, "--fps", "1", "--at", "1", "--out", str(tmp_path / "out")) == 2
    assert "--fps and --at exclude each other" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
