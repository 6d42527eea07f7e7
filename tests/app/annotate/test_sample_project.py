"""The sample project's rows: what they call true is what their clips show."""

from typing import Any

import pytest

from app.annotate.sample_project import CLIPS, WORDS
from tempo_core.checkpoint import find_checkpoint
from tempo_core.vocabulary import read_vocabulary
from train.config import PromotionCriteria
from train.shapeworld.queries import askable, runs_of, truth
from train.shapeworld.scene import COLOURS, TIERS, sample_scene

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
        clip_ids = [idx for start, end in row["relevant_windows"] for idx in range(start // 2, end // 2)]
        assert row["relevant_clip_ids"] == clip_ids
        assert row["saliency_scores"] == [[4, 3, 4] if idx in true_clips else [1, 0, 1] for idx in clip_ids]
        has_damage = row["relevant_windows"] != clip["truth"] or "_" in row["vid"]
        assert has_damage != clip["damage"].startswith("None")


@pytest.mark.parametrize("clip", [*WORDS["training"], *WORDS["held_out"]], ids=lambda clip: str(clip["seed"]))
def test_the_colleague_is_right_in_words_that_the_shipped_model_does_not_know(clip: dict[str, Any]) -> None:
    scene = sample_scene(clip["seed"], TIERS["plain"])
    vocabulary = read_vocabulary(find_checkpoint(None))
    assert vocabulary is not None
    for question in clip["questions"]:
        words = question["query"].split()
        (new_word,) = WORDS["words"].keys() & set(words)
        assert vocabulary.understanding(question["query"]).words == (new_word,)
        colour = next((word for word in words if word in COLOURS), None)
        runs = runs_of(truth(scene, ("thing", (colour, WORDS["words"][new_word], None))))
        assert question["moments"] == [[start * scene.step_s, end * scene.step_s] for start, end in runs]
    assert [] in [question["moments"] for question in clip["questions"]], "each clip has something to refuse"


def test_enough_is_held_out_to_promote_what_was_learned() -> None:
    criteria = PromotionCriteria()
    assert len(WORDS["held_out"]) >= criteria.min_clips
    assert sum(len(clip["questions"]) for clip in WORDS["held_out"]) >= criteria.min_rows
    seeds = [clip["seed"] for clip in (*CLIPS, *WORDS["training"], *WORDS["held_out"])]
    assert len(set(seeds)) == len(seeds), "no held-out clip teaches"
