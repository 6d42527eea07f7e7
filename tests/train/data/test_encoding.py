"""Training sees exactly what the engine builds; truth is snapped outward; videos are decoded once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tempo_core.context import build_prompt
from tempo_core.engine import sample_for
from tempo_core.errors import InputError
from tempo_core.moments import Moment
from tempo_core.protocols.base import IMAGE_PAD, prompt_ids, special_id
from tempo_core.vision import encode_frames, image_inputs
from tests.tempo_core.conftest import make_video
from tests.train.conftest import example_of, sampled
from train.data.encoding import Encoder
from train.data.examples import Example


@pytest.mark.parametrize("budget", [None, 40])
@pytest.mark.parametrize("allocator", ["saa", "uniform"])
def test_ids_positions_and_pixels_are_the_engines(engine: Any, budget: int | None, allocator: str) -> None:
    encoder = Encoder.of(engine.loaded, sample=sampled, token_budget=budget, allocator=allocator)
    example = example_of(3, moments=[(2, 5)])
    encoded, video = encoder.encode(example), make_video(3)
    prompt = build_prompt(
        engine.loaded.tokenizer, engine.defaults, video, token_budget=budget, allocator=allocator
    )
    question_ids = prompt_ids(engine.loaded.tokenizer, engine.protocol.question(example.query))
    pixels, grids = image_inputs(
        engine.loaded.model, video.frames, prompt.allocation.sizes_px, engine.loaded.normaliser
    )
    assert encoded.prompt_ids == [*prompt.ids, *question_ids]
    assert list(encoded.video.stamps) == prompt.stamps
    own_pixels, own_grids = image_inputs(
        engine.loaded.model, encoded.video.frames, encoded.video.allocation.sizes_px, encoded.video.normaliser
    )
    assert torch.equal(own_pixels, pixels)
    assert torch.equal(own_grids, grids)
    ids = [*encoded.prompt_ids, *encoded.answer_ids]
    row = torch.tensor([ids])
    types = (row == special_id(engine.loaded.tokenizer, IMAGE_PAD)).int()
    own, _ = engine.loaded.model.model.get_rope_index(row, types, image_grid_thw=grids)
    assert np.array_equal(encoded.positions(len(ids)), own[:, 0].numpy())
    assert np.array_equal(encoded.positions(20), own[:, 0, :20].numpy())
    assert encoded.positions(len(ids) + 7).shape == (3, len(ids) + 7)


def test_every_picture_comes_twice(engine: Any, encoder: Encoder) -> None:
    encoded = encoder.encode(example_of(1))
    loaded, video = engine.loaded, make_video(1)
    pixels, _ = image_inputs(
        loaded.model, encoded.video.frames, encoded.video.allocation.sizes_px, loaded.normaliser
    )
    twice = pixels.reshape(-1, 3, 2, 196)
    assert torch.equal(twice[:, :, 0], twice[:, :, 1])
    with torch.inference_mode():
        fast = encode_frames(loaded.model, video.frames, encoded.video.allocation.sizes_px, loaded.normaliser)
    assert len(fast) == int(encoded.video.allocation.tokens.sum())


def test_the_answer_is_the_truth_snapped_outward(encoder: Encoder) -> None:
    encoded = encoder.encode(example_of(2, moments=[(1.4, 2.6), (5.0, 7.5)]))
    assert encoded.pairs == ((1, 3), (5, 8))
    assert encoded.truth == (Moment(1.0, 3.0), Moment(5.0, 8.0))
    text = encoder.tokenizer.decode(encoded.answer_ids)
    assert text == "From 0001.0 to 0003.0, from 0005.0 to 0008.0.<|im_end|>"
    assert encoded.video.grammar.replay(encoded.answer_ids).done


def test_an_irrelevant_row_is_answered_with_the_refusal(encoder: Encoder) -> None:
    encoded = encoder.encode(example_of(2))
    assert encoder.tokenizer.decode(encoded.answer_ids) == "No relevant moment.<|im_end|>"
    assert encoded.truth == ()


def test_a_trace_stands_before_the_answer_only_where_it_was_asked_for(engine: Any) -> None:
    from dataclasses import replace

    example = replace(example_of(1, moments=[(1, 3)]), thinking="a circle comes at one second")
    plain = Encoder.of(engine.loaded, sample=sampled).encode(example).answer_ids
    traced = Encoder.of(engine.loaded, sample=sampled, thinking=True).encode(example).answer_ids
    assert traced[-len(plain) :] == plain
    written = engine.loaded.tokenizer.decode(traced[: -len(plain)])
    assert written == "<think>a circle comes at one second</think>"


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (example_of(1, moments=[(20, 30)]), "outside the sampled video"),
        (example_of(1, query=" "), "The query is empty"),
    ],
)
def test_a_row_that_cannot_be_written_is_named(encoder: Encoder, example: Example, reason: str) -> None:
    with pytest.raises(InputError, match=rf"Row rows:1.*{reason}"):
        encoder.encode(example)


def test_a_video_is_decoded_once_and_the_oldest_leaves_first(engine: Any) -> None:
    decoded: list[str] = []

    def count(example: Example) -> Any:
        decoded.append(example.video.name)
        return sampled(example)

    encoder = Encoder.of(engine.loaded, sample=count)
    for query in ("a red circle", "two squares", "night"):
        first = encoder.encode(example_of(1, query=query)).video
    assert encoder.encode(example_of(1)).video is first
    assert decoded == ["video-1"]
    small = Encoder.of(engine.loaded, sample=count, cache_bytes=first.n_bytes)
    for number in (1, 2, 2, 1):
        small.encode(example_of(number))
    assert decoded[1:] == ["video-1", "video-2", "video-1"]


def test_a_file_is_sampled_as_the_checkpoint_samples(engine: Any, clip: Path) -> None:
    example = Example(row_id="clip", video=clip, query="a jump", duration_s=6.0, moments=(Moment(2.5, 6),))
    encoded = Encoder.of(engine.loaded).encode(example)
    video = sample_for(engine.defaults, clip)
    assert encoded.video.sha256 == video.sha256
    assert encoded.video.stamp_times_s == (*video.times_s.tolist(), video.end_s)
    assert encoded.pairs == ((2, 6),)
