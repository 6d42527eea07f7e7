"""Where a refresh stands, for whoever looks: stage, units of work done, time left, and how that went over time.

<folder>/state.json        stage, message, step of steps, seconds_left, seconds_to_come; replaced in one step
<folder>/progress.jsonl    lines of stage, unit, step, steps, seconds (since the refresh began), and what was measured
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from train.checkpoints import append_line, read_lines, write_json, write_lines
from train.dry_run import duration_text

STAGES = ("reading", "replay", "checking", "sft", "measuring", "pir-grpo", "comparing", "deciding")
LEARNING_STAGES = ("sft", "pir-grpo")
FEWEST_UNITS = 3
"""Units of work, and seconds, before a pace is told: what is read off less is a guess."""
FEWEST_S = 3.0
WRITE_EVERY_S = 1.0
"""Between two writings of state.json within a part of a stage."""
STOPPED = "Stopped; it can go on from there."
POINTS = 200
"""Lines of progress.jsonl that a part of a stage writes at most, about."""
BLANK: dict[str, Any] = {
    "state": "running",
    "stage": "",
    "message": "",
    "unit": "",
    "step": 0,
    "steps": 0,
    "batch": 0,
    "batches": 1,
    "seconds_left": None,
    "seconds_to_come": None,
}
"""A state of which nothing is known."""

OnProgress = Callable[[dict[str, Any]], None]
"""Called with each state, also with those that are too close to the last one to be written."""


class Progress:
    """The state of one refresh. A stage has one part or several, each with a unit of its own."""

    def __init__(
        self,
        folder: Path,
        stages: Sequence[str] = STAGES,
        *,
        on_progress: OnProgress = lambda state: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`stages` are those that this refresh goes through."""
        self.folder, self.stages, self.on_progress, self._clock = folder, stages, on_progress, clock
        self.estimates: Mapping[str, float] = {}
        """Seconds that the dry run gives for stages, as far as it knows."""
        self.state: dict[str, Any] = dict(BLANK)
        lines = read_lines(self._curve)
        self._earlier_s = float(lines[-1]["seconds"]) if lines else 0.0
        self._started_s = self._begun_s = self._written_s = clock()
        self._first_unit: float | None = None
        self._next_point = 0.0
        self._share_to_come = 0.0
        self._slowness = 1.0
        """How much longer the learning stages take than the dry run says, as far as they have shown it."""

    @property
    def _curve(self) -> Path:
        return self.folder / "progress.jsonl"

    def begin(
        self,
        stage: str,
        message: str,
        *,
        unit: str = "",
        steps: int = 0,
        share_to_come: float = 0.0,
    ) -> None:
        """A stage begins, or a part of it: of `steps` (0: not known yet) units called `unit`.

        `share_to_come` is the share of the stage's estimate that follows after this part.
        """
        self._begun_s, self._first_unit, self._next_point = self._clock(), None, 0.0
        self._share_to_come = share_to_come
        self.state = BLANK | {"stage": stage, "message": message, "unit": unit, "steps": steps}
        lines = read_lines(self._curve)
        others = [line for line in lines if (line["stage"], line["unit"]) != (stage, unit)]
        if others != lines:  # what is done again is drawn again
            write_lines(self._curve, others)
        self.tell(write=True)

    def advance(
        self, step: int, steps: int, *, batch: int = 0, batches: int = 1, measures: Mapping[str, Any] = {}
    ) -> None:
        """`step` of `steps` units are done, and `batch` of the `batches` of the next one."""
        now, done = self._clock(), step + batch / batches
        if self._first_unit is None:
            # a part that goes on where it was counts its pace from there, and any other from its beginning
            if done * batches > 1:
                self._begun_s = now
            self._first_unit = done if done * batches > 1 else 0.0
        self.state |= {"step": step, "steps": steps, "batch": batch, "batches": batches}
        pace = self._pace(done, batches, now)
        if done >= steps:
            self.state["seconds_left"] = 0.0
        else:
            self.state["seconds_left"] = None if pace is None else round(pace * (steps - done), 1)
        estimate_s = self.estimates.get(self.state["stage"])
        if pace is not None and estimate_s and self.state["stage"] in LEARNING_STAGES:
            self._slowness = pace * steps / estimate_s

        if done >= min(self._next_point, steps):
            self._next_point = done + steps / POINTS
            line = {"stage": self.state["stage"], "unit": self.state["unit"], "step": done, "steps": steps}
            seconds = round(self._earlier_s + now - self._started_s, 2)
            append_line(self._curve, {**line, "seconds": seconds, **measures})
        self.tell(write=done >= steps or now - self._written_s >= WRITE_EVERY_S)

    def end(self, state: str, message: str, *, stage: str | None = None) -> None:
        """It has ended: done, failed or cancelled."""
        self.state |= {"state": state, "message": message, "seconds_left": None}
        if stage is not None:
            self.state["stage"] = stage
        self.tell(write=True)

    def tell(self, *, write: bool) -> None:
        """Tell the listener where it stands, and write it."""
        self.state = {**self.state, "stages": list(self.stages), "pid": os.getpid()}
        self.state["at_ms"] = time.time_ns() // 1_000_000
        self.state["seconds_to_come"] = self._seconds_to_come()
        if write:
            self._written_s = self._clock()
            write_json(self.folder / "state.json", self.state)
        self.on_progress(self.state)

    def _pace(self, done: float, batches: int, now: float) -> float | None:
        """Seconds that a unit has taken in this part; None where that would be a guess."""
        units, elapsed_s = done - (self._first_unit or 0.0), now - self._begun_s
        return elapsed_s / units if units * batches >= FEWEST_UNITS and elapsed_s >= FEWEST_S else None

    def _seconds_to_come(self) -> float | None:
        """What the dry run gives for the stages after this part; None where it knows nothing, or all is over."""
        stage = self.state["stage"]
        if self.state["state"] != "running" or stage not in self.stages or not self.estimates:
            return None
        later = self.stages[list(self.stages).index(stage) + 1 :]
        seconds = sum(self.estimates.get(name, 0.0) for name in later)
        seconds += self.estimates.get(stage, 0.0) * self._share_to_come
        return round(seconds * self._slowness, 1)


def progress_text(state: Mapping[str, Any]) -> str:
    """A state in one line, for a terminal: stage, units of work, time left, and what it does."""
    parts = [str(state["stage"])]
    if state["steps"]:
        parts.append(f"{state['step']}/{state['steps']} {state['unit']}")
    if state["batches"] > 1:
        parts.append(f"({state['batch']}/{state['batches']} of the next)")
    for name, text in (("seconds_left", "about {} left"), ("seconds_to_come", "then about {}")):
        if state["state"] == "running" and state[name]:
            parts.append(text.format(duration_text(state[name])))
    return f"{' '.join(parts)}: {state['message']}"
