"""The training desk: what a refresh would use, the job, the adapters, and old against new on held-out rows."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotations.snapshot import take_snapshot
from annotations.store import Store
from app.accounts import User
from app.engines import EngineProvider
from app.home import Home
from app.jobs import JobStatus, TrainingJobs, Wish
from tempo_core.checkpoint import PROMOTED, find_checkpoint, fingerprint
from tempo_core.errors import InputError
from train.examples import Gathered, counts, read_examples
from train.recipes import FINE_TUNING
from train.refresh_data import corrected_only, refresh_folder
from train.registry import Entry, Registry
from train.replay import knows_shapeworld

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What a refresh would use now."""

    snapshot: Path
    training: dict[str, int]
    """Counts of `train.examples.counts`."""
    held_out: dict[str, int]
    kinds: dict[str, int]
    """Training rows by what was said: moments, no moment."""
    left_out: dict[str, int]
    """Reason → rows."""
    replay: bool
    """Whether rows of what the model knew before are mixed in by themselves."""

    @property
    def useful(self) -> bool:
        return self.training["rows"] > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutRow:
    """A row on which old and new were compared."""

    row_set: str
    row_id: str
    query: str
    video: Path
    duration_s: float
    truth: list[list[float]]
    old: dict[str, Any] | None
    """The answer's JSON, or None while it was not asked."""
    new: dict[str, Any] | None


class TrainingDesk:
    """Everything that the train page does; handlers only show it. Slow calls say so."""

    def __init__(
        self, store: Store, home: Home, engines: EngineProvider, *, jobs: TrainingJobs | None = None
    ) -> None:
        self.store, self.home, self.engines = store, home, engines
        self.jobs = jobs or TrainingJobs(home)
        self.registry = Registry(home.adapters)
        self._taking = threading.Lock()

    def recipes(self) -> list[str]:
        """Names of recipes, the one for the served model first."""
        tiny = knows_shapeworld(self._checkpoint())
        return sorted(FINE_TUNING, key=lambda name: ((name == "tempo-tiny-refresh") != tiny, name))

    def preview(self, user: User) -> Preview:
        """Take a snapshot and count what it holds. Slow: reads the whole store."""
        snapshot = self._snapshot(user)
        found = corrected_only(read_examples(snapshot), use_uncorrected=False)
        return Preview(
            snapshot=snapshot,
            training=counts(found.training),
            held_out=counts(found.held_out),
            kinds=_kinds(found),
            left_out={reason: len(rows) for reason, rows in found.left_out.items()},
            replay=knows_shapeworld(self._checkpoint()),
        )

    def start(self, user: User, recipe: str, seed: int = 0) -> JobStatus:
        """Begin a refresh on what the store holds now. Raises Busy, InputError."""
        if recipe not in FINE_TUNING:
            raise InputError(f"There is no recipe {recipe!r}. Choose one of the list.")
        if not 0 <= seed < 2**31:
            raise InputError(f"The seed must be a whole number from 0 to {2**31 - 1}; got {seed}.")
        snapshot, checkpoint = self._snapshot(user), self._checkpoint()
        config = FINE_TUNING[recipe](seed)
        folder = refresh_folder(self.jobs.root, snapshot, config, find_checkpoint(checkpoint))
        wish = Wish(
            snapshot=snapshot, folder=folder, recipe=recipe, checkpoint=checkpoint, seed=seed, by=user.id
        )
        return self.jobs.start(wish)

    def promote(self, user: User, name: str) -> Entry:
        """Serve an adapter from now on (`PromotionWatch` loads it)."""
        return self.registry.promote(name, by=user.id)

    def rollback(self, user: User) -> Entry | None:
        """Serve what was promoted before; None is the bare model."""
        return self.registry.rollback(fingerprint(find_checkpoint(self._checkpoint())), by=user.id)

    def compared(self) -> list[HeldOutRow]:
        """The held-out rows of the present job that both models have answered; corrected ones first."""
        rows = (self.jobs.report("rows") or {}).get("held_out", [])
        said = {
            (row_set, who): self.jobs.answers(row_set, who)
            for row_set in {row["set"] for row in rows}
            for who in ("old", "new")
        }
        found = [
            HeldOutRow(
                row_set=row["set"], row_id=row["row_id"], query=row["query"], video=Path(row["video"]),
                duration_s=row["duration_s"], truth=row["moments"],
                old=said[row["set"], "old"].get(row["row_id"]), new=said[row["set"], "new"].get(row["row_id"]),
            )
            for row in rows
        ]  # fmt: skip
        return [row for row in found if row.old is not None and row.new is not None]

    def _snapshot(self, user: User) -> Path:
        with self._taking:
            return take_snapshot(self.store, self.home.snapshots, actor=user.id).folder

    def _checkpoint(self) -> Path | None:
        """The served model's folder; None while it is the shipped one or not known yet."""
        loaded = getattr(self.engines.get(), "loaded", None) if self.engines.status.state == "ready" else None
        return None if loaded is None else Path(loaded.folder)


class PromotionWatch:
    """Notices that another adapter was promoted, by whichever process, so that the app can serve it."""

    def __init__(self, adapters: Path, reload: Callable[[], None]) -> None:
        self._file, self._reload = adapters / PROMOTED, reload
        self._seen = self._bases()

    def look(self) -> bool:
        """Reload the engine if what is promoted has changed since the last look."""
        now = self._bases()
        if now == self._seen:
            return False
        self._seen = now
        self._reload()
        return True

    def _bases(self) -> bytes:
        try:
            return self._file.read_bytes()
        except FileNotFoundError:
            return b""


def _kinds(found: Gathered) -> dict[str, int]:
    named = Counter("moments" if each.relevant else "no moment" for each in found.training)
    named.update(f"{each.source}s" for each in found.training if each.source != "original")
    return dict(named)
