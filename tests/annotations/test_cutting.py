"""Clips cut out of full-length videos: which are wanted, and that frame k is the one shown at start + k / rate."""

from pathlib import Path

import pytest

from annotations.cutting import CutReport, cut, cut_plan
from annotations.records import Video
from annotations.rows import Row
from annotations.store import Store
from tempo_core.errors import InputError
from tempo_core.proxy import conforms
from tempo_core.video import probe, sample
from tests.annotations.conftest import Operations
from tests.videos import constant, numbers_of, write_clip

VIDS = ["ab_c_2.0_4.0", "ab_c_2.0_4.0", "ab_c_0.0_1.0", "zz_0.0_9.0", "zz_1.0_3.0", "gone_0.0_2.0", "3MSZA"]


@pytest.fixture
def wanting(store: Store, op: Operations) -> Store:
    """Seven rows: of two source videos in the folder, of one that is not, and of a clip without cut points."""
    rows = [Row(qid=str(number), query=f"q{number}", vid=vid) for number, vid in enumerate(VIDS)]
    store.import_rows(rows, dataset="d", op_id=op())
    return store


def test_the_plan_names_source_videos_and_cut_points(wanting: Store, tmp_path: Path, op: Operations) -> None:
    plan = cut_plan(wanting)
    assert [(clip.source, clip.start_s, clip.end_s, clip.rows) for clip in plan.clips] == [
        ("ab_c", 0.0, 1.0, 1),
        ("ab_c", 2.0, 4.0, 2),
        ("gone", 0.0, 2.0, 1),
        ("zz", 0.0, 9.0, 1),
        ("zz", 1.0, 3.0, 1),
    ]
    assert plan.clips[0].file_name == "ab_c_0.0_1.0.mp4"
    assert plan.whole == {"3MSZA": 1}
    file = tmp_path / "present.mp4"
    file.write_bytes(b"one")
    video = Video(vid="zz_0.0_9.0", sha256="1", path=str(file), size_bytes=3, modified_ns=1)
    wanting.save_videos([video], op_id=op(), actor="test")
    assert len(cut_plan(wanting).clips) == 4
    assert [clip.has_clip for clip in cut_plan(wanting, with_present=True).clips].count(True) == 1


@pytest.mark.slow
def test_a_cut_shows_the_source_from_its_start_to_the_frame(wanting: Store, tmp_path: Path) -> None:
    sources, out = tmp_path / "whole", tmp_path / "clips"
    sources.mkdir()
    # Key pictures lie every two seconds and B-frames between them, as in files from the web.
    write_clip(sources / "A title [ab_c].mp4", constant(120), gop=50, audio_s=4.8)
    write_clip(sources / "zz.mp4", constant(60))
    failures: list[str | None] = []
    report = cut(
        cut_plan(wanting), sources, out, on_clip=lambda number, clip, failure: failures.append(failure)
    )
    assert report.vids == ("ab_c_0.0_1.0", "ab_c_2.0_4.0", "zz_1.0_3.0")
    assert report.without_source == ("gone_0.0_2.0",)
    assert list(report.failed) == ["zz_0.0_9.0"]
    assert "ends at 2.40 s" in report.failed["zz_0.0_9.0"]
    assert failures == [None, None, report.failed["zz_0.0_9.0"], None]
    assert probe(out / "zz_1.0_3.0.mp4").end_s == pytest.approx(1.4), "annotated ends are whole seconds"
    clip = out / "ab_c_2.0_4.0.mp4"
    info = probe(clip)
    assert conforms(info), "used as it is, without another loss"
    assert (info.frame_count, info.end_s, info.audio_codec) == (50, pytest.approx(2.0), "aac")
    frames = sample(clip, step_s=0.04).frames
    assert numbers_of(frames) == list(range(50, 100))
    assert len(list(out.iterdir())) == 3, "what failed leaves nothing"


def test_what_was_cut_is_not_cut_again(wanting: Store, tmp_path: Path) -> None:
    sources, out = tmp_path / "whole", tmp_path / "clips"
    sources.mkdir()
    write_clip(sources / "ab_c.mp4", constant(120))
    out.mkdir()
    (out / "ab_c_0.0_1.0.mp4").write_bytes(b"cut before")
    report = cut(cut_plan(wanting), sources, out)
    assert report.vids == ("ab_c_0.0_1.0", "ab_c_2.0_4.0")
    assert (out / "ab_c_0.0_1.0.mp4").read_bytes() == b"cut before"


def test_a_folder_that_is_not_there_is_named(wanting: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder; give the one"):
        cut(cut_plan(wanting), tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    assert cut(cut_plan(wanting), tmp_path / "empty", tmp_path / "out") == CutReport(
        vids=(), failed={}, without_source=tuple(clip.vid for clip in cut_plan(wanting).clips)
    )
