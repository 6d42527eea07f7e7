"""The answer grammar on tokens: which token ids may follow, for any tokenizer, any video's marks and any answer form.

A small automaton over the pieces of an `AnswerForm`, each tokenised on its own, closed by <|im_end|>. It lets through
exactly the writable answers: a refusal, or moments in time order whose start is never the last mark, whose end comes
after its start, and whose start comes after the end before it.

At each place where something is chosen, the grammar lists *branches*: the ids of a number together with the words that
must follow it. Numbers of different lengths part where "1" goes on as "10" or as "1 to".
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

from tempo_core.answers import MAX_MOMENTS, AnswerError
from tempo_core.protocols.base import IM_END, AnswerForm, plain_ids, special_id
from tempo_core.protocols.tempo import FORM

Choice = Literal["opening", "start", "end", "done"]


class Branch(NamedTuple):
    """One way on from a choice."""

    ids: tuple[int, ...]
    number: range
    """Where the mark's own tokens stand in `ids`; empty for a refusal."""
    settled: int
    """After how many tokens a branch that ends the answer counts as chosen, once it is the only one left."""
    choice: Choice
    """What is chosen after it."""
    mark_idx: int
    """The mark that it names; -1 for a refusal."""


@dataclass(frozen=True, slots=True)
class GrammarState:
    """Where in an answer the decoder stands. Immutable, so that beams share it."""

    choice: Choice = "opening"
    forced: tuple[int, ...] = ()
    """Once done: the tokens that still close the answer."""
    alive: tuple[int, ...] | None = None
    """Branches that agree with the tokens since the choice began; None: all of them."""
    depth: int = 0
    """Tokens since the choice began."""
    position: int = 0
    """Tokens since the answer began."""
    start_idx: int = -1
    start_span: range = range(0)
    pairs: tuple[tuple[int, int], ...] = ()
    """Moments that are complete, as mark indices."""
    spans: tuple[tuple[range, range], ...] = ()
    """For each of them, the positions of its start's and its end's tokens within the answer's ids."""

    @property
    def done(self) -> bool:
        """Whether the answer is complete, its closing token included."""
        return self.choice == "done" and not self.forced


