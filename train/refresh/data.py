"""What a refresh is made from: which rows of a snapshot, and the folder in which equal refreshes meet."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotations.snapshot import open_snapshot
from tempo_core.checkpoint import fingerprint
from tempo_core.errors import InputError
from train.config import as_dict
from train.data.examples import Example, ExampleSplit
from train.refresh.config import RefreshConfig

UNCORRECTED = "nobody corrected it"


def corrected_only(found: ExampleSplit, *, use_uncorrected: bool) -> ExampleSplit:
    """Training rows that somebody corrected (or all), and held-out rows that somebody corrected: the truth."""
    if all(example.source == "file" for example in (*found.training, *found.held_out)):
        return found  # a file of rows says nothing about who made them
    used = [use_uncorrected or each.source != "original" for each in found.training]
    training = tuple(each for each, teaches in zip(found.training, used, strict=True) if teaches)
    unused = tuple(each.row_id for each, teaches in zip(found.training, used, strict=True) if not teaches)
    held_out = tuple(each for each in found.held_out if each.source != "original")
    unmeasured = tuple(each.row_id for each in found.held_out if each.source == "original")
    left = {**found.skipped}
    if unused or unmeasured:
        left[UNCORRECTED] = (*unused, *unmeasured)
    return replace(found, training=training, held_out=held_out, skipped=left)


def held_out_row(example: Example, where: str) -> dict[str, Any]:
    """What a page needs to show old against new on a held-out row."""
    return {
        "set": where,
        "row_id": example.row_id,
        "query": example.query,
        "video": str(example.video),
        "duration_s": example.duration_s,
        "moments": [[moment.start_s, moment.end_s] for moment in example.moments],
    }


def data_hash(source: Path) -> str:
    """The content hash of a snapshot, or of a file of rows. Raises InputError."""
    if source.is_dir():
        return open_snapshot(source).sha256
    if not source.is_file():
        raise InputError(f"{source} does not exist. Name a snapshot's folder or a file of JSON lines.")
    return hashlib.sha256(source.read_bytes()).hexdigest()


def refresh_folder(
    root: Path, snapshot: Path, config: RefreshConfig, checkpoint: Path, replay: Path | None = None
) -> Path:
    """Where a refresh belongs below `root`: equal data, clips, base, recipe and replay meet there, and so go on.

    Clips that are not there count: once they are back, it is another refresh.
    """
    decides: list[Any] = [data_hash(snapshot), fingerprint(checkpoint), as_dict(config)]
    if gone := _gone(snapshot):
        decides.append(gone)
    if replay is not None:
        decides.append(data_hash(replay))
    name = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
    return root / f"{config.name}-{name}"


def _gone(source: Path) -> list[str]:
    """Registered clips of a snapshot that do not lie where they did."""
    paths = open_snapshot(source).video_paths() if source.is_dir() else {}
    return sorted(vid for vid, path in paths.items() if not path.is_file())
