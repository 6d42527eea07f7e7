"""Files for the formats: reading text with its faults named, and writing several files or none."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from annotations.formats import fields
from annotations.formats.options import ReadOptions
from annotations.rows import Split
from tempo_core.errors import InputError
from tempo_core.files import move
from tempo_core.metrics.rows import Problem

BYTE_ORDER_MARK = "\ufeff"


def read_text(path: Path) -> str:
    """The file as text, newlines untouched, a byte order mark removed: UTF-8, or UTF-16 with its mark.

    Raises InputError.
    """
    content = read_bytes(path)
    try:
        return content.decode(_encoding(content)).removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}. "
            "Save it as UTF-8 and try again."
        ) from error


def text_of(content: bytes) -> str:
    """The same for a detector: bytes that are no text become replacement signs."""
    return content.decode(_encoding(content), errors="replace")


def _encoding(content: bytes) -> str:
    """Spreadsheets save "Unicode text" as UTF-16, with a byte order mark."""
    return "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Check the path.") from error


def split_of(path: Path, options: ReadOptions) -> Split:
    """The split of the options, else the one in the file's name, else `unknown`."""
    if options.split is not None:
        return options.split
    match = re.search(r"(?:^|[^a-z])(train|val|test)(?:[^a-z]|$)", path.name.lower())
    return fields.split(match[1]) if match else "unknown"


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes, or of a folder's file names and hashes in sorted order."""
    if path.is_file():
        return hashlib.sha256(read_bytes(path)).hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listing = "".join(f"{file.relative_to(path)} {sha256_of(file)}\n" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def write_all(files: Mapping[Path, bytes], *, overwrite: bool) -> None:
    """Write every file or, when one cannot be written, none; each appears whole or not at all.

    Raises InputError where a file exists and `overwrite` is False.
    """
    existing = [path for path in files if path.exists()]
    if existing and not overwrite:
        raise InputError(
            f"{existing[0]} exists already and would be replaced. Give another path, or pass --overwrite."
        )
    staged: dict[Path, Path] = {}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", dir=path.parent)
            staged[path] = Path(name)
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                os.fchmod(stream.fileno(), 0o644)
                stream.flush()
                os.fsync(stream.fileno())  # a full disk may say so only now
        for path, temporary in staged.items():
            move(temporary, path)
    except OSError as error:
        raise InputError(f"{error.filename} cannot be written: {error.strerror}.") from error
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def write_rejects(path: Path, problems: Iterable[Problem]) -> None:
    """Rejected rows as JSON lines: file, line, place, field, value, rule, raw."""
    names = ("file", "line", "place", "field", "value", "rule", "raw")
    objects = [{name: getattr(problem, name) for name in names} for problem in problems]
    write_all({path: json_lines(objects)}, overwrite=True)


def json_lines(objects: Iterable[Mapping[str, Any]]) -> bytes:
    """Plain `json.dumps` per object, joined by newlines, none at the end, as QVHighlights is released."""
    return "\n".join(json.dumps(item) for item in objects).encode("ascii")


def safe_name(vid: str) -> str:
    """A file name for a video id: characters that a file system may refuse become `%xx`; names stay apart."""
    name = "".join(
        char if char.isalnum() or char in "-_." else "".join(f"%{byte:02x}" for byte in char.encode("utf-8"))
        for char in vid
    )
    return f"%2e{name[1:]}" if name.startswith(".") else name


def vid_of_name(name: str) -> str:
    """The video id behind a name that `safe_name` made."""
    return unquote(name)
