"""Uploads: files that people sent, each known by an unguessable address and given to its sender only.

Gradio names a file to the browser by its path on the server, and takes any path below its folder from anybody.
Here a browser knows `<id>/<name>`: `OwnedFileBlocks` turns that into the file on the way in, and files into
addresses on the way out, for the same person. An upload lasts UPLOAD_TTL_S and no longer than the server.
"""

import logging
import mimetypes
import os
import secrets
import shutil
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.blocks
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from gradio.route_utils import GradioMultiPartParser, GradioUploadFile, MultiPartException
from gradio.routes import file_upload_statuses
from gradio_client.utils import strip_invalid_filename_characters, traverse
from pydantic import ValidationError

from app.auth.users import Authenticator, User
from app.http.base_path import below
from app.http.dependencies import Visitor
from app.http.errors import NoSuchFile, StorageFull
from app.http.gradio_gate import StreamOwners
from app.media.storage import StorageLimits

logger = logging.getLogger(__name__)

FILE_PREFIX = "/gradio_api/file="
UPLOAD_TTL_S = 6 * 3600.0
COPIED_TTL_S = 15 * 60.0
"""How long an original stays beside its normal copy: long enough for a player that shows it."""
MAX_FILES = 100
"""Files, and fields that are none, of one request."""
MAX_FIELD_BYTES = 64 * 1024
GONE = "The uploaded clip is no longer kept here. Upload it again."
WRONG_FORM = "The form holds too few values, or one of the wrong kind. Reload the page."
NOT_UPLOADED = "A clip must be uploaded; an address is not fetched. Use handle_file('clip.mp4')."


@dataclass(slots=True)
class Upload:
    """One file of one sender."""

    id: str
    owner: str
    share: str
    """Whose quota it counts against (`User.share`)."""
    path: Path
    size_bytes: int
    used_at_s: float
    copy: Path | None = None
    """The normal copy that was made of it."""

    @property
    def address(self) -> str:
        """What browsers know instead of a path."""
        return f"{self.id}/{self.path.name}"


