"""TEMPO_HOME: the one folder that holds everything the app keeps between runs.

Created for its owner only (mode 0700), because it holds visitors' clips. Nothing else in the app builds a
path by itself.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tempo_core.errors import InputError

DEFAULT_HOME = Path("data")


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """The rooms of one TEMPO_HOME; every folder exists and can be written when `open_home` returns."""

    root: Path
    """Absolute path of the folder itself."""

    @property
    def media(self) -> Path:
        """Normal copies of clips and their film strips, one folder each."""
        return self.root / "media"

    @property
    def videos(self) -> Path:
        """Clips of datasets, as their owners put them here; any folders below it."""
        return self.root / "videos"

    @property
    def uploads(self) -> Path:
        """Files as they were uploaded, until the clean-up takes them."""
        return self.root / "uploads"

    @property
    def adapters(self) -> Path:
        """Trained adapters."""
        return self.root / "adapters"

    @property
    def snapshots(self) -> Path:
        """Exported snapshots of the store."""
        return self.root / "snapshots"

    @property
    def exports(self) -> Path:
        """Files that the data page made for somebody to take away."""
        return self.root / "exports"

    @property
    def database(self) -> Path:
        """The embedded database, where no other one is named."""
        return self.root / "cqvh.sqlite3"

    @property
    def sessions(self) -> Path:
        """Who is signed in from which browser."""
        return self.root / "sessions.sqlite3"


def open_home(path: str | Path | None = None) -> Home:
    """The home at `path`, else $TEMPO_HOME, else ./data; creates what is missing.

    Raises InputError when the folder cannot be made or written.
    """
    root = Path(path or os.environ.get("TEMPO_HOME") or DEFAULT_HOME).expanduser().absolute()
    home = Home(root=root)
    try:
        for folder in (
            root,
            home.media,
            home.videos,
            home.uploads,
            home.adapters,
            home.snapshots,
            home.exports,
        ):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass  # only a real write tells: mode bits say nothing about read-only mounts and quotas
    except OSError as error:
        raise InputError(
            f"Tempo cannot write to its folder {root} ({error.strerror or error}). "
            "Make it writable, or name another one with --home or TEMPO_HOME."
        ) from error
    return home
