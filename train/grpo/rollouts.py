"""Rollouts: G answers sampled behind one encoded prompt, with the log-probabilities they were drawn with.

The prompt is encoded once. Answers that begin alike are one row until they part, so that the first token of the whole
group costs one row; a finished answer costs nothing more. Log-probabilities are those of the distribution that was
sampled: at the temperature, renormalised over what the grammar allows, 0 where it leaves no choice.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tempo_core.decoding import CachedScorer, Scorer, read_prompt
from tempo_core.errors import Cancelled, CheckpointError
from tempo_core.grammar import AnswerGrammar, GrammarState
from tempo_core.protocols.base import IM_END, IMAGE_PAD, VIDEO_PAD, special_id
from train.config import PirGrpoConfig
from train.data.encoding import Encoded
from train.grpo.group_forward import Completion, Options
from train.trainer import unwrapped


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled answer."""

    completion: Completion
    logprobs: tuple[float, ...]
    """Per token, of the distribution it was drawn from; 0 where there was no choice."""
    text: str
    """Without the closing <|im_end|>; under the grammar in its usual spelling."""


@dataclass(frozen=True, slots=True)
class _Branch:
    """Answers that are equal so far."""

    rollout_idx: tuple[int, ...]
    """The rollouts that begin like this."""
    state: GrammarState | None
    """None: free text."""
    ids: tuple[int, ...] = ()
    options: tuple[Options, ...] = ()
    logprobs: tuple[float, ...] = ()

    def grow(self, token: int, options: Options, logprob: float, **changes: Any) -> "_Branch":
        """One token longer."""
        return replace(
            self,
            ids=(*self.ids, token),
            options=(*self.options, options),
            logprobs=(*self.logprobs, logprob),
            **changes,
        )

    def is_forced(self, grammar: AnswerGrammar) -> bool:
        """Whether only one token may follow."""
        return (
            self.state is not None and self.state.choice != "done" and len(grammar.options(self.state)) == 1
        )

    def grow_forced(self, grammar: AnswerGrammar) -> "_Branch":
        """Longer by the only token that the grammar allows."""
        assert self.state is not None
        token = grammar.options(self.state)[0]
        return self.grow(token, (token,), 0.0, state=grammar.advance(self.state, token))

    def is_over(self, stop_ids: set[int], max_new_tokens: int) -> bool:
        """Whether nothing is left to choose."""
        if self.state is not None:
            return self.state.choice == "done"
        return bool(self.ids) and (self.ids[-1] in stop_ids or len(self.ids) >= max_new_tokens)

    def to_rollout(self, grammar: AnswerGrammar | None, tokenizer: Any, stop_ids: set[int]) -> Rollout:
        """The whole answer of a branch that is over, with the forced tokens that close it."""
        if grammar is None or self.state is None:
            ids = self.ids[:-1] if self.ids[-1] in stop_ids else self.ids
            return Rollout(Completion(self.ids, self.options), self.logprobs, tokenizer.decode(ids))
        branch, state = self, self.state
        while not state.done:
            branch = branch.grow_forced(grammar)
            assert branch.state is not None
            state = branch.state
        named = [(grammar.stamps[start], grammar.stamps[end]) for start, end in state.pairs]
        return Rollout(Completion(branch.ids, branch.options), branch.logprobs, grammar.form.write(named))


@torch.no_grad()
def prefill(
    model: Any, encoded: Encoded, visual_tokens: Tensor, *, cancel: threading.Event | None = None
) -> CachedScorer:
    """The prompt in a cache, ready to be continued. The model must be in eval mode.

    Raises Cancelled between pieces.
    """
    base = unwrapped(model)
    ids = encoded.prompt_ids
    positions = encoded.positions(len(ids))
    cache, hidden = read_prompt(base, ids, positions, visual_tokens, cancel=cancel)
    return CachedScorer(base, cache, base.lm_head(hidden).float(), int(positions.max()) + 1)


