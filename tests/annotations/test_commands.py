"""The commands as people run them (tests/test_docs.py holds their documentation to their parsers)."""

import json
from pathlib import Path

import pytest

from annotations import migrations
from annotations.__main__ import main
from annotations.store import Store
from tests.annotations.conftest import edit


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State in a folder of the test's own; the commands act as `ada`."""
    monkeypatch.setenv("TEMPO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TEMPO_ACTOR", "ada")
    return tmp_path / "home"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file of two rows in QVHighlights' form."""
    lines = [
        '{"qid": 1, "query": "a", "duration": 150, "vid": "v_0.0_150.0", "relevant_windows": [[0, 4], [6, 8]]}',
        '{"qid": 2, "query": "b", "duration": 150, "vid": "w_0.0_150.0", "relevant_windows": [[10, 20]]}',
    ]
    file = tmp_path / "highlight_val_tiny.jsonl"
    file.write_text("\n".join(lines))
    return file


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    """One command's JSON answer."""
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_real_rows_pass_through_byte_for_byte(shared_data: Path, tmp_path: Path) -> None:
    release = shared_data / "qvhighlights" / "highlight_val_release.jsonl"
    assert main(["import", str(release)]) == 0
    assert main(["export", "--format", "qvhighlights", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "highlight_val_corrected.jsonl").read_bytes() == release.read_bytes()
    assert main(["verify"]) == 0


def test_a_working_day(rows: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = ask(capsys, "import", rows, "--dataset", "d")
    assert (first["added"], first["unchanged"]) == (2, 0)
    assert ask(capsys, "import", rows, "--dataset", "d")["unchanged"] == 2
    files = ask(capsys, "import", rows, rows, "--dataset", "d")["files"]
    assert [file["unchanged"] for file in files] == [2, 2]  # type: ignore[attr-defined]
    queue = ask(capsys, "queue")
    assert [row["qid"] for row in queue["rows"]] == ["1", "2"]  # type: ignore[index, attr-defined]
    with Store(home / "cqvh.sqlite3") as store:
        ada = store.submit(1, edit((0, 8_000)), annotator="ada", parent_id=None, op_id="1")
    reverted = ask(capsys, "revert", "d:1", "--to", "original")
    assert reverted["revision"] == 2
    ask(capsys, "revert", "1", "--to", ada.id)
    events = ask(capsys, "history", "1")["history"]
    assert [event["kind"] for event in events] == ["original", *["correction"] * 3]  # type: ignore[attr-defined]
    assert ask(capsys, "stats")["corrections"] == 3
    report = ask(capsys, "agreement")["original against corrected"]
    assert report["pairs"] == 1  # type: ignore[index]
    snapshot = ask(capsys, "snapshot")
    assert Path(str(snapshot["folder"])).is_dir()
    out = tmp_path / "out"
    exported = ask(
        capsys, "export", "--format", "qvhighlights", "--out", out, "--snapshot", snapshot["folder"]
    )
    assert exported["snapshot"] == snapshot["sha256"]
    with Store(home / "cqvh.sqlite3") as store:
        logged = [(entry.action, dict(entry.detail)) for entry in store.audit_entries()]
    assert logged == [("exported", {"snapshot": str(snapshot["sha256"])[:16]})]
    written = [json.loads(line) for line in (out / "highlight_val_corrected.jsonl").read_text().split("\n")]
    assert [row["relevant_windows"] for row in written] == [[[0, 8]], [[10, 20]]]
    manifest = json.loads((out / "MANIFEST.json").read_text())
    assert {
        name: manifest["options"][name] for name in ("decided_by", "dataset", "split", "edited_text")
    } == {
        "decided_by": "latest",
        "dataset": "d",
        "split": None,
        "edited_text": False,
    }
    assert ask(capsys, "videos", "missing")["missing"] == {
        "v_0.0_150.0": "v_0.0_150.0.mp4",
        "w_0.0_150.0": "w_0.0_150.0.mp4",
    }
    assert ask(capsys, "migrate") == {"schema": migrations.HEAD, "changed": False}
    assert ask(capsys, "verify")["problems"] == []


def test_models_are_named_for_datasets_and_no_longer(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(rows), "--dataset", "d"]) == 0
    assert ask(capsys, "proposers", "list") == {"proposers": {"d": []}}
    assert ask(capsys, "proposers", "add", "d", "large") == {"proposers": {"d": ["large"]}}
    ask(capsys, "proposers", "add", "d", "*")
    assert main(["proposers", "list"]) == 0
    assert capsys.readouterr().out == "d: *, large\n"
    assert ask(capsys, "proposers", "remove", "d", "*") == {"proposers": {"d": ["large"]}}
    assert main(["proposers", "add", "d"]) == 2
    assert "needs a dataset and a model" in capsys.readouterr().err
    assert main(["proposers", "add", "e", "large"]) == 2
    assert "There is no dataset 'e'." in capsys.readouterr().err


@pytest.mark.parametrize("command", ["queue", "stats", "agreement", "verify", "migrate", "snapshot"])
def test_answers_for_people_work_on_an_empty_store(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "none.jsonl"], "none.jsonl does not exist"),
        (["history", "17"], "There is no query 17"),
        (["history", "abc"], "names no query"),
        (["history", str(2**63)], "at most 64 bits"),
        (["revert", "1", "--to", str(2**63)], "--to is '9223372036854775808'"),
        (["history", "d:1"], "has no query with qid 1"),
        (["revert", "1", "--to", "x"], "--to is 'x'"),
        (["export", "--format", "csv", "--out", "x.csv"], "no rows to export"),
        (["queue", "--database", "://"], "is no database URL"),
        (["queue", "--limit", "0"], "1 to 1000 rows"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_every_format_goes_out_by_the_command(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(capsys, "import", rows, "--dataset", "d")
    for name in ("charades-sta", "activitynet", "timelens", "lighthouse", "parquet", "webvtt", "elan", "csv"):
        assert ask(capsys, "export", "--format", name, "--out", tmp_path / name / "out")["rows"] == 2, name
    labels = tmp_path / "labels.json"
    ask(
        capsys,
        "export",
        "--format",
        "label-studio",
        "--out",
        labels,
        "--frame-rate",
        "25",
        "--licence",
        "cc0-1.0",
    )
    ranges = json.loads(labels.read_text())[0]["annotations"][0]["result"][0]["value"]["ranges"]
    assert ranges == [{"start": 1, "end": 100}]


def test_durations_come_from_a_named_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, durations = tmp_path / "charades_sta_test.txt", tmp_path / "seconds.json"
    text.write_text("3MSZA 24.3 30.4##person turn a light on.")
    durations.write_text('{"3MSZA": 30.96}')
    added = ask(capsys, "import", text, "--format", "charades-sta", "--durations", durations)
    assert added["added"] == 1
    durations.write_text('{"3MSZA": -1}')
    assert main(["import", str(text), "--format", "charades-sta", "--durations", str(durations)]) == 2
    assert "must be an object of positive seconds by vid" in capsys.readouterr().err


def test_a_frame_rate_must_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "labels.json")
    assert main(["export", "--format", "label-studio", "--out", out, "--frame-rate", "0"]) == 2
    assert "--frame-rate must lie above 0" in capsys.readouterr().err


def test_rows_that_break_a_rule_are_listed_a_line_each(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(rows.read_text().replace("[6, 8]", "[8, 6]").replace("[10, 20]", "[10, 10]"))
    assert main(["import", str(bad), "--format", "qvhighlights"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "2 rows break a rule, so nothing was imported:",
        "  bad.jsonl, line 1: relevant_windows is [8, 6]; a window must end after it starts",
        "  bad.jsonl, line 2: relevant_windows is [10, 10]; a window must end after it starts",
        "Mend them, or pass --mend or --keep-going.",
    ]
    assert (
        main(
            ["import", str(bad), "--format", "qvhighlights", "--keep-going", "--rejects", str(tmp_path / "r")]
        )
        == 0
    )
    assert [json.loads(line)["line"] for line in (tmp_path / "r").read_text().split("\n")] == [1, 2]


def test_options_may_stand_anywhere_and_repeat(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(capsys, "import", "--dataset", "a", rows, "--split", "train")["added"] == 2
    assert ask(capsys, "import", rows, "--dataset", "b")["added"] == 2
    snapshot = ask(capsys, "snapshot", "--dataset", "a", "--dataset", "b", "--out", tmp_path / "s")
    assert snapshot["counts"]["rows"] == 4  # type: ignore[index]


def test_an_export_says_what_it_left_out(
    rows: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(capsys, "import", rows, "--dataset", "d")
    with Store(home / "cqvh.sqlite3") as store:
        store.submit(1, edit(), annotator="ada", parent_id=None, op_id="1")
    assert main(["export", "--format", "webvtt", "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 row of d as webvtt:"
    assert "  1 row: no matching moment, left out" in lines
    assert main(["export", "--format", "vtt", "--out", str(tmp_path / "x")]) == 2
    assert "'vtt' is not one of 'qvhighlights', 'predictions', 'lighthouse'," in capsys.readouterr().err


def test_one_row_is_counted_as_one(
    rows: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(capsys, "import", rows, "--dataset", "d")

    def lines(*arguments: str) -> list[str]:
        main([*arguments])
        return capsys.readouterr().out.splitlines()

    plan = ("projects", "create", "week", "--most-rows", "1", "--people", "ada")
    assert lines(*plan, "--dry-run") == ["week: 1 row, nothing was made (--dry-run)."]
    assert lines(*plan) == ["week: 1 row."]
    assert lines("projects", "show", "week")[1:3] == [
        "0 of 1 row complete, 0 of 1 answer",
        "1 row waits for its clip: `videos plan` says which",
    ]
    with Store(home / "cqvh.sqlite3") as store:
        for name in ("ada", "bo"):
            store.submit(1, edit(), annotator=name, parent_id=None, op_id=name)
    adopted = lines("adopt")[0]
    assert adopted.startswith("1 row decided; `adopt --undo ")
    batch = adopted.split("`")[1].split()[-1]
    assert lines("adopt", "--undo", batch) == [f"1 decision of {batch} is taken back."]


def test_an_import_says_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "clip.vtt"
    file.write_text(
        "WEBVTT\n\nNOTE draft\n\n00:01.000 --> 00:02.000\na dog\n\n00:04.000 --> 00:03.000\na cat\n"
    )
    assert main(["import", str(file), "--keep-going", "--rejects", str(tmp_path / "rejects.jsonl")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "clip.vtt (webvtt) → webvtt: 1 added, 0 known, 0 proposals, 0 corrections",
        "  1 of 2 cues taken",
        "  left out: clip.vtt, 1 NOTE blocks: comments are no moments",
        '  left out: clip.vtt, cue 2 (line 8): cue is "00:04.000 --> 00:03.000"; a cue must end after it starts',
    ]
    answer = ask(capsys, "import", file, "--keep-going", "--rejects", tmp_path / "rejects.jsonl")
    assert answer["contents"] == {"cues": {"held": 2, "taken": 1}}
    assert answer["omitted"] == ["clip.vtt, 1 NOTE blocks: comments are no moments"]


def test_predictions_of_two_files_are_those_of_two_models(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = {"qid": 7, "query": "a dog", "vid": "v", "pred_relevant_windows": [[0, 2, 0.5]]}
    for name, windows in (("cg-detr", [[0, 2, 0.5]]), ("umt", [[4, 6, 0.5]]), ("other", [[8, 9, 0.5]])):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({**line, "pred_relevant_windows": windows}))
    files = [tmp_path / "cg-detr.jsonl", tmp_path / "umt.jsonl"]
    assert main(["import", *map(str, files), "--dataset", "d"]) == 0
    assert [line.rpartition("; ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "predictions of cg-detr",
        "predictions of umt",
    ]
    answer = ask(capsys, "import", tmp_path / "other.jsonl", "--dataset", "d", "--model", "qd-detr@2")
    assert answer["models"] == ["qd-detr@2"]
    with Store(home / "cqvh.sqlite3") as store:
        predictions = [proposal.prediction for proposal in store.proposals(1)]
    starts_ms = {one.model_id: one.moments[0].start_ms for one in predictions}
    assert starts_ms == {"cg-detr": 0, "umt": 4000, "qd-detr@2": 8000}
    for file in files:  # what was unnamed goes out as it came
        out = tmp_path / "out" / file.name
        assert main(["export", "--format", "predictions", "--model", file.stem, "--out", str(out)]) == 0
    assert (tmp_path / "out" / "cg-detr.jsonl").read_bytes() == files[0].read_bytes()
    assert json.loads((tmp_path / "out" / "umt.jsonl").read_text())["model"] == "umt"


def test_a_project_that_counts_frames_is_imported_with_their_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = {"ranges": [{"start": 26, "end": 50}], "timelinelabels": ["Door opens"]}
    region = {"id": "r", "type": "timelinelabels", "from_name": "l", "to_name": "video", "value": value}
    annotation = {"id": 1, "completed_by": 1, "ground_truth": True, "result": [region]}
    file = tmp_path / "project.json"
    file.write_text(json.dumps([{"id": 5, "data": {"video": "clip.mp4"}, "annotations": [annotation]}]))
    assert main(["import", str(file)]) == 2
    assert "(on the command line: --frame-rate)" in capsys.readouterr().err
    assert main(["import", str(file), "--frame-rate", "0"]) == 2
    assert "--frame-rate must lie above 0" in capsys.readouterr().err
    rates = tmp_path / "rates.json"
    rates.write_text('{"clip": 50}')
    ask(capsys, "import", file, "--frame-rate", "25", "--frame-rates", rates, "--dataset", "doors")
    ask(
        capsys, "export", "--format", "label-studio", "--out", tmp_path / "o.json", "--video-prefix", "/v/?d="
    )
    (task,) = json.loads((tmp_path / "o.json").read_text())
    assert (task["data"]["fps"], task["data"]["video"]) == (50.0, "/v/?d=clip.mp4")
    assert task["annotations"][0]["result"][0]["value"]["ranges"] == [{"start": 26, "end": 50}]


def test_the_list_of_formats_says_what_each_can_hold(capsys: pytest.CaptureFixture[str]) -> None:
    formats = {form["name"]: form for form in ask(capsys, "formats")["formats"]}  # type: ignore[attr-defined]
    assert [formats[name][use] for name in ("srt", "easyr1", "csv") for use in ("read", "written")] == [
        True, False, False, True, True, True,
    ]  # fmt: skip
    assert formats["srt"]["holds"] == ["qid", "query", "verdict", "vid", "windows"]
    assert main(["formats"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line.split() for line in lines if line.startswith("srt ")) == [
        "srt",
        "in",
        "SubRip",
        "subtitles",
        "ids",
    ]
    assert len(lines) == 1 + len(formats)


@pytest.mark.parametrize(
    ("name", "vid", "dataset"),
    [
        ("charades_test_release.jsonl", "3MSZA", "charades"),
        ("tvsum_val.jsonl", "xx", "tvsum"),
        ("highlight_val_release.jsonl", "a_0.0_150.0", "qvhighlights"),
        ("train.jsonl", "xx", "lighthouse"),
    ],
)
def test_a_data_set_is_named_after_the_file_where_several_share_a_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, vid: str, dataset: str
) -> None:
    clips = (
        {}
        if dataset in ("charades", "lighthouse")
        else {"relevant_clip_ids": [0], "saliency_scores": [[1, 2, 3]]}
    )
    row = {"qid": 1, "query": "q", "vid": vid, "duration": 10, "relevant_windows": [[0, 2]], **clips}
    (tmp_path / name).write_text(json.dumps(row))
    assert ask(capsys, "import", tmp_path / name)["dataset"] == dataset


def test_rows_are_mended_on_request_and_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    windows = [[[6, 3]], [[2, 2], [4, 99]], [[5, 5]]]
    rows = [
        {"qid": place, "query": "q", "vid": "v", "duration": 10, "relevant_windows": pairs}
        for place, pairs in enumerate(windows)
    ]
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(map(json.dumps, rows[:2])))
    assert main(["import", str(file)]) == 2
    capsys.readouterr()
    assert main(["import", str(file), "--mend"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  mended: 1 edges swapped",
        "  mended: 1 windows without length dropped",
        "  mended: 1 ends cut at the duration",
    ]
    ask(capsys, "export", "--format", "lighthouse", "--out", tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(line["relevant_windows"], line["mended"]) for line in lines] == [
        ([[3, 6]], ["edges swapped"]),
        ([[4, 10]], ["ends cut at the duration"]),
    ]
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert manifest["mended_rows"] == {"edges swapped": 1, "ends cut at the duration": 1}
    file.write_text(json.dumps(rows[2]))
    assert main(["import", str(file), "--mend"]) == 2
    assert "a window must end after it starts" in capsys.readouterr().err


LINE = {"qid": 11, "query": "q", "duration": 10, "vid": "k_0.0_10.0"}


def test_a_repeated_import_says_what_it_could_fill_and_fills_it_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unlabelled, labelled = tmp_path / "release.jsonl", tmp_path / "with_gt_test.jsonl"
    unlabelled.write_text(json.dumps(LINE))
    labelled.write_text(json.dumps({**LINE, "relevant_windows": [[2, 6]]}))
    options = ("--format", "qvhighlights", "--dataset", "d")
    ask(capsys, "import", unlabelled, *options)
    assert main(["import", str(labelled), *options]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "with_gt_test.jsonl (qvhighlights) → d: 0 added, 1 known, 0 proposals, 0 corrections",
        "  1 known row lacks windows, which the file has: --update fills it",
        "  1 known row lacks verdict, which the file has: --update fills it",
        "  1 known row lacks split, which the file has: --update fills it",
    ]
    ask(capsys, "export", "--format", "qvhighlights", "--out", tmp_path / "before.jsonl")
    assert (tmp_path / "before.jsonl").read_bytes() == unlabelled.read_bytes()
    filled = ask(capsys, "import", labelled, *options, "--update")
    assert filled["filled"] == {"windows": 1, "verdict": 1, "split": 1}
    assert ask(capsys, "import", labelled, *options, "--update")["filled"] == {}
    ask(capsys, "export", "--format", "qvhighlights", "--split", "test", "--out", tmp_path / "after.jsonl")
    (after,) = map(json.loads, (tmp_path / "after.jsonl").read_text().splitlines())
    assert (after["relevant_windows"], after["relevant_clip_ids"]) == ([[2, 6]], [1, 2])
    assert main(["verify"]) == 0


def test_what_a_row_says_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({**LINE, "relevant_windows": [[2, 6]]}))
    options = ("--format", "qvhighlights", "--dataset", "d", "--update")
    ask(capsys, "import", file, *options, "--split", "train")
    assert ask(capsys, "import", file, *options, "--split", "val")["other_split"] == 1
    file.write_text(json.dumps({**LINE, "relevant_windows": [[2, 8]]}))
    assert main(["import", str(file), *options]) == 2
    assert "already holds other content for qid 11 (windows)" in capsys.readouterr().err
    ask(capsys, "export", "--format", "qvhighlights", "--out", tmp_path / "out")
    (line,) = (tmp_path / "out" / "highlight_train_corrected.jsonl").read_text().splitlines()
    assert json.loads(line)["relevant_windows"] == [[2, 6]]


@pytest.mark.parametrize(
    ("form", "name", "options"),
    [("label-studio", "tasks.json", ["--frame-rate", "25"]), ("webvtt", "out", []), ("elan", "out", [])],
)
def test_rows_that_a_tool_gives_back_rounded_are_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, name: str, options: list[str]
) -> None:
    row = {
        "qid": 1,
        "query": "q",
        "vid": "v",
        "duration": 10,
        "relevant_windows": [[1.23456, 2.34567], [2.35, 4]],
    }
    (tmp_path / "mine.jsonl").write_text(json.dumps(row))
    ask(capsys, "import", tmp_path / "mine.jsonl", "--dataset", "d")
    ask(capsys, "export", "--format", form, "--out", tmp_path / name, *options)
    back = ask(capsys, "import", tmp_path / name, "--format", form)
    assert (back["dataset"], back["added"], back["unchanged"]) == ("d", 0, 1)
    ask(capsys, "export", "--format", "lighthouse", "--out", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == json.dumps(row)


def test_a_moment_that_a_tool_has_moved_is_no_rounding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"qid": 1, "query": "q", "vid": "v", "duration": 10, "relevant_windows": [[1, 2]]}
    (tmp_path / "mine.jsonl").write_text(json.dumps(row))
    ask(capsys, "import", tmp_path / "mine.jsonl", "--dataset", "d")
    (tmp_path / "v.vtt").write_text("WEBVTT\n\n1-1\n00:01.000 --> 00:02.002\nq\n")
    assert main(["import", str(tmp_path / "v.vtt")]) == 2
    assert "already holds other content for qid 1 (windows)" in capsys.readouterr().err
