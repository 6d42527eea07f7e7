"""The adapters of one TEMPO_HOME: immutable entries with their lineage, and which one is promoted.

    <home>/adapters/
        tempo-tiny-0123456789ab/     adapter_config.json, adapter_model.safetensors   (peft's)
                                     tempo_adapter.json   the base that it fits (`tempo_core.checkpoint`)
                                     lineage.json         how it was made and what it scored
        promoted.json                for each base the promoted adapter, those before it, and the history

An entry's name ends in the hash of its weights: equal training gives the equal name, and adding it twice is
harmless. `promoted.json` is replaced in one step; `tempo_core.checkpoint.promoted_adapter` reads it.
"""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tempo_core.checkpoint import (
    ADAPTER_CONFIG,
    ADAPTER_LINEAGE,
    ADAPTER_WEIGHTS,
    PROMOTED,
    check_adapter,
    fingerprint,
)
from tempo_core.defaults import FILE_NAME
from tempo_core.errors import CheckpointError, InputError
from tempo_core.files import make_folder, move
from tempo_core.vocabulary import FILE_NAME as VOCABULARY
from train.checkpoints import exclusive_lock, read_json, write_json

LINEAGE = "lineage.json"
ROOT = Path(__file__).resolve().parents[2]


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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Lineage":
        """The lineage that `add` wrote; fields of later versions are left alone. Raises InputError."""
        names = {field.name for field in fields(cls)}
        try:
            return cls(**{name: value for name, value in values.items() if name in names})
        except TypeError as error:
            raise InputError(f"This is no lineage: {error}.") from error


def code_version() -> str:
    """A hash of the sources that training runs, `<12 digits>`: the same tree gives the same version."""
    digest = hashlib.sha256()
    for package in ("tempo_core", "train"):
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One adapter in the registry."""

    name: str
    folder: Path
    lineage: Lineage
    promoted: bool
    """Whether its base is served with it now."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values, for commands and pages."""
        return {"name": self.name, "promoted": self.promoted, "lineage": asdict(self.lineage)}


