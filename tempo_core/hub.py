"""Downloads from the model hub: sizes and hashes first, free space, then every file with progress, resumed where it was
cut, and held against the hash that the hub tells before anything can load it.

    hub = Hub.from_environment()
    folder = hub.download("MCG-NJU/TimeLens2-4B", on_progress=print)

Files lie in huggingface_hub's own cache, so that other programs find them and those of other programs are found.
huggingface_hub asks and links; the bytes are fetched here, because version 2.4 throws away what it has of a file when a
download ends early (`file_download._download_to_tmp_and_move`). HF_ENDPOINT, HF_HUB_CACHE, HF_HUB_OFFLINE and HF_TOKEN
are honoured; the token goes to the endpoint only and into no message.
"""

import errno
import fcntl
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tempo_core.checkpoint import (
    ADAPTER_CONFIG,
    ADAPTER_FILES,
    ADAPTER_WEIGHTS,
    HUB_FILES,
    HUB_NAME,
    check_config,
    weight_files,
)
from tempo_core.errors import Cancelled, CheckpointError, InputError
from tempo_core.files import make_folder, move, sync_all

FREE_SPACE_FLOOR_BYTES = 1 << 30
"""Of the disk, after a download: for saved work, clips and everything else."""
CHUNK_BYTES = 1 << 20
PATIENCE_S = 10.0
"""Without a byte; then the connection counts as cut."""
MAX_CUTS = 5
"""In a row, without a byte between them; then the download ends and says how to go on."""
PART_SUFFIX = ".tempo-part"
"""Of a file that is not whole, beside its place in the cache."""
CONFIG_BYTES = 1 << 20
"""Longest configuration that is read."""

OnProgress = Callable[[str, int, int], None]
"""Hears the stage ("downloading", "verifying"), the bytes that are here, and the bytes in all."""


class HubError(InputError):
    """The hub does not give out what was asked for; the message says what to do."""


class DiskTooFull(HubError):
    """A download would leave too little free space."""


