"""Mutated annotation files, imported as the Data page imports an upload."""

import json
import random
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from unittest import mock

from annotations.formats import Mending, ReadOptions
from annotations.formats.child import read_in_child
from annotations.importing import import_file
from annotations.store import Store
from app.data.service import UPLOAD_LIMITS
from tempo_core.errors import InputError
from tempo_core.sandbox import ChildLimits
from tests.fuzz.campaign import Case, Fault
from tests.fuzz.mutations import mutated, mutated_json
from tests.fuzz.seed_annotations import write_folder_seeds, write_seeds
from tests.processes import lasting_children

LIMITS = replace(UPLOAD_LIMITS, child=ChildLimits(cpu_s=60, wall_s=240.0, output_bytes=2**26))
STORE_LASTS = 50
"""Cases that share a store."""
FOLDER_SHARE = 0.1
"""Of the cases, those of several files together."""


@contextmanager
def annotation_case(folder: Path) -> Iterator[Case]:
    """A case runs in `folder`, which is emptied after each."""
    seeds_folder, home, temporary = folder / "seeds", folder / "server-home", folder / "temporary"
    for path in (seeds_folder, home, temporary):
        path.mkdir()
    seeds, folder_seeds = write_seeds(seeds_folder), write_folder_seeds(seeds_folder)
    contents = [content for _, _, content in seeds]
    # Loaded once, before the first child is forked.
    for format, name, content in seeds:
        (home / name).write_bytes(content)
        read_in_child(home / name, format=format, options=ReadOptions(frame_rate=25), limits=LIMITS)
        __import__(f"annotations.formats.{format.replace('-', '_')}")
        (home / name).unlink()
    store, cases = Store("sqlite://"), 0

    def changed(seeded: random.Random, content: bytes) -> bytes:
        """Two of three changes to JSON keep it JSON, of all of it or of a line: others end at its first bytes."""
        lines = content.split(b"\n")
        number = seeded.randrange(len(lines))
        with suppress(ValueError):
            if seeded.random() < 0.67:
                lines[number] = mutated_json(seeded, json.loads(lines[number]))
                return b"\n".join(lines)
        return mutated(seeded, content, contents)

    def run_case(seeded: random.Random) -> str:
        nonlocal store, cases
        cases += 1
        if cases % STORE_LASTS == 0:
            store.close()
            store = Store("sqlite://")
        if seeded.random() < FOLDER_SHARE:
            format, files = seeded.choice(folder_seeds)
            name = seeded.choice([*files])
            source = home / "several"
            source.mkdir()
            for other, content in files.items():
                (source / other).write_bytes(changed(seeded, content) if other == name else content)
        else:
            format, name, content = seeded.choice(seeds)
            source = home / name
            source.write_bytes(changed(seeded, content))
        named = format if seeded.random() < 0.6 else None
        try:
            outcome = bring_in(source, named, seeded)
        finally:
            shutil.rmtree(source) if source.is_dir() else source.unlink()
        if children := lasting_children():
            raise Fault(f"{name}: child processes stay: {children}")
        if files := [*temporary.iterdir(), *home.iterdir()]:
            raise Fault(f"{name}: files stay: {files}")
        return outcome

    def bring_in(file: Path, format: str | None, seeded: random.Random) -> str:
        options = ReadOptions(
            keep_going=seeded.random() < 0.5,
            frame_rate=25 if seeded.random() < 0.7 else None,
            mending=Mending() if seeded.random() < 0.3 else None,
        )
        try:
            imported = import_file(
                store,
                file,
                op_id=f"fuzz-{seeded.getrandbits(64):x}",
                actor="fuzz",
                format=format,
                dataset=f"d{seeded.randrange(3)}",
                options=options,
                limits=LIMITS,
                update=seeded.random() < 0.2,
            )
            text = " ".join(map(str, (*imported.problems, *imported.omissions)))
            outcome = "imported"
        except InputError as error:
            text, outcome = str(error), "refused"
            if "is not read within" in text or "makes the library" in text:
                raise Fault(f"{file.name} as {format}: {text}") from error
        except Exception as error:
            raise Fault(f"{file.name} as {format}: {traceback.format_exc()}") from error
        if str(folder) in text:
            raise Fault(f"{file.name} as {format}: a folder is told: {text[:500]}")
        return outcome

    try:
        with mock.patch.object(tempfile, "tempdir", str(temporary)):
            yield run_case
    finally:
        store.close()