class Registry:
    """The adapters below one folder. Processes may share it."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when it is not there."""
        self.folder = folder
        make_folder(folder)

    def add(self, adapter: Path, lineage: Lineage) -> Entry:
        """Copy peft's files from a folder into a new entry; the same weights again give the entry there is.

        Raises CheckpointError for a folder that holds no whole LoRA adapter.
        """
        check_adapter(adapter, lineage.base_fingerprint)
        name = f"{lineage.base}-{fingerprint(adapter)[:12]}"
        target = self.folder / name
        if target.is_dir():
            return self.entry(name)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self.folder))
        try:
            for file_name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
                shutil.copyfile(adapter / file_name, partial / file_name)
            for file_name in (VOCABULARY, FILE_NAME):  # the words and the protocol that it was taught
                if (adapter / file_name).is_file():
                    shutil.copyfile(adapter / file_name, partial / file_name)
            base = {"base_fingerprint": lineage.base_fingerprint, "name": name}
            write_json(partial / ADAPTER_LINEAGE, base)
            write_json(partial / LINEAGE, asdict(lineage))
            for path in partial.iterdir():
                path.chmod(0o444)
            partial.chmod(0o755)
            try:
                move(partial, target)
            except OSError:
                if not target.is_dir():  # somebody else added the same weights meanwhile: theirs is as good
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return self.entry(name)

    def entry(self, name: str) -> Entry:
        """One adapter by its name. Raises InputError when there is none, CheckpointError for a damaged one."""
        folder = self.folder / name
        if Path(name).name != name or name.startswith(".") or not self._exists(name):
            names = ", ".join(self._names()) or "none"
            raise InputError(f"There is no adapter {name!r}; there are: {names}.")
        try:
            lineage = Lineage.from_dict(read_json(folder / LINEAGE))
        except (OSError, ValueError, InputError) as error:
            raise CheckpointError(
                f"{folder.name}/{LINEAGE} is damaged ({error}). Remove the folder from TEMPO_HOME/adapters."
            ) from error
        promoted = self._promoted_name(lineage.base_fingerprint) == name
        return Entry(name=name, folder=folder, lineage=lineage, promoted=promoted)

    def entries(self) -> list[Entry]:
        """Every adapter, newest first."""
        entries = [self.entry(name) for name in self._names()]
        return sorted(entries, key=lambda entry: (-entry.lineage.made_at_ms, entry.name))

    def promoted(self, base_fingerprint: str) -> Entry | None:
        """The adapter that this base is served with, or None: the bare base."""
        name = self._promoted_name(base_fingerprint)
        return None if name is None else self.entry(name)

    def history(self) -> list[dict[str, Any]]:
        """Every promotion and rollback, the oldest first: at_ms, action, base, name (None: the bare base), by."""
        return list(self._state()["history"])

    def serves(self, name: str) -> bool:
        """Whether a base is served with this adapter now; False when there is none."""
        return any(state.get("name") == name for state in self._state()["bases"].values())

    def promote(self, name: str, *, by: str, instead_of: tuple[str | None, ...] | None = None) -> Entry:
        """Serve the adapter's base with it from now on. Raises InputError, CheckpointError.

        With `instead_of`, only where one of these is served (None: the bare base): else InputError.
        """
        with exclusive_lock(self.folder, wait=True):
            entry = self.entry(name)
            served = self._promoted_name(entry.lineage.base_fingerprint)
            if instead_of is not None and served not in instead_of:
                raise InputError(
                    f"{served or 'The bare model'} is served now, with which it was not compared."
                )
            check_adapter(entry.folder, entry.lineage.base_fingerprint)
            if not entry.promoted:
                state = self._state()
                earlier = state["bases"].get(entry.lineage.base_fingerprint, {}).get("before", [])
                before = [*earlier, served] if served else earlier
                self._write(state, entry.lineage.base_fingerprint, name, before, "promote", by)
        return self.entry(name)

    def rollback(
        self, base_fingerprint: str, *, by: str, instead_of: tuple[str, ...] | None = None
    ) -> Entry | None:
        """Go back to what was promoted before, in the end to the bare base (None).

        Raises InputError when nothing is promoted, or, with `instead_of`, something else than one of these.
        """
        with exclusive_lock(self.folder, wait=True):
            state = self._state()
            served = self._promoted_name(base_fingerprint)
            if served is None:
                raise InputError("No adapter is promoted for this base, so there is nothing to roll back.")
            if instead_of is not None and served not in instead_of:
                raise InputError(
                    f"{served} is served by now: somebody has changed it. Roll back again if you mean that one."
                )
            # adapters whose folders are gone are passed over
            before = list(state["bases"][base_fingerprint]["before"])
            name = None
            while before and name is None:
                last = before.pop()
                name = last if self._exists(last) else None
            self._write(state, base_fingerprint, name, before, "rollback", by)
        return None if name is None else self.entry(name)

    def _write(
        self, state: dict[str, Any], base: str, name: str | None, before: list[str], action: str, by: str
    ) -> None:
        at_ms = time.time_ns() // 1_000_000
        state["bases"][base] = {"name": name, "before": before}
        state["history"].append({"at_ms": at_ms, "action": action, "base": base, "name": name, "by": by})
        write_json(self.folder / PROMOTED, state)

    def _state(self) -> dict[str, Any]:
        path = self.folder / PROMOTED
        if not path.is_file():
            return {"bases": {}, "history": []}
        try:
            state = read_json(path)
            return {"bases": dict(state["bases"]), "history": list(state["history"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"adapters/{path.name} in TEMPO_HOME is damaged ({error}). Delete it to serve the bare model."
            ) from error

    def _promoted_name(self, base_fingerprint: str) -> str | None:
        return self._state()["bases"].get(base_fingerprint, {}).get("name")

    def _names(self) -> list[str]:
        folders = sorted(path.name for path in self.folder.iterdir() if path.name[0] != ".")
        return [name for name in folders if self._exists(name)]

    def _exists(self, name: str) -> bool:
        return (self.folder / name / LINEAGE).is_file()
