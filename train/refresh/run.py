"""From corrections to a better model: snapshot, replay, SFT, PIR-GRPO, old against new, and perhaps promotion.

    outcome = Refresh(snapshot, config, folder, registry, checkpoint=find_checkpoint(None)).run()

Everything is written into one folder, stage by stage, so that a refresh that was killed at any moment goes on and
ends with the same adapter; `state.json` says where it stands, for a page to show:

    <folder>/begun.json     base, parent, snapshot, configuration: fixed when the refresh begins
    <folder>/rows.json      what it uses, what it leaves out and why
    <folder>/training.json  the rows that teach: one that goes on must find them all
    <folder>/sft/, pir/     the stages' runs (`train.checkpoints`)
    <folder>/answers/       what old and new say of every held-out row
    <folder>/state.json     stage and progress, and progress.jsonl how that went (`train.refresh.progress`)
    <folder>/outcome.json   how it ended
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from annotations.snapshot import open_snapshot
from tempo_core.checkpoint import check_adapter, fingerprint, folder_name
from tempo_core.errors import Cancelled, InputError, VideoError
from tempo_core.protocols.base import Protocol
from tempo_core.wording import plural
from train.checkpoints import differing_names, exclusive_lock, file_digest, read_json, rows_digest, write_json
from train.config import RefreshConfig, as_dict
from train.data.example_files import UNDECODABLE, read_examples
from train.data.examples import Example, ExampleSplit, counts, joined
from train.data.negatives import rows_with_negatives
from train.data.sayable import cut_rows, sayable_rows, with_sayable_rows
from train.dry_run import DryRun, dry_run
from train.refresh import gate
from train.refresh.progress import LEARNING_STAGES, STAGES, STOPPED, OnProgress, Progress
from train.refresh.registry import Lineage, Registry, code_version
from train.refresh.replay import (
    QUESTIONS,
    file_replay,
    knows_shapeworld,
    placeholder_rows,
    replay_clips,
    replay_size,
    shapeworld_held_out,
    shapeworld_replay,
)
from train.taught_words import write_taught_words

UNCORRECTED = "nobody corrected it"


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
    """Old against new by held-out set (`comparison.compare_on`)."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Outcome":
        """What outcome.json holds."""
        return cls(**{**values, "reasons": tuple(values["reasons"])})

    def as_of(self, registry: Registry) -> "Outcome":
        """How it ended, with what has become of its adapter since."""
        if self.state != "promoted" or registry.serves(str(self.adapter)):
            return self
        message = f"{self.adapter} was better and was promoted; it is not served now."
        return replace(self, state="kept", message=message)