class HubUnreachable(HubError):
    """The hub cannot be asked now: no network, offline by choice, or cut too often."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubFile:
    """A file of a repository, as the hub tells of it."""

    path: str
    size_bytes: int
    sha256: str | None
    """Of its content, for large files."""
    git_sha1: str
    """Git's hash of it as a blob, for the others."""

    @property
    def blob_name(self) -> str:
        """Its name in the cache."""
        return self.sha256 or self.git_sha1

    def check(self, path: Path, cancel: threading.Event | None = None) -> None:
        """Raise HubError unless a file has the size and the hash that the hub told. Raises Cancelled."""
        size = path.stat().st_size
        digest = hashlib.sha256() if self.sha256 else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                check_cancel(cancel)
                digest.update(chunk)
        if size != self.size_bytes or digest.hexdigest() != self.blob_name:
            raise HubError(
                f"{self.path} arrived with {size:,} bytes and hash {digest.hexdigest()[:12]}; the hub tells "
                f"{self.size_bytes:,} and {self.blob_name[:12]}. It was thrown away; download again."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What a download would fetch."""

    name: str
    revision: str | None
    commit: str
    files: tuple[HubFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def check_cancel(cancel: threading.Event | None) -> None:
    """Raise Cancelled if it was asked for."""
    if cancel is not None and cancel.is_set():
        raise Cancelled("The download was cancelled. What is here is kept, and the next one goes on from it.")


def split_name(name: str) -> tuple[str, str | None]:
    """Repository and revision of `owner/name[@revision]`. Raises InputError for anything else."""
    match = HUB_NAME.fullmatch(name)
    if match is None or ".." in name:
        raise InputError(f"{name[:80]!r} is no hub name. Write owner/name or owner/name@revision.")
    return match[1], match[2]


class Hub:
    """The hub and its cache on this disk."""

    def __init__(
        self,
        *,
        endpoint: str,
        cache: Path,
        token: str | None = None,
        is_offline: bool = False,
        pause_s: float = 1.0,
    ) -> None:
        self.endpoint, self.cache, self.is_offline = endpoint.rstrip("/"), cache, is_offline
        self._token, self._pause_s = token, pause_s

    @classmethod
    def from_environment(cls) -> "Hub":
        """The hub that the environment names, with its token."""
        from huggingface_hub import constants, get_token

        return cls(
            endpoint=constants.ENDPOINT,
            cache=Path(constants.HF_HUB_CACHE),
            token=get_token(),
            is_offline=constants.is_offline_mode(),
        )

    @property
    def host(self) -> str:
        """The endpoint's name, for people."""
        return urlsplit(self.endpoint).netloc

    @property
    def has_token(self) -> bool:
        return bool(self._token)

    def cached(self, name: str) -> Path | None:
        """The whole checkpoint or adapter that the cache has under a hub name; None where a file is missing.

        Asks nobody. Raises InputError for what is no hub name.
        """
        repository, revision = split_name(name)
        storage = self._storage(repository)
        reference = storage / "refs" / (revision or "main")
        commit = reference.read_text().strip() if reference.is_file() else revision or ""
        folder = storage / "snapshots" / commit
        if not commit or not folder.is_dir():
            return None
        if not (folder / "config.json").is_file():
            is_adapter = (folder / ADAPTER_CONFIG).is_file() and (folder / ADAPTER_WEIGHTS).is_file()
            return folder if is_adapter else None
        try:
            weight_files(folder)
        except CheckpointError:
            return None
        return folder

    def partial_bytes(self, name: str) -> int:
        """What is here of a download that was not whole."""
        storage = self._storage(split_name(name)[0])
        return sum(path.stat().st_size for path in storage.glob(f"blobs/*{PART_SUFFIX}"))

    def listing(self, name: str, patterns: Sequence[str] | None = None) -> Listing:
        """The files of a repository that are needed here, by patterns of their names. Raises HubError.

        Without `patterns`: an adapter's files where it is one, else a checkpoint's.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        repository, revision = split_name(name)
        with self._sentences(repository):
            api = HfApi(endpoint=self.endpoint, token=self._token or False)
            commit = api.model_info(repository, revision=revision, timeout=PATIENCE_S).sha
            assert commit is not None, "the hub tells the commit of what it has"
            entries = [
                entry
                for entry in api.list_repo_tree(repository, revision=commit, recursive=True)
                if isinstance(entry, RepoFile)
            ]
        if patterns is None:
            is_adapter = any(entry.path == ADAPTER_CONFIG for entry in entries)
            patterns = ADAPTER_FILES if is_adapter else HUB_FILES
        files = tuple(
            HubFile(
                path=entry.path,
                size_bytes=entry.size,
                sha256=entry.lfs.sha256 if entry.lfs else None,
                git_sha1=entry.blob_id,
            )
            for entry in entries
            if "/" not in entry.path and any(fnmatch(entry.path, pattern) for pattern in patterns)
        )
        if not any(file.path.endswith(".safetensors") for file in files):
            raise HubError(
                f"{repository} has no safetensors weights, so it cannot be loaded here. Name a checkpoint that has."
            )
        return Listing(name=repository, revision=revision, commit=commit, files=files)

    def download(
        self,
        name: str,
        *,
        cancel: threading.Event | None = None,
        on_progress: OnProgress | None = None,
    ) -> Path:
        """Fetch what is missing of a repository and return its folder in the cache.

        Its configuration is read before the weights are fetched. Raises HubError; CheckpointError for what cannot run
        here; Cancelled. What arrived stays, and the next call goes on from it.
        """
        report: OnProgress = on_progress or (lambda stage, done, total: None)
        listing = self.listing(name)
        blobs = self._storage(listing.name) / "blobs"
        with self._sentences(listing.name):
            make_folder(blobs)
            lock = self.cache / ".locks" / blobs.parent.name / "tempo.lock"
            with exclusive(lock, listing.name):
                self._check_space(listing, blobs)
                # the configuration first: a checkpoint that cannot run here costs nobody its weights
                in_order = sorted(
                    listing.files, key=lambda file: (file.path != "config.json", file.size_bytes)
                )
                arrived = 0
                for file in in_order:
                    self._fetch(listing, file, blobs, cancel, report, arrived)
                    arrived += file.size_bytes
                    if file.path == "config.json" and file.size_bytes <= CONFIG_BYTES:
                        config = json.loads((blobs / file.blob_name).read_bytes())
                        weights = [other for other in listing.files if other.path.endswith(".safetensors")]
                        check_config(
                            config,
                            listing.name,
                            weight_bytes=sum(weight_file.size_bytes for weight_file in weights),
                        )
                folder = self._link(listing)
                sync_all(blobs.parent)  # the names that huggingface_hub made
                return folder

    def _check_space(self, listing: Listing, blobs: Path) -> None:
        """Raise DiskTooFull unless what is missing leaves the floor."""
        missing = 0
        for file in listing.files:
            if not (blobs / file.blob_name).is_file():
                part = blobs / (file.blob_name + PART_SUFFIX)
                missing += file.size_bytes - (part.stat().st_size if part.is_file() else 0)
        free = shutil.disk_usage(blobs).free
        if missing + FREE_SPACE_FLOOR_BYTES > free:
            raise DiskTooFull(
                f"{listing.name} needs {missing / 1e9:.1f} GB more, and {FREE_SPACE_FLOOR_BYTES / 1e9:.1f} GB must "
                f"stay free; the disk of the hub's cache has {free / 1e9:.1f} GB. Make room, or let HF_HUB_CACHE name "
                "a folder on another disk."
            )

    def _fetch(
        self,
        listing: Listing,
        file: HubFile,
        blobs: Path,
        cancel: threading.Event | None,
        report: OnProgress,
        arrived: int,
    ) -> None:
        """One file, whole and verified, as a blob of the cache. `arrived` bytes of other files are here."""
        import httpx2

        blob, part = blobs / file.blob_name, blobs / (file.blob_name + PART_SUFFIX)
        if blob.is_file():
            return
        part.touch()
        if part.stat().st_size > file.size_bytes:
            part.write_bytes(b"")
        cuts = 0
        while (size := part.stat().st_size) < file.size_bytes:
            report("downloading", arrived + size, listing.size_bytes)
            cut: Exception | None = None
            try:
                self._append(
                    listing,
                    file,
                    part,
                    cancel,
                    lambda n: report("downloading", arrived + n, listing.size_bytes),
                )
            except httpx2.TransportError as error:
                cut = error
            now = part.stat().st_size
            if now == file.size_bytes:
                break
            cuts = 1 if now > size else cuts + 1
            if cuts >= MAX_CUTS:
                raise HubUnreachable(
                    f"The connection to {self.host} was cut {cuts} times in a row at {(arrived + now) / 1e6:,.1f} of "
                    f"{listing.size_bytes / 1e6:,.1f} MB of {listing.name}. What is here is kept: download again to go "
                    "on."
                ) from cut
            (cancel or threading.Event()).wait(self._pause_s * cuts)
            check_cancel(cancel)
        report("verifying", arrived + file.size_bytes, listing.size_bytes)
        try:
            file.check(part, cancel)
        except HubError:
            part.unlink()
            raise
        move(part, blob)  # a blob of the right name is never checked again

    def _append(
        self,
        listing: Listing,
        file: HubFile,
        part: Path,
        cancel: threading.Event | None,
        report: Callable[[int], None],
    ) -> None:
        """Add what the hub sends of a file from where its part ends, until it is whole or the connection is cut."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        url = hf_hub_url(listing.name, file.path, revision=listing.commit, endpoint=self.endpoint)
        size = part.stat().st_size
        # gzip would make another range of another length
        headers = {**build_hf_headers(token=self._token or False), "Accept-Encoding": "identity"}
        if size:
            headers["Range"] = f"bytes={size}-"
        with (
            get_session().stream("GET", url, headers=headers, timeout=PATIENCE_S) as response,
            part.open("r+b") as stream,
        ):
            hf_raise_for_status(response)
            if response.status_code != 206:  # the server sends it from its beginning
                size = 0
                stream.truncate()
            stream.seek(size)
            for chunk in response.iter_bytes():  # in pieces of one size, a cut would lose what fills no piece
                check_cancel(cancel)
                size += len(chunk)
                if size > file.size_bytes:
                    stream.truncate(0)
                    raise HubError(
                        f"The hub sent more of {file.path} than the {file.size_bytes:,} bytes that it told. "
                        "Download again."
                    )
                stream.write(chunk)
                report(size)

    def _link(self, listing: Listing) -> Path:
        """The folder of a snapshot whose blobs are all here; huggingface_hub makes it and fetches nothing."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils import tqdm

        class NoBar(tqdm):
            """A progress bar that nobody sees."""

            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **{**options, "disable": True})

        return Path(
            snapshot_download(
                listing.name,
                revision=listing.revision,
                cache_dir=self.cache,
                endpoint=self.endpoint,
                token=self._token or False,
                allow_patterns=[file.path for file in listing.files],
                tqdm_class=NoBar,
            )
        )

    def _storage(self, repository: str) -> Path:
        from huggingface_hub.file_download import repo_folder_name

        return self.cache / repo_folder_name(repo_id=repository, repo_type="model")

    @contextmanager
    def _sentences(self, repository: str) -> Iterator[None]:
        """Every error of the client, the network and the disk as a HubError that says what to do."""
        import httpx2
        from huggingface_hub import errors

        if self.is_offline:
            raise HubUnreachable(
                f"HF_HUB_OFFLINE is set, so the hub is not asked for {repository}. Unset it and start again, or add a "
                "folder that holds the checkpoint."
            )
        page = f"{self.endpoint}/{repository}"
        try:
            yield
        except errors.GatedRepoError as error:
            step = (
                "The account of HF_TOKEN has not been given access yet: ask for it there."
                if self.has_token
                else "Ask for access there, set HF_TOKEN to a token of that account, and start again."
            )
            raise HubError(f"{repository} is given out on request only: see {page}. {step}") from error
        except errors.RevisionNotFoundError as error:
            raise HubError(
                f"{repository} has no such revision. Its branches and tags stand at {page}/tree/main."
            ) from error
        except errors.RepositoryNotFoundError as error:
            step = (
                "HF_TOKEN's account may not see it." if self.has_token else "For a private one set HF_TOKEN."
            )
            raise HubError(
                f"{self.host} has no model {repository}, or it is private. Check the name. {step}"
            ) from error
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            raise HubUnreachable(
                f"{self.host} answered {status} for {repository}. Try again later."
            ) from error
        except (httpx2.HTTPError, errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
            raise HubUnreachable(
                f"{self.host} cannot be reached ({type(error).__name__}). Check the network and HF_ENDPOINT, or add a "
                "folder that holds the checkpoint."
            ) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskTooFull(
                    f"The disk of the hub's cache is full. Make room and download {repository} again; what is here is "
                    "kept."
                ) from error
            raise HubError(
                f"The hub's cache cannot be written ({error.strerror or error}). Let HF_HUB_CACHE name another folder."
            ) from error
        except (ValueError, KeyError) as error:
            if isinstance(error, UnicodeDecodeError | json.JSONDecodeError):
                raise HubError(
                    f"{repository} has a config.json that is no JSON. Name another checkpoint."
                ) from error
            raise


@contextmanager
def exclusive(lock: Path, name: str) -> Iterator[None]:
    """Hold a lock file that the kernel lets go with the process. Raises HubError when somebody else holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HubError(f"{name} is being downloaded by another process. Wait for it.") from error
        yield
