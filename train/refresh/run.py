"""From corrections to a better model: snapshot, replay, SFT, PIR-GRPO, old against new, and perhaps promotion.

    outcome = Refresh(snapshot, config, folder, registry).run()

Everything is written into one folder, stage by stage, so that a refresh that was killed at any moment goes on and
ends with the same adapter; `state.json` says where it stands, for a page to show:

    <folder>/begun.json     base, parent, snapshot, configuration: fixed when the refresh begins
    <folder>/rows.json      what it uses, what it leaves out and why
    <folder>/training.json  the rows that teach: one that goes on must find them all
    <folder>/sft/, pir/     the stages' runs (`train.checkpoints`)
    <folder>/answers/       what old and new say of every held-out row
    <folder>/state.json     stage and progress
    <folder>/outcome.json   how it ended

Long because the stages and what may go wrong in each stand here in their order.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tempo_core.checkpoint import find_checkpoint, fingerprint
from tempo_core.errors import Cancelled, InputError, VideoError
from train.checkpoints import exclusive_lock, file_digest, rows_digest, write_json
from train.config import as_dict
from train.data.example_files import read_examples
from train.data.examples import Example, ExampleSplit, counts, require_training
from train.data.negatives import rows_with_negatives
from train.refresh.config import RefreshConfig
from train.refresh.data import corrected_only, data_hash, held_out_row
from train.refresh.lineage import Lineage, code_version
from train.refresh.registry import Registry
from train.refresh.replay import (
    file_replay,
    knows_shapeworld,
    placeholder_rows,
    replay_size,
    shapeworld_held_out,
    shapeworld_replay,
)

log = logging.getLogger(__name__)

STAGES = ("reading", "replay", "checking", "sft", "pir-grpo", "comparing", "deciding")
UNREADABLE = "its video cannot be decoded"

OnProgress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a refresh ended."""

    state: Literal["promoted", "kept", "nothing"]
    """promoted: the new adapter is served; kept: it is in the registry and is not; nothing: none was made."""
    message: str
    adapter: str | None = None
    """Its name in the registry."""
    reasons: tuple[str, ...] = ()
    scores: dict[str, Any] | None = None
    """Old against new by held-out set (`train.refresh.promotion.compare_on`)."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values; what `from_dict` reads."""
        return {**asdict(self), "reasons": list(self.reasons)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Outcome":
        return cls(**{**values, "reasons": tuple(values["reasons"])})

    def as_of(self, registry: Registry) -> "Outcome":
        """How it ended, with what has become of its adapter since."""
        if self.state != "promoted" or registry.serves(str(self.adapter)):
            return self
        said = f"{self.adapter} was better and was promoted; it is not served now."
        return replace(self, state="kept", message=said)


class Refresh:
    """One refresh, in its folder."""

    def __init__(
        self,
        snapshot: Path,
        config: RefreshConfig,
        folder: Path,
        registry: Registry,
        *,
        checkpoint: str | Path | None = None,
        videos: Path | None = None,
        replay: Path | None = None,
        cache: Path | None = None,
        promote: bool = True,
        by: str = "refresh",
        on_progress: OnProgress = lambda state: None,
        cancel: threading.Event | None = None,
    ) -> None:
        """`snapshot` is a snapshot's folder (or a file of rows), `cache` keeps rendered clips between refreshes.

        `replay` is a file of rows that the model knew before; tempo-tiny renders its own. `on_progress` gets
        each state.
        """
        self.snapshot, self.config, self.folder, self.registry = snapshot, config, folder, registry
        self.checkpoint = find_checkpoint(checkpoint)
        self.videos, self.replay, self.promote, self.by = videos, replay, promote, by
        self.cache = cache or registry.folder.parent / "cache" / "shapeworld"
        self.on_progress, self.cancel = on_progress, cancel
        self._state: dict[str, Any] = {}
        self._replayed: frozenset[str] = frozenset()

    def run(self) -> Outcome:
        """Begin or go on; one that has ended says again how. Raises InputError, Cancelled (it can go on later)."""
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise InputError(
                "A refresh runs on one device. On several, launch `train sft` and `train pir-grpo` with accelerate."
            )
        if any(stage is not None and stage.method != "lora" for stage in (self.config.sft, self.config.pir)):
            raise InputError(
                "A refresh makes an adapter: both stages must be of method lora, and one is full."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(self.folder):
            begun = self._begin()
            ended = self.folder / "outcome.json"
            if not ended.is_file():
                return self._run(begun)
            if _read(ended)["state"] != "nothing":
                return self._said_before()
            for name in ("begun.json", "training.json", ended.name):  # clips may be back by now
                (self.folder / name).unlink(missing_ok=True)
            return self._run(self._begin())

    def _said_before(self) -> Outcome:
        outcome = Outcome.from_dict(_read(self.folder / "outcome.json")).as_of(self.registry)
        self._state = {"stage": STAGES[-1]}
        self._say(state="done", message=outcome.message)
        return outcome

    def _run(self, begun: dict[str, Any]) -> Outcome:
        try:
            outcome = self._stages(begun)
        except Cancelled as stop:
            self._say(state="cancelled", message=str(stop))
            raise
        except InputError as error:
            self._say(state="failed", message=str(error))
            raise
        except BaseException:
            self._say(
                state="failed",
                message="It stopped unexpectedly; its log says why. Starting it again goes on.",
            )
            raise
        write_json(self.folder / "outcome.json", outcome.to_dict())
        self._say(state="done", message=outcome.message)
        return outcome

    def _begin(self) -> dict[str, Any]:
        """Fix the base, the parent and the configuration. Raises InputError when the folder is another's."""
        path = self.folder / "begun.json"
        base = fingerprint(self.checkpoint)
        replay = None if self.replay is None else file_digest(self.replay)
        wanted: dict[str, Any] = {"base": base, "data": data_hash(self.snapshot), "replay": replay}
        wanted |= json.loads(json.dumps({"config": as_dict(self.config)}))
        if path.is_file():
            there = _read(path)
            differing = [name for name in wanted if there.get(name) != wanted[name]]
            if differing:
                raise InputError(
                    f"{self.folder} holds another refresh (it differs in {', '.join(differing)}). Give another folder."
                )
            return there
        parent = self.registry.promoted(base)
        begun = {**wanted, "parent": None if parent is None else parent.name, "by": self.by}
        write_json(path, begun)
        return begun

    def _stages(self, begun: dict[str, Any]) -> Outcome:
        self._say(state="running", stage="reading", message="Reading the snapshot.")
        gathered = self._gather()
        if (empty := self._useless(gathered)) is not None:
            return Outcome(state="nothing", message=empty)
        gathered, kept = self._with_replay(gathered)
        loaded, encoder = self._load()
        gathered, kept = self._readable(gathered, kept, encoder)
        self._note(gathered, kept)
        if (empty := self._useless(gathered, with_replay=True)) is not None:
            return Outcome(state="nothing", message=empty)
        trained = self._train(loaded, encoder, gathered.training, begun)
        scores = self._compare(begun, trained, gathered.held_out, kept)
        return self._decide(begun, trained, gathered, scores)

    def planned(self) -> ExampleSplit | str:
        """The rows that a run would learn from, for a dry run, or why it would make nothing; renders no clip.

        Clips are not opened, so that some may be left out later. Shapeworld replay is counted by stand-ins.
        """
        gathered = self._gather()
        if (empty := self._useless(gathered)) is not None:
            return empty
        rows = replay_size(len(gathered.training), self.config.replay_share, self.config.min_replay_rows)
        if self.replay is not None:
            chosen, whole = file_replay(self.replay, rows, self.videos, seed=self.config.seed)
            return gathered.without(whole.excluded).with_training(chosen)
        return (
            gathered.with_training(placeholder_rows(rows)) if knows_shapeworld(self.checkpoint) else gathered
        )

    def _gather(self) -> ExampleSplit:
        found = read_examples(
            self.snapshot,
            videos=self.videos,
            held_out_share=self.config.held_out_share,
            original_weight=self.config.original_weight,
        )
        return corrected_only(found, use_uncorrected=self.config.uncorrected == "use")

    def _useless(self, gathered: ExampleSplit, *, with_replay: bool = False) -> str | None:
        """Why training cannot help, as a sentence; None when it may. `with_replay`: replay rows are among them."""
        left = "; ".join(f"{len(rows)} left out: {reason}" for reason, rows in gathered.skipped.items())
        left = f" ({left}.)" if left else ""
        corrected = [each for each in gathered.training if each.row_id not in self._replayed]
        if not corrected:
            held = len(gathered.held_out)
            beside = f" {held} corrected rows are held out for measuring and may not teach." if held else ""
            return f"There are no corrections to learn from, so no adapter was made.{beside}{left}"
        has_replay = self.config.replay_share > 0 and (self.replay or knows_shapeworld(self.checkpoint))
        if with_replay:
            has_replay = any(example.relevant for example in gathered.training)
        if not any(example.relevant for example in corrected) and not has_replay:
            return (
                f"All {len(corrected)} corrections say that nothing matches; learned alone they would teach to "
                f"refuse everything, so no adapter was made. Correct rows with moments too, or give --replay.{left}"
            )
        return None

    def _with_replay(self, gathered: ExampleSplit) -> tuple[ExampleSplit, tuple[Example, ...]]:
        """Training rows with replay among them, and held-out rows of what was known before."""
        rows = replay_size(len(gathered.training), self.config.replay_share, self.config.min_replay_rows)
        self._say(stage="replay", message="Preparing rows of what the model knew before.")
        if self.replay is not None:
            chosen, whole = file_replay(self.replay, rows, self.videos, seed=self.config.seed)
            self._replayed = frozenset(example.row_id for example in chosen)
            return gathered.without(whole.excluded).with_training(chosen), whole.held_out
        if not knows_shapeworld(self.checkpoint):
            return gathered, ()
        made = (
            shapeworld_replay(rows, self.cache, seed=self.config.seed, on_progress=self._counted)
            if rows
            else []
        )
        self._replayed = frozenset(example.row_id for example in made)
        clips = self.config.world_clips
        kept = shapeworld_held_out(clips, self.cache, on_progress=self._counted) if clips else []
        return gathered.with_training(made), tuple(kept)

    def _load(self) -> tuple[Any, Any]:
        from tempo_core.loading import load_model
        from train.data.encoding import Encoder

        loaded = load_model(self.checkpoint, four_bit=self.config.four_bit)
        sft = self.config.sft
        return loaded, Encoder.of(loaded, token_budget=sft.token_budget, thinking=sft.thinking)

    def _readable(
        self, gathered: ExampleSplit, before: Sequence[Example], encoder: Any
    ) -> tuple[ExampleSplit, tuple[Example, ...]]:
        """Without rows whose clip cannot be decoded or whose truth cannot be written; each clip is looked at once."""
        self._say(stage="checking", message="Looking at every clip.")
        wrong: dict[str, list[str]] = {}
        sets = {"training": gathered.training, "held out": gathered.held_out, "before": before}
        kept: dict[str, list[Example]] = {name: [] for name in sets}
        every = [(name, each) for name, rows in sets.items() for each in rows]
        for number, (name, example) in enumerate(every, start=1):
            self._stop_if_asked()
            try:
                encoder.encode(example)
                kept[name].append(example)
            except VideoError:
                wrong.setdefault(UNREADABLE, []).append(example.row_id)
            except InputError as error:
                wrong.setdefault(str(error), []).append(example.row_id)
            self._counted(number, len(every))
        left = dict(gathered.skipped)
        for reason, rows in wrong.items():
            left[reason] = (*left.get(reason, ()), *rows)
        training = self._begun_with(kept["training"])
        found = replace(gathered, training=training, held_out=tuple(kept["held out"]), skipped=left)
        return found, tuple(kept["before"])

    def _begun_with(self, rows: Sequence[Example]) -> tuple[Example, ...]:
        """The rows that teach. One that goes on learns from those that it began with, no fewer and no more."""
        path = self.folder / "training.json"
        if not path.is_file():
            write_json(path, [example.row_id for example in rows])
            return tuple(rows)
        begun = set(json.loads(path.read_text(encoding="utf-8")))
        gone = sorted(begun - {example.row_id for example in rows})
        if gone:
            raise InputError(
                f"{len(gone)} training rows have lost their clips since this refresh began (first: {gone[0]}). Put the "
                "clips back and go on, or begin another refresh in another folder."
            )
        return tuple(example for example in rows if example.row_id in begun)

    def _note(self, gathered: ExampleSplit, kept: Sequence[Example]) -> None:
        replay = sum(example.row_id in self._replayed for example in gathered.training)
        summary = {**gathered.describe(), "replay": replay, "kept": counts(kept)}
        held = [held_out_row(example, "corrected") for example in gathered.held_out]
        held += [held_out_row(example, "kept") for example in kept]
        write_json(
            self.folder / "rows.json", {"summary": summary, "left_out": gathered.skipped, "held_out": held}
        )

    def _train(self, loaded: Any, encoder: Any, rows: Sequence[Example], begun: dict[str, Any]) -> Path:
        """Both stages; returns the folder of peft's files."""
        from train.sft.trainer import run_sft
        from train.trainer import adapt

        require_training(rows)
        sft, pir = self.config.sft, self.config.pir
        parent = None if begun["parent"] is None else self.registry.entry(begun["parent"]).folder
        self._say(stage="sft", message="Learning the corrected answers.")
        model = adapt(loaded.model, sft, parent=parent)
        model = run_sft(
            model,
            loaded.tokenizer,
            encoder,
            rows,
            sft,
            self.folder / "sft",
            on_progress=self._curve,
            cancel=self.cancel,
        )
        if pir is None:
            return self.folder / "sft" / "adapter"
        from train.grpo.curriculum import run_curriculum

        self._say(
            stage="pir-grpo",
            message="Practising: several answers a question, rewarded by how right they are.",
        )
        run_curriculum(
            model,
            loaded.tokenizer,
            encoder,
            rows_with_negatives(rows, self.config.negatives, self.folder, seed=self.config.seed),
            pir,
            self.folder / "pir",
            cache=self.cache.parent / "difficulty",
            on_progress=self._curve,
            on_measured=self._counted,
            cancel=self.cancel,
        )
        return self.folder / "pir" / "adapter"

    def _compare(
        self, begun: dict[str, Any], trained: Path, corrected: Sequence[Example], kept: Sequence[Example]
    ) -> dict[str, Any]:
        """Old and new on each held-out set, as they would be served."""
        from tempo_core.engine import load_engine
        from train.refresh.promotion import answer_rows, compare_on

        path = self.folder / "scores.json"
        if path.is_file():
            return _read(path)
        self._say(stage="comparing", message="Asking the old and the new model about held-out clips.")
        sets = {name: rows for name, rows in (("corrected", corrected), ("kept", kept)) if rows}
        answers: dict[tuple[str, str], Any] = {}
        parent = None if begun["parent"] is None else self.registry.entry(begun["parent"]).folder
        total, done = 2 * sum(map(len, sets.values())), 0
        (self.folder / "answers").mkdir(exist_ok=True)
        for who, adapter in (("old", parent), ("new", trained)):
            engine = load_engine(self.checkpoint, adapter=adapter, four_bit=self.config.four_bit)
            if engine.loaded.fingerprint != begun["base"]:
                raise InputError(
                    f"{self.checkpoint.name} was replaced while the refresh ran, so old and new cannot be compared. "
                    "Put the old one back and go on, or start another refresh."
                )
            for name, rows in sets.items():
                file = self.folder / "answers" / f"{name}-{who}.jsonl"
                hear = _offset(self._counted, done, total)
                answers[name, who] = answer_rows(engine, rows, file, on_progress=hear, cancel=self.cancel)
                done += len(rows)
        scores = {
            name: compare_on(rows, answers[name, "old"], answers[name, "new"], self.config.criteria)
            for name, rows in sets.items()
        }
        write_json(path, scores)
        return scores

    def _decide(
        self, begun: dict[str, Any], trained: Path, gathered: ExampleSplit, scores: dict[str, Any]
    ) -> Outcome:
        from train.refresh.promotion import decide

        self._say(stage="deciding", message="Weighing old against new.")
        decision = decide(self.config.criteria, scores.get("corrected"), scores.get("kept"))
        entry = self.registry.add(trained, self._lineage(begun, gathered, scores))
        reasons = decision.reasons
        if decision.promote and self.promote:
            try:
                self.registry.promote(entry.name, by=begun["by"], instead_of=(begun["parent"], entry.name))
            except InputError as error:
                return Outcome(
                    state="kept",
                    message=f"{entry.name} was made. It is not promoted: {error}",
                    adapter=entry.name,
                    reasons=(*reasons, str(error)),
                    scores=scores,
                )
            return Outcome(
                state="promoted",
                message=f"{entry.name} is better and is served now.",
                adapter=entry.name,
                reasons=reasons,
                scores=scores,
            )
        why = (
            "It may be promoted." if decision.promote else "It is not promoted: " + " ".join(decision.reasons)
        )
        return Outcome(
            state="kept",
            message=f"{entry.name} was made. {why}",
            adapter=entry.name,
            reasons=reasons,
            scores=scores,
        )

    def _lineage(self, begun: dict[str, Any], gathered: ExampleSplit, scores: dict[str, Any]) -> Lineage:
        return Lineage(
            base=self.checkpoint.resolve().name,
            base_fingerprint=begun["base"],
            parent=begun["parent"],
            snapshot_sha256=begun["data"],
            recipe=begun["config"],
            seeds={
                "refresh": self.config.seed,
                "sft": self.config.sft.seed,
                **({} if self.config.pir is None else {"pir": self.config.pir.seed}),
            },
            code_version=code_version(),
            rows={**gathered.describe(), "digest": rows_digest(gathered.training)},
            scores=scores,
            made_at_ms=time.time_ns() // 1_000_000,
        )

    def _curve(self, line: dict[str, Any]) -> None:
        self._say(step=line["step"], steps=line["steps"])

    def _counted(self, done: int, total: int) -> None:
        self._stop_if_asked()
        if done == total or done % 5 == 0:
            self._say(step=done, steps=total)

    def _stop_if_asked(self) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled("Stopped; it can go on from there.")

    def _say(self, **changes: Any) -> None:
        fresh = {"step": 0, "steps": 0} if "stage" in changes else {}
        self._state = {"stages": list(STAGES), **self._state, **fresh, **changes, "pid": os.getpid()}
        self._state["at_ms"] = time.time_ns() // 1_000_000
        write_json(self.folder / "state.json", self._state)
        self.on_progress(self._state)


def _offset(count: Callable[[int, int], None], before: int, total: int) -> Callable[[int, int], None]:
    return lambda done, _: count(before + done, total)


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
