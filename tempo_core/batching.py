"""Questions and beams that share forward passes of the language model.

    answers = ask_batch(engine, contexts, "a red circle appears")    # one question to several clips
    answers = engine.ask_many(context, ["a red circle", "a dog"])    # several questions to one clip

An answer is written by a generator (`Engine._answer`) that waits for one `Decoding` after the other. What the decodings
of all answers need next is one pass: every encoded clip is a row, and whatever was fed behind it is a tree of tokens. A
mask shows each token the clip and its own ancestors, so that questions and beams never copy the clip's keys and values,
and what two of them share is fed once. The plain twin is `answer_by_itself`, one question and one decoding at a time.
Legend: R rows of a pass, K columns of the longest row, Q tokens that are fed to a row, W width, V vocabulary.
"""

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tempo_core.decoding import Decoding, Scorer, share_cache, token_logits

if TYPE_CHECKING:
    from tempo_core.context import VideoContext
    from tempo_core.engine import Answer, Engine

AnswerSteps = Generator[tuple[Decoding, Sequence[Decoding]], Any, "Answer"]
"""Yields (the decoding that it waits for, all that it has begun), is sent the first one's result, and ends in the
answer."""


def answer_by_itself(steps: AnswerSteps, scorer_of: Callable[[Decoding], Scorer]) -> "Answer":
    """Write one answer, each decoding with a scorer of its own, behind its stem."""
    result = None
    try:
        while True:
            decoding, _ = steps.send(result)
            result = decoding.result if decoding.is_over else decoding.run(scorer_of(decoding))
    except StopIteration as stop:
        return stop.value


def ask_batch(
    engine: "Engine",
    contexts: Sequence["VideoContext"],
    query: str,
    *,
    n_best: int = 0,
    cancel: threading.Event | None = None,
) -> list["Answer"]:
    """`engine.ask` of each context, in order. Raises what it raises."""
    from tempo_core.backend import AskRequest, answers_of

    requests = [
        AskRequest(context=context, query=query, n_best=n_best, cancel=cancel) for context in contexts
    ]
    return answers_of(engine.ask_each(requests))


@torch.inference_mode()
def answer_together(
    engine: "Engine", contexts: Sequence["VideoContext"], answers: Sequence[AnswerSteps]
) -> list["Answer | Exception"]:
    """Write the answers about these clips side by side; a clip may stand for several.

    What one answer raises is its result, and the others go on. Raises what a forward pass raises.
    """
    rows = {id(context): Row(context) for context in contexts}
    results: dict[int, Answer | Exception] = {}
    awaited: dict[int, Decoding | None] = dict.fromkeys(range(len(answers)))
    decodings: dict[int, Sequence[Decoding]] = dict.fromkeys(range(len(answers)), ())
    logits: dict[int, torch.Tensor] = {}
    """By the id of a decoding, from the last pass."""
    while True:
        # Decodings go on with their logits; then each answer, until it waits for a decoding that is not over.
        for number in list(decodings):
            try:
                for decoding in decodings[number]:
                    if not decoding.is_over:
                        decoding.send(logits[id(decoding)])
                while (last := awaited[number]) is None or last.is_over:
                    result = None if last is None else last.result
                    awaited[number], decodings[number] = answers[number].send(result)
            except StopIteration as stop:
                results[number] = stop.value
            except Exception as error:  # whoever asked gets it
                results[number] = error
            if number in results:
                del decodings[number]
        if not decodings:
            return [results[number] for number in range(len(answers))]

        # One pass over the tokens that are new, then the logits of every token that is asked about.
        nodes = {
            id(decoding): [
                rows[id(contexts[number])].node([*decoding.stem, *prefix]) for prefix in decoding.prefixes
            ]
            for number in decodings
            for decoding in decodings[number]
        }
        unfed = [row for row in rows.values() if row.unfed]
        if unfed:
            feed_rows(engine, unfed)
        distinct = {id(node): node for group in nodes.values() for node in group}
        places = {key: place for place, key in enumerate(distinct)}
        hidden = torch.stack([node.hidden for node in distinct.values()])
        tokens: set[int] | None = set()
        for decoding in (decoding for number in decodings for decoding in decodings[number]):
            tokens = None if tokens is None or decoding.tokens is None else tokens.union(decoding.tokens)
        all_logits = token_logits(engine.loaded.model, hidden, None if tokens is None else sorted(tokens))
        logits = {key: all_logits[[places[id(node)] for node in group]] for key, group in nodes.items()}


