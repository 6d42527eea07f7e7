"""A campaign runs numbered cases, goes on where it was stopped, and says what it saw."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Case = Callable[[random.Random], str]
"""Runs one case and returns its outcome in a word or two; raises Fault."""


class Fault(Exception):
    """What a case must not bring about."""


@dataclass
class Tally:
    """What the cases so far came to."""

    seed: int = 1
    next_case: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, str | int]] = field(default_factory=list)
    """Case, and the fault in words."""
    seconds: float = 0.0

    @classmethod
    def load(cls, path: Path | None, seed: int) -> "Tally":
        """The tally of an earlier run with this seed, else a new one."""
        if path is None or not path.exists():
            return cls(seed=seed)
        values = json.loads(path.read_text())
        if values["seed"] != seed:
            raise SystemExit(f"{path} is of seed {values['seed']}, not {seed}. Give another --state.")
        return cls(**{**values, "outcomes": Counter(values["outcomes"])})

    def save(self, path: Path | None) -> None:
        if path is not None:
            part = path.with_suffix(".part")
            part.write_text(json.dumps(vars(self), indent=1))
            part.replace(path)


def run(
    name: str,
    run_case: Case,
    tally: Tally,
    *,
    count: int,
    minutes: float | None = None,
    state: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Tally:
    """Run cases up to number `count`, or until the time is up; a fault ends its case only."""
    started_s = saved_s = time.monotonic()
    before_s = tally.seconds
    try:
        while tally.next_case < count and (minutes is None or time.monotonic() - started_s < 60 * minutes):
            case = tally.next_case
            try:
                tally.outcomes[run_case(random.Random(f"{name} {tally.seed} {case}"))] += 1
            except Fault as fault:
                tally.outcomes["fault"] += 1
                tally.faults.append({"case": case, "fault": str(fault)})
            tally.next_case += 1
            if time.monotonic() - saved_s > 5 or tally.next_case == count:
                saved_s = time.monotonic()
                tally.seconds = before_s + saved_s - started_s
                tally.save(state)
                report(line_of(name, tally, count))
    finally:
        tally.seconds = before_s + time.monotonic() - started_s
        tally.save(state)
    return tally


def line_of(name: str, tally: Tally, count: int) -> str:
    """The progress in a line."""
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in tally.outcomes.most_common())
    return f"{name}: {tally.next_case} of {count} cases after {tally.seconds:.0f} s: {outcomes}"
