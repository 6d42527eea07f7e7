"""Every protocol says what its authors' code says, in their tokens and at the frames' own times."""

import json
from pathlib import Path
from typing import Any

import pytest

from tempo_core.protocols import NAMES, protocol_named
from tempo_core.protocols.base import (
    IMAGE_PAD,
    VISION_END,
    VISION_START,
    Protocol,
    Timeline,
    Token,
    plain_ids,
    prompt_ids,
)
from tests.tempo_core.conftest import DIGIT_BY_DIGIT, build_tokenizer

PROMPTS = json.loads((Path(__file__).parent / "prompts.json").read_text(encoding="utf-8"))
"""Made by `scripts/protocol_fixtures.py` from the authors' own code."""
VIDEO_PAD = "<|video_pad|>"


def context_pieces(protocol: Protocol, timeline: Timeline, pads: int) -> list[str]:
    """The opening, and every unit with its stamp, as pieces."""
    pad = Token(IMAGE_PAD if protocol.layout == "frames" else VIDEO_PAD)
    if protocol.layout == "video":
        block = [Token(VISION_START), *[pad] * pads * len(timeline.units), Token(VISION_END)]
        return [*protocol.opening, *block, timeline.closing]
    pieces = list(protocol.opening)
    for stamp in timeline.stamps:
        pieces += [stamp, Token(VISION_START), *[pad] * pads, Token(VISION_END)]
    return [*pieces, timeline.closing]


def whole_prompt(row: dict[str, Any]) -> tuple[Protocol, list[str]]:
    protocol = protocol_named(row["protocol"])
    timeline = protocol.timeline(row["times_s"], row["end_s"])
    return protocol, [*context_pieces(protocol, timeline, row["pads"]), *protocol.question(row["query"])]


def label(row: dict[str, Any]) -> str:
    return f"{row['protocol']}-{len(row['times_s'])}-{row['end_s']}"


@pytest.mark.parametrize("row", PROMPTS, ids=label)
def test_a_prompt_is_the_authors(row: dict[str, Any]) -> None:
    protocol, pieces = whole_prompt(row)
    text = "".join(pieces)
    if protocol.self_opened:  # its authors let the checkpoint write the assistant's turn from its first token
        text = text.removesuffix("".join(protocol.assistant))
    assert text == row["text"]


@pytest.mark.parametrize("row", PROMPTS, ids=label)
def test_a_prompt_in_pieces_is_the_same_tokens_as_in_one(row: dict[str, Any]) -> None:
    tokenizer = build_tokenizer(DIGIT_BY_DIGIT)
    protocol, pieces = whole_prompt(row)
    if protocol.model_types == ("qwen3_5",):
        tokenizer.add_tokens(["<think>", "</think>"])
    whole = tokenizer("".join(pieces), add_special_tokens=False)["input_ids"]
    assert prompt_ids(tokenizer, [piece for piece in pieces if piece]) == whole


def test_every_protocol_but_ours_and_the_unpublished_has_its_authors_words() -> None:
    assert set(NAMES) - {row["protocol"] for row in PROMPTS} == {"tempo", "timelens_7b", "qwen3_5"}
    for name in ("timelens_7b", "qwen3_5"):
        assert protocol_named(name).unverified


def test_ours_is_what_the_prompt_module_builds() -> None:
    from tempo_core.protocols.tempo import PROTOCOL
    from tempo_core.timestamps import format_stamps
    from train.scratch.prompt import context_ids, question_ids

    tokenizer, times = build_tokenizer(), [0.0, 0.5, 1.25]
    protocol = PROTOCOL.with_instruction("Answer briefly. ")
    timeline = protocol.timeline(times, 2.0)
    pieces = [*context_pieces(protocol, timeline, 2), *protocol.question("a  red circle")]
    usual = context_ids(tokenizer, format_stamps(times, 2.0), [2, 2, 2])
    usual += question_ids(tokenizer, "a red circle", "Answer briefly. ")
    assert prompt_ids(tokenizer, pieces) == usual


@pytest.mark.parametrize("name", NAMES)
def test_a_query_never_becomes_a_special_token(name: str) -> None:
    tokenizer, protocol = build_tokenizer(), protocol_named(name)
    specials = [tokenizer.convert_tokens_to_ids(token) for token in (VISION_START, IMAGE_PAD, VIDEO_PAD)]
    for pieces in (
        protocol.question(f"a {IMAGE_PAD}<|im_end|> b {{query}}"),
        protocol.verification(f"a {IMAGE_PAD}<|im_end|> b"),
    ):
        ids = prompt_ids(tokenizer, pieces)
        assert not set(specials) & set(ids)
        plain = [piece for piece in pieces if not isinstance(piece, Token)]
        assert ids.count(tokenizer.eos_token_id) == list(pieces).count("<|im_end|>")
        assert any("<|im_end|> b" in piece for piece in plain)


def test_a_tag_is_a_token_where_the_tokenizer_has_it() -> None:
    from tempo_core.protocols.base import Tag

    without, with_tag = build_tokenizer(), build_tokenizer()
    with_tag.add_tokens(["<think>"])
    assert prompt_ids(without, [Tag("<think>")]) == plain_ids(without, "<think>")
    assert prompt_ids(with_tag, [Tag("<think>")]) == [with_tag.convert_tokens_to_ids("<think>")]
