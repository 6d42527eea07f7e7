"""The one answer grammar: a sentence with the moments in time order, or the refusal. Written, parsed, snapped.

`From 0012.0 to 0034.0, from 0050.0 to 0060.0.` or `No relevant moment.` Moments are pairs of indices into the video's
stamps (T frames and the end): a moment starts at the stamp of the first frame that shows it and ends at the stamp of
the first frame after it, or at the end stamp. The parser never guesses: outside the grammar there is no answer. The
token-level automaton is in `grammar`.
"""

import bisect
from collections.abc import Iterable, Sequence

from tempo_core.errors import InputError, TempoError
from tempo_core.moments import Moment, merge

REFUSAL = "No relevant moment."
OPENING, TO, NEXT, CLOSING, SPACE = "From", " to", ", from", ".", " "
MAX_MOMENTS = 25
"""The longest answer; it bounds decoding."""

SNAP_TOLERANCE_S = 0.05
"""A boundary this near a stamp is that stamp: half the stamps' resolution, so that 2.0 s meets the frame at 2.02 s."""


class AnswerError(TempoError):
    """A text is not in the answer grammar of this video's stamps."""


def answer_pieces(pairs: Sequence[tuple[int, int]], stamps: Sequence[str]) -> list[str]:
    """The answer in the pieces that are tokenised one by one; [] of pairs is the refusal.

    `pairs` are (start, end) indices into `stamps`, in time order and apart: the next start after the previous
    end. Raises InputError when they are not, or when there are more than MAX_MOMENTS.
    """
    if not pairs:
        return [REFUSAL]
    _check_pairs(pairs, len(stamps))
    pieces: list[str] = []
    for start, end in pairs:
        pieces += [NEXT if pieces else OPENING, SPACE, stamps[start], TO, SPACE, stamps[end]]
    return [*pieces, CLOSING]


def write_answer(pairs: Sequence[tuple[int, int]], stamps: Sequence[str]) -> str:
    """The answer's text; `parse_answer` is its inverse. Raises InputError as `answer_pieces` does."""
    return "".join(answer_pieces(pairs, stamps))


def parse_answer(text: str, stamps: Sequence[str]) -> list[tuple[int, int]]:
    """The (start, end) stamp indices that the text names, [] for the refusal. Raises AnswerError for any
    other text."""
    if text == REFUSAL:
        return []
    if not (text.startswith(OPENING + SPACE) and text.endswith(CLOSING)):
        raise AnswerError(
            f"Not an answer: {text[:200]!r}. It must be {REFUSAL!r} or 'From START to END, from START to "
            "END.'"
        )
    where = {stamp: idx for idx, stamp in enumerate(stamps)}
    pairs = []
    for part in text[len(OPENING + SPACE) : -len(CLOSING)].split(NEXT + SPACE):
        start, joint, end = part.partition(TO + SPACE)
        if not joint or start not in where or end not in where:
            raise AnswerError(f"Not a moment of this video's stamps: {part[:200]!r} in {text[:200]!r}.")
        pairs.append((where[start], where[end]))
    try:
        _check_pairs(pairs, len(stamps))
    except InputError as error:
        raise AnswerError(f"{error} The answer was {text[:200]!r}.") from error
    return pairs


def snap_outward(moments: Iterable[Moment], stamp_times_s: Sequence[float]) -> list[tuple[int, int]]:
    """The least index pairs that cover the moments: start at the last stamp before it, end at the first stamp after
    it.

    `stamp_times_s` are the T frame times and the end of the video, increasing. A boundary within SNAP_TOLERANCE_S of a
    stamp is that stamp. What lies before the first or after the last stamp is cut; pairs that touch become one. Raises
    InputError for a moment wholly outside the video. (Outward snapping as in UniTime and TimeLens.)
    """
    times = [float(time_s) for time_s in stamp_times_s]
    snapped = []
    for moment in moments:
        if moment.start_s >= times[-1] or moment.end_s <= times[0]:
            raise InputError(
                f"The moment [{moment.start_s}, {moment.end_s}) lies outside the sampled video, which covers "
                f"[{times[0]}, {times[-1]})."
            )
        start = bisect.bisect_right(times, moment.start_s + SNAP_TOLERANCE_S) - 1
        start = min(max(0, start), len(times) - 2)
        end = min(len(times) - 1, bisect.bisect_left(times, moment.end_s - SNAP_TOLERANCE_S))
        snapped.append(Moment(start, max(end, start + 1)))
    joined = merge(snapped)
    return [(int(moment.start_s), int(moment.end_s)) for moment in joined]


def _check_pairs(pairs: Sequence[tuple[int, int]], n_stamps: int) -> None:
    """Refuse pairs that the grammar cannot say."""
    if len(pairs) > MAX_MOMENTS:
        raise InputError(f"An answer holds at most {MAX_MOMENTS} moments; got {len(pairs)}.")
    previous_end = -1
    for start, end in pairs:
        if not 0 <= start < end < n_stamps:
            raise InputError(
                f"A moment runs from one stamp to a later one of 0..{n_stamps - 1}; got ({start}, {end})."
            )
        if start <= previous_end:
            raise InputError(
                f"Moments must be in time order and apart; stamp {start} does not lie after stamp "
                f"{previous_end}."
            )
        previous_end = end
