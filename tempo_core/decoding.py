"""Answers token by token: one beam search for greedy and n-best, over a scorer that reuses a cache, over one that does
not, or beside other answers that share forward passes of the language model.

`beam_search` of width 1 is greedy decoding. Stretches where the grammar leaves no choice cost no model call: their
tokens are fed together with the next choice. Probabilities are renormalised over what the grammar allows, so
that those of all answers sum to one.

Every way to decode is a generator: it yields the beginnings whose logits it needs next. A `Decoding` runs one.

    best = Decoding(beam_search(grammar)).run(scorer)[0]             # by itself
    answers = ask_batch(engine, contexts, "a red circle appears")    # one question to several clips
    answers = engine.ask_many(context, ["a red circle", "a dog"])    # several questions to one clip

An answer is written by a generator (`Engine._answer`) that waits for one `Decoding` after the other. What the decodings
of all answers need next is one pass: every encoded clip is a row, and whatever was fed behind it is a tree of tokens. A
mask shows each token the clip and its own ancestors, so that questions and beams never copy the clip's keys and values,
and what two of them share is fed once. The plain twin is `answer_by_itself`, one question and one decoding at a time.
Legend: R rows of a pass, K columns of the longest row, Q tokens that are fed to a row, W width, V vocabulary.
"""

import copy
import math
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from tempo_core.errors import Cancelled, CheckpointError
from tempo_core.families import family_of
from tempo_core.grammar import AnswerGrammar, GrammarState
from tempo_core.memory import PREFILL_TOKENS
from tempo_core.positions import next_position
from tempo_core.protocols.base import IMAGE_PAD, VIDEO_PAD, special_id
from tempo_core.vision import image_inputs

if TYPE_CHECKING:
    from tempo_core.context import VideoContext, VideoPrompt
    from tempo_core.engine import Answer, Engine
    from tempo_core.loading import LoadedModel
    from tempo_core.video import SampledVideo

T = TypeVar("T")
ROOM = 1e-9
"""Beams whose log-probabilities differ by less are ordered by their tokens, so that order never depends on chance."""


Steps = Generator[tuple[Sequence[Sequence[int]], Sequence[int]], torch.Tensor, T]
"""Yields (prefixes, parents) as a Scorer takes them, is sent what it returns, and ends in a T."""


class Scorer(Protocol):
    """Logits of the next token after each of several beginnings of an answer."""

    def __call__(self, prefixes: Sequence[Sequence[int]], parents: Sequence[int]) -> torch.Tensor:
        """Logits float32[B, V]. `parents[b]` is the row of the call before that prefix b continues; prefixes
        have one length."""


