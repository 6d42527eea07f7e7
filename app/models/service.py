"""Which models there are and what is here of them, downloads, the served model, and models that visitors may choose.

A model goes by one name everywhere: `tempo-tiny`, its hub name, the name of a folder of one's own, or `endpoint`. Paths
stay here.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from annotations.proposers import ANY
from annotations.store import Store
from app.auth.users import Role, User
from app.ground.engines import EngineProvider, Knowledge
from app.http.errors import user_message
from app.job_queue import Job, JobQueue
from app.models.settings import ModelSettings, SettingsFile, with_offered
from tempo_core.card import read_about
from tempo_core.checkpoint import SHIPPED, SHIPPED_FOLDERS, check_checkpoint, folder_name, read_config
from tempo_core.defaults import FILE_NAME as DEFAULTS_FILE
from tempo_core.defaults import read_json
from tempo_core.errors import Cancelled, CheckpointError, InputError, TempoError
from tempo_core.grounders import KNOWN, known_grounder
from tempo_core.hub import Hub, split_name
from tempo_core.model_imports import import_models
from tempo_core.protocols import choose_protocol
from tempo_core.vocabulary import read_vocabulary

logger = logging.getLogger(__name__)

SHIPPED_NAME = SHIPPED.name
ENDPOINT = "endpoint"
"""The name of a model behind a server that the app was started with: it has no folder, and no folder gets its name."""
OWNER = "downloads"
"""Whose share of the queue downloads use: they belong to the installation and not to whoever began them."""

LoadEngine = Callable[[Path, Path | None, bool], Any]
"""From a checkpoint's folder, an adapter's (None: the promoted one) and whether it is held in NF4, to an engine."""


@dataclass(kw_only=True, slots=True)
class Download:
    """One download and where it stands."""

    name: str
    job: Job
    by: str
    stage: str = "waiting"
    """"waiting", "asking", "downloading", "verifying", "done", "cancelled" or "failed"."""
    repository: str = ""
    """What is fetched now: an adapter's base goes first."""
    done_bytes: int = 0
    total_bytes: int = 0
    message: str = ""

    @property
    def is_running(self) -> bool:
        return self.stage in ("waiting", "asking", "downloading", "verifying")

    def to_dict(self) -> dict[str, Any]:
        """For the page."""
        return {
            "stage": self.stage,
            "repository": self.repository,
            "done_bytes": self.done_bytes,
            "total_bytes": self.total_bytes,
            "message": self.message,
            "by": self.by,
            "is_running": self.is_running,
        }


