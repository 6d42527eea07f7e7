"""A thought before a bound answer: free text up to its closing tag or a limit, then the words before the answer.

ids = Decoding(think(tokenizer, protocol.thinking)).run(scorer)
opened = Hypothesis(GrammarState(), tuple(ids), (0.0,) * len(ids))
best = Decoding(beam_search(grammar, opened=opened)).run(scorer)[0]   # its ids begin with the thought, its state not
"""

import threading
from typing import Any

from tempo_core.decoding import Steps
from tempo_core.errors import Cancelled
from tempo_core.protocols.base import IM_END, Thinking, plain_ids, special_id

TAIL_TOKENS = 16
"""Tokens that surely hold a closing tag."""


def think(
    tokenizer: Any,
    thinking: Thinking,
    *,
    max_tokens: int | None = None,
    cancel: threading.Event | None = None,
) -> Steps[list[int]]:
    """The ids of a greedy thought with its tags and the words up to the answer.

    `max_tokens` defaults to the protocol's; 0 gives an empty thought and costs no model call. A thought that reaches
    the limit, or that the model ends without a closing tag, is closed. Raises Cancelled between tokens.
    """
    limit = thinking.max_tokens if max_tokens is None else max_tokens
    if limit == 0:
        return plain_ids(tokenizer, thinking.skipped)
    opening, thought = plain_ids(tokenizer, thinking.opening), list[int]()
    ends = {special_id(tokenizer, IM_END), tokenizer.eos_token_id}
    while len(thought) < limit:
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped while thinking.")
        logits = yield [[*opening, *thought]], [0]
        token = int(logits[0].argmax())
        if token in ends:
            break
        thought.append(token)
        tail = tokenizer.decode(thought[-TAIL_TOKENS:])
        if thinking.is_over(tail):
            if thinking.runs_on(tail):
                thought.pop()
            break
    bridge = thinking.bridge(tokenizer.decode(thought[-TAIL_TOKENS:]))
    return [*opening, *thought, *plain_ids(tokenizer, bridge)]
