"""The adapters of one TEMPO_HOME: immutable entries with their lineage, and which one is promoted.

    <home>/adapters/
        tempo-tiny-0123456789ab/     adapter_config.json, adapter_model.safetensors   (peft's)
                                     tempo_adapter.json   the base that it fits (`tempo_core.checkpoint`)
                                     lineage.json         how it was made and what it scored
        promoted.json                for each base the promoted adapter, those before it, and the history

An entry's name ends in the hash of its weights: equal training gives the equal name, and adding it twice is
harmless. `promoted.json` is replaced in one step; `tempo_core.checkpoint.promoted_adapter` reads it.
"""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from tempo_core.errors import CheckpointError, InputError
from train.checkpoints import write_json
from train.refresh.lineage import FILE_NAME as LINEAGE
from train.refresh.lineage import Lineage


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
        return {"name": self.name, "promoted": self.promoted, "lineage": self.lineage.to_dict()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One line of the history of promotions."""

    at_ms: int
    action: str
    """promote or rollback"""
    base: str
    """Fingerprint of the base."""
    name: str | None
    """The adapter that is promoted from then on; None: the bare base."""
    by: str


class Registry:
    """The adapters below one folder. Processes may share it."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when it is not there."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, made: Path, lineage: Lineage) -> Entry:
        """Copy peft's files from `made` into a new entry; the same weights again give the entry there is.

        Raises CheckpointError for a folder that holds no whole LoRA adapter.
        """
        check_adapter(made, lineage.base_fingerprint)
        name = f"{lineage.base}-{fingerprint(made)[:12]}"
        if (self.folder / name).is_dir():
            return self.entry(name)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self.folder))
        try:
            for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
                shutil.copyfile(made / file, partial / file)
            write_json(
                partial / ADAPTER_LINEAGE, {"base_fingerprint": lineage.base_fingerprint, "name": name}
            )
            write_json(partial / LINEAGE, lineage.to_dict())
            for each in partial.iterdir():
                each.chmod(0o444)
            partial.chmod(0o755)
            _move(partial, self.folder / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return self.entry(name)

    def entry(self, name: str) -> Entry:
        """One adapter by its name. Raises InputError when there is none, CheckpointError for a damaged one."""
        folder = self.folder / name
        if Path(name).name != name or name.startswith(".") or not (folder / LINEAGE).is_file():
            there = ", ".join(each.name for each in self._folders()) or "none"
            raise InputError(f"There is no adapter {name!r}; there are: {there}.")
        lineage = self._lineage(folder)
        promoted = self._state()["bases"].get(lineage.base_fingerprint, {}).get("name") == name
        return Entry(name=name, folder=folder, lineage=lineage, promoted=promoted)

    def entries(self) -> list[Entry]:
        """Every adapter, newest first."""
        found = [self.entry(folder.name) for folder in self._folders()]
        return sorted(found, key=lambda each: (-each.lineage.made_at_ms, each.name))

    def promoted(self, base_fingerprint: str) -> Entry | None:
        """The adapter that this base is served with, or None: the bare base."""
        name = self._state()["bases"].get(base_fingerprint, {}).get("name")
        return None if name is None else self.entry(name)

    def serves(self, name: str) -> bool:
        """Whether a base is served with this adapter now; False when there is none."""
        return any(state.get("name") == name for state in self._state()["bases"].values())

    def promote(self, name: str, *, by: str, instead_of: tuple[str | None, ...] | None = None) -> Entry:
        """Serve the adapter's base with it from now on. Raises InputError, CheckpointError.

        With `instead_of`, only where one of these is served (None: the bare base): else InputError.
        """
        with self._locked():
            entry = self.entry(name)
            served = self._state()["bases"].get(entry.lineage.base_fingerprint, {}).get("name")
            if instead_of is not None and served not in instead_of:
                raise InputError(
                    f"{served or 'The bare model'} is served now, with which it was not compared."
                )
            check_adapter(entry.folder, entry.lineage.base_fingerprint)
            if not entry.promoted:
                self._set(entry.lineage.base_fingerprint, name, "promote", by)
        return self.entry(name)

    def rollback(
        self, base_fingerprint: str, *, by: str, instead_of: tuple[str, ...] | None = None
    ) -> Entry | None:
        """Go back to what was promoted before, in the end to the bare base (None).

        Raises InputError when nothing is promoted, or, with `instead_of`, something else than one of these.
        """
        with self._locked():
            state = self._state()["bases"].get(base_fingerprint, {})
            if state.get("name") is None:
                raise InputError("No adapter is promoted for this base, so there is nothing to roll back.")
            if instead_of is not None and state["name"] not in instead_of:
                raise InputError(
                    f"{state['name']} is served by now: somebody has changed it. Roll back again if you mean that one."
                )
            before = next((name for name in reversed(state["before"]) if self._there(name)), None)
            self._set(base_fingerprint, before, "rollback", by)
        return None if before is None else self.entry(before)

    def history(self) -> list[Step]:
        """Promotions and rollbacks, oldest first."""
        return [Step(**each) for each in self._state()["history"]]

    def bases(self) -> dict[str, str]:
        """Name of each base that has a promoted adapter, by its fingerprint."""
        served = {base for base, state in self._state()["bases"].items() if state["name"] is not None}
        return {
            each.lineage.base_fingerprint: each.lineage.base
            for each in self.entries()
            if each.lineage.base_fingerprint in served
        }

    def _set(self, base: str, name: str | None, action: str, by: str) -> None:
        state = self._state()
        now = state["bases"].setdefault(base, {"name": None, "before": []})
        if action == "promote":
            now["before"] = [*now["before"], *([now["name"]] if now["name"] else [])]
        else:
            now["before"] = now["before"][: _last(now["before"], name)] if name is not None else []
        now["name"] = name
        step = {"at_ms": time.time_ns() // 1_000_000, "action": action, "base": base, "name": name, "by": by}
        write_json(self.folder / PROMOTED, {**state, "history": [*state["history"], step]})

    def _state(self) -> dict[str, Any]:
        path = self.folder / PROMOTED
        if not path.is_file():
            return {"bases": {}, "history": []}
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            return {"bases": dict(state["bases"]), "history": list(state["history"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"adapters/{path.name} in TEMPO_HOME is damaged ({error}). Delete it to serve the bare model."
            ) from error

    def _folders(self) -> list[Path]:
        return [
            each
            for each in sorted(self.folder.iterdir())
            if (each / LINEAGE).is_file() and each.name[0] != "."
        ]

    def _there(self, name: str) -> bool:
        return (self.folder / name / LINEAGE).is_file()

    @staticmethod
    def _lineage(folder: Path) -> Lineage:
        try:
            return Lineage.from_dict(json.loads((folder / LINEAGE).read_text(encoding="utf-8")))
        except (OSError, ValueError, InputError) as error:
            raise CheckpointError(
                f"{folder.name}/{LINEAGE} is damaged ({error}). Remove the folder from TEMPO_HOME/adapters."
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _last(names: list[str], name: str) -> int:
    """Where a name stands for the last time."""
    return len(names) - 1 - names[::-1].index(name)


def _move(partial: Path, target: Path) -> None:
    try:
        os.rename(partial, target)
    except OSError:
        if not target.is_dir():  # somebody else added the same weights meanwhile: theirs is as good
            raise
