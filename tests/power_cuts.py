"""What a disk may hold after the power went, worked out from a record of what processes wrote.

`record` runs a Python function in a process whose writes are recorded (tests/record_writes.c). `Recording.states` then
gives possible disks after a cut at some place: what was synced is there; of all else any part may be: written sectors
of 512 bytes may be lost, come in another order or end in the middle of a write, and names (new, renamed, removed) may
be as before. A file's name is safe only once its folder was synced: file systems differ in what else they promise.

Each record has a kind: C a new file, W a write, T a size, S a synced file, D a synced folder, M a new folder, U and X
a removed file and folder, R a renamed one, L a further name.
"""

import itertools
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

SECTOR = 512
HEAD = struct.Struct("=cQQII")
NOTES = "acknowledged"
"""A file in the recorded folder. Each line written to it says what was promised to somebody by then; it is no part
of the disk."""
Damage = Literal["nothing more", "everything", "in order", "any part"]
DAMAGES: tuple[Damage, ...] = ("nothing more", "everything", "in order", "any part")
SOURCE = Path(__file__).with_name("record_writes.c")


def recorder(folder: Path) -> Path:
    """The library that records, compiled; skips without a compiler or off Linux."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler on Linux, to record what is written")
    library = folder / "record_writes.so"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-lpthread"]
    built = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert built.returncode == 0, built.stdout
    return library


def record(library: Path, work: Callable[..., None], folder: Path, log: Path, *arguments: str) -> None:
    """Run `work(folder, *arguments)`, a function of a module, in a process of its own; its writes go on the log."""
    folder.mkdir(exist_ok=True)
    program = f"import sys; from {work.__module__} import {work.__name__} as work; work(*sys.argv[1:])"
    settings = {"LD_PRELOAD": str(library), "RECORD_ROOT": str(folder), "RECORD_LOG": str(log)}
    process = subprocess.run(
        [sys.executable, "-c", program, str(folder), *arguments],
        env={**os.environ, **settings},
        cwd=SOURCE.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.returncode == 0, process.stdout


def acknowledge(folder: str | Path, line: str) -> None:
    """Say, in a recorded process, that something is safe from now on."""
    notes = os.open(Path(folder) / NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(notes, f"{line}\n".encode())
    os.close(notes)


@dataclass(frozen=True, slots=True)
class Change:
    """One record. `path` and `second` are relative to the recorded folder."""

    kind: str
    inode: int
    offset: int
    content: bytes
    path: str
    second: str


@dataclass(slots=True, eq=False)
class File:
    """A file as it is safe, and what was done to it since: (number of the change, offset, bytes), or bytes None for
    a new size."""

    safe: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, int, bytes | None]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Naming:
    """A change of names: `removed` goes, `name` then names the file (None: a folder); one step."""

    number: int
    removed: str | None
    name: str | None
    file: File | None

    @property
    def folders(self) -> set[str]:
        return {os.path.dirname(path) for path in (self.removed, self.name) if path is not None}


@dataclass(frozen=True, slots=True)
class State:
    """A possible disk after a cut: what each file holds (None: a folder), and what had been promised by then."""

    files: dict[str, bytes | None]
    promised: tuple[str, ...]
    cut: int
    damage: Damage

    def write(self, folder: Path) -> None:
        """Make it a real folder."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for path in sorted(self.files):
            content = self.files[path]
            if content is None:
                (folder / path).mkdir()
            else:
                (folder / path).write_bytes(content)