class ModelsService:
    """Everything that the Models page does. Threads may share it."""

    def __init__(
        self,
        engines: EngineProvider,
        hub: Hub,
        settings: SettingsFile,
        queue: JobQueue,
        *,
        load: LoadEngine,
        store: Store | None = None,
        started: str | Path | None = None,
    ) -> None:
        """`started` is the checkpoint that the app was started with, as it was named."""
        self.engines, self.hub, self.settings, self.queue, self.store = engines, hub, settings, queue, store
        self._load = load
        self._started = {} if started is None else {model_name(started): started}
        self._lock = threading.Lock()
        self._downloads: dict[str, Download] = {}

    def overview(self, user: User) -> dict[str, Any]:
        """Everything that the page shows, as JSON values."""
        settings = self.settings.read()
        return {
            "machine": machine(),
            "hub": {
                "host": self.hub.host,
                "is_offline": self.hub.is_offline,
                "has_token": self.hub.has_token,
            },
            "served": self.served(),
            "models": [self._row(name, settings) for name in self.names(settings)],
            "datasets": self._datasets(),
            "may_administer": Role.ADMINISTRATOR in user.roles,
        }

    def served(self) -> dict[str, Any]:
        """The model that answers, and one that is about to."""
        status = self.engines.status
        return {
            "name": self.engines.name,
            "state": status.state,
            "message": status.message,
            "model_id": status.model_id,
            "loading": self.engines.loading,
            "problem": self.engines.problem,
        }

    def names(self, settings: ModelSettings) -> list[str]:
        """Every model's name: what ships, what is served, what people added, and the known ones."""
        names = [*SHIPPED_FOLDERS, self.engines.name, *settings.folders, *settings.hub_names]
        with self._lock:
            # one that failed is on the page until it is removed, or begun again
            downloads = list(self._downloads)
        names = [
            *names,
            self.engines.first_name,
            *self._started,
            *downloads,
            *(grounder.name for grounder in KNOWN),
        ]
        return list(dict.fromkeys(name for name in names if name))

    def _row(self, name: str, settings: ModelSettings) -> dict[str, Any]:
        """One model, as JSON values."""
        grounder = known_grounder(name)
        row: dict[str, Any] = {
            "name": name,
            "is_folder": name in settings.folders,
            "is_offered": name in settings.offered,
            "is_served": name == self.engines.name,
            "licence": None,
            "source": None,
            "base": None,
            "is_gated": False,
            "stored_bytes": None,
            "problem": "",
        }
        with self._lock:
            download = self._downloads.get(name)
        row["download"] = None if download is None else download.to_dict()
        device = machine()["device"]
        folder: Path | None = None
        try:
            folder = self.find(name, settings)
            if grounder is not None:
                protocol = grounder.protocol
                row |= {
                    "licence": grounder.licence,
                    "source": grounder.source,
                    "base": grounder.base,
                    "is_gated": grounder.is_gated,
                    "stored_bytes": grounder.stored_bytes,
                    "family": grounder.architecture.title,
                    "parameters": grounder.architecture.parameters,
                    "nf4_bytes": grounder.loaded_bytes("nf4", device),
                    "whole_bytes": grounder.loaded_bytes("whole", device),
                    "protocol": protocol.title,
                    "is_plain": grounder.is_plain,
                    "names_sets": protocol.sets,
                    "refuses": protocol.refuses,
                }
            elif folder is not None:
                row |= describe(folder, (folder / "config.json").stat().st_mtime_ns, device)
                if name in SHIPPED_FOLDERS:
                    row["licence"] = "MIT"
        except (TempoError, OSError) as error:
            row["problem"] = user_message(error) if isinstance(error, TempoError) else "The folder is gone."
        row["is_calibrated"] = folder is not None and (folder / "calibration.json").is_file()
        repositories = grounder.repositories if grounder is not None else (name,) if "/" in name else ()
        row["partial_bytes"] = sum(map(self.hub.partial_bytes, repositories))
        row["state"] = (
            "served"
            if row["is_served"]
            else "loading"
            if name == self.engines.loading
            else "downloading"
            if download is not None and download.is_running
            else "here"
            if folder is not None or self._is_endpoint(name)
            else "partial"
            if row["partial_bytes"]
            else "absent"
        )
        row["can_remove"] = (
            name in settings.folders
            or name in settings.hub_names
            or (download is not None and grounder is None and not download.is_running)
        )
        row["place"] = (
            "shipped"
            if name in SHIPPED_FOLDERS
            else "folder"
            if row["is_folder"]
            else "cache"
            if "/" in name
            else ""
        )
        return row

    def find(self, name: str, settings: ModelSettings | None = None) -> Path | None:
        """The folder that a model's own files lie in, an adapter's for an adapter; None where they are not all here."""
        settings = settings or self.settings.read()
        if name in SHIPPED_FOLDERS:
            return SHIPPED_FOLDERS[name]
        if name in settings.folders:
            return Path(settings.folders[name])
        started = Path(self._started.get(name, "")).expanduser()
        if name in self._started and started.is_dir():
            return started
        grounder = known_grounder(name)
        if "/" not in name or (
            grounder is not None and grounder.base and self.hub.cached(grounder.base) is None
        ):
            return None
        return self.hub.cached(name)

    def is_here(self, name: str, settings: ModelSettings | None = None) -> bool:
        """Whether a model can be served without a download."""
        return self._is_endpoint(name) or self.find(name, settings) is not None

    def _is_endpoint(self, name: str) -> bool:
        return name == ENDPOINT == self.engines.first_name

    def start_download(self, user: User, name: str) -> Download:
        """Begin to fetch a hub name, or go on with it. Raises InputError, Busy."""
        name = name.strip()
        repository, _ = split_name(name)
        grounder = known_grounder(name)
        if grounder is not None and "@" not in name:
            name = grounder.name
        with self._lock:
            running = self._downloads.get(name)
            if running is not None and running.is_running:
                raise InputError(f"{name} is being downloaded already.")
        repositories = (*grounder.repositories[:-1], name) if grounder is not None else (name,)

        def fetch(job: Job) -> None:
            with self._lock:
                download = self._downloads[name]

            def on_progress(stage: str, done: int, total: int) -> None:
                download.stage, download.done_bytes, download.total_bytes = stage, done, total

            try:
                for download.repository in repositories:
                    download.stage = "asking"
                    self.hub.download(download.repository, cancel=job.cancel, on_progress=on_progress)
                if grounder is None or "@" in name:
                    self.settings.change(
                        lambda settings: replace(
                            settings, hub_names=tuple(dict.fromkeys([*settings.hub_names, name]))
                        )
                    )
                download.message = f"{repository} is here and verified."
                download.stage = "done"
            except Exception as error:  # a job that nobody waits for: the page tells how it ended
                download.message = user_message(error)
                download.stage = "cancelled" if isinstance(error, Cancelled) else "failed"

        with self._lock:
            job = Job(OWNER)
            download = self._downloads[name] = Download(name=name, job=job, by=user.name)
        try:
            download.job = self.queue.submit(OWNER, fetch, cancel=job.cancel)
        except TempoError:
            with self._lock:
                del self._downloads[name]
            raise
        return download

    def cancel_download(self, name: str) -> Download:
        """Stop a download; what is here stays. Raises InputError when none runs."""
        with self._lock:
            download = self._downloads.get(name)
        if download is None or not download.is_running:
            raise InputError(f"{name[:120]} is not being downloaded.")
        download.job.cancel.set()
        if download.stage == "waiting" and download.job.future.cancel():
            download.message, download.stage = "Cancelled before it began.", "cancelled"
        return download

    def add_folder(self, path: str) -> str:
        """Add a checkpoint folder of this machine; returns the name that it goes by. Raises CheckpointError."""
        folder = Path(path.strip()).expanduser()
        if not path.strip() or not folder.is_absolute() or not folder.is_dir():
            raise InputError(
                f"There is no folder {path[:200]!r} on the server. Give the whole path of a checkpoint's folder."
            )
        check_checkpoint(folder)
        folder = folder.resolve()

        name = folder_name(folder)

        def added(settings: ModelSettings) -> ModelSettings:
            nonlocal name
            same = [old for old, other in settings.folders.items() if other == str(folder)]
            names = {*self.names(settings), ENDPOINT}
            name = same[0] if same else name
            number = 2
            while not same and name in names:
                name, number = f"{folder_name(folder)}-{number}", number + 1
            return replace(settings, folders={**settings.folders, name: str(folder)})

        self.settings.change(added)
        return name

    def log(self, action: str, user: User, name: str) -> None:
        """Write into the audit log, where there is a store, what somebody did to a model."""
        if self.store is not None:
            self.store.record_event(action, actor=user.id, detail={"model": name})

    def remove(self, name: str) -> None:
        """Take a folder, an added hub name or a download that ended off the list; files stay. Raises InputError."""
        settings = self.settings.read()
        with self._lock:
            download = self._downloads.get(name)
            if download is not None and not download.is_running:
                del self._downloads[name]
        if name not in settings.folders and name not in settings.hub_names:
            if download is not None and not download.is_running:
                return
            raise InputError(f"{name[:120]} is not among the models that were added.")
        if name in (self.engines.name, self.engines.loading):
            raise InputError(f"{name} is served. Serve another model first.")
        self.settings.change(
            lambda settings: replace(
                with_offered(settings, name, is_offered=False),
                folders={key: path for key, path in settings.folders.items() if key != name},
                hub_names=tuple(other for other in settings.hub_names if other != name),
            )
        )

    def serve(self, name: str, *, four_bit: bool = True) -> None:
        """Load a model beside the served one, and let it answer once it is there. Returns at once.

        Raises InputError when it is not here. What becomes of it is in `served()`.
        """
        self.engines.serve(name, self.loader(name, four_bit=four_bit))

    def loader(self, name: str, *, four_bit: bool = True) -> Callable[[], Any]:
        """What loads a model that is here. Raises InputError when it is not."""
        if self._is_endpoint(name):
            return self.engines.first_load
        folder = self.find(name)
        if folder is None:
            raise InputError(f"{name[:120]} is not on this machine. Download it first.")
        grounder = known_grounder(name)
        if grounder is None or grounder.base is None:
            return lambda: self._load(folder, None, four_bit)
        base = self.hub.cached(grounder.base)
        assert base is not None, "an adapter is here when its base is"
        return lambda: self._load(base, folder, four_bit)

    def offered(self) -> list[str]:
        """Models that visitors may choose beside the served one: offered, and on this machine."""
        settings = self.settings.read()
        return [
            name for name in settings.offered if name != self.engines.name and self.is_here(name, settings)
        ]

    def knowledge(self, name: str) -> Knowledge | None:
        """What an offered model's own files say that it knows; None where it has no files here, or its list of words is
        damaged: whoever chooses it is told, and no other question is stopped by it.
        """
        folder = self.find(name)
        if folder is None:
            return None
        try:
            return Knowledge(about=read_about(folder), vocabulary=read_vocabulary(folder))
        except CheckpointError as error:
            logger.warning("words choose %s no longer: %s", name, error)
            return None

    def offer(self, name: str, *, is_offered: bool) -> None:
        """Let visitors choose a model, or no longer. Raises InputError when it is not here."""
        if is_offered and not self.is_here(name):
            raise InputError(f"{name[:120]} is not on this machine. Download it first.")
        self.settings.change(lambda settings: with_offered(settings, name, is_offered=is_offered))

    def _datasets(self) -> list[dict[str, Any]]:
        """Datasets in use with the models that may propose for them."""
        if self.store is None:
            return []
        store = self.store
        return [
            {"name": name, "proposers": sorted(store.proposers(name))}
            for name, is_archived in store.datasets().items()
            if not is_archived
        ]

    def name_proposer(self, user: User, dataset: str, model: str, *, is_named: bool, op_id: str) -> None:
        """Let a model propose for a dataset, or no longer. Raises InputError, NotFound."""
        if self.store is None:
            raise InputError("This app runs without a store, so there are no datasets.")
        short = model if model == ANY else model.rpartition("/")[2]  # a model's id begins with it
        self.store.save_proposer(dataset, short, op_id=op_id, actor=user.id, is_named=is_named)


