"""Questions and beams that share forward passes of the language model.

    answers = ask_batch(engine, contexts, "a red circle appears")    # one question to several clips
    answers = engine.ask_many(context, ["a red circle", "a dog"])    # several questions to one clip

An answer is written by a generator (`Engine.answer_steps`) that yields the token sequences whose logits it needs. What
all of them need next is one pass: every encoded clip is a row, and whatever was fed behind it is a tree of tokens. A
mask shows each token the clip and its own ancestors, so that questions and beams never copy the clip's keys and values,
and what two of them share is fed once. The plain twin is `answer_by_itself`, one question and one search at a time.
Legend: R rows of a pass, K columns of the longest row, Q tokens that are fed to a row, W width, V vocabulary.
"""

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers.cache_utils import DynamicLayer

from tempo_core.chunks import ChunkedContext
from tempo_core.decoding import Scorer, share_cache
from tempo_core.families import family_of

if TYPE_CHECKING:
    from tempo_core.context import VideoContext
    from tempo_core.engine import Answer, Engine

NewScorer = Callable[[], Scorer]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogitsRequest:
    """What one search of an answer needs next: logits after each of several token sequences behind the clip."""

    search: str
    """Its name. Its requests follow each other as the calls of one Scorer do."""
    stem: tuple[int, ...]
    """Token ids that all of its sequences begin with."""
    prefixes: Sequence[Sequence[int]]
    """Token ids behind the stem."""
    parents: Sequence[int] = (0,)


AnswerSteps = Generator[list[LogitsRequest], list[torch.Tensor], "Answer"]
"""Yields requests, is sent logits float32[B, V] for each, and ends in the answer."""


def answer_by_itself(steps: AnswerSteps, scorers_behind: Callable[[Sequence[int]], NewScorer]) -> "Answer":
    """Write one answer, with a scorer for each of its searches; `scorers_behind(ids)` makes what makes them behind the
    clip and these ids."""
    new_scorers: dict[tuple[int, ...], NewScorer] = {}
    scorers: dict[str, Scorer] = {}
    try:
        requests = next(steps)
        while True:
            results = []
            for request in requests:
                if request.search not in scorers:
                    if request.stem not in new_scorers:
                        new_scorers[request.stem] = scorers_behind(request.stem)
                    scorers[request.search] = new_scorers[request.stem]()
                results.append(scorers[request.search](request.prefixes, request.parents))
            requests = steps.send(results)
    except StopIteration as stop:
        return stop.value


def can_batch(engine: "Engine", contexts: Sequence["VideoContext"]) -> bool:
    """Whether these clips can share a pass: the family takes masks, and each clip is in one piece."""
    return family_of(engine.loaded.model).packs_rows and all(
        not isinstance(context, ChunkedContext)
        and all(type(layer) is DynamicLayer for layer in context.cache.layers)
        for context in contexts
    )


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
    model: Any, contexts: Sequence["VideoContext"], answers: Sequence[AnswerSteps]
) -> list["Answer | Exception"]:
    """Write the answers about these clips side by side; a clip may stand for several.

    What one answer raises is its result, and the others go on. Raises what a forward pass raises.
    """
    rows = {id(context): Row(context) for context in contexts}
    results: dict[int, Answer | Exception] = {}
    requests: dict[int, list[LogitsRequest]] = {}

    def advance(number: int, step: Callable[[], list[LogitsRequest]]) -> None:
        try:
            requests[number] = step()
        except StopIteration as stop:
            results[number] = stop.value
        except Exception as error:  # whoever asked gets it
            results[number] = error

    for number, steps in enumerate(answers):
        advance(number, steps.__next__)
    while requests:
        nodes = {
            number: [
                [rows[id(contexts[number])].node([*request.stem, *prefix]) for prefix in request.prefixes]
                for request in answer_requests
            ]
            for number, answer_requests in requests.items()
        }
        feed_rows(model, [row for row in rows.values() if row.unfed])
        distinct = {id(node): node for groups in nodes.values() for group in groups for node in group}
        places = {key: place for place, key in enumerate(distinct)}
        logits = model.lm_head(torch.stack([node.hidden for node in distinct.values()])).float()
        requests = {}
        for number, groups in nodes.items():
            values = [logits[[places[id(node)] for node in group]] for group in groups]
            advance(number, lambda: answers[number].send(values))  # noqa: B023  # called at once
    return [results[number] for number in range(len(answers))]


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
        self.pieces = [[(layer.keys[0], layer.values[0])] for layer in context.cache.layers]
        """By layer, keys and values [heads, columns, D] that follow each other; the first are the clip's own."""
        self.length = context.cache.get_seq_length()
        """Columns."""
        self.clip_length = self.length

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

    def keys_values(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values [heads, columns, D] of a layer."""
        if len(self.pieces[layer]) > 1:
            keys, values = zip(*self.pieces[layer], strict=True)
            self.pieces[layer] = [(torch.cat(keys, dim=1), torch.cat(values, dim=1))]
        return self.pieces[layer][0]


def feed_rows(model: Any, rows: Sequence[Row]) -> None:
    """One forward pass over what waits in these rows."""
    if not rows:
        return
    family, device = family_of(model), model.device
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

    cache = share_cache(rows[0].context.cache)
    for number, layer in enumerate(cache.layers):
        layer.keys, layer.values = _stacked([row.keys_values(number) for row in rows], longest)
    output = model.model.language_model(
        inputs_embeds=model.get_input_embeddings()(torch.from_numpy(ids).to(device)),
        position_ids=torch.from_numpy(positions).to(device).expand(3, -1, -1),
        attention_mask=family.attention_mask(torch.from_numpy(mask).to(device)),
        past_key_values=cache,
        use_cache=True,
    )
    for idx, row in enumerate(rows):
        for place, node in enumerate(row.unfed):
            node.hidden = output.last_hidden_state[idx, place]
        for pieces, layer in zip(row.pieces, cache.layers, strict=True):
            if len(rows) == 1:  # what the pass has joined is kept as it is
                pieces[:] = [(layer.keys[0], layer.values[0])]
            else:
                new = slice(longest, longest + len(row.unfed))
                pieces.append((layer.keys[idx, :, new].clone(), layer.values[idx, :, new].clone()))
        row.length += len(row.unfed)
        row.unfed = []


def _stacked(
    keys_values: Sequence[tuple[torch.Tensor, torch.Tensor]], longest: int
) -> tuple[torch.Tensor, ...]:
    """Keys and values [R, heads, K, D] of rows, filled up to the longest with columns that nothing sees."""
    if len(keys_values) == 1:
        return tuple(part[None] for part in keys_values[0])
    stacked = []
    for parts in zip(*keys_values, strict=True):
        whole = parts[0].new_zeros(len(parts), parts[0].shape[0], longest, parts[0].shape[-1])
        for row, part in zip(whole, parts, strict=True):
            row[:, : part.shape[1]] = part
        stacked.append(whole)
    return tuple(stacked)
