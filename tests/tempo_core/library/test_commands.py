"""`index` and `ask` as they are typed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tempo_core.__main__ import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEMPO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_folder_is_indexed_asked_and_written_down(
    checkpoint: Path, two_clips: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--checkpoint", str(checkpoint), "--no-four-bit"]
    assert main(["index", str(two_clips), *model, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["encoded"] == ["a.mp4", "later/b.mp4"]
    assert report["cache_bytes"] > 0
    before = sorted(path.name for path in two_clips.rglob("*"))
    files = [tmp_path / f"answer.{ending}" for ending in ("json", "html")]
    outs = [word for file in files for word in ("--out", str(file))]
    assert main(["ask", str(two_clips), "a red circle", *model, *outs, "--top", "1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["result"] in ("moments", "nowhere")
    clips = {item["clip"] for item in (*answer["moments"], *answer["not_in"])}
    assert clips == {"a.mp4", "later/b.mp4"}
    assert len(json.loads(files[0].read_text())["moments"]) <= 1
    assert "<title>a red circle</title>" in files[1].read_text()
    assert sorted(path.name for path in two_clips.rglob("*")) == before
    assert (home / "library" / "index.sqlite3").is_file()
    assert main(["ask", str(two_clips), "a red circle", *model]) == 0
    assert "of 2 clips" in capsys.readouterr().out


def test_ground_answers_from_the_library_where_there_is_one(
    checkpoint: Path,
    two_clips: Path,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = ["--checkpoint", str(checkpoint), "--no-four-bit", "--json"]

    def ground(clip: str, *more: str) -> dict[str, Any]:
        assert main(["ground", str(two_clips / clip), "a red circle", *model, *more]) == 0
        answer = json.loads(capsys.readouterr().out)
        del answer["timings"]
        return answer

    fresh = ground("a.mp4")
    assert not home.exists()  # no library, and none is made
    assert main(["index", str(two_clips), *model]) == 0
    capsys.readouterr()
    budgeted = ground("a.mp4", "--token-budget", "100")
    assert len(list((home / "library" / "contexts").iterdir())) == 3
    monkeypatch.setattr("tempo_core.engine.encode_file", None)  # nothing is encoded from here on
    assert ground("a.mp4") == fresh
    assert ground("a.mp4", "--token-budget", "100") == budgeted


def test_words_that_nobody_taught_are_said_before_a_clip_is_looked_at(
    two_clips: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(two_clips), "a dog runs"]) == 0
    assert "does not know “dog” and “runs”" in capsys.readouterr().out
    assert not (home / "library" / "contexts").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", "CLIPS", "  "], "query"),
        (["ask", "EMPTY", "a red circle"], "There is no video file in"),
        (["ask", "nowhere", "a red circle"], "There is no folder nowhere"),
        (["ask", "CLIPS", "a red circle", "--out", "answer.xls"], "ends with none of"),
        (["ask", "CLIPS", "a red circle", "--out", "no/folder/answer.json"], "Cannot write"),
        (["ask", "CLIPS", "a red circle", "--cut-copy"], "Name a folder with --cut too"),
        (["index", "CLIPS", "--workers", "0"], "workers"),
        (["index", "EMPTY"], "There is no video file in"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    two_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[Any], arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    words = {"CLIPS": str(two_clips), "EMPTY": str(tmp_path / "empty")}
    assert main([words.get(word, word) for word in arguments]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
