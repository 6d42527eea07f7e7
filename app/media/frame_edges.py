"""Whether the edges of an edit lie where a frame of the clip begins. Annotating and reviewing ask the same."""

from collections.abc import Iterable
from dataclasses import replace

from annotations.records import Edit, Query
from annotations.store import Store
from app.media.dataset_clips import DatasetClips, ReadyClip
from tempo_core.errors import InputError

TOLERANCE_MS = 1


def check_edges(
    store: Store, dataset_clips: DatasetClips, query: Query, edit: Edit, *, offered: Iterable[int] = ()
) -> None:
    """Edges set by hand lie where a frame begins, inside the clip; those that came from elsewhere may stay.

    Elsewhere is the release, a proposal, an earlier version, or `offered` (milliseconds that the page itself
    began with). Without a clip there is no grid and nothing is checked. Raises InputError, naming the edge.
    """
    ready = dataset_clips.look(query.row.vid).ready
    if ready is None:
        return
    edges = {ms for moment in edit.moments for ms in (moment.start_ms, moment.end_ms)}
    off_grid = sorted(ms for ms in edges if _frame_at(ms, ready) is None)
    if not off_grid:
        return
    # Every edge that the row has or had may stay.
    spans = [moment.to_ms() for moment in query.original or ()]
    for version in store.corrections(query.id):
        spans += [(moment.start_ms, moment.end_ms) for moment in version.edit.moments]
    for proposal in store.proposals(query.id):
        spans += [(moment.start_ms, moment.end_ms) for moment in proposal.prediction.moments]
    unknown = sorted(set(off_grid) - {ms for span in spans for ms in span}.union(offered))
    if unknown:
        raise InputError(
            f"An edge at {unknown[0]} ms is no frame of this clip, which has {ready.frame_count} frames, "
            f"{ready.frame_rate:g} a second. Reload the page and set it again."
        )


def with_frames(dataset_clips: DatasetClips, query: Query, edit: Edit) -> Edit:
    """The edit with the frame that begins at each edge, as far as there is a clip and the edge lies on its grid."""
    ready = dataset_clips.look(query.row.vid).ready
    moments = tuple(
        replace(
            moment, start_frame=_frame_at(moment.start_ms, ready), end_frame=_frame_at(moment.end_ms, ready)
        )
        for moment in edit.moments
    )
    return replace(edit, moments=moments)


def _frame_at(ms: int, ready: ReadyClip | None) -> int | None:
    """The frame that begins at a time; None where none does."""
    if ready is None:
        return None
    frame = round(ms * ready.frame_rate / 1000)
    on_grid = abs(ms - frame * 1000 / ready.frame_rate) <= TOLERANCE_MS
    return frame if on_grid and 0 <= frame <= ready.frame_count else None