@dataclass(slots=True, eq=False)
class Node:
    """A token behind a clip."""

    token: int
    parent: "Node | None"
    depth: int
    """Tokens between the clip and this one."""
    column: int = -1
    """Of its row, once it is fed."""
    hidden: Any = None
    """float[W] of the last layer, once it is fed."""
    children: dict[int, "Node"] = field(default_factory=dict)


class Row:
    """A clip and the tree of tokens behind it."""

    def __init__(self, context: "VideoContext") -> None:
        self.context = context
        self.roots: dict[int, Node] = {}
        self.unfed: list[Node] = []
        """Parents before their children."""
        self.keys = [layer.keys[0] for layer in context.cache.layers]
        """By layer, [heads, columns, D]: the clip's, then those of the tokens behind it as they were fed."""
        self.values = [layer.values[0] for layer in context.cache.layers]
        """Likewise."""
        self.clip_length = self.length = context.cache.get_seq_length()
        """Columns of the clip, and of all."""

    def node(self, ids: Sequence[int]) -> Node:
        """The last of these tokens behind the clip; those that are new wait to be fed."""
        parent, children = None, self.roots
        for depth, token in enumerate(ids):
            if token not in children:
                children[token] = Node(token, parent, depth)
                self.unfed.append(children[token])
            parent = children[token]
            children = parent.children
        assert parent is not None, "a question has tokens"
        return parent


def feed_rows(engine: "Engine", rows: Sequence[Row]) -> None:
    """One forward pass over what waits in these rows."""
    model = engine.loaded.model
    longest = max(row.length for row in rows)
    width = max(len(row.unfed) for row in rows)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    positions = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros((len(rows), 1, width, longest + width), dtype=bool)
    # A token that fills up a row sees itself: a softmax over nothing is no number.
    mask[:, 0, range(width), range(longest, longest + width)] = True
    for idx, row in enumerate(rows):
        visible = mask[idx, 0]
        visible[: len(row.unfed), : row.clip_length] = True
        for place, node in enumerate(row.unfed):
            ids[idx, place] = node.token
            positions[idx, place] = row.context.position + node.depth
            parent = node.parent
            if parent is not None and parent.column >= row.length:  # fed by this pass too
                visible[place, row.clip_length :] |= visible[parent.column - row.length, row.clip_length :]
            else:
                while parent is not None:
                    visible[place, parent.column] = True
                    parent = parent.parent
            node.column = row.length + place

    # Keys and values [R, heads, K, D] of each layer, filled up to the longest row with columns that nothing sees.
    cache = share_cache(rows[0].context.cache)
    for number, layer in enumerate(cache.layers):
        for name in ("keys", "values"):
            states = [getattr(row, name)[number] for row in rows]
            stacked = states[0][None]
            if len(rows) > 1:
                stacked = states[0].new_zeros(len(rows), len(states[0]), longest, states[0].shape[-1])
                for idx, state in enumerate(states):
                    stacked[idx, :, : state.shape[1]] = state
            setattr(layer, name, stacked)
    output = model.model.language_model(
        inputs_embeds=model.get_input_embeddings()(torch.from_numpy(ids).to(model.device)),
        position_ids=torch.from_numpy(positions).to(model.device).expand(3, -1, -1),
        attention_mask=torch.from_numpy(mask).to(model.device),  # families that take none pack no rows
        past_key_values=cache,
        use_cache=True,
    )
    for idx, row in enumerate(rows):
        for place, node in enumerate(row.unfed):
            node.hidden = output.last_hidden_state[idx, place]
        new = slice(longest, longest + len(row.unfed))
        for number, layer in enumerate(cache.layers):
            for name in ("keys", "values"):
                states, grown = getattr(row, name), getattr(layer, name)[idx]
                # of a single row the pass itself has joined the new ones to the old
                states[number] = (
                    grown if len(rows) == 1 else torch.cat([states[number], grown[:, new]], dim=1)
                )
        row.length += len(row.unfed)
        row.unfed = []
