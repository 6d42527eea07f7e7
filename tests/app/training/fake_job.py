"""A training job that needs no model: a child process that writes what a refresh writes, as slowly as it is told."""

import json
import sys
from pathlib import Path
from typing import Any

from app.home import Home
from app.training.jobs import RefreshRequest

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path

folder, gate, video = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
stages = ["reading", "replay", "checking", "sft", "pir-grpo", "comparing", "deciding"]


def write(name, values):
    part = folder / (name + ".part")
    part.write_text(json.dumps(values))
    part.replace(folder / name)


def say(**changes):
    state.update(changes)
    write("state.json", state)


def stop(number, frame):
    say(state="cancelled", message="Stopped; it can go on from there.")
    sys.exit(2)


state = {"stages": stages, "state": "running", "stage": "reading", "message": "Reading.", "step": 0, "steps": 0}
signal.signal(signal.SIGTERM, stop)
say(message="Going on." if (folder / "begun.json").exists() else "Reading.")
write("begun.json", {"config": {"name": "tempo-tiny-refresh", "pir": {}}, "by": "ada"})
rows = [
    {"set": "corrected", "row_id": "set/1", "query": "a <b>bold</b> square", "video": video, "duration_s": 4.0,
     "moments": [[1, 2]]},
]
write("rows.json", {"summary": {}, "left_out": {}, "held_out": rows})
for stage, kind in (("sft", "sft"), ("pir", "pir-grpo")):
    say(stage=kind, message="Learning.", unit="steps", seconds_to_come=1200.0)
    (folder / stage).mkdir(exist_ok=True)
    with (folder / stage / "curves.jsonl").open("a") as curves:
        for step in range(1, 4):
            line = {"stage": kind, "step": step, "steps": 3, "seconds": step, "loss": 1 / step, "exact": step / 3,
                    "length": 12}
            if kind == "pir-grpo":
                line |= {"reward": step / 3, "tiou": step / 4, "refusal": 0.5, "over_refusal": 0.1, "spread": 0.2}
            curves.write(json.dumps(line) + "\\n")
            curves.flush()
            with (folder / "progress.jsonl").open("a") as progress:
                line = {"stage": kind, "unit": "steps", "step": step + 0.25, "steps": 3, "seconds": 9 * step}
                progress.write(json.dumps(line | {"loss": 0.3}) + "\\n")
            # The state is written last: a test that waits for it finds everything else there.
            say(step=step, steps=3, batch=1, batches=4, seconds_left=4000.0, at_ms=time.time_ns() // 1_000_000)
    while kind == "sft" and not gate.exists():
        time.sleep(0.02)
say(stage="comparing", message="Asking both.", seconds_left=None, seconds_to_come=None)
with (folder / "progress.jsonl").open("a") as progress:
    for who in ("old", "new"):
        line = {"stage": "comparing", "unit": f"answers of the {who} model", "step": 1, "steps": 1, "seconds": 40,
                "iou": 0.5}
        progress.write(json.dumps(line) + "\\n")
(folder / "answers").mkdir(exist_ok=True)
for who, windows in (("old", []), ("new", [[1, 2.5]])):
    moments = [{"start_s": a, "end_s": b, "confidence": 0.9} for a, b in windows]
    answer = {"qid": "set/1", "query": "q", "refused": not moments, "relevance": 0.5, "moments": moments, "ranked": [],
              "text": "", "model_id": who, "timings": {}}
    (folder / "answers" / f"corrected-{who}.jsonl").write_text(json.dumps(answer) + "\\n")
gap = {"first": 0.5, "second": 0.75, "low": 0.1, "high": 0.4, "p_value": 0.001}
scores = {"corrected": {"rows": 1, "clips": 1, "irrelevant": 0, "differences": {"ra_iou": gap}}}
write("scores.json", scores)
write("outcome.json", {"state": "kept", "message": "An adapter was made.", "adapter": None, "scores": scores,
      "reasons": ["1 corrected held-out rows cannot tell."]})
say(state="done", stage="deciding", message="An adapter was made.")
"""


class FakeJob:
    """The command of a fake job; it waits after its first stage until `release` is called."""

    def __init__(self, folder: Path, video: Path = Path("none.mp4")) -> None:
        self.gate, self.video = folder / "gate", video

    def __call__(self, wish: RefreshRequest, home: Home) -> list[str]:
        return [sys.executable, "-c", SCRIPT, str(wish.folder), str(self.gate), str(self.video)]

    def release(self) -> None:
        self.gate.touch()


def failing(wish: RefreshRequest, home: Home) -> list[str]:
    """The real command, which ends at once with an error of ours."""
    return [sys.executable, "-m", "train", "refresh", "--recipe", "no-such-recipe"]


def state_of(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((folder / "state.json").read_text())
    return state
