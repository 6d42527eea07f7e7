"""Files that a page made for somebody to take away: one folder each below one room, served to one role.

They lie outside of Gradio's own file room, where every signed-in user could read them by their path.
"""

import re
import secrets
import shutil
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from app.http.dependencies import Researcher
from app.http.errors import NoSuchFile

ID_SHAPE = re.compile(r"[A-Za-z0-9_-]{24}")
ZIP = "everything.zip"


@dataclass(frozen=True, kw_only=True, slots=True)
class DownloadBundle:
    """One folder of files to take away."""

    id: str
    folder: Path

    def names(self) -> list[str]:
        """The files' paths within the folder, sorted; the archive of them all is not among them."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(name for file in files if (name := file.relative_to(self.folder).as_posix()) != ZIP)

    def pack(self) -> Path:
        """The archive of all files; equal files give equal bytes."""
        archive_path = self.folder / ZIP
        with zipfile.ZipFile(archive_path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in self.names():
                entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))  # the time of packing would differ
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, (self.folder / name).read_bytes())
        return archive_path


class Downloads:
    """The room; bundles older than `ttl_s` are removed when a new one is opened."""

    def __init__(
        self, room: Path, *, ttl_s: float = 24 * 3600.0, clock: Callable[[], float] = time.time
    ) -> None:
        self.room, self.ttl_s, self._clock = room, ttl_s, clock

    def open(self) -> DownloadBundle:
        """A new, empty bundle."""
        self.sweep()
        bundle_id = secrets.token_urlsafe(18)
        folder = self.room / bundle_id
        folder.mkdir(mode=0o700, parents=True)
        return DownloadBundle(id=bundle_id, folder=folder)

    def discard(self, bundle: DownloadBundle) -> None:
        """Remove a bundle that did not come to be."""
        shutil.rmtree(bundle.folder, ignore_errors=True)

    def file(self, bundle_id: str, name: str) -> Path:
        """One file of a bundle. Raises NoSuchFile, the same for unknown bundles and unknown files."""
        folder = self.room / bundle_id
        bundle = DownloadBundle(id=bundle_id, folder=folder)
        if ID_SHAPE.fullmatch(bundle_id) and folder.is_dir() and name in (*bundle.names(), ZIP):
            path = folder / name
            if path.is_file() and not path.is_symlink():
                return path
        raise NoSuchFile("There is no such file, or it is no longer kept. Make it again on the data page.")

    def sweep(self) -> int:
        """Remove what is too old; returns how many bundles went."""
        oldest_s = self._clock() - self.ttl_s
        old = [path for path in self.room.glob("*") if path.is_dir() and path.stat().st_mtime < oldest_s]
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
        return len(old)


def download_routes(downloads: Downloads) -> APIRouter:
    """GET /data/files/<bundle>/<name>, role researcher. Pages show in the browser, everything else is saved."""
    router = APIRouter()

    @router.get("/data/files/{bundle_id}/{name:path}", include_in_schema=False)
    def file(user: Researcher, bundle_id: str, name: str) -> FileResponse:
        path = downloads.file(bundle_id, name)
        is_page = path.suffix == ".html"
        return FileResponse(
            path,
            filename=path.name,
            media_type="text/html; charset=utf-8" if is_page else "application/octet-stream",
            headers={"cache-control": "private, no-store"},
            content_disposition_type="inline" if is_page else "attachment",
        )

    return router
