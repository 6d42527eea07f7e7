"""Events cut into real clips, and cuts scored against hand-made ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from tempo_core.errors import InputError
from train.__main__ import main
from train.naturalworld.assets import Assets
from train.naturalworld.edited import (
    REAL_CLIPS,
    RealClip,
    edited_scene,
    everyday_questions,
    footage_of,
    make_edited_set,
    read_real_clips,
    score_cuts,
)
from train.naturalworld.render import render


@pytest.fixture
def clips() -> list[RealClip]:
    """Two stand-ins for real clips: a slow ramp of grey, and another."""
    ramps = [np.linspace(low, low + 60, 80).astype(np.uint8) for low in (20, 150)]
    names = ("charades_OHOFG", "bigbuckbunny")
    shape = (36, 64, 3)
    return [
        RealClip(name, np.broadcast_to(ramp[:, None, None, None], (80, *shape)).copy())
        for name, ramp in zip(names, ramps, strict=True)
    ]


def test_every_real_clip_has_labels() -> None:
    assert len(REAL_CLIPS) == 11
    assert sum(len(clip["cuts_s"]) for clip in REAL_CLIPS.values()) == 8


def test_a_real_clip_is_read_to_its_last_picture(shared_data: Path, tmp_path: Path) -> None:
    # its sound is half a second longer than its pictures
    (tmp_path / "gradio_world.mp4").symlink_to(shared_data / "videos" / "gradio_world.mp4")
    (clip,) = read_real_clips(tmp_path)
    assert (clip.name, clip.seconds) == ("gradio_world", 30)
    with pytest.raises(InputError, match="none of the real clips"):
        read_real_clips(shared_data / "eval")


def test_an_edit_shows_the_real_frames_where_nothing_was_changed(
    assets: Assets, clips: list[RealClip]
) -> None:
    scene = edited_scene(1, clips)
    scene.events = []
    scene.shots = [scene.shots[0]]
    frames = render(scene, assets, short_side_px=36, compress=False, footage=footage_of(scene, clips))
    source = clips[scene.shots[0].photograph].frames
    start = scene.shots[0].start
    for tick in (start, start + 2):
        assert abs(int(frames[tick].mean()) - int(source[(tick - start) * 4].mean())) <= 1


def test_a_set_of_edits_asks_nothing_that_the_footage_shows_anyway(
    assets: Assets, clips: list[RealClip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_clip = {**REAL_CLIPS["bigbuckbunny"], "shows": ["darker", "cut"]}
    monkeypatch.setitem(REAL_CLIPS, "bigbuckbunny", real_clip)
    monkeypatch.setitem(REAL_CLIPS, "charades_OHOFG", real_clip)
    rows = make_edited_set(tmp_path, clips, assets, count=3, queries=2).read_text()
    assert rows.count('"qid"') == 6
    assert '"asked": "cut"' not in rows
    assert '"asked": "darker"' not in rows
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 3


def test_everyday_questions_are_not_understood_by_the_model_that_ships(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(everyday_questions()) == 110
    rows = [
        {"qid": 0, "query": "A red circle!", "vid": "a", "negative": None},
        {"qid": 1, "query": "a dog", "vid": "a", "negative": "unknown"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    assert main(["naturalworld", "understood", "--known", str(path), "--unknown", str(path), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert (scores["known"], scores["known_but_declined"]) == (1, 0)
    assert scores["sets"]["everyday questions"]["declined"] >= 109
    assert scores["sets"]["rows.jsonl"] == {"questions": 2, "declined": 1, "f1": pytest.approx(2 / 3)}


def test_each_cut_counts_once() -> None:
    truth = {"a": [1.0, 5.0], "b": []}
    scores = score_cuts(truth, {"a": [1.4, 1.6, 8.0], "b": []}, tolerance_s=1.0)
    assert scores == {
        "precision": pytest.approx(1 / 3),
        "recall": 0.5,
        "f1": pytest.approx(0.4),
        "found": 3,
        "true": 2,
    }
    assert score_cuts(truth, {}, tolerance_s=1.0)["f1"] == 0.0
