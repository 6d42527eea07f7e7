"""One answer from several annotators, for exports that do not take the store's verdict as given."""

from collections import Counter
from collections.abc import Sequence

from annotations.formats.options import Adjudication
from annotations.rows import AnnotatorVersion, Row, Windows
from tempo_core.moments import merge, moments_from_pairs


def adjudicated(row: Row, rule: Adjudication) -> Row:
    """The row under the rule; the same row when the rule is `as-given` or finds nothing to decide on.

    `latest`: the annotator version with the newest `updated_at` (a version without a time is oldest; between
    equals the last listed). `majority`: the verdict that more than half chose (a tie decides nothing), with
    the stretches that more than half of those who marked moments marked.
    """
    versions = [version for version in row.annotations or () if version.source == "annotator"]
    if rule == "as-given" or not versions:
        return row
    if rule == "latest":
        newest = max(enumerate(versions), key=lambda placed: (placed[1].updated_at or "", placed[0]))[1]
        windows = tuple((m.start_s, m.end_s) for m in merge(moments_from_pairs(newest.windows)))
        return _decided(row, newest.verdict or "cannot-judge", windows, newest.reason)
    return _majority(row, versions)


def _majority(row: Row, versions: Sequence[AnnotatorVersion]) -> Row:
    verdict, votes = Counter(version.verdict for version in versions).most_common(1)[0]
    if verdict is None or votes * 2 <= len(versions):
        return row
    agreeing = [version for version in versions if version.verdict == verdict]
    windows = shared_by_most([version.windows for version in agreeing]) if verdict == "moments" else ()
    if verdict == "moments" and not windows:
        return row
    return _decided(row, verdict, windows, None)


def _decided(row: Row, verdict: str, windows: Windows, reason: str | None) -> Row:
    if verdict == row.verdict and windows == row.windows:
        return row
    if verdict == "cannot-judge":
        return row.corrected(row.windows or (), verdict="cannot-judge", reason=reason or row.reason)
    return row.corrected(windows, reason=reason or row.reason)


def shared_by_most(marked: Sequence[Windows]) -> Windows:
    """Stretches that more than half of the lists cover: for three overlapping spans, their median edges."""
    edges: list[tuple[float, int]] = []
    for windows in marked:
        for moment in merge(moments_from_pairs(windows)):
            edges += [(moment.start_s, 1), (moment.end_s, -1)]
    edges.sort(key=lambda edge: (edge[0], -edge[1]))
    found: list[tuple[float, float]] = []
    depth, needed, opened = 0, len(marked) // 2 + 1, 0.0
    for time_s, step in edges:
        before, depth = depth, depth + step
        if before < needed <= depth:
            opened = time_s
        elif depth < needed <= before and time_s > opened:
            found.append((opened, time_s))
    return tuple(found)
