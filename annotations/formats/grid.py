"""QVHighlights' 2-second grid: snapping windows, the clips that they cover, and the scores of new clips.

Arithmetic is in whole milliseconds, so that 82.0 s kept as 81.9999999 does not widen a window by a clip.
"""

from annotations.choices import SaliencyPolicy, Snapping
from annotations.rows import Row, Windows
from tempo_core.metrics.rows import CLIP_S, FieldError
from tempo_core.moments import Moment, clip_to, merge, moments_from_pairs

CLIP_MS = CLIP_S * 1000
NEAR_MS = 25
"""An edge this near to the grid lies on it: at 29.97 frames a second the frame of 2 s begins at 2.002 s; half a frame
of 20 a second is 25 ms."""
NEUTRAL = (2, 2, 2)
Triples = tuple[tuple[int, ...], ...]


def clip_count(duration_s: float) -> int:
    """Clips of a video as the official evaluator counts them: int(duration / 2)."""
    return int(duration_s / CLIP_S)


def needed_duration(row: Row) -> float:
    """The row's duration; raises FieldError where it is unknown or shorter than one clip."""
    if row.duration_s is None:
        raise FieldError("duration", None, "QVHighlights needs the video's duration in seconds")
    if clip_count(row.duration_s) < 1:
        raise FieldError("duration", row.duration_s, "QVHighlights needs at least one 2-second clip")
    return row.duration_s


def clamped(windows: Windows, duration_s: float) -> Windows:
    """Cut to the video, sorted, merged where they overlap or touch; sub-second edges stay."""
    cut = clip_to(moments_from_pairs(windows), duration_s)
    return tuple((moment.start_s, moment.end_s) for moment in merge(cut))


def snapped(windows: Windows, duration_s: float, how: Snapping) -> Windows:
    """Whole clips: `outward` floors starts and ceils ends but for NEAR_MS, `nearest` rounds both (halves go up).

    A window that rounding empties keeps the clip in which its middle lies. The result is inside the clips
    that the video has, sorted and merged.
    """
    clips = clip_count(duration_s)
    spans = []
    for start_s, end_s in windows:
        start_ms, end_ms = Moment(start_s, end_s).to_ms()
        if how == "outward":
            first, last = (start_ms + NEAR_MS) // CLIP_MS, -((NEAR_MS - end_ms) // CLIP_MS)
        else:
            first, last = (start_ms + CLIP_MS // 2) // CLIP_MS, (end_ms + CLIP_MS // 2) // CLIP_MS
        first, last = min(first, clips), min(last, clips)
        if last <= first:
            first = min(int((start_s + end_s) / 2 // CLIP_S), clips - 1)
            last = first + 1
        spans.append(Moment(first * CLIP_S, last * CLIP_S))
    return tuple((moment.start_s, moment.end_s) for moment in merge(spans))


def covered_clips(windows: Windows) -> tuple[int, ...]:
    """Ids of the clips inside windows that lie on the grid."""
    return tuple(
        clip for start_s, end_s in windows for clip in range(int(start_s) // CLIP_S, int(end_s) // CLIP_S)
    )


def on_grid(windows: Windows) -> bool:
    return all(edge % CLIP_S == 0 for window in windows for edge in window)


def scores_for(clips: tuple[int, ...], row: Row, policy: SaliencyPolicy) -> tuple[Triples | None, int]:
    """Scores of `clips` from the row's own, and how many of them the policy filled in.

    None where the policy is `drop` or the source had no scores: nothing is invented for a whole row.
    """
    if policy == "drop" or row.saliency_scores is None or not row.relevant_clip_ids:
        return None, 0
    scores = dict(zip(row.relevant_clip_ids, row.saliency_scores, strict=True))
    triples: list[tuple[int, ...]] = []
    for clip in clips:
        if clip in scores:
            triples.append(scores[clip])
        elif policy == "keep+neutral":
            triples.append(NEUTRAL)
        else:
            nearest = min(scores, key=lambda scored_clip: (abs(scored_clip - clip), scored_clip))
            triples.append(scores[nearest])
    return tuple(triples), sum(clip not in scores for clip in clips)
