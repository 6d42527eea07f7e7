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

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from app.auth.users import Authenticator, NotAllowed, Role
from tempo_core.errors import InputError

ID_SHAPE = re.compile(r"[A-Za-z0-9_-]{24}")
ZIP = "everything.zip"
_SAME_TIME = (2020, 1, 1, 0, 0, 0)  # equal files give an equal archive


@dataclass(frozen=True, kw_only=True, slots=True)
class DownloadBundle:
    """One folder of files to take away."""

    id: str
    folder: Path

    def names(self) -> list[str]:
        """The files' paths within the folder, sorted; the archive of them all is not among them."""
        below = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(name for path in below if (name := path.relative_to(self.folder).as_posix()) != ZIP)

    def pack(self) -> Path:
        """The archive of all files; equal files give equal bytes."""
        target = self.folder / ZIP
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in self.names():
                entry = zipfile.ZipInfo(name, _SAME_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, (self.folder / name).read_bytes())
        return target


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
        """One file of a bundle. Raises InputError, the same for unknown bundles and unknown files."""
        folder = self.room / bundle_id
        bundle = DownloadBundle(id=bundle_id, folder=folder)
        if ID_SHAPE.fullmatch(bundle_id) and folder.is_dir() and name in (*bundle.names(), ZIP):
            path = folder / name
            if path.is_file() and not path.is_symlink():
                return path
        raise InputError("There is no such file, or it is no longer kept. Make it again on the data page.")

    def sweep(self) -> int:
        """Remove what is too old; returns how many bundles went."""
        oldest_s = self._clock() - self.ttl_s
        old = [each for each in self.room.glob("*") if each.is_dir() and each.stat().st_mtime < oldest_s]
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
        return len(old)


def download_routes(
    downloads: Downloads, authenticator: Authenticator, role: Role = Role.RESEARCHER
) -> APIRouter:
    """GET /data/files/<bundle>/<name>, for `role` only. Pages show in the browser, everything else is saved."""
    router = APIRouter()

    @router.get("/data/files/{bundle_id}/{name:path}", include_in_schema=False)
    def file(request: Request, bundle_id: str, name: str) -> Response:
        try:
            authenticator.require(request, role)
            path = downloads.file(bundle_id, name)
        except NotAllowed as error:
            return JSONResponse({"error": str(error)}, status_code=error.status)
        except InputError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        shown = path.suffix == ".html"
        return FileResponse(
            path,
            filename=path.name,
            media_type="text/html; charset=utf-8" if shown else "application/octet-stream",
            headers={"cache-control": "private, no-store"},
            content_disposition_type="inline" if shown else "attachment",
        )

    return router
