"""From a snapshot to the rows that a format writes: which answer holds, and what is told beside it."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from annotations import formats
from annotations.agreement import Version, agreement
from annotations.formats import ADJUDICATIONS, ExportOptions, ExportReport
from annotations.formats.adjudication import adjudicated
from annotations.records import Correction
from annotations.rows import AnnotatorVersion, Row, Split
from annotations.snapshot import Snapshot, SnapshotRow
from tempo_core.errors import InputError

ExportRule = Literal["latest", "adjudicated", "majority"]
EXPORT_RULES: tuple[ExportRule, ...] = get_args(ExportRule)


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
    name = dataset or only_dataset(snapshot)
    rows = export_rows(snapshot, rule=rule, dataset=name, split=split, edited_text=edited_text)
    settled = dataclasses.replace(
        options or ExportOptions(),
        adjudication=ADJUDICATIONS[0],
        decided_by=rule,
        dataset=name,
        split=split,
        edited_text=edited_text,
        snapshot_sha=snapshot.sha256,
    )
    return formats.write(rows, path, format=format, options=settled)


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
    models = _models(snapshot)
    for each in snapshot.rows(splits=None if split is None else [split]):
        if dataset is None or each.dataset == dataset:
            yield _export(each, rule, models.get((each.dataset, each.row.qid_value), ()), edited_text)


def _export(
    each: SnapshotRow, rule: ExportRule, models: tuple[AnnotatorVersion, ...], edited_text: bool
) -> Row:
    annotations = (*models, *(_version(version) for version in each.versions))
    told: dict[str, Any] = {"annotations": annotations or each.row.annotations, **_agreement(each)}
    answer = each.resolved("latest" if rule == "latest" else "adjudicated")
    row = dataclasses.replace(each.row, **told)
    if rule == "majority" and each.adopted is None:
        return adjudicated(row, "majority")
    if answer.correction is None:
        return row
    edit = answer.correction.edit
    windows = tuple((moment.start_s, moment.end_s) for moment in answer.moments or ())
    changed = answer.verdict != row.verdict or windows != tuple(row.windows or ())
    if changed:
        reason = edit.reason or ", ".join(edit.categories) or None
        rev = answer.correction.revision
        row = row.corrected(windows, verdict=answer.verdict, reason=reason, row_rev=rev)
    if edited_text and edit.edited_text and edit.edited_text != row.query:
        row = dataclasses.replace(row, query=edit.edited_text, raw=None)
    return row


def _version(correction: Correction) -> AnnotatorVersion:
    edit = correction.edit
    return AnnotatorVersion(
        annotator=correction.annotator,
        windows=tuple((moment.start_s, moment.end_s) for moment in edit.windows),
        verdict=edit.verdict,
        reason=edit.reason,
        arm=edit.arm,
        active_ms=edit.active_ms,
        updated_at=datetime.fromtimestamp(correction.created_at_ms / 1000, UTC).isoformat(
            timespec="milliseconds"
        ),
        revision=correction.revision,
    )


def _agreement(each: SnapshotRow) -> dict[str, float | None]:
    if len(each.versions) < 2 or not each.row.duration_s:
        return {}
    versions = [
        Version(verdict=version.edit.verdict, moments=version.edit.windows) for version in each.versions
    ]
    report = agreement([(each.row.duration_s, versions)])
    return {"mean_tiou": report.mean_tiou, "alpha_clip": report.alpha}


def _models(snapshot: Snapshot) -> dict[tuple[str, int | str], tuple[AnnotatorVersion, ...]]:
    """Each model's newest proposal for each query, by dataset and qid."""
    newest: dict[tuple[str, int | str], dict[str, AnnotatorVersion]] = {}
    for said in snapshot.records("proposals"):
        name = f"{said['model_id']}+{said['adapter_id']}" if said["adapter_id"] else said["model_id"]
        kept = (said["answer"] or {}).get("scores") or [moment[2] for moment in said["moments"]]
        saliency = (said["answer"] or {}).get("saliency")
        scored = len(kept) == len(said["moments"]) and None not in kept
        newest.setdefault((said["dataset"], said["qid"]), {})[name] = AnnotatorVersion(
            annotator=name,
            source="model",
            windows=tuple((start_ms / 1000, end_ms / 1000) for start_ms, end_ms, _ in said["moments"]),
            scores=tuple(kept) if scored and kept else None,
            saliency=None if saliency is None else tuple(saliency),
        )
    return {query: tuple(versions.values()) for query, versions in newest.items()}
