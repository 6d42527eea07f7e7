"""The folder of a run that may be killed at any moment: its states, its curves, and what it is a run of.

<run>/run.json               what decides the run; another run may not go on here
<run>/states/checkpoint-50/  transformers' own, with `whole` in it once it is complete
<run>/curves.jsonl           one line every few steps
<run>/done.json              the run has ended, and what it left behind
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tempo_core.errors import InputError
from train.data.examples import Example

WHOLE = "whole"
"""A file in a state's folder, written after all others."""


def write_json(path: Path, values: Any) -> None:
    """Write JSON so that a kill at any moment leaves the old file or the new one, whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(values, file, indent=1, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def open_run(folder: Path, decides: dict[str, Any]) -> bool:
    """Begin or go on with a run; True when it has ended already. Raises InputError when another run is here."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = json.loads(json.dumps(decides))
    path = folder / "run.json"
    if path.is_file():
        there = json.loads(path.read_text(encoding="utf-8"))
        if there != wanted:
            differing = sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))
            raise InputError(
                f"{folder} holds another run (it differs in {', '.join(differing)}). Give another folder, or delete it."
            )
    else:
        write_json(path, wanted)
    return (folder / "done.json").is_file()


@contextmanager
def exclusive_lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """One run at a time works in a folder. Raises InputError while another does, unless told to wait for it.

    Of a run on several devices the first process holds the folder for all.
    """
    if int(os.environ.get("RANK", "0")):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            raise InputError(
                f"A run is at work in {folder} already. Wait until it ends, or stop it first."
            ) from error
        yield


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def last_state(folder: Path) -> Path | None:
    """The newest whole state of a run; states that a kill cut short are removed."""
    whole: list[tuple[int, Path]] = []
    for state in (folder / "states").glob("checkpoint-*"):
        if (state / WHOLE).is_file():
            whole.append((int(state.name.rpartition("-")[2]), state))
        else:
            shutil.rmtree(state, ignore_errors=True)  # several processes may clear it at once
    return max(whole)[1] if whole else None


class Curves:
    """Lines of a run's `curves.jsonl`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def truncate_after(self, step: int) -> float:
        """Drop the lines of steps that will be made again; returns the seconds that the kept ones took."""
        kept = [line for line in read_curves(self.path) if line["step"] <= step]
        if self.path.exists():
            part = self.path.with_suffix(".part")
            part.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
            part.replace(self.path)
        return float(kept[-1]["seconds"]) if kept else 0.0

    def add(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_curves(path: Path) -> list[dict[str, Any]]:
    """The lines there are; a last one cut short by a kill is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines if line.strip()]


def rows_digest(examples: Sequence[Example]) -> str:
    """A hash of what examples teach: equal rows in equal order have an equal one, wherever their clips lie."""
    digest = hashlib.sha256()
    for each in examples:
        moments = [[moment.start_s, moment.end_s] for moment in each.moments]
        known = [
            each.row_id,
            each.content or each.clip_id,
            each.query,
            moments,
            each.weight,
            each.thinking,
            each.split,
        ]
        digest.update(json.dumps(known).encode())
    return digest.hexdigest()
