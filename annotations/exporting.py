"""From a snapshot to the rows that a format writes: which answer holds, and what stands beside it."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from annotations import formats
from annotations.agreement import Version, agreement
from annotations.choices import EXPORT_RULES, ExportRule
from annotations.formats import ExportOptions, ExportReport
from annotations.rows import EDGE_UNCERTAINTY, AnnotatorVersion, Row, Split, Windows
from annotations.snapshot import Snapshot, SnapshotRow
from annotations.soft_edges import bands_of
from tempo_core.errors import InputError
from tempo_core.moments import merge, moments_from_pairs


def export_to(
    snapshot: Snapshot,
    path: Path,
    *,
    format: str,
    rule: ExportRule = "latest",
    dataset: str | None = None,
    split: Split | None = None,
    edited_text: bool = False,
    options: ExportOptions | None = None,
) -> ExportReport:
    """Write a snapshot's rows in a format; the command and the page both come here, so both write the same.

    `dataset` None takes the only one. The manifest records rule, options and snapshot. Raises RowsRejected,
    InputError.
    """
    dataset = dataset or only_dataset(snapshot)
    rows = export_rows(snapshot, rule=rule, dataset=dataset, split=split, edited_text=edited_text)
    recorded_options = dataclasses.replace(
        options or ExportOptions(),
        decided_by=rule,
        dataset=dataset,
        split=split,
        edited_text=edited_text,
        snapshot_sha=snapshot.sha256,
    )
    return formats.write(rows, path, format=format, options=recorded_options)


def only_dataset(snapshot: Snapshot) -> str:
    """The dataset that is meant when none is named. Raises InputError unless there is exactly one."""
    if len(snapshot.datasets) == 1:
        return snapshot.datasets[0]
    if not snapshot.datasets:
        raise InputError("There are no rows to export; import some first.")
    raise InputError(
        f"There are datasets {', '.join(snapshot.datasets)}; say which one is meant (on the command line: --dataset)."
    )


def export_rows(
    snapshot: Snapshot,
    *,
    rule: ExportRule = "latest",
    dataset: str | None = None,
    split: Split | None = None,
    edited_text: bool = False,
) -> Iterator[Row]:
    """The snapshot's rows under a rule, in the order of import.

    `latest`: the verdict, else the newest correction. `adjudicated`: the verdict only. `majority`: the
    verdict, else what more than half of the annotators say. Rows that keep their original answer keep their
    raw line. `edited_text` takes the annotators' wording where the answer has one. Raises InputError.
    """
    if rule not in EXPORT_RULES:
        raise InputError(f"The rule is {rule!r}; it must be one of {', '.join(EXPORT_RULES)}.")
    predictions = _newest_predictions(snapshot)
    for item in snapshot.rows(splits=None if split is None else [split]):
        if dataset is None or item.dataset == dataset:
            versions = predictions.get((item.dataset, item.row.qid_value), {})
            yield _export_row(item, rule, tuple(versions.values()), edited_text)


def _export_row(
    item: SnapshotRow, rule: ExportRule, predictions: tuple[AnnotatorVersion, ...], edited_text: bool
) -> Row:
    # Beside the answer: every party's version, and how far the annotators agree.
    versions = list(predictions)
    for correction in item.versions:
        edit = correction.edit
        created_at = datetime.fromtimestamp(correction.created_at_ms / 1000, UTC)
        versions.append(
            AnnotatorVersion(
                annotator=correction.annotator,
                windows=tuple((moment.start_s, moment.end_s) for moment in edit.windows),
                verdict=edit.verdict,
                reason=edit.reason,
                arm=edit.arm,
                active_ms=edit.active_ms,
                updated_at=created_at.isoformat(timespec="milliseconds"),
                revision=correction.revision,
            )
        )
    row = dataclasses.replace(item.row, annotations=tuple(versions) or item.row.annotations)
    if len(item.versions) >= 2 and row.duration_s:
        answers = [Version.of(version) for version in item.versions]
        report = agreement([(row.duration_s, answers)])
        row = dataclasses.replace(row, mean_tiou=report.mean_tiou, alpha_clip=report.alpha)

    # The answer that holds.
    if rule == "majority" and item.adopted is None:
        return majority(row)
    answer = item.resolved("latest" if rule == "latest" else "adjudicated")
    if answer.correction is None:
        return row
    edit = answer.correction.edit
    windows = tuple((moment.start_s, moment.end_s) for moment in answer.moments or ())
    if answer.verdict != row.verdict or windows != tuple(row.windows or ()):
        reason = edit.reason or ", ".join(edit.categories) or None
        revision = answer.correction.revision
        row = row.corrected(windows, verdict=answer.verdict, reason=reason, row_rev=revision)
    # How far the edges are certain, beside the windows: in lines and tables that carry further fields.
    extra = {name: value for name, value in row.extra.items() if name != EDGE_UNCERTAINTY}
    bands = bands_of(edit.moments) if answer.verdict == "moments" else []
    if any(any(band) for band in bands):
        extra[EDGE_UNCERTAINTY] = [list(band) for band in bands]
    if extra != dict(row.extra):
        row = dataclasses.replace(row, extra=extra, raw=None)
    if edited_text and edit.edited_text and edit.edited_text != row.query:
        row = dataclasses.replace(row, query=edit.edited_text, raw=None)
    return row


def majority(row: Row) -> Row:
    """The row as more than half of its annotators have it; the same row where they decide nothing.

    The verdict that more than half chose (a tie decides nothing), with the stretches that more than half of those
    who chose it marked.
    """
    versions = [version for version in row.annotations or () if version.source == "annotator"]
    verdicts = Counter(version.verdict for version in versions).most_common(1)
    if not verdicts or verdicts[0][1] * 2 <= len(versions):
        return row
    verdict = verdicts[0][0]
    windows: Windows = ()
    if verdict == "moments":
        windows = shared_by_most([version.windows for version in versions if version.verdict == verdict])
        if not windows:
            return row
    if verdict == row.verdict and windows == row.windows:
        return row
    if verdict == "cannot-judge":
        return row.corrected(row.windows or (), verdict="cannot-judge", reason=row.reason)
    return row.corrected(windows, reason=row.reason)


def shared_by_most(marked: Sequence[Windows]) -> Windows:
    """Stretches that more than half of the lists cover: for three overlapping spans, their median edges."""
    edges: list[tuple[float, int]] = []
    for windows in marked:
        for moment in merge(moments_from_pairs(windows)):
            edges += [(moment.start_s, 1), (moment.end_s, -1)]
    edges.sort(key=lambda edge: (edge[0], -edge[1]))
    shared: list[tuple[float, float]] = []
    depth, needed, start_s = 0, len(marked) // 2 + 1, 0.0
    for time_s, step in edges:
        previous_depth, depth = depth, depth + step
        if previous_depth < needed <= depth:
            start_s = time_s
        elif depth < needed <= previous_depth and time_s > start_s:
            shared.append((start_s, time_s))
    return tuple(shared)


def _newest_predictions(snapshot: Snapshot) -> dict[tuple[str, int | str], dict[str, AnnotatorVersion]]:
    """Each model's newest proposal for each query, by dataset and qid, then by the model's name."""
    newest: dict[tuple[str, int | str], dict[str, AnnotatorVersion]] = {}
    for proposal in snapshot.records("proposals"):
        adapter, answer, moments = proposal["adapter_id"], proposal["answer"] or {}, proposal["moments"]
        model = f"{proposal['model_id']}+{adapter}" if adapter else proposal["model_id"]
        scores = answer.get("scores") or [confidence for _, _, confidence in moments]
        is_scored = bool(scores) and len(scores) == len(moments) and None not in scores
        saliency = answer.get("saliency")
        newest.setdefault((proposal["dataset"], proposal["qid"]), {})[model] = AnnotatorVersion(
            annotator=model,
            source="model",
            windows=tuple((start_ms / 1000, end_ms / 1000) for start_ms, end_ms, _ in moments),
            scores=tuple(scores) if is_scored else None,
            saliency=None if saliency is None else tuple(saliency),
            relevance=proposal["relevance"],
        )
    return newest
