"""Rows become examples, and nothing of val or test ever becomes a training example."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotations.exporting import export_to
from annotations.formats import read
from annotations.records import Edit, EditedMoment, Video
from annotations.rows import Row
from annotations.snapshot import take_snapshot
from annotations.store import Store
from tempo_core.errors import InputError
from tempo_core.moments import Moment
from train.data.example_files import (
    CHANGED,
    GONE,
    NEVER_THERE,
    UNDECODABLE,
    UNJUDGED,
    UNKNOWN_TRUTH,
    UNREADABLE,
    read_examples,
)
from train.data.examples import (
    ALSO_HELD_OUT,
    NOT_TRAINING,
    Example,
    ExampleSplit,
    keep_apart,
    require_training,
)


def video(folder: Path, name: str, content: bytes = b"") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.mp4"
    path.write_bytes(content or name.encode())
    return path


def line(qid: int = 1, vid: str = "a", **fields: Any) -> dict[str, Any]:
    row = {"qid": qid, "query": f"query {qid}", "duration": 10, "vid": vid, "relevant_windows": [[2, 4]]}
    return {**row, **fields}


def write_rows(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ids(examples: tuple[Example, ...]) -> list[str]:
    return [example.row_id for example in examples]


def test_a_file_becomes_examples(tmp_path: Path) -> None:
    clip = video(tmp_path / "videos", "a")
    rows = write_rows(
        tmp_path / "rows.jsonl",
        line(1, relevant_windows=[[4, 6], [2, 4]], kind="onset", thinking=" first a, then b ", weight=0.5),
        line(2, relevant_windows=[], verdict="no-moment", negative="edited"),
    )
    split = read_examples(rows)
    assert split.skipped == {}
    assert split.held_out == ()
    first, second = split.training
    assert first == Example(
        row_id="rows/1",
        video=clip,
        query="query 1",
        duration_s=10.0,
        moments=(Moment(2, 6),),
        source="file",
        weight=0.5,
        kind="onset",
        thinking="first a, then b",
        clip_id="a",
    )
    assert second == Example(
        row_id="rows/2",
        video=clip,
        query="query 2",
        duration_s=10.0,
        moments=(),
        source="file",
        negative="edited",
        clip_id="a",
    )


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    video(tmp_path / "videos", "a")
    rows = write_rows(
        tmp_path / "rows.jsonl",
        line(1),
        line(2, vid="nobody"),
        line(7, vid="lost", video="lost.mp4"),
        line(3, verdict="cannot-judge"),
        {key: value for key, value in line(4).items() if key != "relevant_windows"},
        line(5, query="a\u0000b"),
        line(6, split="minitest"),
    )
    split = read_examples(rows)
    assert split.skipped == {
        NEVER_THERE: ("rows/2",),
        GONE: ("rows/7",),
        UNJUDGED: ("rows/3",),
        UNKNOWN_TRUTH: ("rows/4",),
        UNREADABLE: ("rows/5",),
        NOT_TRAINING: ("rows/6",),
        ALSO_HELD_OUT: ("rows/1",),
    }
    assert split.training == ()  # its clip is in the split that nobody understood


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"weight": 0}, "weight 0"),
        ({"weight": True}, "weight True"),
        ({"duration": -1}, "duration"),
    ],
)
def test_a_broken_row_is_refused(tmp_path: Path, sources: dict[str, Any], message: str) -> None:
    video(tmp_path / "videos", "a")
    with pytest.raises(InputError, match=message):
        read_examples(write_rows(tmp_path / "rows.jsonl", line(1, **sources)))


def test_a_source_or_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_examples(tmp_path / "rows.jsonl")
    with pytest.raises(InputError, match="no folder of videos"):
        read_examples(write_rows(tmp_path / "rows.jsonl", line()), videos=tmp_path / "no")
    with pytest.raises(InputError, match="MANIFEST"):
        read_examples(tmp_path)


def by_row_split(folder: Path, split: str) -> Path:
    return write_rows(folder / "rows.jsonl", line(1, split=split))


def by_file_name(folder: Path, split: str) -> Path:
    return write_rows(folder / f"highlight_{split}_release.jsonl", line(1, split="train"))


def by_folder_name(folder: Path, split: str) -> Path:
    return write_rows(folder / split / "rows.jsonl", line(1))


def by_link(folder: Path, split: str) -> Path:
    real = write_rows(folder / f"highlight_{split}_release.jsonl", line(1))
    (folder / "train.jsonl").symlink_to(real)
    return folder / "train.jsonl"


def by_same_clip(folder: Path, split: str) -> Path:
    return write_rows(folder / "rows.jsonl", line(1), line(2, split=split))


def by_clip_without_file(folder: Path, split: str) -> Path:
    """The held-out row cannot be read; its clip is still locked."""
    return write_rows(folder / "rows.jsonl", line(1), line(2, split=split, query="a\u0000b"))


def by_other_spelling(folder: Path, split: str) -> Path:
    video(folder / "videos", "yt_60.0_210.0")
    return write_rows(
        folder / "rows.jsonl", line(1, vid="yt_60_210"), line(2, vid="yt_60.0_210.0", split=split)
    )


def by_overlap(folder: Path, split: str) -> Path:
    video(folder / "videos", "yt_60_210")
    video(folder / "videos", "yt_150_300")
    return write_rows(folder / "rows.jsonl", line(1, vid="yt_60_210"), line(2, vid="yt_150_300", split=split))


def by_copied_link(folder: Path, split: str) -> Path:
    (folder / "videos" / "b.mp4").symlink_to(folder / "videos" / "a.mp4")
    return write_rows(folder / "rows.jsonl", line(1, vid="b"), line(2, vid="a", split=split))


WAYS_IN = [
    by_row_split,
    by_file_name,
    by_folder_name,
    by_link,
    by_same_clip,
    by_clip_without_file,
    by_other_spelling,
    by_overlap,
    by_copied_link,
]


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("way", WAYS_IN)
def test_no_way_in_for_a_held_out_row_of_a_file(
    tmp_path: Path, way: Callable[[Path, str], Path], split: str
) -> None:
    video(tmp_path / "videos", "a")
    rows = way(tmp_path, split)
    split = read_examples(rows, videos=tmp_path / "videos")
    assert split.training == ()
    require_training(split.training, split.held_out)


@pytest.mark.parametrize("word", ["Validation", "dev", " TEST ", "testing"])
def test_other_words_for_the_splits(tmp_path: Path, word: str) -> None:
    video(tmp_path / "videos", "a")
    split = read_examples(write_rows(tmp_path / "rows.jsonl", line(1, split=word)))
    assert (split.training, len(split.held_out)) == ((), 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cqvh.sqlite3")


def fill(store: Store, folder: Path, *rows: Row, contents: dict[str, bytes] | None = None) -> None:
    store.import_rows(rows, dataset="set", op_id="import")
    clips = []
    for number, vid in enumerate(sorted({row.vid for row in rows})):
        file = video(folder, vid, (contents or {}).get(vid, b""))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        clips.append(
            Video(vid=vid, sha256=digest, path=str(file), size_bytes=file.stat().st_size, modified_ns=number)
        )
    store.save_videos(clips, op_id="clips", actor="test")


def row(qid: str, vid: str, split: str = "train", **fields: Any) -> Row:
    values = {"query": f"query {qid}", "duration_s": 10.0, "windows": ((2.0, 4.0),)}
    return Row(qid=qid, vid=vid, split=split, **{**values, **fields})  # type: ignore[arg-type]


def correct(store: Store, qid: str, *pairs_ms: tuple[int, int], by: str = "ada", **fields: Any) -> None:
    verdict = "moments" if pairs_ms else "no-moment"
    values = {"verdict": verdict, "reason": None if pairs_ms else "nothing", **fields}
    query = store.find("set", qid)
    edit = Edit(moments=tuple(EditedMoment(start_ms=a, end_ms=b) for a, b in pairs_ms), **values)
    store.submit(query.id, edit, annotator=by, parent_id=None, op_id=f"{qid}-{by}")


def gather(store: Store, tmp_path: Path, **options: Any) -> ExampleSplit:
    return read_examples(take_snapshot(store, tmp_path / "snapshots", actor="test").folder, **options)


def test_a_snapshot_gives_what_holds_now(store: Store, tmp_path: Path) -> None:
    fill(
        store,
        tmp_path / "clips",
        row("1", "a"),
        row("2", "a"),
        row("3", "b", windows=None),
        row("4", "c", "val"),
    )
    correct(store, "1", (1000, 3000), edited_text="a better query")
    correct(store, "2")
    split = gather(store, tmp_path, original_weight=0.5)
    clips = tmp_path / "clips"
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in "ac"}
    shared = {"video": clips / "a.mp4", "duration_s": 10.0, "source": "correction", "clip_id": "a"}
    assert split.training == (
        Example(
            row_id="set/1",
            query="a better query",
            moments=(Moment(1, 3),),
            content=digests["a"],
            **shared,
        ),
        Example(
            row_id="set/2",
            query="query 2",
            moments=(),
            negative="annotated",
            content=digests["a"],
            **shared,
        ),
    )
    assert split.held_out == (
        Example(
            row_id="set/4",
            video=clips / "c.mp4",
            query="query 4",
            duration_s=10.0,
            moments=(Moment(2, 4),),
            split="val",
            source="original",
            weight=0.5,  # nobody corrected it
            clip_id="c",
            content=digests["c"],
        ),
    )
    assert split.skipped == {UNKNOWN_TRUTH: ("set/3",)}


@pytest.mark.parametrize("form", ["qvhighlights", "parquet"])
def test_bands_of_edges_reach_training_and_survive_the_lossless_formats(
    store: Store, tmp_path: Path, form: str
) -> None:
    fill(store, tmp_path / "clips", row("1", "a"), row("2", "a"))
    banded = EditedMoment(start_ms=1000, end_ms=3000, start_uncertainty_ms=500)
    edit = Edit(verdict="moments", moments=(banded, EditedMoment(start_ms=5000, end_ms=7000)))
    store.submit(store.find("set", "1").id, edit, annotator="ada", parent_id=None, op_id="soft")
    correct(store, "2", (1000, 3000))
    split = gather(store, tmp_path)
    assert [example.bands_s for example in split.training] == [((0.5, 0.0), (0.0, 0.0)), ()]
    snapshot = take_snapshot(store, tmp_path / "snapshots", actor="test")
    export_to(snapshot, tmp_path / "out", format=form)
    extras = {
        exported.qid: exported.extra.get("edge_uncertainty_s")
        for exported in exported_rows(tmp_path / "out", form)
    }
    assert extras == {"1": [[0.5, 0.0], [0.0, 0.0]], "2": None}
    # Another annotator's start inside the band agrees: the row is trusted whole.
    correct(store, "1", (1400, 3000), (5000, 7000), by="bo")
    assert gather(store, tmp_path).training[0].weight == 1.0


def exported_rows(folder: Path, form: str) -> list[Row]:
    """The rows of every data file that an export wrote."""
    suffix = ".parquet" if form == "parquet" else ".jsonl"
    files = [
        path
        for path in folder.rglob(f"*{suffix}")
        if "no_moment" not in path.name and "diff" not in path.name
    ]
    return [exported for path in files for exported in read(path, format=form).rows]


def test_a_files_bands_are_checked(tmp_path: Path) -> None:
    video(tmp_path / "videos", "a")
    split = read_examples(write_rows(tmp_path / "rows.jsonl", line(1, edge_uncertainty_s=[[0.5, 0]])))
    assert split.training[0].bands_s == ((0.5, 0.0),)
    for bands in ([[0.5, -1]], [[0.5]], [], "wide"):
        with pytest.raises(InputError, match="edge_uncertainty_s"):
            read_examples(write_rows(tmp_path / "rows.jsonl", line(1, edge_uncertainty_s=bands)))


def test_weight_is_the_agreement_with_the_answer_that_holds(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path / "clips", *(row(str(n), "a") for n in range(1, 4)))
    correct(store, "1", (0, 4000))
    correct(store, "1", (2000, 4000), by="ben")  # half of ada's
    correct(store, "2", (0, 4000))
    correct(store, "2", by="ben")  # contradicts her
    correct(store, "3", (0, 4000))
    correct(store, "3", verdict="cannot-judge", reason="dark", by="ben")
    assert [example.weight for example in gather(store, tmp_path).training] == [0.5, 0.25, 1.0]


def test_a_verdict_is_trusted_whole(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path / "clips", row("1", "a"))
    correct(store, "1", (0, 4000))
    correct(store, "1", by="ben")
    query = store.find("set", "1")
    correction = store.latest(query.id, "ada")
    assert correction is not None
    store.adjudicate(
        query.id, correction_id=correction.id, adjudicator="eva", parent_id=None, op_id="verdict"
    )
    (example,) = gather(store, tmp_path).training
    assert (example.source, example.weight, example.moments) == ("verdict", 1.0, (Moment(0, 4),))


def test_clips_that_are_gone_or_changed_are_reported(store: Store, tmp_path: Path) -> None:
    no_video = row("5", "e", duration_s=None)
    fill(store, tmp_path / "clips", row("1", "a"), row("2", "b"), row("3", "c"), no_video)
    store.import_rows([row("4", "d")], dataset="set", op_id="a row without a clip")
    (tmp_path / "clips" / "a.mp4").unlink()
    (tmp_path / "clips" / "b.mp4").write_bytes(b"something longer")
    split = gather(store, tmp_path)
    assert split.skipped == {
        GONE: ("set/1",),
        CHANGED: ("set/2",),
        UNDECODABLE: ("set/5",),
        NEVER_THERE: ("set/4",),
    }
    moved = video(tmp_path / "elsewhere", "a")
    again = gather(store, tmp_path, videos=moved.parent)
    assert [example.video for example in again.training] == [moved, tmp_path / "clips" / "c.mp4"]


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("case", ["own split", "same clip", "same content", "overlap", "another dataset"])
def test_no_way_in_for_a_held_out_row_of_a_snapshot(
    store: Store, tmp_path: Path, split: str, case: str
) -> None:
    train = {"own split": row("1", "a", split), "overlap": row("1", "yt_0_100")}.get(case, row("1", "a"))
    held_out_row = {
        "same content": row("2", "copy", split),
        "overlap": row("2", "yt_50.0_150.0", split),
    }.get(case, row("2", "a", split))
    rows = [train] if case == "another dataset" else [train, held_out_row]
    fill(store, tmp_path / "clips", *rows, contents={"copy": b"a"})
    if case == "another dataset":
        store.import_rows([held_out_row], dataset="other", op_id="import other")
    correct(store, "1", (1000, 3000))
    examples = gather(store, tmp_path)
    assert examples.training == ()
    assert {example.split for example in examples.held_out} == {split}


def test_clips_without_a_split_are_dealt_once_and_for_all(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path / "clips", *(row(str(n), f"clip{n // 2}", "unknown") for n in range(80)))
    before = gather(store, tmp_path)
    assert 4 <= len({example.video for example in before.held_out}) <= 14
    assert not {example.video for example in before.training} & {example.video for example in before.held_out}
    correct(store, "7", (1000, 3000))
    after = gather(store, tmp_path)
    assert ids(after.held_out) == ids(before.held_out)
    assert gather(store, tmp_path, held_out_share=0.0).held_out == ()


def test_replay_is_kept_apart_too(tmp_path: Path) -> None:
    training_example = Example(
        row_id="r/1", video=tmp_path / "a.mp4", query="q", duration_s=4, moments=(), clip_id="a"
    )
    val_example = dataclasses.replace(training_example, row_id="h/1", split="val")
    assert keep_apart([training_example], [val_example]) == ([], {ALSO_HELD_OUT: ("r/1",)})
    assert ExampleSplit(held_out=(val_example,)).with_training([training_example]).training == ()
    with pytest.raises(InputError, match="h/1 must not be trained on"):
        require_training([val_example])
    with pytest.raises(InputError, match="r/1 must not be trained on"):
        require_training([training_example], [val_example])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"split": "dev"}, "split 'dev'"),
        ({"weight": 0.0}, "weight 0.0"),
        ({"duration_s": float("nan")}, "nan s"),
    ],
)
def test_an_example_checks_itself(fields: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {
        "row_id": "r",
        "video": Path("a"),
        "query": "q",
        "duration_s": 4.0,
        "moments": (),
    }
    with pytest.raises(InputError, match=message):
        Example(**{**values, **fields})
