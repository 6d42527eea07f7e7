"""Tempo's own prompt from stamps, token counts and a query, as the recipes from scratch write it.

Context:  <|im_start|>user\n per frame STAMP <|vision_start|> n x <|image_pad|> <|vision_end|>  END-STAMP \n
Question: [INSTRUCTION] "Query: " QUERY <|im_end|>\n<|im_start|>assistant\n
Answer:   the grammar's pieces, then <|im_end|>

Every piece is tokenised on its own and the ids are joined, so that the context can be encoded once and any question put
behind it: no token ever spans a joint. `tempo_core.protocols.tempo` asks in the same ids, which a test holds equal.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from tempo_core.errors import InputError
from tempo_core.protocols.base import (
    IM_END,
    IM_START,
    IMAGE_PAD,
    VISION_END,
    VISION_START,
    clean_query,
    plain_ids,
    special_id,
)


def context_ids(tokenizer: Any, stamps: Sequence[str], tokens: Sequence[int]) -> list[int]:
    """The ids of the video: `stamps` are the T + 1 texts of `format_stamps`, `tokens` the T frames' vision
    tokens (>= 1)."""
    if len(stamps) != len(tokens) + 1:
        raise InputError(
            f"{len(tokens)} frames need {len(tokens) + 1} stamps, the last for the end; got {len(stamps)}."
        )
    if min(tokens) < 1:
        raise InputError(f"Every frame needs at least one vision token; got {min(tokens)}.")
    opened, pad, closed = (special_id(tokenizer, token) for token in (VISION_START, IMAGE_PAD, VISION_END))
    stamp_ids = tokenizer(list(stamps), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    ids = [special_id(tokenizer, IM_START), *plain_ids(tokenizer, "user\n")]
    for text, n_tokens in zip(stamp_ids, tokens, strict=False):
        ids += [*text, opened, *[pad] * int(n_tokens), closed]
    return [*ids, *stamp_ids[-1], *plain_ids(tokenizer, "\n")]


def question_ids(tokenizer: Any, query: str, instruction: str = "") -> list[int]:
    """The ids that follow a context: an optional instruction, the query, and the opening of the answer.

    Raises InputError as `clean_query` does.
    """
    before = plain_ids(tokenizer, instruction) if instruction else []
    question = [*plain_ids(tokenizer, "Query: "), *plain_ids(tokenizer, clean_query(query))]
    start, end = special_id(tokenizer, IM_START), special_id(tokenizer, IM_END)
    return [*before, *question, end, *plain_ids(tokenizer, "\n"), start, *plain_ids(tokenizer, "assistant\n")]


def answer_ids(tokenizer: Any, pieces: Iterable[str]) -> list[int]:
    """The ids of an answer's pieces (`answers.answer_pieces`), closed by <|im_end|>."""
    encoded = tokenizer(list(pieces), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return [*(int(token_id) for ids in encoded for token_id in ids), special_id(tokenizer, IM_END)]