class Uploads:
    """The files in one folder. What an earlier run left there is removed: nobody owns it any more."""

    def __init__(
        self, folder: Path, limits: StorageLimits | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder, self.limits, self._clock = folder, limits or StorageLimits(), clock
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}
        self._coming_bytes: dict[str, int] = {}
        """Bytes of uploads under way, by share."""
        for entry in folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()

    def check(self, user: User, size_bytes: int) -> None:
        """Raise StorageFull when this many bytes more of this person have no room."""
        with self._lock:
            self._make_room(user.share, size_bytes)
            coming_bytes = sum(self._coming_bytes.values())
            own_bytes = self._bytes(user.share) + self._coming_bytes.get(user.share, 0)
            self.limits.check_upload(own_bytes + size_bytes, self._bytes() + coming_bytes + size_bytes)
            self.limits.check_free_space(self.folder, size_bytes)

    def admit(self, user: User, size_bytes: int) -> None:
        """Count bytes that came in. Raises StorageFull when there is no room for them."""
        self.check(user, size_bytes)
        with self._lock:
            self._coming_bytes[user.share] = self._coming_bytes.get(user.share, 0) + size_bytes

    def settle(self, user: User, size_bytes: int) -> None:
        """These bytes are no longer coming: they became uploads, or nothing."""
        with self._lock:
            left_bytes = self._coming_bytes.pop(user.share, 0) - size_bytes
            if left_bytes > 0:
                self._coming_bytes[user.share] = left_bytes

    def take_in(self, user: User, file: GradioUploadFile) -> Upload:
        """Make the closed file of a form the user's upload, in a folder of its own."""
        name = strip_invalid_filename_characters(Path(file.filename or "").name) or "file"
        upload_id = secrets.token_urlsafe(18)
        path = self.folder / upload_id / name
        path.parent.mkdir(mode=0o700)
        os.rename(file.file.name, path)
        return self.add(user, path, upload_id=upload_id)

    def store(self, user: User, name: str, content: bytes) -> Upload:
        """Make bytes the user's upload. Raises StorageFull."""
        self.admit(user, len(content))
        upload_id = secrets.token_urlsafe(18)
        path = self.folder / upload_id / name
        try:
            path.parent.mkdir(mode=0o700)
            path.write_bytes(content)
            return self.add(user, path, upload_id=upload_id)
        except OSError as error:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise StorageFull("The server's disk is full. Try again later.") from error
        finally:
            self.settle(user, len(content))

    def link(self, user: User, path: Path, name: str) -> Upload:
        """Make a file of the library the user's upload again, without a second copy where the disk has links."""
        upload_id = secrets.token_urlsafe(18)
        target = self.folder / upload_id / (strip_invalid_filename_characters(name) or "file")
        target.parent.mkdir(mode=0o700)
        try:
            os.link(path, target)
        except OSError:  # a file system without links
            shutil.copyfile(path, target)
        upload = self.add(user, target, upload_id=upload_id)
        upload.size_bytes = 0  # the library's own file
        return upload

    def add(self, user: User, path: Path, *, upload_id: str | None = None) -> Upload:
        """Register a file below the folder as the user's; the same file twice is the same upload."""
        with self._lock:
            for upload in self._uploads.values():
                if upload.path == path and upload.owner == user.id:
                    return upload
            upload = Upload(
                id=upload_id or secrets.token_urlsafe(18),
                owner=user.id,
                share=user.share,
                path=path,
                size_bytes=path.stat().st_size,
                used_at_s=self._clock(),
            )
            self._uploads[upload.id] = upload
            return upload

    def get(self, user: User, address: str) -> Upload:
        """The user's upload. Raises NoSuchFile, the same for unknown and for foreign addresses."""
        upload_id, _, name = address.partition("/")
        with self._lock:
            upload = self._uploads.get(upload_id)
            if upload is None or upload.owner != user.id or upload.path.name != name:
                raise NoSuchFile(GONE)
            upload.used_at_s = self._clock()
            return upload

    def copied(self, path: Path, copy: Path) -> None:
        """A normal copy was made of the upload at `path`, whose original may now go."""
        with self._lock:
            for upload in self._uploads.values():
                if upload.path == path:
                    upload.copy = copy

    def total_bytes(self) -> int:
        """Bytes of all uploads."""
        with self._lock:
            return self._bytes()

    def sweep(self) -> None:
        """Remove what is too old; originals that were copied make way for their copies sooner."""
        now_s = self._clock()
        with self._lock:
            for upload in list(self._uploads.values()):
                unused_s = now_s - upload.used_at_s
                if unused_s > UPLOAD_TTL_S:
                    del self._uploads[upload.id]
                    if all(other.path != upload.path for other in self._uploads.values()):
                        shutil.rmtree(upload.path.parent, ignore_errors=True)
                elif unused_s > COPIED_TTL_S:
                    self._replace_by_copy(upload)

    def _make_room(self, share: str, size_bytes: int) -> None:
        """Let copied originals of this share go, those unused longest first, until the bytes fit."""
        for upload in sorted(self._uploads.values(), key=lambda upload: upload.used_at_s):
            if self._bytes(share) + size_bytes <= self.limits.person_bytes:
                return
            if upload.share == share:
                self._replace_by_copy(upload)

    def _replace_by_copy(self, upload: Upload) -> None:
        """Put a hard link to the copy in the original's place: the address stays good and costs no space."""
        copy, upload.copy = upload.copy, None
        if copy is None or not copy.is_file():
            return
        link = upload.path.with_name(f".{upload.path.name}")
        with suppress(OSError):  # a file system without links keeps the original until it is too old
            os.link(copy, link)
            os.replace(link, upload.path)
            upload.size_bytes = 0

    def _bytes(self, share: str | None = None) -> int:
        return sum(u.size_bytes for u in self._uploads.values() if share is None or u.share == share)


class _NoApp:
    """Stands for Gradio's App while a page ends."""

    @staticmethod
    def create_app(blocks: gr.Blocks, mcp_server: bool) -> None:
        """Nothing."""


class OwnedFileBlocks(gr.Blocks):
    """Gradio's Blocks, in whose events a file is an address that only its sender can use."""

    def __init__(
        self, *, uploads: Uploads, authenticator: Authenticator, base_path: str = "", **settings: Any
    ) -> None:
        self._uploads, self._authenticator, self._base_path = uploads, authenticator, base_path
        super().__init__(**settings)

    def __exit__(self, *error: Any) -> None:
        """End a page. Gradio 6.31 makes its whole web app anew here (0.1 s); `queue` makes the one that stays."""
        app_class, gradio.blocks.App = gradio.blocks.App, _NoApp  # type: ignore[misc, assignment]
        try:
            super().__exit__(*error)
        finally:
            gradio.blocks.App = app_class  # type: ignore[misc]

    async def process_api(  # type: ignore[override]  # the parameters between are handed on as they came
        self, block_fn: Any, inputs: list[Any], state: Any = None, request: Any = None, **options: Any
    ) -> dict[str, Any]:
        """Run one event. Raises gr.Error for a file that is not the sender's own upload."""
        with below(self._base_path):  # an event of the queue runs outside of the request that it came with
            return await self._run(block_fn, inputs, state, request, **options)

    async def _run(
        self, block_fn: Any, inputs: list[Any], state: Any, request: Any, **options: Any
    ) -> dict[str, Any]:
        user = self._authenticator.resolve(request)

        def to_path(file: dict[str, Any]) -> dict[str, Any]:
            address = str(file["path"])
            if "://" in address:
                raise gr.Error(NOT_UPLOADED, print_exception=False)
            try:
                if user is None:
                    raise NoSuchFile(GONE)
                return {**file, "path": str(self._uploads.get(user, address).path), "url": None}
            except NoSuchFile as error:
                raise gr.Error(str(error), print_exception=False) from None

        def to_address(file: dict[str, Any]) -> dict[str, Any]:
            if user is None:
                raise gr.Error("You are signed out. Sign in and try again.")
            address = self._uploads.add(user, Path(file["path"])).address
            return {**file, "path": address, "url": f"{options.get('root_path') or ''}{FILE_PREFIX}{address}"}

        inputs = traverse(inputs, to_path, _is_file)
        if options.get("iterator") is None and len(inputs) < len(block_fn.inputs):
            raise gr.Error(WRONG_FORM, print_exception=False)
        try:
            output = await super().process_api(block_fn, inputs, state, request, **options)
        except ValidationError:
            raise gr.Error(WRONG_FORM, print_exception=False) from None
        output["data"] = traverse(output["data"], to_address, _is_file)
        return output


