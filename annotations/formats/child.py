"""Reads a file from somebody else in a child process with limits, and hands its rows over.

    result = read_in_child(path, format=None, options=ReadOptions(), limits=ReadLimits(max_bytes=2**28, ...))

It gives what `formats.read` gives, which is its plain twin. A file that swells (a ZIP or Parquet bomb, deep or long
JSON), crashes a library or takes for ever then costs a child and one sentence. What comes back is unpickled with a list
of the classes that a row is made of, and no others: a child that was taken over cannot make its parent run anything.
"""

import dataclasses
import io
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from annotations import formats
from annotations.formats.charades_sta import durations_path
from annotations.formats.fields import Mending
from annotations.formats.files import sha256_of, write_rejects
from annotations.formats.options import Contents, Omission, ReadLimits, ReadOptions, ReadResult, RowsRejected
from annotations.rows import AnnotatorVersion, Row, SourceLine
from tempo_core.errors import InputError
from tempo_core.metrics.rows import Problem
from tempo_core.sandbox import ChildDied, run_child

CLASSES = {
    (cls.__module__, cls.__qualname__): cls
    for cls in (Row, AnnotatorVersion, SourceLine, Problem, Omission, Contents)
}
CAUSES = {
    "memory": "needs more than {memory:.0f} GiB of memory",
    "time": "is not read within {wall:.0f} s",
    "size": "gives more than {output:.1f} GiB of rows",
    "crash": "makes the library that reads it crash, so that it must be damaged",
}


class _RowUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A class of CLASSES. Raises pickle.UnpicklingError for any other."""
        if (module, name) not in CLASSES:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a row")
        return CLASSES[module, name]


def read_in_child(
    path: Path,
    *,
    format: str | None = None,
    options: ReadOptions | None = None,
    limits: ReadLimits,
    cancel: threading.Event | None = None,
) -> ReadResult:
    """What `formats.read` gives and raises; InputError for a file beyond `limits`, Cancelled when `cancel` is set."""
    options = options or ReadOptions()
    if not path.exists():
        raise InputError(f"{path} does not exist. Check the path.")
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    size_bytes = sum(file.stat().st_size for file in files)
    if size_bytes > limits.max_bytes:
        raise InputError(
            f"{path.name} has {size_bytes / 2**20:.1f} MiB; an import takes {limits.max_bytes / 2**20:.0f}. Divide it, "
            "or import it on the command line, which takes more."
        )
    values = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.name not in ("mending", "rejects_path")
    }
    job = {
        "path": str(path.absolute()),
        "readable": [str(file) for file in (path.absolute(), durations_path(path.absolute()))],
        "format": format,
        "options": {**values, "max_items": limits.max_items},
        "mend": options.mending is not None,
    }
    try:
        answer = run_child(
            "annotations.formats.child:read_task", job, name=path.name, limits=limits.child, cancel=cancel
        )
    except ChildDied as death:
        cause = CAUSES.get(death.cause, "ends its reader").format(
            memory=limits.child.memory_bytes / 2**30,
            wall=limits.child.wall_s,
            output=limits.child.output_bytes / 2**30,
        )
        raise InputError(f"{path.name} {cause}. Divide it, or export it again, and import that.") from death
    with open(answer.output, "rb") as stream:
        format, rows, problems, omissions, contents, mended = _RowUnpickler(stream).load()
    if problems and not options.keep_going:
        raise RowsRejected(problems, "imported")
    if problems and options.rejects_path is not None:
        write_rejects(options.rejects_path, problems)
    if options.mending is not None:
        options.mending.counts.update(mended)
    return ReadResult(
        format=format,
        path=path,
        sha256=sha256_of(path),
        rows=rows,
        problems=problems,
        omissions=omissions,
        contents=contents,
        mended=mended,
    )


def read_task(job: dict[str, Any], on_progress: Callable[[float], None]) -> dict[str, Any]:
    """Read in the child and fill the output with the pickled parts of a ReadResult."""
    options = ReadOptions(**job["options"], mending=Mending() if job["mend"] else None)
    path, format = Path(job["path"]), job["format"]
    try:
        result = formats.read(path, format=format, options=options)
        parts: tuple[Any, ...] = (result.rows, result.problems, result.omissions, result.contents)
        format, mended = result.format, dict(result.mended)
    except RowsRejected as error:
        parts, mended = ((), error.problems, (), ()), {}
    with open(job["output"], "wb", closefd=False) as stream:
        pickle.dump((format, *parts, mended), stream, protocol=5)
    os.lseek(job["output"], 0, io.SEEK_SET)  # the parent reads with the same offset
    return {}