class AnswerGrammar:
    """The answers that can be given about one video, as an automaton over token ids. Threads may share it."""

    def __init__(
        self,
        tokenizer: Any,
        stamps: Sequence[str | tuple[str, ...]],
        *,
        form: AnswerForm = FORM,
        max_moments: int = MAX_MOMENTS,
        max_new_tokens: int | None = None,
    ) -> None:
        """`stamps` are the texts of the marks that an answer may name, in time order; where one has several
        spellings, a tuple of them. `max_new_tokens` (the checkpoint's longest answer) lowers `max_moments` to what
        fits, at least one."""

        def ids_of(pieces: Sequence[str]) -> tuple[int, ...]:
            return tuple(token for piece in pieces for token in plain_ids(tokenizer, piece))

        self.form = form
        spellings = [(stamp,) if isinstance(stamp, str) else stamp for stamp in stamps]
        self.stamps = [texts[0] for texts in spellings]
        # In one call, which a long video's thousands of marks are worth; digits hold no added token.
        texts = [text for texts in spellings for text in texts]
        encoded = iter(tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"])
        self._mark_ids = [[tuple(map(int, next(encoded))) for _ in texts] for texts in spellings]
        end = (special_id(tokenizer, IM_END),)
        self._refusals = [(*ids_of((text,)), *end) for text in form.refusals]
        self._opening, self._to, self._closing = (
            ids_of(form.opening),
            ids_of(form.to),
            (*ids_of(form.closing), *end),
        )
        self._next = None if form.next is None else ids_of(form.next)
        longest = max(len(ids) for marks in self._mark_ids for ids in marks)
        self.moment_tokens = max(len(self._opening), len(self._next or ())) + len(self._to) + 2 * longest
        """Tokens of the longest moment with the words around it."""
        if max_new_tokens is not None:
            max_moments = min(max_moments, max(1, (max_new_tokens - 2) // self.moment_tokens))
        self.max_moments = 1 if form.next is None else max_moments
        self._branches = {choice: self._list_branches(choice) for choice in get_args(Choice)}
        """By what is chosen, every way on; those of an end lead on to another moment or close the answer."""

    @cached_property
    def without_refusals(self) -> "AnswerGrammar":
        """The same answers, but for those that name no moment."""
        twin = copy.copy(self)
        openings = [branch for branch in self._branches["opening"] if branch.mark_idx >= 0]
        twin._refusals, twin._branches = [], {**self._branches, "opening": openings}
        vars(twin).pop("relevance", None)
        return twin

    @cached_property
    def tokens(self) -> list[int]:
        """Every token id that an answer can hold, sorted."""
        return sorted(
            {token for branches in self._branches.values() for branch in branches for token in branch.ids}
        )

    @property
    def refusal_ids(self) -> tuple[int, ...]:
        """The first refusal, closed by <|im_end|>. Raises AnswerError where the form has none."""
        if not self._refusals:
            raise AnswerError("These answers know no refusal.")
        return self._refusals[0]

    @cached_property
    def relevance(self) -> tuple[tuple[int, ...], list[int], list[int]]:
        """(forced beginning, tokens that go on to a moment, tokens that go on to a refusal), at the first choice
        between the two. The last list is empty where the form has no refusal."""
        state, prefix = GrammarState(), tuple[int, ...]()
        while len(options := self.options(state)) == 1 and state.choice != "done":
            state, prefix = self.advance(state, options[0]), (*prefix, options[0])
        refusing = {ids[len(prefix)] for ids in self._refusals if ids[: len(prefix)] == prefix}
        return prefix, [token for token in options if token not in refusing], sorted(refusing)

    def options(self, state: GrammarState) -> list[int]:
        """The token ids that may come next, sorted; none when the answer is complete."""
        if state.choice == "done":
            return [state.forced[0]] if state.forced else []
        return sorted({branch.ids[state.depth] for _, branch in self._alive(state)})

    def advance(self, state: GrammarState, token: int) -> GrammarState:
        """The state after one more token. Raises AnswerError when the grammar does not allow it."""
        if token not in self.options(state):
            raise AnswerError(
                f"Token {token} cannot follow here; the grammar allows {self.options(state)[:8]}."
            )
        if state.choice == "done":
            return replace(state, forced=state.forced[1:], position=state.position + 1)
        depth, position = state.depth + 1, state.position + 1
        alive = [(n, branch) for n, branch in self._alive(state) if branch.ids[state.depth] == token]
        (_, branch), is_chosen = alive[0], len(alive) == 1
        is_last = branch.choice == "done" and depth >= branch.settled
        if not is_chosen or not (is_last or depth == len(branch.ids)):
            return replace(state, alive=tuple(n for n, _ in alive), depth=depth, position=position)
        begin = position - depth
        span = range(begin + branch.number.start, begin + branch.number.stop)
        if branch.choice == "end":
            return GrammarState("end", (), None, 0, position, branch.mark_idx, span, state.pairs, state.spans)
        pairs, spans = state.pairs, state.spans
        if branch.mark_idx >= 0:
            pairs = (*pairs, (state.start_idx, branch.mark_idx))
            spans = (*spans, (state.start_span, span))
        rest = branch.ids[depth:]
        return GrammarState(branch.choice, rest, position=position, pairs=pairs, spans=spans)

    def replay(self, ids: Sequence[int]) -> GrammarState:
        """The state after the ids. Raises AnswerError where they leave the grammar."""
        state = GrammarState()
        for token in ids:
            state = self.advance(state, int(token))
        return state

    def _alive(self, state: GrammarState) -> list[tuple[int, Branch]]:
        """The branches that agree with what was said, with their numbers in the list of their choice."""
        branches = self._branches[state.choice]
        if state.alive is not None:
            return [(n, branches[n]) for n in state.alive]
        previous_idx = state.start_idx if state.choice == "end" else state.pairs[-1][1] if state.pairs else -1
        may_go_on = len(state.pairs) + 1 < self.max_moments
        return [
            (n, branch)
            for n, branch in enumerate(branches)
            if (branch.mark_idx > previous_idx or state.choice == "opening")
            and (branch.choice != "start" or may_go_on)
        ]

    def _list_branches(self, choice: Choice) -> list[Branch]:
        """Every way on: a start or an end at any mark, with the words after it."""
        last, branches = len(self.stamps) - 1, list[Branch]()
        if choice in ("opening", "start"):
            before = self._opening if choice == "opening" else ()
            for idx in range(last):
                for ids in self._mark_ids[idx]:
                    number = range(len(before), len(before) + len(ids))
                    branches.append(Branch((*before, *ids, *self._to), number, 0, "end", idx))
        if choice == "opening":
            branches += [Branch(ids, range(0), 1, "done", -1) for ids in self._refusals]
        if choice == "end":
            for idx in range(last + 1):
                for ids in self._mark_ids[idx]:
                    number, settled = range(len(ids)), len(ids) + 1
                    branches.append(Branch((*ids, *self._closing), number, settled, "done", idx))
                    # Another moment needs two marks behind this one.
                    if self._next is not None and idx + 2 <= last:
                        branches.append(Branch((*ids, *self._next), number, settled, "start", idx))
        return branches
