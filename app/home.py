"""TEMPO_HOME: the one folder that holds everything the app keeps between runs.

Created for its owner only (mode 0700), because it holds visitors' clips. Nothing else in the app builds a
path by itself.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tempo_core.errors import InputError

DEFAULT_HOME = Path("data")


class Home:
    """The rooms of one TEMPO_HOME; every folder exists and can be written when `open_home` returns."""

    def __init__(self, root: Path) -> None:
        self.root = root
        """Absolute path of the folder itself."""
        self.media = root / "media"
        """Normal copies of clips and their film strips, one folder each."""
        self.videos = root / "videos"
        """Clips of datasets, as their owners put them here; any folders below it."""
        self.uploads = root / "uploads"
        """Files as they were uploaded, until the clean-up takes them."""
        self.adapters = root / "adapters"
        """Trained adapters."""
        self.snapshots = root / "snapshots"
        """Exported snapshots of the store."""
        self.exports = root / "exports"
        """Files that the data page made for somebody to take away."""
        self.library = root / "library"
        """Encoded clips of offered folders, and their index; made when it is first needed."""
        self.database = root / "cqvh.sqlite3"
        """The embedded database, where no other one is named."""
        self.models = root / "models.json"
        """What was chosen on the models page."""
        self.sessions = root / "sessions.sqlite3"
        """Who is signed in from which browser."""


@contextmanager
def serving_lock(home: Home) -> Iterator[None]:
    """One server at a time works in a home: it removes what an earlier one left half made. Raises InputError.

    The lock is the kernel's and goes with the process, however it ends.
    """
    with (home.root / "serving.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise InputError(
                f"Another server works in {home.root} (process {lock.read().strip() or 'unknown'}). "
                "Stop it, or name another folder with --home."
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def open_home(path: str | Path | None = None) -> Home:
    """The home at `path`, else $TEMPO_HOME, else ./data; creates what is missing.

    Raises InputError when the folder cannot be made or written.
    """
    root = Path(path or os.environ.get("TEMPO_HOME") or DEFAULT_HOME).expanduser().absolute()
    home = Home(root)
    folders = (root, home.media, home.videos, home.uploads, home.adapters, home.snapshots, home.exports)
    try:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass  # only a real write tells: mode bits say nothing about read-only mounts and quotas
    except OSError as error:
        raise InputError(
            f"Tempo cannot write to its folder {root} ({error.strerror or error}). "
            "Make it writable, or name another one with --home or TEMPO_HOME."
        ) from error
    return home