class Decoding:
    """One decoding under way: the logits that it needs next, and its result once it is over."""

    def __init__(
        self, steps: Steps[Any], stem: Sequence[int] = (), tokens: Sequence[int] | None = None
    ) -> None:
        """`stem` are the token ids between the clip and what it decodes, `tokens` those whose logits it reads (None:
        all)."""
        self.stem, self.tokens = stem, tokens
        self.prefixes: Sequence[Sequence[int]] = ()
        """B beginnings behind the stem whose next logits it needs; none once it is over."""
        self.parents: Sequence[int] = ()
        """The row of the request before that each of them continues."""
        self.is_over, self.result = False, None
        self._steps = steps
        self.send(None)

    def send(self, logits: torch.Tensor | None) -> None:
        """Go on with the logits float32[B, V] of its prefixes; None: begin. Raises what the decoding raises."""
        try:
            self.prefixes, self.parents = next(self._steps) if logits is None else self._steps.send(logits)
        except StopIteration as stop:
            self.prefixes, self.is_over, self.result = (), True, stop.value

    def run(self, scorer: Scorer) -> Any:
        """Decode to the end with a scorer behind the stem; returns the result."""
        while not self.is_over:
            self.send(scorer(self.prefixes, self.parents))
        return self.result


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """An answer or its beginning."""

    state: GrammarState
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Log-probability of each id under the grammar; 0 where there was no choice."""

    @property
    def logprob(self) -> float:
        return sum(self.logprobs)


class CachedScorer:
    """Next-token logits behind a cached prompt. The cache that it is given is never changed."""

    def __init__(
        self,
        model: Any,
        cache: Any,
        logits: torch.Tensor,
        position: int,
        tokens: Sequence[int] | None = None,
    ) -> None:
        """`logits` [1, V] are those after the prompt's last token, `position` is the next token's; `tokens` as
        `token_logits` takes them."""
        self._model, self._cache, self._position = model, share_cache(cache), position
        self._tokens = tokens
        self._logits, self._n_fed, self._rows = logits, 0, 1

    def __call__(self, prefixes: Sequence[Sequence[int]], parents: Sequence[int]) -> torch.Tensor:
        if list(parents) != list(range(self._rows)):
            self._cache.reorder_cache(torch.tensor(parents, device=self._logits.device))
            self._logits = self._logits[list(parents)]
        self._rows = len(prefixes)
        pending = [list(prefix[self._n_fed :]) for prefix in prefixes]
        if pending[0]:
            start = self._position + self._n_fed
            self._logits = feed(self._model, torch.tensor(pending), start, self._cache, self._tokens)
            self._n_fed += len(pending[0])
        return self._logits


def plain_scorer(
    loaded: "LoadedModel", video: "SampledVideo", prompt: "VideoPrompt", question_ids: Sequence[int]
) -> Scorer:
    """The plain twin of `CachedScorer`: the model's own forward over pixels, prompt, question and prefix, whole, for
    every token. No cache, no batching; positions are the model's own but behind a video block. Slow, for tests and
    benchmarks."""
    model, per_unit = loaded.model, prompt.frames_per_unit
    pixels, grids = image_inputs(
        model, video.frames, prompt.allocation.sizes_px, loaded.normaliser, frames_per_unit=per_unit
    )
    kind, pad = ("image", IMAGE_PAD) if per_unit == 1 else ("video", VIDEO_PAD)
    vision = {"pixel_values" if per_unit == 1 else "pixel_values_videos": pixels, f"{kind}_grid_thw": grids}

    def score(prefixes: Sequence[Sequence[int]], parents: Sequence[int]) -> torch.Tensor:
        logits = []
        for prefix in prefixes:
            input_ids = torch.tensor([[*prompt.ids, *question_ids, *prefix]], device=model.device)
            types = (input_ids == special_id(loaded.tokenizer, pad)).int() * per_unit
            if loaded.protocol.layout == "video":  # transformers' own are not those of training, see families
                text = next_position(prompt.positions) + np.arange(input_ids.shape[1] - len(prompt.ids))
                all_positions = np.concatenate(
                    [prompt.positions, np.broadcast_to(text, (3, len(text)))], axis=1
                )
                positions = torch.from_numpy(all_positions)[:, None].to(model.device)
            else:
                positions, _ = model.model.get_rope_index(input_ids, types, **{f"{kind}_grid_thw": grids})
            output = model(
                input_ids=input_ids,
                mm_token_type_ids=types,
                position_ids=positions,
                use_cache=False,
                logits_to_keep=1,
                **vision,
            )
            logits.append(output.logits[:, -1].float())
        return torch.cat(logits)

    return score


def read_prompt(
    model: Any,
    ids: Sequence[int],
    positions: npt.NDArray[np.int64],
    visual_tokens: torch.Tensor,
    *,
    cancel: threading.Event | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[Any, torch.Tensor]:
    """A prompt of L ids through the language model: its cache, and the last hidden state [1, W].

    `positions` int64[3, L]; `visual_tokens` [N, (1 + K) W] of `encode_frames` take the placeholders' places. The cache
    is filled piece by piece, so that a person can stop in between. Raises Cancelled between pieces.
    """
    from tempo_core.prompt_cache import grow_from, sized_cache

    family, config = family_of(model), model.config
    input_ids = torch.tensor(ids, device=model.device)
    embeddings = model.get_input_embeddings()(input_ids)
    is_visual = (input_ids == config.image_token_id) | (input_ids == config.video_token_id)
    visual_tokens = visual_tokens.to(embeddings)
    width = embeddings.shape[-1]
    embeddings[is_visual] = visual_tokens[:, :width]
    mrope = torch.from_numpy(positions).to(model.device)[:, None]

    cache = sized_cache(config.get_text_config(), len(ids))
    # equal pieces: a short last one would cost as much as a long one where weights are unpacked for it
    n_pieces = max(1, math.ceil(len(ids) / PREFILL_TOKENS))
    length = math.ceil(len(ids) / n_pieces)
    n_seen = 0
    for start in range(0, len(ids), length):
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped while reading the video.")
        piece = slice(start, start + length)
        n_visual = int(is_visual[piece].sum())
        features = visual_tokens[n_seen : n_seen + n_visual, width:]
        n_seen += n_visual
        output = model.model.language_model(
            inputs_embeds=embeddings[None, piece],
            position_ids=mrope[:, :, piece],
            past_key_values=cache,
            use_cache=True,
            **family.language_inputs(is_visual[None, piece], features, width),
        )
        if on_progress is not None:
            on_progress(min(1.0, piece.stop / len(ids)))
    return grow_from(cache), output.last_hidden_state[:, -1]


def feed(
    model: Any, ids: torch.Tensor, start: int, cache: Any, tokens: Sequence[int] | None = None
) -> torch.Tensor:
    """Text ids [B, N] behind the cache, which grows; logits float32[B, V] after the last. `start` is their
    position, `tokens` as `token_logits` takes them."""
    ids = ids.to(model.device)
    positions = torch.arange(start, start + ids.shape[1], device=ids.device).expand(3, ids.shape[0], -1)
    output = model.model.language_model(
        inputs_embeds=model.get_input_embeddings()(ids),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    )
    return token_logits(model, output.last_hidden_state[:, -1], tokens)


def token_logits(model: Any, hidden: torch.Tensor, tokens: Sequence[int] | None = None) -> torch.Tensor:
    """Logits float32[B, V] after hidden states [B, W]. `tokens` are the ids whose logits are read (None: all).

    A CPU rounds the logits of a model in bfloat16 to 8 bits, too few to tell an answer's tokens apart. There those of
    `tokens` are computed in float32, and all others are -inf; a head with an adapter is called as it is.
    """
    head = model.lm_head
    is_rounded = hidden.device.type == "cpu" and hidden.dtype == torch.bfloat16
    if tokens is None or not is_rounded or type(head) is not nn.Linear:
        return head(hidden).float()
    ids = torch.tensor(tokens)
    logits = torch.full((len(hidden), head.out_features), -torch.inf)
    logits[:, ids] = F.linear(hidden.float(), head.weight[ids].float())
    return logits


def logits_after(prefix: Sequence[int]) -> Steps[torch.Tensor]:
    """The logits float32[V] after one beginning."""
    return (yield [prefix], [0])[0]


def decode_freely(
    *, stop: Sequence[int], max_new_tokens: int, cancel: threading.Event | None = None
) -> Steps[tuple[list[int], list[float]]]:
    """Greedy decoding without the grammar: ids and their log-probabilities, up to a `stop` token (left out) or
    the limit. Raises Cancelled."""
    ids: list[int] = []
    logprobs: list[float] = []
    while len(ids) < max_new_tokens:
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped while answering.")
        logits = yield [ids], [0]
        scores = torch.log_softmax(logits[0].double(), dim=-1)
        token = int(scores.argmax())
        if token in stop:
            break
        ids.append(token)
        logprobs.append(float(scores[token]))
    return ids, logprobs


def share_cache(cache: Any) -> Any:
    """A cache that continues another one without changing it.

    A DynamicCache grows by making new tensors, so that sharing the old ones costs nothing; a test holds it to that.
    Layers of linear attention overwrite their states, which are small and do not grow: they are copied.
    """
    twin = copy.copy(cache)
    twin.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in twin.layers:
        for name, states in list(vars(layer).items()):
            if isinstance(states, dict):  # by state: tensors, or what is known of them
                vars(layer)[name] = {
                    idx: state.clone() if isinstance(state, torch.Tensor) else state
                    for idx, state in states.items()
                }
    return twin


def cache_bytes(cache: Any) -> int:
    """What a cache holds: keys and values, and the states of linear attention."""
    tensors = [
        tensor
        for layer in cache.layers
        for value in vars(layer).values()
        for tensor in (value.values() if isinstance(value, dict) else [value])
        if isinstance(tensor, torch.Tensor)
    ]
    return sum(tensor.nbytes for tensor in tensors)


def beam_search(
    grammar: AnswerGrammar,
    *,
    width: int = 1,
    opened: Hypothesis | None = None,
    cancel: threading.Event | None = None,
) -> Steps[list[Hypothesis]]:
    """The most probable complete answers found with `width` beams, best first, at most `width` of them.

    `opened` is where to begin (default: nowhere). Raises Cancelled between steps when `cancel` is set,
    CheckpointError when the model's numbers are not finite.
    """
    beams, parents = [opened or Hypothesis(GrammarState(), (), ())], [0]
    finished: list[Hypothesis] = []
    while beams:
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped while answering.")
        # Tokens that every beam must say next cost no model call; the beams stay equally long.
        while all(beam.state.choice != "done" and len(grammar.options(beam.state)) == 1 for beam in beams):
            tokens = [grammar.options(beam.state)[0] for beam in beams]
            beams = [
                Hypothesis(grammar.advance(beam.state, token), (*beam.ids, token), (*beam.logprobs, 0.0))
                for beam, token in zip(beams, tokens, strict=True)
            ]
        complete = [beam for beam in beams if beam.state.choice == "done"]
        rows = [row for row, beam in enumerate(beams) if beam.state.choice != "done"]
        beams, parents = [beams[row] for row in rows], [parents[row] for row in rows]
        if beams:
            # Every allowed continuation by one token: (order, ids, row of its beam, log-probability of the token).
            logits = yield [beam.ids for beam in beams], parents
            continuations: list[tuple[int, tuple[int, ...], int, float]] = []
            for row, beam in enumerate(beams):
                options = grammar.options(beam.state)
                logprobs = torch.log_softmax(logits[row, options].double(), dim=-1).tolist()
                if not all(value == value for value in logprobs):
                    raise CheckpointError(
                        "The model's numbers are not finite: its weights are damaged. Copy or download them "
                        "again."
                    )
                sum_logprob = beam.logprob
                continuations += [
                    (-round((sum_logprob + logprob) / ROOM), (*beam.ids, token), row, logprob)
                    for token, logprob in zip(options, logprobs, strict=True)
                ]
            # The best `width` open beams go on; complete answers before the last of them are finished.
            parent_beams, beams, parents = beams, [], []
            for _, ids, row, logprob in sorted(continuations):
                parent = parent_beams[row]
                state = grammar.advance(parent.state, ids[-1])
                beam = Hypothesis(state, ids, (*parent.logprobs, logprob))
                if state.choice == "done":
                    complete.append(beam)
                    continue
                beams.append(beam)
                parents.append(row)
                if len(beams) == width:
                    break
        for beam in complete:
            closing = beam.state.forced
            state = replace(beam.state, forced=(), position=beam.state.position + len(closing))
            certain = (0.0,) * len(closing)
            finished.append(Hypothesis(state, (*beam.ids, *closing), (*beam.logprobs, *certain)))
        finished.sort(key=lambda beam: (-round(beam.logprob / ROOM), beam.ids))
        finished = finished[:width]
        if len(finished) == width and beams and finished[-1].logprob >= beams[0].logprob:
            break
    return finished


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
