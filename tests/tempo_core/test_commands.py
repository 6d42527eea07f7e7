"""The commands, through their one entry: answers on stdout, one clear line and exit code 2 on bad input."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tempo_core.__main__ import main
from tempo_core.answers import parse_answer
from tempo_core.commands.predict import find_videos, read_answered, read_rows
from tempo_core.engine import Answer
from tempo_core.errors import InputError
from tempo_core.timestamps import format_stamps
from tests.bad_checkpoints import BAD_CHECKPOINTS, bad_checkpoint

QUERIES = ["a yellow square jumps", "a dog barks", "a yellow square stays left"]


@pytest.fixture
def no_line(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command that must fail: exit code 2, nothing on stdout, one line on stderr, which is
    returned."""

    def run(*argv: Any) -> str:
        assert main([str(part) for part in argv]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        return err

    return run


@pytest.fixture
def rows(tmp_path: Path, clip: Path) -> Path:
    """Three queries about one video, and its folder."""
    (tmp_path / "videos").mkdir()
    shutil.copy(clip, tmp_path / "videos" / "v1.mp4")
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"qid": idx, "query": query, "vid": "v1"}) for idx, query in enumerate(QUERIES)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_ground_prints_json_that_reads_back(
    checkpoint: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ground", str(clip), QUERIES[0], "--checkpoint", str(checkpoint), "--json"]) == 0
    answer_data = json.loads(capsys.readouterr().out)
    answer = Answer.from_dict(answer_data)
    frames = answer_data["allocation"]
    assert frames["times_s"] == [0, 1, 2, 3, 4, 5]
    assert frames["spent_tokens"] == sum(frames["tokens"]) <= 160
    parse_answer(answer.text, format_stamps(frames["times_s"], frames["end_s"]))
    assert answer.model_id.endswith("/nf4")


def test_ground_looks_at_a_film_as_it_is_told(
    checkpoint: Path, clip: Path, capsys: pytest.CaptureFixture[str], no_line: Any
) -> None:
    argv = ["ground", str(clip), QUERIES[0], "--checkpoint", str(checkpoint)]
    assert main([*argv, "--scan", "3", "--budget", "5", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [(look["pass"], look["step_s"], look["frames"]) for look in data["looks"]][:1] == [
        ("scan", 3.0, 2)
    ]
    assert sum(look["frames"] for look in data["looks"]) <= 5
    assert len(data["stamps"]) == sum(look["frames"] for look in data["looks"])
    assert {0.0, 3.0} <= set(data["allocation"]["times_s"])
    assert main([*argv, "--scan", "1"]) == 0
    assert "looked at in 1 window, with a frame every 1 s" in capsys.readouterr().out
    assert "does not hold the scan's 2" in no_line(*argv, "--scan", "3", "--budget", "1")
    assert "Leave one out" in no_line(*argv, "--scan", "3", "--fps", "1")


def test_ground_prints_a_table(checkpoint: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["ground", str(clip), "  a yellow   square ", "--checkpoint", str(checkpoint), "--no-four-bit"]
    assert main([*argv, "--fps", "2", "--allocator", "uniform", "--token-budget", "60"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a yellow square"
    assert "12 frames" in lines[-1]
    assert "(uniform)" in lines[-1]


def test_ground_says_how_the_model_was_asked_and_what_it_was_told(
    checkpoint: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], no_line: Any
) -> None:
    assert main(["ground", str(clip), QUERIES[0], "--checkpoint", str(checkpoint), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["notes"] == []
    assert data["protocol"]["name"] == "tempo"
    assert [(pair["stamp"], pair["time_s"]) for pair in data["stamps"]] == [
        (f"000{second}.0", float(second)) for second in range(6)
    ]
    # the square jumps once, after three seconds
    pictures = [pair["sha256"] for pair in data["stamps"]]
    assert pictures[2] != pictures[3]
    unknown = shutil.copytree(checkpoint, tmp_path / "unknown", ignore=shutil.ignore_patterns("tempo.json"))
    assert main(["ground", str(clip), QUERIES[0], "--checkpoint", str(unknown), "--no-four-bit"]) == 0
    assert "Nothing is known about this checkpoint" in capsys.readouterr().out
    line = no_line("ground", clip, QUERIES[0], "--checkpoint", checkpoint, "--protocol", "time-r1")
    assert "is for qwen2_5_vl; this checkpoint is qwen2_vl" in line


def test_a_dry_run_prints_the_plan(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ground", "--dry-run", "--checkpoint", str(checkpoint), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["quantised_modules"]) == 14
    assert main(["ground", "--dry-run", "--checkpoint", "Qwen2-VL-7B-Instruct"]) == 0
    assert "8,291.4 M" in capsys.readouterr().out


def test_a_dry_run_of_a_known_grounder_plans_what_it_is_asked(
    clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *args, **options: pytest.fail("asked the hub")
    )
    known = ["ground", "--dry-run", "--checkpoint", "MCG-NJU/TimeLens2-8B"]
    assert main(known) == 0
    assert "of 1,024 s or longer, as TimeLens2 is asked: 139," in capsys.readouterr().out
    assert main([*known[:2], str(clip), *known[2:], "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["clip_s"] == pytest.approx(6.0)
    assert data["protocol"] == "TimeLens2"
    assert data["context_tokens"] < 2000
    assert main([*known, "--protocol", "timelens_8b"]) == 0
    assert "of 384 s or longer, as TimeLens-8B is asked" in capsys.readouterr().out
    adapted = [
        "ground",
        "--dry-run",
        "--checkpoint",
        "Qwen/Qwen2-VL-7B-Instruct",
        "--adapter",
        "zeqianli/UniTime",
    ]
    assert main(adapted) == 0
    assert "as UniTime is asked" in capsys.readouterr().out


@pytest.mark.parametrize("kind", BAD_CHECKPOINTS)
def test_checkpoints_that_cannot_run_are_one_line(
    no_line: Any, checkpoint: Path, clip: Path, tmp_path: Path, kind: str
) -> None:
    words = bad_checkpoint(kind, checkpoint, tmp_path / "model")
    line = no_line("ground", clip, QUERIES[0], "--checkpoint", tmp_path / "model")
    assert words in line
    assert "model" in line


@pytest.mark.parametrize("query", ["", " \t", "long " * 2000, "bell\x07", "\x00"])
def test_bad_queries(no_line: Any, checkpoint: Path, clip: Path, query: str) -> None:
    assert "The query" in no_line("ground", clip, query, "--checkpoint", checkpoint)


def test_bad_videos(no_line: Any, checkpoint: Path, tmp_path: Path, clip: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video at all " * 100)
    (tmp_path / "short.mp4").write_bytes(clip.read_bytes()[:700])
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    for name in ("missing.mp4", "empty.mp4", "text.mp4", "short.mp4", "gone.mp4"):
        for command in (["ground", tmp_path / name, "a dog"], ["allocate", tmp_path / name]):
            assert name in no_line(*command, "--checkpoint", checkpoint)


def test_bad_numbers_and_places(no_line: Any, checkpoint: Path, clip: Path, tmp_path: Path) -> None:
    here = ["--checkpoint", checkpoint]
    assert "cannot hold 6 frames" in no_line("ground", clip, "a dog", *here, "--token-budget", 2)
    assert "cannot hold 6 frames" in no_line("allocate", clip, *here, "--token-budget", -5)
    assert "frames" in no_line("ground", clip, "a dog", *here, "--fps", 10)
    assert no_line("ground", clip, "a dog", *here, "--fps", 0)
    assert "no checkpoint folder" in no_line("ground", clip, "a dog", "--checkpoint", tmp_path / "none")
    assert "no adapter folder" in no_line("ground", clip, "a dog", *here, "--adapter", tmp_path / "none")
    assert "Give a video file and a query" in no_line("ground", clip)
    assert "Cannot write" in no_line("allocate", clip, *here, "--plot", tmp_path / "no" / "plot.html")


def test_allocate_tells_and_plots(
    checkpoint: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "plot.html"
    argv = ["allocate", str(clip), "--checkpoint", str(checkpoint), "--token-budget", "48"]
    assert main([*argv, "--plot", str(page), "--json"]) == 0
    answer_data = json.loads(capsys.readouterr().out)
    assert sum(answer_data["tokens"]) <= 48
    assert max(answer_data["tokens"][2:4]) > min(answer_data["tokens"]), (
        "the jump at 3 s gets more than a still frame"
    )
    html = page.read_text(encoding="utf-8")
    assert '"shape":"hv"' in html
    assert "<script src=" not in html
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert lines[-1].startswith("6 frames")


def _predict(rows: Path, checkpoint: Path, *more: str) -> list[str]:
    out = rows.parent / "out.jsonl"
    videos = str(rows.parent / "videos")
    argv = ["predict", "--ground-truth", str(rows), "--videos", videos, "--out", str(out)]
    return [*argv, "--checkpoint", str(checkpoint), *more]


def test_predict_answers_and_resumes(
    rows: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = rows.parent / "out.jsonl"
    assert main(_predict(rows, checkpoint)) == 0
    assert "3 queries answered" in capsys.readouterr().out
    first = out.read_text()
    data = [json.loads(line) for line in first.splitlines()]
    assert [row["qid"] for row in data] == [0, 1, 2]
    for row in data:
        assert {"qid", "query", "vid", "pred_relevant_windows", "relevance", "refused", "moments"} <= set(row)
        assert all(start < end and 0 <= score <= 1 for start, end, score in row["pred_relevant_windows"])
        assert row["refused"] == (row["moments"] == [])
    lines = first.splitlines(keepends=True)
    out.write_text(lines[0] + lines[1][:-20])  # what a crash leaves
    assert main(_predict(rows, checkpoint, "--json")) == 0
    assert json.loads(capsys.readouterr().out)["answered"] == 2
    assert out.read_text() == first
    assert main(_predict(rows, checkpoint)) == 0
    assert out.read_text() == first


def test_predict_encodes_a_video_once(
    rows: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tempo_core.engine import Engine

    encoded, encode = [], Engine.encode

    def count(self: Any, video: Any, **named: Any) -> Any:
        encoded.append(video.sha256)
        return encode(self, video, **named)

    monkeypatch.setattr(Engine, "encode", count)
    assert main(_predict(rows, checkpoint)) == 0
    assert len(encoded) == 1
    assert "3/3" in capsys.readouterr().err


def test_predict_follows_links_and_goes_on_past_a_bad_clip(
    rows: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos, blobs = rows.parent / "videos", rows.parent / "blobs"
    videos.rename(blobs)
    videos.mkdir()
    for file in blobs.iterdir():
        (videos / file.name).symlink_to(file)
    (videos / "bad.mp4").write_bytes(b"this is not a video")
    good = rows.read_text()
    rows.write_text(json.dumps({"qid": "b", "query": "a dog", "vid": "bad"}) + "\n" + good)
    assert main(_predict(rows, checkpoint, "--json")) == 1
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["answered"], list(result["unreadable"])) == (3, ["bad"])
    assert "predict: video 'bad' is passed over: 'bad.mp4' is not a video file" in captured.err
    lines = (rows.parent / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["qid"] for line in lines] == [0, 1, 2]
    assert main(_predict(rows, checkpoint)) == 1
    assert "1 query has no answer, because these videos cannot be read: 'bad'" in capsys.readouterr().out


def test_predict_never_mixes_settings(
    rows: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_predict(rows, checkpoint)) == 0
    assert main(_predict(rows, checkpoint, "--allocator", "uniform")) == 2
    assert "Give another --out" in capsys.readouterr().err


def test_a_missing_video_is_named(no_line: Any, rows: Path, checkpoint: Path) -> None:
    with rows.open("a") as file:
        file.write(json.dumps({"qid": "x", "query": "a dog", "vid": "gone"}) + "\n")
    assert "no video 'gone'" in no_line(*_predict(rows, checkpoint))
    (rows.parent / "videos" / "gone.mkv").symlink_to(rows.parent / "nowhere.mkv")
    assert "gone.mkv is a link to a file that is not there" in no_line(*_predict(rows, checkpoint))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is not JSON"),
        ("[1]", "must be a JSON object"),
        ('{"qid": 9, "query": "a"}', "'vid'"),
        ('{"qid": 9, "query": "", "vid": "v1"}', "empty"),
        ('{"qid": 0, "query": "a", "vid": "v1"}', "already in line 1"),
    ],
)
def test_broken_rows_are_named(no_line: Any, rows: Path, checkpoint: Path, line: str, says: str) -> None:
    with rows.open("a") as file:
        file.write(line + "\n")
    answer_data = no_line(*_predict(rows, checkpoint))
    assert "line 4" in answer_data
    assert says in answer_data


def test_repeated_qids_of_coded_refusals_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "combined.jsonl"
    line = {"qid": 7, "query": "a", "vid": "v1", "relevant_windows": [[1, 2]]}
    path.write_text(
        json.dumps(line) + "\n" + json.dumps({**line, "vid": "v2", "relevant_windows": [[0, 0]]}) + "\n"
    )
    assert [(row["qid"], row["vid"]) for row in read_rows(path)] == [(7, "v1"), ("7#2", "v2")]


def test_rows_may_hold_line_separators(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"qid": "a", "query": "one\u2028two", "vid": "v"}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_rows(path) == [row]


def test_no_rows_no_folder_no_text(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no rows"):
        read_rows(tmp_path / "rows.jsonl")
    with pytest.raises(InputError, match="There is no file"):
        read_rows(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="no folder of videos"):
        find_videos(tmp_path / "none", ["v"])
    (tmp_path / "out.jsonl").write_bytes(b'{"qid": 1, "run')
    assert read_answered(tmp_path / "out.jsonl", {}) == set()
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("ground", "frames", "allocate", "predict", "evaluate"):
        assert main([command, "--help"]) == 0
        assert f"Usage: python -m tempo_core {command}" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["sing"], ["ground", "--tune"]])
def test_unknown_words_exit_with_two(no_line: Any, argv: list[str]) -> None:
    assert "--help" in no_line(*argv)


def test_a_seed_below_zero_is_refused(no_line: Any) -> None:
    assert "--seed is -5" in no_line("evaluate", "--predictions", "p", "--ground-truth", "g", "--seed", "-5")


def test_importing_the_package_is_light() -> None:
    """Help and the page's first paint must not wait for torch."""
    code = (
        "import sys, tempo_core, tempo_core.__main__ as m; assert m.main(['--help']) == 0; "
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules; tempo_core.Moment(0, 1)"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (completed.returncode, completed.stderr) == (0, "")


def test_the_package_exposes_three_names() -> None:
    import tempo_core

    assert [getattr(tempo_core, name).__name__ for name in tempo_core.__all__] == tempo_core.__all__
    with pytest.raises(AttributeError, match="no attribute 'sing'"):
        tempo_core.sing  # noqa: B018
