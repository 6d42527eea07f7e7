"""Packed rows: the plan is the same whenever it is made, and a packed question is read as if it stood alone."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tempo_core.vision import encode_frames
from tests.train.conftest import example_of
from tests.train.grpo.plain import pixel_inputs
from train.config import SftConfig
from train.data.encoding import Encoder
from train.data.examples import Example
from train.sft.packing import IGNORED, collate, mask_of, pack_row, plan_batches

SMALL = SftConfig(questions_per_row=3, per_device_train_batch_size=2, epochs=2.0)


def many(clips: int, questions: int) -> list[Example]:
    return [
        replace(example_of(clip), row_id=f"{clip}/{number}", duration_s=8.0 + clip)
        for clip in range(clips)
        for number in range(questions)
    ]


def test_every_example_comes_once_an_epoch(terse: Encoder) -> None:
    examples = many(5, 4)
    plan, steps = plan_batches(examples, SMALL, terse.defaults)
    places = Counter(place for batch in plan for pack in batch for place in pack.example_idx)
    assert set(places.values()) == {2}
    assert len(places) == 20
    assert steps == len(plan)
    for pack in (pack for batch in plan for pack in batch):
        assert len(pack.example_idx) <= 3
        assert len({examples[place].video for place in pack.example_idx}) == 1
    assert all(len(batch) <= 2 for batch in plan)


def test_the_seed_alone_decides(terse: Encoder) -> None:
    examples = many(5, 4)
    first = plan_batches(examples, SMALL, terse.defaults)
    assert plan_batches(examples, SMALL, terse.defaults) == first
    assert plan_batches(examples, replace(SMALL, seed=1), terse.defaults) != first


def test_a_plan_is_as_long_as_its_steps(terse: Encoder) -> None:
    config = replace(SMALL, steps=7, gradient_accumulation_steps=3)
    plan, steps = plan_batches(many(2, 1), config, terse.defaults, devices=2)
    assert (steps, len(plan)) == (7, 42)


def test_long_rows_go_alone(terse: Encoder) -> None:
    plan, _ = plan_batches(
        many(4, 1), replace(SMALL, per_device_train_batch_size=4, batch_tokens=1), terse.defaults
    )
    assert {len(batch) for batch in plan} == {1}


@torch.no_grad()
def test_a_packed_question_is_read_as_if_it_stood_alone(engine: Any, terse: Encoder) -> None:
    """Two clips in one batch, three questions in a row: log-probabilities equal those of the model's own forward."""
    model = engine.loaded.model
    rows = [
        [
            example_of(0, query="a red circle appears", moments=[(2, 4)]),
            example_of(0, query="nothing of this"),
        ],
        [example_of(1, query="a blue square", moments=[(0, 2), (4, 8)])],
    ]
    encoded = [[terse.encode(example) for example in row] for row in rows]
    batch = collate([pack_row(row) for row in encoded])
    embedded = model.get_input_embeddings()(batch["ids"])
    pad = terse.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    visual_tokens = torch.cat(
        [encode_frames(model, v.frames, v.allocation.sizes_px, v.normaliser) for v in batch["videos"]]
    )
    embedded = embedded.masked_scatter((batch["ids"] == pad)[..., None], visual_tokens)
    packed = model(
        inputs_embeds=embedded,
        position_ids=batch["positions"],
        attention_mask={"full_attention": mask_of(batch["segments"])},
        use_cache=False,
    ).logits.log_softmax(-1)
    for place, row in enumerate(encoded):
        for number, question in enumerate(row, start=1):
            is_answer = (batch["segments"][place] == number) & (batch["labels"][place] != IGNORED)
            labels = batch["labels"][place][is_answer]
            assert labels.tolist() == list(question.answer_ids)
            answer_logprobs = packed[place][is_answer].gather(-1, labels[:, None])[:, 0]
            torch.testing.assert_close(
                answer_logprobs, plain_answer_logprobs(model, terse, question), atol=2e-5, rtol=1e-5
            )


def plain_answer_logprobs(model: Any, encoder: Encoder, question: Any) -> torch.Tensor:
    """Log-probabilities of the answer's tokens by the model's own forward, pixels included."""
    ids = torch.tensor([[*question.prompt_ids, *question.answer_ids]])
    output = model(input_ids=ids, use_cache=False, **pixel_inputs(model, question.video, ids))
    start = len(question.prompt_ids)
    logprobs = output.logits[0].log_softmax(-1)[start - 1 : -1]
    answer_logprobs: torch.Tensor = logprobs.gather(-1, torch.tensor(question.answer_ids)[:, None])[:, 0]
    return answer_logprobs


def test_weights_reach_the_labels(terse: Encoder) -> None:
    light = replace(example_of(0, moments=[(2, 4)]), weight=0.5)
    row = pack_row([terse.encode(light)])
    assert set(row["weights"][row["labels"] != IGNORED].tolist()) == {0.5}


def test_a_thinking_trace_comes_before_the_answer(engine: Any) -> None:
    from tests.train.conftest import sampled

    encoder = Encoder.of(engine.loaded, sample=sampled, thinking=True)
    traced = encoder.encode(replace(example_of(0, moments=[(2, 4)]), thinking="it appears, then it goes"))
    text = encoder.tokenizer.decode(traced.answer_ids)
    assert text.startswith("<think>it appears, then it goes</think>")
    assert text.endswith("From 0002.0 to 0004.0.<|im_end|>")


@pytest.mark.parametrize("path", [Path("video-0")])
def test_examples_of_one_clip_share_a_row(terse: Encoder, path: Path) -> None:
    plan, _ = plan_batches(many(1, 3), replace(SMALL, epochs=1.0), terse.defaults)
    assert [len(pack.example_idx) for batch in plan for pack in batch] == [3]
