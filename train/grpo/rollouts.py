"""Rollouts: G answers sampled behind one encoded prompt, with the log-probabilities they were drawn with.

The prompt is encoded once. Answers that begin alike are one row until they part, so that the first token of the whole
group costs one row; a finished answer costs nothing more. Log-probabilities are those of the distribution that was
sampled: at the temperature, renormalised over what the grammar allows, 0 where it leaves no choice.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tempo_core.answers import AnswerError, write_answer
from tempo_core.decoding import CachedScorer, Scorer
from tempo_core.errors import Cancelled, CheckpointError
from tempo_core.grammar import AnswerGrammar, GrammarState
from tempo_core.memory import PREFILL_TOKENS
from tempo_core.prompt import IM_END, IMAGE_PAD, special_id
from train.data.encoding import Encoded
from train.grpo.group_forward import Completion, Options, unwrapped

VIDEO_PAD = "<|video_pad|>"


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled answer."""

    completion: Completion
    logprobs: tuple[float, ...]
    """Per token, of the distribution it was drawn from; 0 where there was no choice."""
    text: str
    """Without the closing <|im_end|>."""


@dataclass(frozen=True, slots=True)
class _Branch:
    """Answers that are equal so far."""

    members: tuple[int, ...]
    state: GrammarState | None
    """None: free text."""
    ids: tuple[int, ...] = ()
    options: tuple[Options, ...] = ()
    logprobs: tuple[float, ...] = ()

    def grow(self, token: int, options: Options, logprob: float, **changed: Any) -> "_Branch":
        return _Branch(
            members=changed.get("members", self.members),
            state=changed.get("state", self.state),
            ids=(*self.ids, token),
            options=(*self.options, options),
            logprobs=(*self.logprobs, logprob),
        )


@torch.no_grad()
def prefill(
    model: Any, encoded: Encoded, visual_tokens: Tensor, *, cancel: threading.Event | None = None
) -> CachedScorer:
    """The prompt in a cache, ready to be continued. The model must be in eval mode.

    Raises Cancelled between pieces.
    """
    from transformers import DynamicCache

    base = unwrapped(model)
    ids = torch.tensor(encoded.prompt_ids, device=base.device)
    embedded = base.get_input_embeddings()(ids)
    embedded[ids == base.config.image_token_id] = visual_tokens.to(embedded.dtype)
    positions = torch.from_numpy(encoded.positions(len(ids))).to(base.device)[:, None]
    cache = DynamicCache(config=base.config.get_text_config())
    for start in range(0, len(ids), PREFILL_TOKENS):
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped while reading the video.")
        piece = slice(start, start + PREFILL_TOKENS)
        output = base.model.language_model(
            inputs_embeds=embedded[None, piece],
            position_ids=positions[:, :, piece],
            past_key_values=cache,
            use_cache=True,
        )
    logits = base.lm_head(output.last_hidden_state[:, -1]).float()
    return CachedScorer(base, cache, logits, int(positions.max()) + 1)


@torch.no_grad()
def sample_group(
    scorer: Scorer,
    encoded: Encoded,
    tokenizer: Any,
    rng: np.random.Generator,
    *,
    num_generations: int,
    temperature: float = 1.0,
    constrained: bool = True,
    max_new_tokens: int = 256,
    cancel: threading.Event | None = None,
) -> list[Rollout]:
    """`num_generations` answers behind a prefilled prompt; equal generators give equal answers.

    Free answers end at <|im_end|> or the tokenizer's end, or are cut at `max_new_tokens`. Raises Cancelled between
    tokens, CheckpointError when the model's numbers are not finite.
    """
    grammar = encoded.video.grammar if constrained else None
    stop = {special_id(tokenizer, IM_END), tokenizer.eos_token_id}
    pictures = [special_id(tokenizer, token) for token in (IMAGE_PAD, VIDEO_PAD)]
    live = [_Branch(tuple(range(num_generations)), GrammarState() if grammar else None)]
    parents, ended = [0], list[_Branch]()
    while live:
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped while sampling answers.")
        live, parents, settled = _settle(_follow(grammar, live), parents)
        ended += [_finish(grammar, branch) for branch in settled]
        if not live:
            break
        logits = scorer([branch.ids for branch in live], parents)
        draws = rng.random(num_generations)
        grown = [
            (each, row)
            for row, branch in enumerate(live)
            for each in _part(branch, logits[row], grammar, draws, temperature, pictures)
        ]
        done = [_done(each, stop, max_new_tokens) for each, _ in grown]
        ended += [_finish(grammar, each) for (each, _), over in zip(grown, done, strict=True) if over]
        live = [each for (each, _), over in zip(grown, done, strict=True) if not over]
        parents = [row for (_, row), over in zip(grown, done, strict=True) if not over]
    found = {member: branch for branch in ended for member in branch.members}
    return [_rollout(found[member], grammar, tokenizer, stop) for member in range(num_generations)]


