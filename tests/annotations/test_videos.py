"""Clips: matched by vid, known by content, found again when moved, missed by the name that would be found."""

from pathlib import Path

import pytest

from annotations.rows import Row
from annotations.store import Store
from annotations.videos import VideoReport, add_folder, missing
from tempo_core.errors import InputError
from tests.annotations.conftest import Operations


@pytest.fixture
def store_of_clips(store: Store, op: Operations) -> Store:
    vids = ["_a-_b_60.0_210.0", "c_d_0.0_150.0", "3MSZA"]
    rows = [Row(qid=str(number), query="q", vid=vid) for number, vid in enumerate(vids)]
    store.import_rows(rows, dataset="d", op_id=op())
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clips that rows ask for, one of them named without decimals, and one that no row asks for."""
    clips = tmp_path / "clips"
    (clips / "deep").mkdir(parents=True)
    (clips / "_a-_b_60_210.mp4").write_bytes(b"one")
    (clips / "deep" / "3MSZA.webm").write_bytes(b"two")
    (clips / "other.mkv").write_bytes(b"three")
    (clips / "notes.txt").write_bytes(b"no clip")
    return clips


def look(store: Store, folder: Path, op: Operations, **options: str) -> VideoReport:
    return add_folder(store, folder, op_id=op(), actor="ada", **options)


def test_clips_are_matched_and_missing_ones_named(
    store_of_clips: Store, folder: Path, op: Operations
) -> None:
    report = look(store_of_clips, folder, op)
    assert report.added == ["_a-_b_60.0_210.0", "other", "3MSZA"]
    assert report.unmatched == [str(folder / "other.mkv")]
    assert report.missing == {"c_d_0.0_150.0": "c_d_0.0_150.0.mp4"}
    video = store_of_clips.video("3MSZA")
    assert video is not None
    assert Path(video.path) == folder / "deep" / "3MSZA.webm"
    assert look(store_of_clips, folder, op).unchanged == 3


def test_a_moved_and_renamed_clip_is_found_by_its_content(
    store_of_clips: Store, folder: Path, op: Operations
) -> None:
    look(store_of_clips, folder, op)
    (folder / "deep" / "3MSZA.webm").rename(folder / "renamed.webm")
    assert set(missing(store_of_clips)) == {"3MSZA", "c_d_0.0_150.0"}
    report = look(store_of_clips, folder, op)
    assert (report.added, report.moved, report.unchanged) == ([], ["3MSZA"], 2)
    assert set(report.missing) == {"c_d_0.0_150.0"}


def test_a_second_copy_changes_nothing_and_new_content_is_taken(
    store_of_clips: Store, folder: Path, op: Operations
) -> None:
    look(store_of_clips, folder, op)
    before = store_of_clips.video("3MSZA")
    copies = folder / "copies"
    copies.mkdir()
    (copies / "3MSZA.mp4").write_bytes(b"two")
    look(store_of_clips, folder, op)
    assert store_of_clips.video("3MSZA") == before
    (folder / "deep" / "3MSZA.webm").write_bytes(b"a better encoding")
    assert look(store_of_clips, folder, op).moved == ["3MSZA"]
    after = store_of_clips.video("3MSZA")
    assert after is not None
    assert before is not None
    assert after.sha256 != before.sha256


def test_patterns(store_of_clips: Store, folder: Path, op: Operations) -> None:
    (folder / "charades_3MSZA.mp4").write_bytes(b"four")
    report = look(store_of_clips, folder, op, pattern="charades_{vid}")
    assert report.added == ["3MSZA"]
    assert report.missing["c_d_0.0_150.0"] == "charades_c_d_0.0_150.0.mp4"
    with pytest.raises(InputError, match=r"must hold \{vid\} once"):
        look(store_of_clips, folder, op, pattern="clip")
    with pytest.raises(InputError, match="is no folder"):
        look(store_of_clips, folder / "none", op)