def _is_file(value: Any) -> bool:
    """Whether Gradio, or a component of ours, could take this value for a file."""
    return isinstance(value, dict) and isinstance(value.get("path"), str)


class _UploadParser(GradioMultiPartParser):
    """Gradio's form parser, which streams files to disk, with a bound on fields that are no files."""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._current_part
        if part.file is not None:
            super().on_part_data(data, start, end)
            return
        part.data += data[start:end]
        if len(part.data) > MAX_FIELD_BYTES:
            raise MultiPartException(f"A form field is longer than {MAX_FIELD_BYTES} bytes.")


def upload_routes(uploads: Uploads, owners: StreamOwners, *, max_bytes: int) -> APIRouter:
    """POST /gradio_api/upload and GET /gradio_api/file=<address>, in the place of Gradio's own; role visitor."""
    router = APIRouter(include_in_schema=False)

    @router.post("/gradio_api/upload")
    @router.post("/gradio_api/upload/")
    async def upload(user: Visitor, request: Request, upload_id: str | None = None) -> Response:
        admitted_bytes = 0

        async def metered_body() -> AsyncGenerator[bytes, None]:
            # Bytes are counted as they come: a header that says how many there will be can lie.
            nonlocal admitted_bytes
            async for chunk in request.stream():
                try:
                    uploads.admit(user, len(chunk))
                except StorageFull as error:
                    # In the parser's own words, so that it closes the files that it began.
                    raise MultiPartException(str(error)) from error
                admitted_bytes += len(chunk)
                yield chunk

        progress = None
        if upload_id is not None:
            owners.claim(upload_id, user.id)
            progress = file_upload_statuses
            progress.track(upload_id)
        staging = uploads.folder / f"coming-{secrets.token_hex(8)}"
        try:
            uploads.check(user, int(request.headers.get("content-length", "0")[:18]))
            staging.mkdir(mode=0o700)
            parser = _UploadParser(
                request.headers,
                metered_body(),
                max_files=MAX_FILES,
                max_fields=MAX_FILES,
                upload_dir=staging,
                upload_id=upload_id,
                upload_progress=progress,
                max_file_size=max_bytes,
            )
            form = await parser.parse()
            parts = [(name, part) for name, part in form.multi_items() if isinstance(part, GradioUploadFile)]
            for _, part in parts:
                part.file.close()
            addresses = [uploads.take_in(user, part).address for name, part in parts if name == "files"]
            return JSONResponse(addresses)
        except StorageFull as error:
            return PlainTextResponse(str(error), status_code=error.status)
        except MultiPartException as error:
            too_large = "maximum allowed size" in error.message
            status = error.__cause__.status if isinstance(error.__cause__, StorageFull) else 400
            return PlainTextResponse(error.message, status_code=413 if too_large else status)
        except OSError as error:
            logger.warning("an upload could not be written: %s", error)
            return PlainTextResponse("The server's disk is full. Try again later.", StorageFull.status)
        except (KeyError, ValueError, AssertionError):
            # What the parser makes of a form without a boundary, a part without a name, a length that is no number.
            return PlainTextResponse("This is no form with files. Send multipart/form-data.", 400)
        finally:
            uploads.settle(user, admitted_bytes)
            shutil.rmtree(staging, ignore_errors=True)

    @router.api_route(FILE_PREFIX + "{address:path}", methods=["GET", "HEAD"])
    def file(user: Visitor, address: str) -> FileResponse:
        path = uploads.get(user, address).path
        if not path.is_file():
            raise NoSuchFile(GONE)
        # Only what a player shows is shown; a page or a drawing with a script in it would act as its sender.
        media_type = mimetypes.guess_type(path.name)[0] or ""
        is_video = media_type.startswith("video/")
        return FileResponse(
            path,
            media_type=media_type if is_video else "application/octet-stream",
            filename=path.name,
            headers={"cache-control": "private, no-cache"},
            content_disposition_type="inline" if is_video else "attachment",
        )

    return router
