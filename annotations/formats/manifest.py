"""The words that travel with an export: dataset card, licence notice, manifest."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annotations.formats.options import ExportOptions
from annotations.rows import Row
from tempo_core.wording import plural

QVHIGHLIGHTS = "cc-by-nc-sa-4.0"
YOUTUBE_CLIP = re.compile(r".+_\d+\.\d_\d+\.\d")
"""The vid of a QVHighlights clip: YouTube id, start and end in seconds with one decimal."""
MENDED = "mended"
"""The field of `Row.extra` that says what an import repaired in the row's windows."""
LICENCES = {
    "other": ("The licence of the dataset that these rows come from applies; see its release.", ""),
    QVHIGHLIGHTS: (
        "Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International",
        "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    ),
}
ATTRIBUTION = (
    "QVHighlights: Jie Lei, Tamara L. Berg, Mohit Bansal, “QVHighlights: Detecting Moments and Highlights in "
    "Videos via Natural Language Queries”, NeurIPS 2021, https://github.com/jayleicn/moment_detr"
)
COLUMNS = (
    ("qid", "id of the query"),
    ("query", "the sentence"),
    ("vid", "id of the video"),
    ("duration", "seconds of video"),
    ("verdict", "moments, no-moment or cannot-judge; empty without ground truth"),
    ("relevant_windows", "[start, end) in seconds, sorted; empty for no-moment"),
    ("relevant_clip_ids, saliency_scores", "2-second clips with three scores 0..4, as the source gave them"),
    ("original_windows", "the released windows, where they were corrected"),
    (
        "reason, n_annotators, mean_tiou, alpha_clip",
        "why it was corrected, by how many, and how far they agree",
    ),
    ("annotations", "each party's own version under a pseudonym"),
    ("model_version, row_rev", "whose proposals were shown; the store's revision"),
    ("extra", "further fields of the source, as JSON"),
)


def licence_of(rows: Sequence[Row], options: ExportOptions) -> str:
    """The licence that was given, or QVHighlights' where a row's video is one of its clips, else `other`."""
    if options.licence is not None:
        return options.licence
    return QVHIGHLIGHTS if any(YOUTUBE_CLIP.fullmatch(row.vid) for row in rows) else "other"


def changed_count(rows: Sequence[Row]) -> int:
    """Rows whose windows or verdict are not the released ones."""
    return sum(row.original_windows is not None and row.original_windows != row.windows for row in rows)


def licence_notice(rows: Sequence[Row], options: ExportOptions) -> str:
    """What a derivative must say: licence, attribution, and that changes were made."""
    licence = licence_of(rows, options)
    name, url = LICENCES.get(licence, (licence, ""))
    corrected = changed_count(rows)
    these = "this query" if len(rows) == 1 else f"these {plural(len(rows), 'query', 'queries')}"
    changes = f"No changes were made to the moments of {these}."
    if corrected:
        queries = plural(len(rows), "query", "queries")
        changes = f"Changes were made: the moments of {corrected} of {queries} were corrected."
    attribution = f"Derived from {ATTRIBUTION}.\n" if licence == QVHIGHLIGHTS else ""
    head = f"{name}\n{url}\n" if url else f"{name}\n"
    return (
        f"{head}\n{attribution}{changes}\n"
        "This copy is offered under the same licence. The authors of the original do not endorse it.\n"
    )


def export_manifest(
    format: str,
    rows: Sequence[Row],
    files: Mapping[Path, bytes],
    counts: Mapping[str, int],
    dropped: Mapping[str, int],
    options: ExportOptions,
    folder: Path,
) -> dict[str, Any]:
    """What was exported, how, and the hash of every file. There is no clock in it: equal rows give equal files."""
    verdicts = Counter(row.verdict or "no ground truth" for row in rows)
    return {
        "format": format,
        "created_at": None,
        "snapshot_sha": options.snapshot_sha,
        "rows": len(rows),
        "rows_by_split": dict(sorted(Counter(row.split for row in rows).items())),
        "rows_by_verdict": dict(sorted(verdicts.items())),
        "changed_rows": changed_count(rows),
        "mended_rows": dict(Counter(repair for row in rows for repair in row.extra.get(MENDED, ()))),
        "counts": dict(counts),
        "dropped_fields": dict(dropped),
        "options": options.recorded(),
        "licence": {"id": licence_of(rows, options), "notice": licence_notice(rows, options)},
        "files": {
            str(path.relative_to(folder)): {
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for path, content in sorted(files.items())
        },
    }


def dataset_card(sizes: Mapping[str, int], rows: Sequence[Row], options: ExportOptions) -> str:
    """README.md with the YAML head that the hub and `datasets` read."""
    splits = "".join(f"      - split: {split}\n        path: data/{split}-*.parquet\n" for split in sizes)
    head = (
        f"---\nlicense: {licence_of(rows, options)}\npretty_name: Corrected moments\nlanguage:\n  - en\n"
        f"tags:\n  - video\n  - temporal-grounding\n  - moment-retrieval\n"
        f"configs:\n  - config_name: default\n    data_files:\n{splits}---\n"
    )
    table = "".join(f"| {name} | {meaning} |\n" for name, meaning in COLUMNS)
    counted = "".join(f"| {split} | {count} |\n" for split, count in sizes.items())
    return (
        f"{head}\n# Corrected moments\n\nWhen does it happen? Queries about videos, each with every moment "
        f"that matches, or the verdict that none does.\n\n| split | queries |\n|---|---|\n{counted}\n"
        f"{plural(changed_count(rows), 'query differs', 'queries differ')} from the release. "
        "Rows of val and test are for scoring, never for training.\n"
        f"\n## Columns\n\n| column | meaning |\n|---|---|\n{table}"
        f"\n## Licence\n\n{licence_notice(rows, options)}"
    )
