"""The folder of a run that may be killed at any moment: its states, its curves, and what it is a run of.

<run>/run.json               what decides the run; another run may not go on here
<run>/states/checkpoint-50/  transformers' own, with `whole` in it once it is complete
<run>/curves.jsonl           one line every few steps
<run>/done.json              the run has ended, and what it left behind

Other processes read these files while they are written: every file is replaced in one step or grows by whole lines.
"""

import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tempo_core.errors import Cancelled, InputError
from tempo_core.files import write_whole
from train.data.examples import Example

WHOLE = "whole"
"""A file in a state's folder, written after all others."""
LOCK_RETRY_S = 0.2
"""Between two attempts at a lock that somebody may stop waiting for."""


def write_json(path: Path, values: Any) -> None:
    """Write JSON so that a reader, a kill or a power cut finds the old file or the new one, whole."""
    write_whole(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Write JSON lines; whole like `write_json`."""
    write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))


def append_line(path: Path, values: dict[str, Any]) -> None:
    """Add a JSON line to a file. A last line that a kill cut short is taken away first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(values).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_json(path: Path) -> Any:
    """The values that `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines there are; a last one cut short by a kill is left out, and no file has none."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines if line.strip()]


def open_run(folder: Path, identity: dict[str, Any]) -> bool:
    """Begin or go on with a run; True when it has ended already. Raises InputError when another run is here."""
    folder.mkdir(parents=True, exist_ok=True)
    identity = json.loads(json.dumps(identity))  # as it is read back: tuples are lists
    path = folder / "run.json"
    if path.is_file():
        earlier = read_json(path)
        if differing := differing_names(earlier, identity):
            raise InputError(
                f"{folder} holds another run (it differs in {', '.join(differing)}). Give another folder, or delete it."
            )
    else:
        write_json(path, identity)
    return (folder / "done.json").is_file()


def differing_names(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """The keys whose values are not equal in both."""
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))


@contextmanager
def exclusive_lock(
    folder: Path, *, wait: bool = False, cancel: threading.Event | None = None
) -> Iterator[None]:
    """One run at a time works in a folder. Raises InputError while another does, or waits for it until `cancel` is set,
    which raises Cancelled.

    Of a run on several devices the first process holds the folder for all.
    """
    if int(os.environ.get("RANK", "0")):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait and cancel is None else fcntl.LOCK_NB))
                break
            except OSError as error:
                if not wait:
                    raise InputError(
                        f"A run is at work in {folder} already. Wait until it ends, or stop it first."
                    ) from error
            if cancel is not None and cancel.wait(LOCK_RETRY_S):
                raise Cancelled("Stopped while another run was at work; it can go on from there.")
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


def rows_digest(examples: Sequence[Example]) -> str:
    """A hash of what examples teach: equal rows in equal order have an equal one, wherever their clips lie."""
    digest = hashlib.sha256()
    for example in examples:
        values = [
            example.row_id,
            example.content or example.clip_id,
            example.query,
            [[moment.start_s, moment.end_s] for moment in example.moments],
            example.weight,
            example.thinking,
            example.split,
            *example.bands_s,  # rows without bands have the digest that they had before bands taught
        ]
        digest.update(json.dumps(values).encode())
    return digest.hexdigest()