def refusal_rollout(encoded: Encoded) -> Rollout:
    """The refusal as if it had been sampled under the grammar, with certainty."""
    grammar = encoded.video.grammar
    start = GrammarState()
    branch = _Branch((0,), start).grow(
        grammar.refusal_token,
        tuple(grammar.options(start)),
        0.0,
        state=grammar.advance(start, grammar.refusal_token),
    )
    return _rollout(_finish(grammar, branch), grammar, None, set())


def distinct(rollouts: Sequence[Rollout]) -> tuple[list[Rollout], list[int]]:
    """The different answers of a group, in order, and for each rollout which of them it is."""
    where: dict[tuple[int, ...], int] = {}
    kept: list[Rollout] = []
    for rollout in rollouts:
        if rollout.completion.ids not in where:
            where[rollout.completion.ids] = len(kept)
            kept.append(rollout)
    return kept, [where[rollout.completion.ids] for rollout in rollouts]


def _part(
    branch: _Branch,
    logits: Tensor,
    grammar: AnswerGrammar | None,
    draws: Any,
    temperature: float,
    pictures: Sequence[int],
) -> list[_Branch]:
    """The branch with one more token: one branch for every token that one of its members drew."""
    options = None if grammar is None or branch.state is None else tuple(grammar.options(branch.state))
    scaled = (logits if options is None else logits[list(options)]).double() / temperature
    if options is None:
        scaled[list(pictures)] = float("-inf")
    logprobs = scaled.log_softmax(-1).cpu().numpy()
    if not np.isfinite(logprobs.max()):
        raise CheckpointError(
            "The model's numbers are not finite: its weights are damaged, or the learning rate was too high."
        )
    edges = np.exp(logprobs).cumsum()
    picks = np.minimum(np.searchsorted(edges, draws * edges[-1], side="right"), len(edges) - 1)
    out = []
    for pick in sorted({int(picks[member]) for member in branch.members}):
        members = tuple(member for member in branch.members if picks[member] == pick)
        token = pick if options is None else options[pick]
        state = None if grammar is None or branch.state is None else grammar.advance(branch.state, token)
        out.append(branch.grow(token, options, float(logprobs[pick]), members=members, state=state))
    return out


def _follow(grammar: AnswerGrammar | None, live: list[_Branch]) -> list[_Branch]:
    """The branches with the tokens that every one of them must say next; they stay equally long."""
    if grammar is None:
        return live
    while all(
        branch.state is not None and branch.state.choice != "done" and len(grammar.options(branch.state)) == 1
        for branch in live
    ):
        live = [_append(grammar, branch) for branch in live]
    return live


def _settle(live: list[_Branch], parents: list[int]) -> tuple[list[_Branch], list[int], list[_Branch]]:
    """The branches that still have a choice, with their rows, and those that have none left."""
    over = [branch.state is not None and branch.state.choice == "done" for branch in live]
    going = [(branch, row) for branch, row, done in zip(live, parents, over, strict=True) if not done]
    settled = [branch for branch, done in zip(live, over, strict=True) if done]
    return [branch for branch, _ in going], [row for _, row in going], settled


def _append(grammar: AnswerGrammar, branch: _Branch) -> _Branch:
    if branch.state is None:
        raise AnswerError("Free text has no token that must follow.")
    token = grammar.options(branch.state)[0]
    return branch.grow(token, (token,), 0.0, state=grammar.advance(branch.state, token))


def _done(branch: _Branch, stop: set[int], max_new_tokens: int) -> bool:
    if branch.state is not None:
        return branch.state.choice == "done"
    return branch.ids[-1] in stop or len(branch.ids) >= max_new_tokens


def _finish(grammar: AnswerGrammar | None, branch: _Branch) -> _Branch:
    """A branch that has nothing left to choose, to its end."""
    while grammar is not None and branch.state is not None and not branch.state.done:
        branch = _append(grammar, branch)
    return branch


def _rollout(branch: _Branch, grammar: AnswerGrammar | None, tokenizer: Any, stop: set[int]) -> Rollout:
    if grammar is not None and branch.state is not None:
        text = write_answer(branch.state.pairs, grammar.stamps)
    else:
        ids = branch.ids[:-1] if branch.ids[-1] in stop else branch.ids
        text = tokenizer.decode(ids)
    return Rollout(Completion(branch.ids, branch.options), branch.logprobs, text)