def model_name(checkpoint: str | Path | None) -> str:
    """What a checkpoint goes by: the shipped one's name, a hub name as it is, a folder's own name."""
    if checkpoint is None:
        return SHIPPED_NAME
    folder = Path(checkpoint).expanduser()
    return folder_name(folder) if folder.is_dir() else str(checkpoint)


@lru_cache(maxsize=64)
def describe(folder: Path, _changed_ns: int, device: str) -> dict[str, Any]:
    """What a checkpoint folder's own files tell: family, sizes, protocol. Raises CheckpointError.

    `_changed_ns` is when its configuration changed: then it is looked at again.
    """
    import_models()
    from tempo_core.memory import plan

    config = read_config(folder)
    settings = folder / DEFAULTS_FILE
    choice = choose_protocol(
        config["model_type"], settings=read_json(settings) if settings.is_file() else None
    )
    nf4, whole = plan(folder, device=device), plan(folder, four_bit=False, device=device)
    return {
        "family": nf4.family,
        "parameters": nf4.parameters,
        "nf4_bytes": nf4.weight_bytes,
        "whole_bytes": whole.weight_bytes,
        "stored_bytes": sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        "protocol": choice.protocol.title,
        "is_plain": not choice.is_known,
        "names_sets": choice.protocol.sets,
        "refuses": choice.protocol.refuses,
    }


def machine() -> dict[str, Any]:
    """The device that models are loaded on, and its memory."""
    import_models()
    import torch

    from tempo_core.loading import free_bytes, pick_device

    device = pick_device(None)
    if device == "cuda":
        total = int(torch.cuda.mem_get_info()[1])
    else:
        import os

        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"device": device, "total_bytes": total, "free_bytes": free_bytes(device)}
