"""The refreshes of one home, whoever started them: what old and new answered to held-out rows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.ui.templates import utc
from train.checkpoints import read_lines

OUTCOMES = {"promoted": "promoted", "kept": "not promoted"}


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

    @property
    def title(self) -> str:
        """How a list names the row."""
        origin = "corrected" if self.row_set == "corrected" else "known before"
        return f"{self.query} ({origin}, {self.row_id})"


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshRun:
    """A refresh that has begun to compare, by its folder (`train.refresh.run`)."""

    folder: Path
    title: str
    """How a list names it: recipe, when and by whom it was begun, and how it ended."""
    began_at_ms: int
    state: str
    """promoted, kept, or empty while it has not ended."""

    @property
    def name(self) -> str:
        return self.folder.name

    def report(self, name: str) -> dict[str, Any] | None:
        """`rows`, `scores` or `outcome`, once it is there."""
        return read_report(self.folder, name)

    def answers(self, row_set: str, model: str) -> dict[str, dict[str, Any]]:
        """The answers of the `old` or the `new` model to the held-out rows, by row id."""
        lines = read_lines(self.folder / "answers" / f"{row_set}-{model}.jsonl")
        return {line["qid"]: line for line in lines}

    def compared_rows(self) -> list[HeldOutRow]:
        """The held-out rows that both models have answered; corrected ones first."""
        values = (self.report("rows") or {}).get("held_out", [])
        answers = {
            (row_set, model): self.answers(row_set, model)
            for row_set in {row["set"] for row in values}
            for model in ("old", "new")
        }
        rows = [
            HeldOutRow(
                row_set=row["set"],
                row_id=row["row_id"],
                query=row["query"],
                video=Path(row["video"]),
                duration_s=row["duration_s"],
                truth=row["moments"],
                old=answers[row["set"], "old"].get(row["row_id"]),
                new=answers[row["set"], "new"].get(row["row_id"]),
            )
            for row in values
        ]
        return [row for row in rows if row.old is not None and row.new is not None]


def refresh_runs(root: Path) -> list[RefreshRun]:
    """Every refresh below `root` that has begun to compare, the newest first."""
    runs = []
    for folder in root.iterdir():
        begun = folder / "begun.json"
        if not ((folder / "rows.json").is_file() and (folder / "answers").is_dir() and begun.is_file()):
            continue
        identity, outcome = read_report(folder, "begun") or {}, read_report(folder, "outcome") or {}
        config, state = identity.get("config", {}), str(outcome.get("state", ""))
        began_at_ms = begun.stat().st_mtime_ns // 1_000_000
        recipe = config.get("name", folder.name) + (
            " without PIR-GRPO" if config.get("pir", {}) is None else ""
        )
        title = f"{recipe}, {utc(began_at_ms)}, {identity.get('by', '')}: {OUTCOMES.get(state, 'not ended')}"
        runs.append(RefreshRun(folder=folder, title=title, began_at_ms=began_at_ms, state=state))
    return sorted(runs, key=lambda run: (-run.began_at_ms, run.name))


def read_report(folder: Path, name: str) -> dict[str, Any] | None:
    """The values of a JSON file of a run; None when it is not there."""
    try:
        values: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return values
