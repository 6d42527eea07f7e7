"""The answer grammar on tokens: which token ids may follow, for any tokenizer and any video's stamps.

A small automaton over the pieces of `answers.answer_pieces`, each tokenised on its own, closed by <|im_end|>.
It lets through exactly the writable answers: the refusal, or moments in time order whose start is never the
end stamp, whose end comes after its start, and whose start comes after the end before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tempo_core.answers import CLOSING, MAX_MOMENTS, NEXT, OPENING, REFUSAL, SPACE, TO, AnswerError
from tempo_core.prompt import IM_END, plain_ids, special_id

Choice = Literal["opening", "start", "end", "joint", "done"]


@dataclass(frozen=True, slots=True)
class GrammarState:
    """Where in an answer the decoder stands. Immutable, so that beams share it."""

    forced: tuple[int, ...] = ()
    """Tokens that must come before the next choice."""
    choice: Choice = "opening"
    candidates: tuple[int, ...] = ()
    """Stamp indices that agree with the tokens of the stamp so far."""
    depth: int = 0
    """Tokens of the current stamp that are already there."""
    start_idx: int = -1
    pairs: tuple[tuple[int, int], ...] = ()
    """Moments that are complete, as stamp indices."""

    @property
    def done(self) -> bool:
        """Whether the answer is complete, its closing token included."""
        return self.choice == "done" and not self.forced


class AnswerGrammar:
    """The answers that can be given about one video, as an automaton over token ids."""

    def __init__(
        self,
        tokenizer: Any,
        stamps: Sequence[str],
        *,
        max_moments: int = MAX_MOMENTS,
        max_new_tokens: int | None = None,
    ) -> None:
        """`max_new_tokens` (the checkpoint's longest answer) lowers `max_moments` to what fits, at least one."""
        self.stamps = list(stamps)
        self._stamp_ids = [tuple(plain_ids(tokenizer, stamp)) for stamp in self.stamps]
        pieces = {
            text: tuple(plain_ids(tokenizer, text)) for text in (REFUSAL, OPENING, TO, NEXT, CLOSING, SPACE)
        }
        end = (special_id(tokenizer, IM_END),)
        self._refusal = (*pieces[REFUSAL], *end)
        self._opening = (*pieces[OPENING], *pieces[SPACE])
        self._to = (*pieces[TO], *pieces[SPACE])
        self._next = (*pieces[NEXT], *pieces[SPACE])
        self._closing = (*pieces[CLOSING], *end)
        self.opening_token, self.refusal_token = self._opening[0], self._refusal[0]
        longest_stamp = max(len(ids) for ids in self._stamp_ids)
        self.moment_tokens = max(len(self._opening), len(self._next)) + len(self._to) + 2 * longest_stamp
        """Tokens of the longest moment with the words around it."""
        if max_new_tokens is not None:
            max_moments = min(max_moments, max(1, (max_new_tokens - 2) // self.moment_tokens))
        self.max_moments = max_moments

    def options(self, state: GrammarState) -> list[int]:
        """The token ids that may come next, sorted; none when the answer is complete."""
        if state.forced:
            return [state.forced[0]]
        if state.choice == "opening":
            return sorted({self.opening_token, self.refusal_token})
        if state.choice == "joint":
            # Another moment needs two stamps behind the last one.
            has_room = len(state.pairs) < self.max_moments and state.pairs[-1][1] + 2 < len(self.stamps)
            return sorted({self._closing[0], self._next[0]}) if has_room else [self._closing[0]]
        return sorted({self._stamp_ids[idx][state.depth] for idx in state.candidates})

    def advance(self, state: GrammarState, token: int) -> GrammarState:
        """The state after one more token. Raises AnswerError when the grammar does not allow it."""
        if token not in self.options(state):
            raise AnswerError(
                f"Token {token} cannot follow here; the grammar allows {self.options(state)[:8]}."
            )
        if state.forced:
            return replace(state, forced=state.forced[1:])
        if state.choice == "opening" and token == self.refusal_token:
            return GrammarState(forced=self._refusal[1:], choice="done")
        if state.choice == "joint" and token == self._closing[0]:
            return replace(state, forced=self._closing[1:], choice="done")
        if state.choice in ("opening", "joint"):
            words = self._opening if state.choice == "opening" else self._next
            first = state.pairs[-1][1] + 1 if state.pairs else 0
            starts = tuple(range(first, len(self.stamps) - 1))
            return replace(state, forced=words[1:], choice="start", candidates=starts, depth=0)
        # Inside a start or end stamp.
        candidates = tuple(idx for idx in state.candidates if self._stamp_ids[idx][state.depth] == token)
        depth, idx = state.depth + 1, candidates[0]
        if depth < len(self._stamp_ids[idx]):
            return replace(state, candidates=candidates, depth=depth)
        if state.choice == "start":
            ends = tuple(range(idx + 1, len(self.stamps)))
            return replace(state, forced=self._to, choice="end", candidates=ends, depth=0, start_idx=idx)
        return GrammarState(choice="joint", pairs=(*state.pairs, (state.start_idx, idx)))

    def replay(self, ids: Sequence[int]) -> GrammarState:
        """The state after the ids. Raises AnswerError where they leave the grammar."""
        state = GrammarState()
        for token in ids:
            state = self.advance(state, int(token))
        return state

    def stamp_spans(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[range, range]]:
        """For each moment, the positions of its start's and its end's tokens within the answer's ids."""
        spans, position = [], 0
        for n, (start, end) in enumerate(pairs):
            position += len(self._next if n else self._opening)
            start_span = range(position, position + len(self._stamp_ids[start]))
            position = start_span.stop + len(self._to)
            end_span = range(position, position + len(self._stamp_ids[end]))
            position = end_span.stop
            spans.append((start_span, end_span))
        return spans