@torch.no_grad()
def sample_group(
    scorer: Scorer,
    encoded: Encoded,
    tokenizer: Any,
    rng: np.random.Generator,
    config: PirGrpoConfig,
    *,
    cancel: threading.Event | None = None,
) -> list[Rollout]:
    """`config.num_generations` answers behind a prefilled prompt; equal generators give equal answers.

    Free answers end at <|im_end|> or the tokenizer's end, or are cut at `config.max_new_tokens`. Raises Cancelled
    between tokens, CheckpointError when the model's numbers are not finite.
    """
    num_generations, max_new_tokens = config.num_generations, config.max_new_tokens
    grammar = encoded.video.grammar if config.constrained else None
    stop_ids = {special_id(tokenizer, IM_END), tokenizer.eos_token_id}
    vision_ids = [special_id(tokenizer, token) for token in (IMAGE_PAD, VIDEO_PAD)]
    rollouts: dict[int, Rollout] = {}

    def unfinished(branches: list[tuple[_Branch, int]]) -> list[tuple[_Branch, int]]:
        """The branches that go on; the finished ones become rollouts."""
        for branch, _ in branches:
            if branch.is_over(stop_ids, max_new_tokens):
                rollout = branch.to_rollout(grammar, tokenizer, stop_ids)
                rollouts.update(dict.fromkeys(branch.rollout_idx, rollout))
        return [(branch, row) for branch, row in branches if not branch.is_over(stop_ids, max_new_tokens)]

    # each branch with the scorer's row that it goes on from
    branches = [(_Branch(tuple(range(num_generations)), GrammarState() if grammar else None), 0)]
    while branches:
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped while sampling answers.")

        # while every branch has only one token to say, it says it; so they stay equally long
        while grammar is not None and all(branch.is_forced(grammar) for branch, _ in branches):
            branches = [(branch.grow_forced(grammar), row) for branch, row in branches]
        branches = unfinished(branches)
        if not branches:
            break

        # draw a token for every rollout; a branch parts into one for each token that its rollouts drew
        logits = scorer([branch.ids for branch, _ in branches], [row for _, row in branches])
        draws = rng.random(num_generations)
        branches = unfinished(
            [
                (child, row)
                for row, (branch, _) in enumerate(branches)
                for child in _split(branch, logits[row], grammar, draws, config.temperature, vision_ids)
            ]
        )
    return [rollouts[idx] for idx in range(num_generations)]


def refusal_rollout(encoded: Encoded) -> Rollout:
    """The refusal as if it had been sampled under the grammar, with certainty. Raises AnswerError where the protocol
    has none."""
    grammar, state = encoded.video.grammar, GrammarState()
    branch = _Branch((0,), state)
    for token in grammar.refusal_ids:
        options, state = tuple(grammar.options(state)), grammar.advance(state, token)
        branch = branch.grow(token, options, 0.0, state=state)
    return branch.to_rollout(grammar, None, set())


def distinct(rollouts: Sequence[Rollout]) -> tuple[list[Rollout], list[int]]:
    """The different answers of a group, in order, and for each rollout which of them it is."""
    idx_by_ids: dict[tuple[int, ...], int] = {}
    answers: list[Rollout] = []
    for rollout in rollouts:
        if rollout.completion.ids not in idx_by_ids:
            idx_by_ids[rollout.completion.ids] = len(answers)
            answers.append(rollout)
    return answers, [idx_by_ids[rollout.completion.ids] for rollout in rollouts]


def _split(
    branch: _Branch,
    logits: Tensor,
    grammar: AnswerGrammar | None,
    draws: npt.NDArray[np.float64],
    temperature: float,
    vision_ids: Sequence[int],
) -> list[_Branch]:
    """The branch with one more token: one branch for every token that one of its rollouts drew."""
    options = None if grammar is None or branch.state is None else tuple(grammar.options(branch.state))
    scaled = (logits if options is None else logits[list(options)]).double() / temperature
    if options is None:
        scaled[list(vision_ids)] = float("-inf")
    logprobs = scaled.log_softmax(-1).cpu().numpy()
    if not np.isfinite(logprobs.max()):
        raise CheckpointError(
            "The model's numbers are not finite: its weights are damaged, or the learning rate was too high."
        )
    edges = np.exp(logprobs).cumsum()
    # the last edge is 1 but for rounding; a draw beyond it is the last option
    picks = np.minimum(np.searchsorted(edges, draws * edges[-1], side="right"), len(edges) - 1)
    children = []
    for pick in sorted({int(picks[idx]) for idx in branch.rollout_idx}):
        rollout_idx = tuple(idx for idx in branch.rollout_idx if picks[idx] == pick)
        token = pick if options is None else options[pick]
        state = None if grammar is None or branch.state is None else grammar.advance(branch.state, token)
        logprob = float(logprobs[pick])
        children.append(branch.grow(token, options, logprob, rollout_idx=rollout_idx, state=state))
    return children
