"""Lineage: what an adapter was made from, so that it can be made again. Plain data; no torch."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tempo_core.errors import InputError

FILE_NAME = "lineage.json"
_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("tempo_core", "train")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """Everything that decides an adapter, and what it scored."""

    base: str
    """Folder name of the checkpoint."""
    base_fingerprint: str
    """`tempo_core.checkpoint.fingerprint` of the checkpoint."""
    parent: str | None
    """Name of the adapter that training went on from; None: the bare checkpoint."""
    snapshot_sha256: str | None
    """Content hash of the snapshot, or of the file of rows."""
    recipe: Mapping[str, Any]
    """The whole configuration, with its name."""
    seeds: Mapping[str, int]
    code_version: str
    rows: Mapping[str, Any] = field(default_factory=dict)
    """What was trained on and what was left out, in counts."""
    scores: Mapping[str, Any] = field(default_factory=dict)
    """Old against new on each held-out set."""
    made_at_ms: int = 0
    """When, in milliseconds since 1970; the one field that two equal runs do not share."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values; what `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Lineage":
        """The lineage that `to_dict` wrote; fields of later versions are left alone. Raises InputError."""
        known = {each.name for each in fields(cls)}
        try:
            return cls(**{name: value for name, value in values.items() if name in known})
        except TypeError as error:
            raise InputError(f"This is no lineage: {error}.") from error


def code_version() -> str:
    """A hash of the sources that training runs, `<12 digits>`: the same tree gives the same version."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for file in sorted((_ROOT / package).rglob("*.py")):
            digest.update(str(file.relative_to(_ROOT)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