@dataclass
class Refresh:
    """One refresh, in its folder."""

    snapshot: Path
    """A snapshot's folder, or a file of rows."""
    config: RefreshConfig
    folder: Path
    registry: Registry
    _: KW_ONLY
    checkpoint: Path
    """The base's folder."""
    adapter: Path | None = None
    """The folder of the adapter that it goes on from; None: the promoted one, or the bare base."""
    protocol: str | None = None
    """The name of the one that is taught; None: the one that base and adapter are served with."""
    videos: Path | None = None
    """Where to look for clips, besides where the snapshot says."""
    replay: Path | None = None
    """Rows that the model knew before; tempo-tiny renders its own."""
    promote: bool = True
    by: str = "refresh"
    on_progress: OnProgress = lambda state: None
    cancel: threading.Event | None = None
    progress: Progress = field(init=False)
    """Where it stands."""
    _identity: dict[str, Any] = field(default_factory=dict, init=False)
    """What begun.json holds."""
    _replay_ids: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        pir = self.config.pir
        left_out = {"measuring": pir is None or pir.difficulty is None, "pir-grpo": pir is None}
        stages = [stage for stage in STAGES if not left_out.get(stage)]
        self.progress = Progress(self.folder, stages, on_progress=self.on_progress)

    @property
    def cache(self) -> Path:
        """Keeps rendered clips between refreshes."""
        return self.registry.folder.parent / "cache" / "shapeworld"

    def run(self) -> Outcome:
        """Begin, or go on where it stopped; a refresh that has ended returns its outcome again.

        Raises InputError for several devices, a stage that is no LoRA and another refresh's folder; Cancelled, after
        which `run` goes on later.
        """
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
            self._begin()
            outcome_path = self.folder / "outcome.json"
            if outcome_path.is_file():
                outcome = Outcome.from_dict(read_json(outcome_path))
                if outcome.state != "nothing":
                    outcome = outcome.as_of(self.registry)
                    self.progress.end("done", outcome.message, stage=STAGES[-1])
                    return outcome
                # clips that were gone may be back by now
                for name in ("begun.json", "training.json", outcome_path.name):
                    (self.folder / name).unlink(missing_ok=True)
                self._begin()
            try:
                outcome = self._run_stages()
            except BaseException as error:
                message = "It stopped unexpectedly; its log says why. Starting it again goes on."
                self.progress.end(
                    "cancelled" if isinstance(error, Cancelled) else "failed",
                    str(error) if isinstance(error, Cancelled | InputError) else message,
                )
                raise
            write_json(outcome_path, asdict(outcome))
            self.progress.end("done", outcome.message)
            return outcome

    @property
    def may_be_interrupted(self) -> bool:
        """Whether an exception may end it anywhere now: no step is being learned and nothing is being registered."""
        return self.progress.state.get("stage") not in (*LEARNING_STAGES, "deciding")

    def dry_run(self, split: ExampleSplit, *, devices: int = 1) -> tuple[ExampleSplit, DryRun] | str:
        """What a run on the rows of `read_rows` would learn from and take, or why it would make nothing.

        No clip is opened or rendered, so that some may be left out later. Shapeworld replay is counted by placeholders.
        Raises CheckpointError.
        """
        import torch

        if (message := self._why_useless(split)) is not None:
            return message
        config = self.config
        rendered = 0
        if self.replay is None and knows_shapeworld(self.checkpoint):
            rows = replay_size(len(split.training), config.replay_share, config.min_replay_rows)
            rendered = replay_clips(rows) + config.world_clips
        split, replay_held_out = self.add_replay(split, render=False)
        plan = dry_run(
            split.training,
            config,
            checkpoint=self.checkpoint,
            protocol=self.taught_protocol(),
            device="cuda" if torch.cuda.is_available() else "cpu",
            devices=devices,
            held_out=[*split.held_out, *replay_held_out],
            rendered_clips=rendered,
        )
        return split, plan

    def taught_protocol(self) -> Protocol:
        """How the model is asked and answers. Raises CheckpointError, InputError."""
        from tempo_core.loading import serving_choice

        return serving_choice(self.checkpoint, self._parent_folder(), self.protocol).protocol

    def _begin(self) -> None:
        """Write begun.json, or check it: base, parent, data, configuration. Raises InputError for another refresh's."""
        path = self.folder / "begun.json"
        base = fingerprint(self.checkpoint)
        if self.adapter is not None:
            check_adapter(self.adapter, base)
        identity: dict[str, Any] = {
            "base": base,
            "adapter": None if self.adapter is None else fingerprint(self.adapter),
            "protocol": self.protocol,
            "data": data_hash(self.snapshot),
            "replay": None if self.replay is None else file_digest(self.replay),
            "config": json.loads(json.dumps(as_dict(self.config))),  # as it is read back: tuples are lists
        }
        if path.is_file():
            earlier: dict[str, Any] = read_json(path)
            if differing := differing_names({name: earlier.get(name) for name in identity}, identity):
                raise InputError(
                    f"{self.folder} holds another refresh (it differs in {', '.join(differing)}). Give another folder."
                )
            self._identity = earlier
            return
        if self.adapter is None:
            promoted = self.registry.promoted(base)
            parent = None if promoted is None else promoted.name
        else:
            is_registered = self.adapter.resolve().parent == self.registry.folder.resolve()
            parent = self.adapter.name if is_registered else None
        self._identity = identity | {"parent": parent, "by": self.by}
        write_json(path, self._identity)

    def _run_stages(self) -> Outcome:
        from tempo_core.loading import load_model, watched_loading
        from train.data.encoding import Encoder

        # the corrections
        self.progress.begin("reading", "Reading the snapshot.", unit="rows")
        split = self.read_rows(on_progress=self._count)
        plan = self.dry_run(split)
        if isinstance(plan, str):
            return Outcome(state="nothing", message=plan)
        self.progress.estimates = plan[1].stage_seconds

        # rows of what the model knew before, to teach and to measure
        self.progress.begin("replay", "Preparing rows of what the model knew before.", unit="clips")
        split, replay_held_out = self.add_replay(split)

        # only rows whose clips can be read
        self.progress.begin("checking", "Loading the model.", unit="weights", share_to_come=1.0)
        with watched_loading(self._count):
            loaded = load_model(self.checkpoint, four_bit=self.config.four_bit)
        sft, protocol = self.config.sft, self.taught_protocol()
        encoder = Encoder.of(
            loaded,
            protocol=protocol,
            token_budget=sft.token_budget,
            thinking=sft.thinking,
            cancel=self.cancel,
        )
        self.progress.begin("checking", "Looking at every clip.", unit="rows")
        split = self.cut(split, protocol)
        split, replay_held_out = self.check_clips(split, replay_held_out, encoder)
        if (message := self._why_useless(split, with_replay=True)) is not None:
            return Outcome(state="nothing", message=message)

        # learn, and ask old and new about what was held out
        adapter = self.train(loaded, encoder, split.training)
        write_taught_words(adapter, self._parent_folder() or loaded.folder, split.training)
        held_out = {"corrected": split.held_out, "kept": replay_held_out}
        scores = self.compare(adapter, {name: rows for name, rows in held_out.items() if rows})
        return self.register(adapter, split, scores)

    def read_rows(
        self, *, on_progress: Callable[[int, int], None] = lambda completed, total: None
    ) -> ExampleSplit:
        """The snapshot's rows that somebody corrected (or all, if the configuration says so)."""
        split = read_examples(
            self.snapshot,
            videos=self.videos,
            held_out_share=self.config.held_out_share,
            original_weight=self.config.original_weight,
            on_progress=on_progress,
        )
        split = corrected_only(split, use_uncorrected=self.config.uncorrected == "use")
        return with_sayable_rows(split, self.taught_protocol())

    def _why_useless(self, split: ExampleSplit, *, with_replay: bool = False) -> str | None:
        """Why training cannot help, as a sentence; None when it may. `with_replay`: replay rows are among them."""
        skipped = "; ".join(f"{len(rows)} left out: {reason}" for reason, rows in split.skipped.items())
        skipped = f" ({skipped}.)" if skipped else ""
        corrected = [example for example in split.training if example.row_id not in self._replay_ids]
        if not corrected:
            rows = len(split.held_out)
            rows_are = plural(rows, "corrected row is", "corrected rows are")
            held_out = f" {rows_are} held out for measuring and may not teach." if rows else ""
            return f"There are no corrections to learn from, so no adapter was made.{held_out}{skipped}"
        if with_replay:
            has_replay = any(example.relevant for example in split.training)
        else:
            has_replay = self.config.replay_share > 0 and bool(
                self.replay or knows_shapeworld(self.checkpoint)
            )
        if not any(example.relevant for example in corrected) and not has_replay:
            return (
                f"All {len(corrected)} corrections say that nothing matches; learned alone they would teach to refuse "
                f"everything, so no adapter was made. Correct rows with moments too, or give --replay.{skipped}"
            )
        return None

    def add_replay(
        self, split: ExampleSplit, *, render: bool = True
    ) -> tuple[ExampleSplit, tuple[Example, ...]]:
        """Training rows with replay among them, and held-out rows of what was known before.

        Without `render` shapeworld's rows are placeholders.
        """
        config = self.config
        rows = replay_size(len(split.training), config.replay_share, config.min_replay_rows)
        held_out: tuple[Example, ...] = ()
        replay: list[Example] = []
        if self.replay is not None:
            replay, replay_split = file_replay(self.replay, rows, self.videos, seed=config.seed)
            split, held_out = split.without(replay_split.excluded), replay_split.held_out
        elif knows_shapeworld(self.checkpoint) and not render:
            replay = placeholder_rows(rows)
            held_out = tuple(placeholder_rows(config.world_clips * QUESTIONS))
        elif knows_shapeworld(self.checkpoint):
            clips = replay_clips(rows)
            total = clips + config.world_clips
            if rows:
                replay = shapeworld_replay(
                    rows,
                    self.cache,
                    seed=config.seed,
                    on_progress=lambda completed, _: self._count(completed, total),
                    cancel=self.cancel,
                )
            if config.world_clips:
                held_out_rows = shapeworld_held_out(
                    config.world_clips,
                    self.cache,
                    on_progress=lambda completed, _: self._count(clips + completed, total),
                    cancel=self.cancel,
                )
                held_out = tuple(held_out_rows)
        replay_split = with_sayable_rows(ExampleSplit(training=tuple(replay)), self.taught_protocol())
        self._replay_ids = frozenset(example.row_id for example in replay_split.training)
        split = split.with_training(replay_split.training)
        return replace(split, skipped=joined(split.skipped, replay_split.skipped)), held_out

    def cut(self, split: ExampleSplit, protocol: Protocol) -> ExampleSplit:
        """Training rows about clips of which the protocol asks parts as rows about the parts."""
        pieces = cut_rows(split.training, protocol)
        self._replay_ids = frozenset(
            piece.row_id
            for row, row_pieces in zip(split.training, pieces, strict=True)
            for piece in row_pieces
            if row.row_id in self._replay_ids
        )
        training, skipped = sayable_rows(list(chain.from_iterable(pieces)), protocol)
        return replace(split, training=training, skipped=joined(split.skipped, skipped))

    def check_clips(
        self, split: ExampleSplit, replay_held_out: tuple[Example, ...], encoder: Any
    ) -> tuple[ExampleSplit, tuple[Example, ...]]:
        """Without rows whose clip cannot be decoded or whose truth cannot be written; writes rows.json.

        A refresh that goes on learns from the rows that it began with, no fewer and no more.
        """
        readable: dict[str, list[Example]] = {"training": [], "held out": [], "replay": []}
        unreadable: dict[str, tuple[str, ...]] = {}
        rows = [("training", example) for example in split.training]
        rows += [("held out", example) for example in split.held_out]
        rows += [("replay", example) for example in replay_held_out]
        for number, (use, example) in enumerate(rows, start=1):
            self._raise_if_cancelled()
            try:
                if use == "training" or encoder.protocol.unsayable(len(example.moments)) is None:
                    encoder.encode(example)
                else:
                    encoder.video(example)  # it only measures: no answer has to say its truth
                readable[use].append(example)
            except (VideoError, InputError) as error:
                reason = UNDECODABLE if isinstance(error, VideoError) else str(error)
                unreadable[reason] = (*unreadable.get(reason, ()), example.row_id)
            self._count(number, len(rows))

        training = readable["training"]
        path = self.folder / "training.json"
        if path.is_file():
            row_ids = set(read_json(path))
            if lost_ids := sorted(row_ids - {example.row_id for example in training}):
                lost = plural(
                    len(lost_ids), "training row has lost its clip", "training rows have lost their clips"
                )
                raise InputError(
                    f"{lost} since this refresh began (first: "
                    f"{lost_ids[0]}). Put the clips back and go on, or begin another refresh in another folder."
                )
            training = [example for example in training if example.row_id in row_ids]
        else:
            write_json(path, [example.row_id for example in training])

        split = replace(
            split,
            training=tuple(training),
            held_out=tuple(readable["held out"]),
            skipped=joined(split.skipped, unreadable),
        )
        replay = sum(example.row_id in self._replay_ids for example in training)
        held_out = [("corrected", example) for example in readable["held out"]]
        held_out += [("kept", example) for example in readable["replay"]]
        rows_used = {
            "summary": {**split.describe(), "replay": replay, "kept": counts(readable["replay"])},
            "left_out": split.skipped,
            "held_out": [
                {
                    "set": name,
                    "row_id": example.row_id,
                    "query": example.query,
                    "video": str(example.video),
                    "duration_s": example.duration_s,
                    "moments": [[moment.start_s, moment.end_s] for moment in example.moments],
                }
                for name, example in held_out
            ],
        }
        write_json(self.folder / "rows.json", rows_used)
        return split, tuple(readable["replay"])

    def train(self, loaded: Any, encoder: Any, rows: tuple[Example, ...]) -> Path:
        """Both stages; returns the folder of peft's files."""
        from train.grpo.curriculum import run_curriculum
        from train.sft.trainer import run_sft
        from train.trainer import adapt

        sft, pir = self.config.sft, self.config.pir
        self.progress.begin("sft", "Learning the corrected answers.", unit="steps")
        model = run_sft(
            adapt(loaded.model, sft, parent=self._parent_folder()),
            encoder,
            rows,
            sft,
            self.folder / "sft",
            on_batch=self._count_batch,
            cancel=self.cancel,
        )
        if pir is None:
            return self.folder / "sft" / "adapter"

        def begin_measuring() -> None:
            self.progress.begin("measuring", "Measuring how hard each row is for the model.", unit="rows")

        def begin_practice() -> None:
            message = "Practising: several answers a question, rewarded by how right they are."
            self.progress.begin("pir-grpo", message, unit="steps", steps=pir.steps)

        # a rule that measures before every epoch goes from one stage to the other and back
        def on_measured(completed: int, total: int) -> None:
            if self.progress.state["stage"] != "measuring":
                begin_measuring()
            self._count(completed, total)

        def on_group(line: dict[str, Any]) -> None:
            if self.progress.state["stage"] != "pir-grpo":
                begin_practice()
            self._count_batch(line)

        begin_practice() if pir.difficulty is None else begin_measuring()
        run_curriculum(
            model,
            encoder,
            # pairs that are made are irrelevant: a protocol without a refusal cannot answer them
            rows_with_negatives(
                rows,
                self.config.negatives if encoder.protocol.refuses else None,
                self.folder,
                seed=self.config.seed,
            ),
            pir,
            self.folder / "pir",
            cache=self.cache.parent / "difficulty",
            on_batch=on_group,
            on_measured=on_measured,
            cancel=self.cancel,
        )
        return self.folder / "pir" / "adapter"

    def compare(self, adapter: Path, held_out: dict[str, tuple[Example, ...]]) -> dict[str, Any]:
        """Ask the parent and the new adapter about every held-out row, as they would be served; scores by set.

        Each answer is kept in answers/, so that a refresh that goes on asks only for the rest.
        """
        from tempo_core.engine import load_engine
        from tempo_core.loading import serving_choice, watched_loading
        from train.refresh.comparison import answer_rows, compare_on

        path = self.folder / "scores.json"
        if path.is_file():
            return read_json(path)
        answers: dict[tuple[str, str], Any] = {}
        total = sum(map(len, held_out.values()))
        (self.folder / "answers").mkdir(exist_ok=True)
        parent = self._parent_folder()
        # Tempo's protocol may be new to the old model, which is asked as it was served; any other is how it is served
        is_new = self.protocol == "tempo" or serving_choice(self.checkpoint, parent).is_known
        for model_name, folder, protocol, share_to_come in (
            ("old", parent, None if is_new else self.protocol, 0.5),
            ("new", adapter, None, 0.0),
        ):
            self.progress.begin(
                "comparing",
                f"Loading the {model_name} model.",
                unit="weights",
                share_to_come=share_to_come + 0.5,
            )
            with watched_loading(self._count):
                engine = load_engine(
                    self.checkpoint, adapter=folder, four_bit=self.config.four_bit, protocol=protocol
                )
            if engine.loaded.fingerprint != self._identity["base"]:
                raise InputError(
                    f"{self.checkpoint.name} was replaced while the refresh ran, so old and new cannot be compared. "
                    "Put the old one back and go on, or start another refresh."
                )
            self.progress.begin(
                "comparing",
                f"Asking the {model_name} model about held-out clips.",
                unit=f"answers of the {model_name} model",
                steps=total,
                share_to_come=share_to_come,
            )
            earlier = 0
            for name, rows in held_out.items():

                def report(completed: int, _: int, iou: float, earlier: int = earlier) -> None:
                    self._count(earlier + completed, total, {"iou": iou})

                answers[name, model_name] = answer_rows(
                    lambda engine=engine: engine,  # type: ignore[misc]
                    rows,
                    self.folder / "answers" / f"{name}-{model_name}.jsonl",
                    on_progress=report,
                    cancel=self.cancel,
                )
                earlier += len(rows)
        scores = {
            name: compare_on(rows, answers[name, "old"], answers[name, "new"], self.config.criteria)
            for name, rows in held_out.items()
        }
        write_json(path, scores)
        return scores

    def register(self, adapter: Path, split: ExampleSplit, scores: dict[str, Any]) -> Outcome:
        """Put the adapter into the registry, and serve it if it is better."""
        identity = self._identity
        self.progress.begin("deciding", "Weighing old against new.")
        decision = gate.decide(self.config.criteria, scores.get("corrected"), scores.get("kept"))
        seeds = {"refresh": self.config.seed, "sft": self.config.sft.seed}
        if self.config.pir is not None:
            seeds["pir"] = self.config.pir.seed
        lineage = Lineage(
            base=self.checkpoint.resolve().name,
            base_fingerprint=identity["base"],
            parent=identity["parent"] or (None if self.adapter is None else folder_name(self.adapter)),
            snapshot_sha256=identity["data"],
            recipe=identity["config"],
            seeds=seeds,
            code_version=code_version(),
            rows={**split.describe(), "digest": rows_digest(split.training)},
            scores=scores,
            made_at_ms=time.time_ns() // 1_000_000,
        )
        name = self.registry.add(adapter, lineage).name
        outcome = Outcome(state="kept", message="", adapter=name, reasons=decision.reasons, scores=scores)
        if not decision.promote:
            reasons = " ".join(decision.reasons)
            return replace(outcome, message=f"{name} was made. It is not promoted: {reasons}")
        if not self.promote:
            return replace(outcome, message=f"{name} was made. It may be promoted.")
        try:
            self.registry.promote(name, by=identity["by"], instead_of=(identity["parent"], name))
        except InputError as error:
            return replace(
                outcome,
                message=f"{name} was made. It is not promoted: {error}",
                reasons=(*decision.reasons, str(error)),
            )
        return replace(outcome, state="promoted", message=f"{name} is better and is served now.")

    def _parent_folder(self) -> Path | None:
        """The folder of the adapter that it goes on from; before it has begun, of the one that it would."""
        if self.adapter is not None:
            return self.adapter
        if not self._identity:
            promoted = self.registry.promoted(fingerprint(self.checkpoint))
            return None if promoted is None else promoted.folder
        parent = self._identity["parent"]
        return None if parent is None else self.registry.entry(parent).folder

    def _count(self, completed: int, total: int, measures: Mapping[str, Any] = {}) -> None:
        """Progress within a part of a stage."""
        self.progress.advance(completed, total, measures=measures)
        self._raise_if_cancelled()

    def _count_batch(self, line: dict[str, Any]) -> None:
        """Progress within a learning stage, with what the unfinished step has measured."""
        places = ("step", "steps", "batch", "batches")
        step, steps, batch, batches = (int(line[name]) for name in places)
        measures = {name: value for name, value in line.items() if name not in (*places, "stage")}
        self.progress.advance(step, steps, batch=batch, batches=batches, measures=measures if batch else {})

    def _raise_if_cancelled(self) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled(STOPPED)


