"""Files and folders that are there whole or not at all, also after the power went.

A rename is one step for other processes, but a disk may have the new name before the content, or neither for a while.
So what is finished is synced, then named, and then the folder that holds the name is synced, which fsync(2) asks for:
syncing a file does not mean that its entry in the folder is on the disk.
"""

import errno
import os
import threading
from pathlib import Path

NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM)
"""What a file system says that cannot sync folders, or whose folder may not be read."""


def sync(path: Path) -> None:
    """Return once the disk has what a file holds, or which names a folder has.

    A folder that cannot be synced is passed over, as SQLite does: there is nothing else that could be done.
    """
    is_folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not is_folder or error.errno not in NO_FOLDER_SYNC:
            raise


def sync_all(path: Path) -> None:
    """`sync` a file, or a folder and all below it, as before a mark beside it says that it is whole."""
    for below in path.rglob("*") if path.is_dir() else ():
        if not below.is_symlink():
            sync(below)
    sync(path)


def make_folder(path: Path) -> None:
    """Make a folder and those above it where they are missing; their names are on the disk when it returns."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        sync(folder.parent)


def move(finished: Path, target: Path) -> None:
    """Give a finished file or folder its name, in one step: after a power cut `target` is what it was, or whole.

    A file takes the place of the one there; a folder only of an empty one. Both lie on one file system. Raises OSError.

        move(folder / ".state.part", folder / "state.pt")
    """
    sync_all(finished)
    os.replace(finished, target)
    sync(target.parent)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file that a reader, a kill or a power cut finds as it was before, or whole. Raises OSError.

    Threads and processes may write the same file: the last one to finish wins.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        move(part, path)
    finally:
        part.unlink(missing_ok=True)
