"""The sample project's rows: what they call true is what their clips show."""

from typing import Any

import pytest

from app.annotate.sample_project import CLIPS
from train.shapeworld.queries import askable
from train.shapeworld.scene import TIERS, sample_scene

CLIP_S = 2


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip["rows"][0]["vid"])
def test_the_truth_is_what_the_clip_shows(clip: dict[str, Any]) -> None:
    scene = sample_scene(clip["seed"], TIERS["plain"])
    assert scene.step_s == CLIP_S
    truths = [
        [[start * CLIP_S, end * CLIP_S] for start, end in runs]
        for answers in askable(scene).values()
        for _, runs in answers
    ]
    assert clip["truth"] in [*truths, []], "no moment where the event is none of this world"
    true_clips = {idx for start, end in clip["truth"] for idx in range(start // CLIP_S, end // CLIP_S)}
    for row in clip["rows"]:
        assert row["duration"] == scene.duration_s
        shown = [idx for start, end in row["relevant_windows"] for idx in range(start // 2, end // 2)]
        assert row["relevant_clip_ids"] == shown
        assert row["saliency_scores"] == [[4, 3, 4] if idx in true_clips else [1, 0, 1] for idx in shown]
        has_damage = row["relevant_windows"] != clip["truth"] or "_" in row["vid"]
        assert has_damage != clip["damage"].startswith("None")