def corrected_only(split: ExampleSplit, *, use_uncorrected: bool) -> ExampleSplit:
    """Training rows that somebody corrected (or all), and held-out rows that somebody corrected: the truth."""

    def uncorrected(example: Example) -> bool:
        return example.source == "original"  # a file of rows says nothing about who made them

    skipped = [] if use_uncorrected else list(filter(uncorrected, split.training))
    skipped += filter(uncorrected, split.held_out)
    if not skipped:
        return split
    return replace(
        split,
        training=tuple(row for row in split.training if use_uncorrected or not uncorrected(row)),
        held_out=tuple(row for row in split.held_out if not uncorrected(row)),
        skipped=joined(split.skipped, {UNCORRECTED: tuple(row.row_id for row in skipped)}),
    )


def data_hash(source: Path) -> str:
    """The content hash of a snapshot, or of a file of rows. Raises InputError."""
    if source.is_dir():
        return open_snapshot(source).sha256
    if not source.is_file():
        raise InputError(f"{source} does not exist. Name a snapshot's folder or a file of JSON lines.")
    return file_digest(source)


def refresh_folder(
    root: Path,
    snapshot: Path,
    config: RefreshConfig,
    checkpoint: Path,
    replay: Path | None = None,
    *,
    adapter: Path | None = None,
    protocol: str | None = None,
) -> Path:
    """Where a refresh belongs below `root`: equal data, clips, base, recipe, replay, adapter and protocol meet there,
    and so go on.

    Clips that are not there count: once they are back, it is another refresh.
    """
    identity: list[Any] = [data_hash(snapshot), fingerprint(checkpoint), as_dict(config)]
    paths = open_snapshot(snapshot).video_paths() if snapshot.is_dir() else {}
    if missing_vids := sorted(vid for vid, path in paths.items() if not path.is_file()):
        identity.append(missing_vids)
    if replay is not None:
        identity.append(data_hash(replay))
    if adapter is not None:
        identity.append(fingerprint(adapter))
    if protocol is not None:
        identity.append(protocol)
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return root / f"{config.name}-{digest[:12]}"
