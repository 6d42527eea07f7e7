"""What a refresh is made from: which rows of a snapshot, and the folder in which equal refreshes meet."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotations.snapshot import open_snapshot
from tempo_core.checkpoint import fingerprint
from tempo_core.errors import InputError
from train.checkpoints import file_digest
from train.config import as_dict
from train.data.examples import Example, ExampleSplit, joined
from train.refresh.config import RefreshConfig

UNCORRECTED = "nobody corrected it"


def corrected_only(split: ExampleSplit, *, use_uncorrected: bool) -> ExampleSplit:
    """Training rows that somebody corrected (or all), and held-out rows that somebody corrected: the truth."""
    if all(example.source == "file" for example in (*split.training, *split.held_out)):
        return split  # a file of rows says nothing about who made them

    def uncorrected(example: Example) -> bool:
        return example.source == "original"

    skipped = [] if use_uncorrected else list(filter(uncorrected, split.training))
    skipped += filter(uncorrected, split.held_out)
    if not skipped:
        return split
    return replace(
        split,
        training=tuple(row for row in split.training if use_uncorrected or not uncorrected(row)),
        held_out=tuple(row for row in split.held_out if not uncorrected(row)),
        skipped=joined(split.skipped, {UNCORRECTED: tuple(row.row_id for row in skipped)}),
    )


def data_hash(source: Path) -> str:
    """The content hash of a snapshot, or of a file of rows. Raises InputError."""
    if source.is_dir():
        return open_snapshot(source).sha256
    if not source.is_file():
        raise InputError(f"{source} does not exist. Name a snapshot's folder or a file of JSON lines.")
    return file_digest(source)


def refresh_folder(
    root: Path, snapshot: Path, config: RefreshConfig, checkpoint: Path, replay: Path | None = None
) -> Path:
    """Where a refresh belongs below `root`: equal data, clips, base, recipe and replay meet there, and so go on.

    Clips that are not there count: once they are back, it is another refresh.
    """
    identity: list[Any] = [data_hash(snapshot), fingerprint(checkpoint), as_dict(config)]
    paths = open_snapshot(snapshot).video_paths() if snapshot.is_dir() else {}
    if gone := sorted(vid for vid, path in paths.items() if not path.is_file()):
        identity.append(gone)
    if replay is not None:
        identity.append(data_hash(replay))
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return root / f"{config.name}-{digest[:12]}"
