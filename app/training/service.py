"""Training from the page: what a refresh would use, the job, the adapters, and old against new on held-out rows."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from annotations.snapshot import take_snapshot, temporary_snapshot
from annotations.store import Store
from app.auth.users import User
from app.ground.engines import EngineProvider
from app.home import Home
from app.http.errors import user_message
from app.training.jobs import JobStatus, RefreshRequest, TrainingJobs
from app.training.runs import RefreshRun, refresh_runs
from tempo_core.checkpoint import PROMOTED, SHIPPED, SHIPPED_FOLDERS, find_checkpoint, fingerprint
from tempo_core.errors import CheckpointError, InputError, TempoError
from train.config import RefreshConfig
from train.data.example_files import read_examples
from train.data.examples import counts
from train.dry_run import DryRun
from train.recipes import FINE_TUNING
from train.refresh.gate import require_passed
from train.refresh.registry import Registry
from train.refresh.replay import knows_shapeworld, scratch_recipe
from train.refresh.run import Outcome, Refresh, corrected_only, refresh_folder

LOGGED_AS = {"promote": "promoted", "rollback": "rolled back"}
"""Actions of the registry's history, as the audit log names them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What a refresh would use now."""

    snapshot: str
    """The name that a snapshot of it would have."""
    training: dict[str, int]
    """Counts of `train.data.examples.counts`."""
    held_out: dict[str, int]
    kinds: dict[str, int]
    """Training rows by their answer (moments, no moment), and by where they come from."""
    left_out: dict[str, int]
    """Reason → rows."""
    replay: bool
    """Whether rows of what the model knew before are mixed in by themselves."""
    plan: DryRun | None
    """What a refresh would take: what `python -m train refresh --dry-run` says."""
    problem: str = ""
    """Why there is no plan."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSelection:
    """The model that the app was started with."""

    checkpoint: str | Path | None = None
    """None: the model that ships."""
    adapter: str | Path | None = None
    """A folder or "none": whatever is promoted is not served. None: the promoted one is."""


class TrainingService:
    """Everything that the train page does. Methods that take long say so."""

    def __init__(
        self,
        store: Store,
        home: Home,
        engines: EngineProvider,
        *,
        jobs: TrainingJobs | None = None,
        selection: ModelSelection | None = None,
    ) -> None:
        self.store, self.home, self.engines = store, home, engines
        self.selection = selection or ModelSelection()
        self.jobs = jobs or TrainingJobs(home)
        self.registry = Registry(home.adapters)
        self._snapshot_lock = threading.Lock()

    def recipes(self) -> list[str]:
        """Names of recipes, the one for the served model first."""
        is_tiny = self._is_tiny()
        return sorted(FINE_TUNING, key=lambda name: ((name == "tempo-tiny-refresh") != is_tiny, name))

    def preview(self, recipe: str | None = None, seed: int = 0, *, pir: bool = True) -> Preview:
        """Count what a snapshot would hold, and plan a refresh on it (`recipe` None: the first one).

        Slow: reads the whole store. Raises InputError.
        """
        config = self._config(recipe or self.recipes()[0], seed, pir)
        plan: DryRun | None = None
        problem = ""
        with self._snapshot_lock, temporary_snapshot(self.store, self.home.snapshots) as snapshot:
            try:
                checkpoint = find_checkpoint(self._served_folder())
                folder = self.jobs.root / "preview"  # nothing is written there
                refresh = Refresh(
                    snapshot.folder,
                    config,
                    folder,
                    self.registry,
                    checkpoint=checkpoint,
                    adapter=self._served_adapter(),
                    protocol=self._named_protocol(),
                )
                split = refresh.read_rows()
                planned = refresh.dry_run(split)
            except TempoError as error:
                # the model still loads, or is damaged: what would be learned from is known all the same
                problem = user_message(error)
                split = corrected_only(read_examples(snapshot.folder), use_uncorrected=False)
            else:
                if isinstance(planned, str):
                    problem = planned
                else:
                    plan = planned[1]
        kinds = Counter("moments" if example.relevant else "no moment" for example in split.training)
        kinds.update(f"{example.source}s" for example in split.training if example.source != "original")
        return Preview(
            snapshot=snapshot.sha256[:16],
            training=counts(split.training),
            held_out=counts(split.held_out),
            kinds=dict(kinds),
            left_out={reason: len(rows) for reason, rows in split.skipped.items()},
            replay=self._has_replay(),
            plan=plan,
            problem=problem,
        )

    def _config(self, recipe: str, seed: int, pir: bool) -> RefreshConfig:
        """A recipe's configuration, as `python -m train refresh` makes it of the same options. Raises InputError."""
        if recipe not in FINE_TUNING:
            raise InputError(f"There is no recipe {recipe!r}. Choose one of the list.")
        if not 0 <= seed < 2**31:
            raise InputError(f"The seed must be a whole number from 0 to {2**31 - 1}; got {seed}.")
        config = FINE_TUNING[recipe](seed)
        return config if pir else replace(config, pir=None)

    def start(self, user: User, recipe: str, seed: int = 0, *, pir: bool = True) -> JobStatus:
        """Begin a refresh on what the store holds now, with PIR-GRPO or without.

        Raises Busy, NotReady while the model loads, InputError.
        """
        config = self._config(recipe, seed, pir)
        checkpoint = self._served_folder()
        adapter, protocol = self._served_adapter(), self._named_protocol()
        with self._snapshot_lock:
            snapshot = take_snapshot(self.store, self.home.snapshots, actor=user.id).folder
        folder = refresh_folder(
            self.jobs.root,
            snapshot,
            config,
            find_checkpoint(checkpoint),
            adapter=adapter,
            protocol=protocol,
        )
        return self.jobs.start(
            RefreshRequest(
                snapshot=snapshot,
                folder=folder,
                recipe=recipe,
                checkpoint=checkpoint,
                adapter=adapter,
                protocol=protocol,
                seed=seed,
                pir=pir,
                by=user.id,
            )
        )

    def promote(self, user: User, name: str, *, against_gate: bool = False) -> str:
        """Promote an adapter (`PromotionWatch` loads it); returns a sentence on what that means for this app.

        Raises AgainstGate for one that did not pass, unless `against_gate` says that this is meant.
        """
        served = self._served_folder()
        entry = self.registry.entry(name)
        if not against_gate and not entry.promoted:
            require_passed(name, entry.lineage)
        entry = self.registry.promote(name, by=user.id)
        if entry.lineage.base_fingerprint != fingerprint(find_checkpoint(served)):
            return (
                f"{name} is promoted for {entry.lineage.base}, which is not the model that this app serves."
            )
        return f"{name} {self._consequence()}"

    def rollback(self, user: User, promoted: tuple[str, ...] | None = None) -> str:
        """Promote what was promoted before, in the end the bare model; returns a sentence on what that means.

        `promoted` names what the person saw promoted. Raises InputError when something else is promoted by now.
        """
        base = fingerprint(find_checkpoint(self._served_folder()))
        entry = self.registry.rollback(base, by=user.id, instead_of=promoted)
        return f"{entry.name if entry else 'The bare model'} {self._consequence()}"

    def _consequence(self) -> str:
        if self.selection.adapter is None:
            return "is served from now on."
        name = Path(self.selection.adapter).name
        return f"is promoted. This app was started with --adapter {name} and goes on with that."

    def status(self) -> JobStatus:
        """Where the present job stands; once it has ended, with what has become of its adapter since."""
        status = self.jobs.status()
        outcome = self.outcome() if status.state == "done" else None
        return status if outcome is None else replace(status, message=outcome["message"])

    def outcome(self) -> dict[str, Any] | None:
        """How the present job ended, with what has become of its adapter since."""
        return self._as_of_now(self.jobs.report("outcome"))

    def runs(self) -> list[RefreshRun]:
        """The refreshes of this home that have begun to compare, also those of the command line; the newest first."""
        return refresh_runs(self.jobs.root)

    def run_named(self, name: str | None) -> RefreshRun:
        """One of them. Raises InputError."""
        for run in self.runs():
            if run.name == name:
                return run
        raise InputError("That refresh is no longer in this home. Choose another of the list.")

    def outcome_of(self, run: RefreshRun) -> dict[str, Any] | None:
        """How a refresh ended, with what has become of its adapter since; None while it has not."""
        return self._as_of_now(run.report("outcome"))

    def _as_of_now(self, outcome: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if outcome is None else asdict(Outcome.from_dict(outcome).as_of(self.registry))

    def _loaded(self) -> Any:
        """The served model where this process holds it, else None. Raises NotReady while it loads."""
        return getattr(self.engines.get(), "loaded", None)

    def _served_folder(self) -> Path | None:
        """The served model's folder, None for the shipped one. Raises NotReady while it loads."""
        loaded = self._loaded()
        return None if loaded is None else Path(loaded.folder)

    def _served_adapter(self) -> Path | None:
        """The folder of the served adapter; None where it is the promoted one, or there is none."""
        loaded = self._loaded()
        if loaded is None or loaded.adapter is None:
            return None
        promoted = self.registry.promoted(loaded.fingerprint)
        return None if promoted is not None and promoted.folder == loaded.adapter else Path(loaded.adapter)

    def _named_protocol(self) -> str | None:
        """The served model's protocol, where somebody named another one than is known about the model."""
        loaded = self._loaded()
        if loaded is None:
            return None
        from tempo_core.loading import serving_choice

        usual = serving_choice(loaded.folder, loaded.adapter).protocol.name
        return None if loaded.protocol.name == usual else loaded.protocol.name

    def _is_tiny(self) -> bool:
        """Whether the served model was made by a recipe of ours; while it loads, the app's options tell."""
        if self.engines.status.state == "ready":
            return scratch_recipe(self._served_folder()) is not None
        return self.selection.checkpoint in (None, *SHIPPED_FOLDERS)

    def _has_replay(self) -> bool:
        """Whether the served model's own world can be rendered again; while it loads, the app's options tell."""
        if self.engines.status.state == "ready":
            return knows_shapeworld(self._served_folder())
        return self.selection.checkpoint in (None, SHIPPED.name)


class PromotionWatch:
    """Notices that another adapter was promoted, by whichever process, so that the app can serve it and log it."""

    def __init__(self, adapters: Path, reload: Callable[[], None], store: Store | None = None) -> None:
        """What was promoted while no app ran is logged at once, where there is a store."""
        self._registry, self._file = Registry(adapters), adapters / PROMOTED
        self._reload, self._store = reload, store
        self._content, self._is_logged = self._read(), False
        self._log()

    def look(self) -> bool:
        """Reload the engine if what is promoted has changed since the last look."""
        content = self._read()
        has_changed = content != self._content
        if has_changed:
            self._content, self._is_logged = content, False
            self._reload()
        if not self._is_logged:  # the store may have been away at the look before
            self._log()
        return has_changed

    def _log(self) -> None:
        """Bring the audit log up to the registry's history, which says when each of its lines was written."""
        if self._store is None:
            self._is_logged = True
            return
        logged_ms = 0
        for action in LOGGED_AS.values():
            for entry in self._store.audit_entries(action=action, limit=1):
                logged_ms = max(logged_ms, entry.detail["at_ms"])
        try:
            history = self._registry.history()
        except CheckpointError:
            return  # a damaged file is said on the page; its history is lost
        for line in history:
            if line["at_ms"] > logged_ms:
                detail = {
                    "adapter": line["name"] or "none",
                    "base": line["base"][:12],
                    "at_ms": line["at_ms"],
                }
                self._store.record_event(LOGGED_AS[line["action"]], actor=line["by"], detail=detail)
        self._is_logged = True

    def _read(self) -> bytes:
        try:
            return self._file.read_bytes()
        except FileNotFoundError:
            return b""
