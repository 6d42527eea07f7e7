"""Confidences and P(relevant) out of a server's log-probabilities, where it gives them.

A figure is the probability that the server states, never an estimate of ours: where its tokens do not spell the answer,
or name neither of two choices, there is none.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tempo_core.moments import Moment
from tempo_core.protocols.base import NO, YES, AnswerForm

TOP_LOGPROBS = 20
"""Alternatives asked for at each token: as many as servers give by default."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token of a response."""

    text: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...]
    """The likeliest tokens at its place with their log-probabilities."""


def read_logprobs(choice: dict[str, Any]) -> list[TokenLogprob]:
    """The tokens of a chat completion's choice; none where the server gave no log-probabilities."""
    logprobs = choice.get("logprobs")
    rows = logprobs.get("content") if isinstance(logprobs, dict) else None
    try:
        return [
            TokenLogprob(
                _text(row),
                float(row["logprob"]),
                tuple((_text(other), float(other["logprob"])) for other in row.get("top_logprobs") or ()),
            )
            for row in rows or ()
        ]
    except (KeyError, TypeError, ValueError):
        return []


def confidences(text: str, moments: Sequence[Moment], tokens: Sequence[TokenLogprob]) -> list[float | None]:
    """Per moment, the probability of the tokens that spell its two times; where numbers and moments do not match one to
    one, that of the whole answer. None for each where the tokens do not spell the text."""
    ends, spelled = [0], ""
    for token in tokens:
        spelled += token.text
        ends.append(len(spelled))
    begin = spelled.rfind(text) if text else -1
    if begin < 0:
        return [None] * len(moments)
    sentence = begin + text.rfind("</think>") + 1
    numbers = [match.span() for match in _NUMBER.finditer(spelled, sentence, begin + len(text))]
    starts = [float(spelled[slice(*span)]) for span in numbers[::2]]
    if len(numbers) != 2 * len(moments) or starts != sorted(starts):
        probability = math.exp(min(0.0, sum(token.logprob for token in tokens)))
        return [probability] * len(moments)
    figures: list[float | None] = []
    for pair in zip(numbers[::2], numbers[1::2], strict=True):
        logprob = sum(
            token.logprob
            for token, first, last in zip(tokens, ends, ends[1:], strict=False)
            if any(first < stop and last > start for start, stop in pair)
        )
        figures.append(math.exp(min(0.0, logprob)))
    return figures


def first_choice(text: str, form: AnswerForm, tokens: Sequence[TokenLogprob]) -> float | None:
    """P(relevant) of a form with refusals: at the token where a moment and a refusal part, the share of what goes on to
    a moment. None where the likeliest tokens there are neither: behind that token all goes on as the answer does."""
    opening = "".join(form.opening)
    refusals = form.refusals
    begin = text.find(opening)
    if begin < 0:
        begin = min((at for at in map(text.find, refusals) if at >= 0), default=-1)
    spelled = "".join(token.text for token in tokens)
    offset = spelled.rfind(text) if text else -1
    if begin < 0 or offset < 0:
        return None
    begin += offset

    def is_moment(words: str) -> bool | None:
        """Whether an answer that begins so is a moment; None while it may be both, or is neither."""
        to_moment = opening.startswith(words) or words.startswith(opening)
        to_refusal = any(refusal.startswith(words) or words.startswith(refusal) for refusal in refusals)
        return None if to_moment == to_refusal or not words else to_moment

    position = 0
    for token in tokens:
        before, position = spelled[begin:position], position + len(token.text)
        if position <= begin:
            continue
        if is_moment(before) is not None:
            return None
        share = {True: 0.0, False: 0.0}
        for alternative, logprob in token.alternatives:
            side = is_moment(before + alternative)
            if side is not None:
                share[side] += math.exp(logprob)
        if sum(share.values()) > 0:
            chosen = is_moment(before + token.text)
            # Where only one of them is among the likeliest, the other has at most what the last of these has.
            probabilities = [math.exp(logprob) for _, logprob in token.alternatives]
            rest = min(*probabilities, max(0.0, 1.0 - sum(probabilities)))
            for side in share:
                if share[side] == 0.0:
                    share[side] = math.exp(token.logprob) if side is chosen else rest
            return share[True] / sum(share.values())
    return None


def yes_share(tokens: Sequence[TokenLogprob]) -> float | None:
    """P(yes) against no at the first token of the answer to the yes/no question."""
    if not tokens:
        return None
    shares = {word: math.exp(logprob) for word, logprob in tokens[0].alternatives if word in (YES, NO)}
    # Where only one of them is among the likeliest, the other has at most what the last of these has.
    rest = min((math.exp(logprob) for _, logprob in tokens[0].alternatives), default=0.0)
    if not shares:
        return None
    yes, no = shares.get(YES, rest), shares.get(NO, rest)
    return yes / (yes + no)


def _text(row: dict[str, Any]) -> str:
    """A token's text. Its bytes are exact where a letter is cut in two."""
    raw = row.get("bytes")
    if isinstance(raw, list) and raw:
        return bytes(raw).decode("utf-8", "replace")
    return str(row["token"])