class Recording:
    """What processes did to the files below a folder, in order."""

    def __init__(self, log: Path, folder: Path) -> None:
        self.changes: list[Change] = []
        content, at = log.read_bytes(), 0
        while at < len(content):
            kind, inode, offset, length, second_length = HEAD.unpack_from(content, at)
            at += HEAD.size
            first, second = content[at : at + length], content[at + length : at + length + second_length]
            at += length + second_length
            is_data = kind in b"WT"
            paths = ["" if is_data else first.decode(), second.decode()]
            relative = [os.path.relpath(path, folder) if path else "" for path in paths]
            data = first if is_data else b""
            self.changes.append(Change(kind.decode(), inode, offset, data, *relative))

    def places(self, kinds: str = "WTSDRUL") -> list[int]:
        """Where a cut makes a difference: after each change of these kinds."""
        return [number for number, change in enumerate(self.changes, start=1) if change.kind in kinds]

    def states(
        self, cuts: Sequence[int], seeded: random.Random, *, is_honest: bool = True
    ) -> Iterator[State]:
        """One possible disk for each cut, a number of changes done by then; each kind of damage in turn.

        `is_honest` False is a disk that says "synced" and does nothing.
        """
        sorted_cuts = sorted(cuts)
        inodes: dict[int, File] = {}
        names: dict[str, File | None] = {}  # now, for further names
        safe: dict[str, File | None] = {}
        since: list[Naming] = []
        promised: list[str] = []
        note_inode = None
        cut_idx = 0
        for number, change in enumerate(self.changes, start=1):
            if change.path == NOTES and change.kind == "C":
                note_inode = change.inode
            elif change.kind == "W" and change.inode == note_inode:
                promised += change.content.decode().split("\n")[:-1]
            elif change.kind == "C":
                inodes[change.inode] = names[change.path] = file = File()
                since.append(Naming(number, None, change.path, file))
            elif change.kind in "WT" and change.inode in inodes:
                content = change.content if change.kind == "W" else None
                inodes[change.inode].since.append((number, change.offset, content))
            elif change.kind == "S" and change.inode in inodes and is_honest:
                file = inodes[change.inode]
                for _, offset, content in file.since:
                    _apply(file.safe, offset, content)
                file.since.clear()
            elif change.kind == "D" and is_honest:
                synced = [
                    naming
                    for naming in since
                    if ("" if change.path == "." else change.path) in naming.folders
                ]
                for naming in synced:
                    _rename(safe, naming)
                    since.remove(naming)
            elif change.kind in "UXRLM":
                removed = change.path if change.kind in "UXR" else None
                name = {"R": change.second, "L": change.second, "M": change.path}.get(change.kind)
                file_or_none = None if change.kind == "M" else names.get(change.path)
                naming = Naming(number, removed, name or None, file_or_none)
                _rename(names, naming)
                since.append(naming)
            while cut_idx < len(sorted_cuts) and sorted_cuts[cut_idx] == number:
                damage = DAMAGES[cut_idx % len(DAMAGES)]
                yield State(_disk(safe, since, damage, seeded), tuple(promised), number, damage)
                cut_idx += 1


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    """Write bytes, or set the size; what a file grows by without being written is zero."""
    if data is None:
        del content[offset:]
    end = offset + len(data or b"")
    if end > len(content):
        content.extend(bytes(end - len(content)))
    if data is not None:
        content[offset:end] = data


def _rename(names: dict[str, File | None], naming: Naming) -> None:
    """Do one change of names. A folder's names go with it."""
    moved = {}
    if naming.removed is not None:
        names.pop(naming.removed, None)
        below = [path for path in names if path.startswith(f"{naming.removed}/")]
        moved = {path.removeprefix(naming.removed): names.pop(path) for path in below}
    if naming.name is not None:
        names[naming.name] = naming.file
        names.update({f"{naming.name}{path}": file for path, file in moved.items()})


def _disk(
    safe: dict[str, File | None], since: list[Naming], damage: Damage, seeded: random.Random
) -> dict[str, bytes | None]:
    """The content of each name that one disk may have."""
    share = {"nothing more": 0.0, "everything": 1.0}.get(damage, seeded.choice((0.1, 0.5, 0.9)))
    files = {
        id(file): file for file in [*safe.values(), *(naming.file for naming in since)] if file is not None
    }
    numbers = [naming.number for naming in since]
    numbers += [number for file in files.values() for number, _, _ in file.since]
    last = sorted(numbers)[int(len(numbers) * seeded.random())] if numbers and damage == "in order" else None

    def survives(number: int) -> bool:
        return number < last if last is not None else seeded.random() < share

    names = dict(safe)
    for naming in since:
        if survives(naming.number):
            _rename(names, naming)
    contents: dict[int, bytes] = {}
    for key, file in files.items():
        content = bytearray(file.safe)
        parts: list[tuple[int, bytes | None]] = []
        for number, offset, data in file.since:
            if number == last and data:
                parts.append((offset, data[: seeded.randrange(0, len(data) + 1) // SECTOR * SECTOR]))
            elif data is None or last is not None or damage == "everything":
                if survives(number):
                    parts.append((offset, data))
            else:
                borders = [0, *range(SECTOR - offset % SECTOR, len(data), SECTOR), len(data)]
                pieces = [(offset + a, data[a:b]) for a, b in itertools.pairwise(borders)]
                parts += [piece for piece in pieces if survives(number)]
        if damage == "any part":
            seeded.shuffle(parts)
        for offset, data in parts:
            _apply(content, offset, data)
        contents[key] = bytes(content)
    disk: dict[str, bytes | None] = {}
    for path in sorted(names):
        parent = os.path.dirname(path)
        if not parent or parent in disk:  # what lies in a folder that is gone is gone
            file_or_none = names[path]
            disk[path] = None if file_or_none is None else contents[id(file_or_none)]
    return disk
