"""The words that the shipped checkpoint names are exactly those of the world that it was trained on."""

import numpy as np

from tempo_core.checkpoint import SHIPPED
from tempo_core.vocabulary import read_vocabulary
from train.shapeworld.english import FreeEnglish
from train.shapeworld.queries import HARD_KINDS, QueryMix, sample_queries
from train.shapeworld.scene import RICH, sample_scene
from train.shapeworld.vocabulary import shapeworld_vocabulary


def test_the_shipped_checkpoint_knows_the_words_of_its_world() -> None:
    shipped, world = read_vocabulary(SHIPPED), shapeworld_vocabulary()
    assert shipped is not None
    assert (shipped.content, shipped.grammar) == (world.content, world.grammar)


def test_every_question_of_the_world_is_understood_and_free_english_is_not() -> None:
    vocabulary = shapeworld_vocabulary()
    mix = QueryMix(irrelevant=0.2, negatives=(0.7, 0.3, 0.0, 0.0), hard_share=0.4, hard_kinds=HARD_KINDS)
    for seed in range(60):
        for query in sample_queries(
            np.random.default_rng(seed), sample_scene(seed, RICH, motion=0.3), 6, mix, []
        ):
            assert vocabulary.understanding(query.text).is_understood, query.text
    english = FreeEnglish(held_out=True)
    rng = np.random.default_rng(0)
    sentences = [english.sentence(rng) for _ in range(200)]
    assert sum(vocabulary.understanding(text).is_understood for text in sentences) == 0
