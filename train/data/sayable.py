"""Which rows a protocol's answers can say, and the parts of long clips that a protocol asks about.

split = with_sayable_rows(split, protocol)              # reason -> row ids in split.skipped
rows, skipped = taught_rows(split.training, protocol)   # opens clips, for protocols that look at parts of them
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tempo_core.answers import SNAP_TOLERANCE_S
from tempo_core.errors import VideoError
from tempo_core.moments import Moment
from tempo_core.protocols.base import Protocol
from train.data.examples import Example, ExampleSplit, SkippedRows, joined

if TYPE_CHECKING:
    from tempo_core.video import VideoInfo


def sayable_rows(examples: Sequence[Example], protocol: Protocol) -> tuple[tuple[Example, ...], SkippedRows]:
    """The rows whose truth an answer of the protocol can say, and the others by reason."""
    rows: list[Example] = []
    skipped: dict[str, tuple[str, ...]] = {}
    for example in examples:
        reason = protocol.unsayable(len(example.moments))
        if reason is None:
            rows.append(example)
        else:
            skipped[reason] = (*skipped.get(reason, ()), example.row_id)
    return tuple(rows), skipped


def with_sayable_rows(split: ExampleSplit, protocol: Protocol) -> ExampleSplit:
    """The split without training rows that the protocol's answers cannot say. Rows that measure stay: the model is
    asked about them as it is served. A long clip that is asked in pieces may have a moment in each of them."""
    longest_s = math.inf if protocol.chunks is None else protocol.chunks.length_s
    in_pieces = {row.row_id for row in split.training if row.relevant and row.duration_s > longest_s}
    whole = [row for row in split.training if row.row_id not in in_pieces]
    sayable, skipped = sayable_rows(whole, protocol)
    row_ids = in_pieces.union(row.row_id for row in sayable)
    training = tuple(row for row in split.training if row.row_id in row_ids)
    return replace(split, training=training, skipped=joined(split.skipped, skipped))


def taught_rows(examples: Sequence[Example], protocol: Protocol) -> tuple[tuple[Example, ...], SkippedRows]:
    """The rows as they teach: those about clips that the protocol cuts as rows about pieces, without pieces that its
    answers cannot say, which are by reason in the second result."""
    return sayable_rows([piece for pieces in cut_rows(examples, protocol) for piece in pieces], protocol)


def cut_rows(examples: Sequence[Example], protocol: Protocol) -> list[list[Example]]:
    """Each row as the rows about the parts of its clip that the protocol asks about, or by itself. Opens clips only
    where it must; a row whose clip cannot be read stays as it is."""
    if protocol.chunks is None and protocol.first_pass is None:
        return [[example] for example in examples]
    from tempo_core.video import probe

    infos: dict[Path, VideoInfo | None] = {}
    rows: list[list[Example]] = []
    for example in examples:
        if example.video not in infos:
            try:
                infos[example.video] = probe(example.video)
            except VideoError:
                infos[example.video] = None
        info = infos[example.video]
        if info is None:
            rows.append([example])
        elif protocol.chunks is not None:
            rows.append(pieces_of(example, protocol, info.end_s))
        else:
            rows.append([in_window(example, protocol, info)])
    return rows


def in_window(example: Example, protocol: Protocol, info: "VideoInfo") -> Example:
    """A row about the window that a right first pass would name, where the protocol looks at the clip twice; times stay
    on the clip's clock. The first pass itself is not taught."""
    first = protocol.first_pass
    if first is None or not example.moments or not first.is_for(info):
        return example
    edges_s = first.plan(info).edges_s(info.end_s)
    start = max(0, bisect.bisect_right(edges_s, example.moments[0].start_s) - 1)
    end = max(start + 1, bisect.bisect_right(edges_s, example.moments[-1].end_s))
    window_s = edges_s[start], edges_s[min(end, len(edges_s) - 1)]
    return replace(example, window_s=window_s)


def pieces_of(example: Example, protocol: Protocol, end_s: float) -> list[Example]:
    """A row as one row for each piece of its clip, which ends at `end_s`, on the piece's own clock; the row itself
    where the protocol asks about the whole clip.

    A moment is in every piece that shows some of it. A band stays with an edge that the piece shows.
    """
    windows = [] if protocol.chunks is None else protocol.chunks.windows(end_s)
    if len(windows) < 2:
        return [example]
    pieces: list[Example] = []
    for start_s, stop_s in windows:
        moments: list[Moment] = []
        bands_s: list[tuple[float, float]] = []
        for number, moment in enumerate(example.moments):
            first_s, last_s = max(moment.start_s, start_s), min(moment.end_s, stop_s)
            if last_s - first_s <= SNAP_TOLERANCE_S:
                continue
            moments.append(Moment(first_s - start_s, last_s - start_s))
            if example.bands_s:
                start_band_s, end_band_s = example.bands_s[number]
                bands_s.append(
                    (
                        start_band_s if moment.start_s >= start_s else 0.0,
                        end_band_s if moment.end_s <= stop_s else 0.0,
                    )
                )
        pieces.append(
            replace(
                example,
                row_id=f"{example.row_id} [{start_s:g} s to {stop_s:g} s]",
                moments=tuple(moments),
                bands_s=tuple(bands_s),
                duration_s=stop_s - start_s,
                window_s=(start_s, stop_s),
            )
        )
    return pieces
