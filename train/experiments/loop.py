"""The loop: labels damaged on purpose, an oracle who corrects them through the real store, a refresh after each batch.

It shows whether accuracy on clean held-out clips rises with the number of corrections, and whether correcting in the
order of suspicion beats a random order at equal effort. Everything is in one folder and goes on where it stopped:

    <out>/clips, <out>/held-out          rendered once
    <out>/seed-0/start/                  the model that learned the damaged labels
    <out>/seed-0/suspicion|gain|random|none/  a store, snapshots, adapters and refreshes each
    <out>/curve.json, curve.html         the result

The oracle is not told which rows are damaged: it answers every row it is shown, and a right row costs as much as a
wrong one. What was not corrected teaches on, at half its weight. `none` is the control: as many refreshes of as many
steps, and no corrections, so that what more training does is not taken for what corrections do.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid4, uuid5

import numpy as np

from annotations.proposers import ANY
from annotations.queue import QueueFilter
from annotations.records import Edit, EditedMoment, Prediction, ProposedMoment
from annotations.rows import Row
from annotations.snapshot import take_snapshot
from annotations.store import Store
from annotations.videos import add_folder
from tempo_core.checkpoint import find_checkpoint, fingerprint
from tempo_core.engine import load_engine
from tempo_core.errors import InputError
from tempo_core.metrics import PredictionRow, evaluate
from tempo_core.moments import Moment
from train.checkpoints import exclusive_lock, open_run, write_json
from train.config import PirGrpoConfig, RefreshConfig, SftConfig, as_dict, require
from train.data.example_files import read_examples
from train.data.examples import Example
from train.experiments.rows import damage
from train.experiments.world import gains
from train.recipes import tempo_tiny_refresh
from train.refresh.comparison import answer_rows, truth_of
from train.refresh.registry import Lineage, Registry, code_version
from train.refresh.run import Refresh
from train.shapeworld.clips import SetPlan, make_set
from train.shapeworld.queries import QueryMix

CONTROL = "none"
RefreshKind = Literal["chained", "from-start", "none"]
ORDERS = ("suspicion", "gain", "random", CONTROL)
START = "start"
PAIRS = (
    ("suspicion", "random"),
    ("gain", "suspicion"),
    ("gain", "random"),
    ("suspicion", CONTROL),
    ("gain", CONTROL),
    ("random", CONTROL),
    *((order, START) for order in ORDERS),
)
"""Whose gains over whom are told; `start` is the model that learned the damaged labels."""
MEASURES = ("ra_iou", "set_iou", "miou", "refused_f1")
TEACHING_SEED, HELD_OUT_SEED = 3_000_000, 1_700_000
"""Sets of clips that no other command makes."""
DATASET = "loop"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopPlan:
    """How large the experiment is."""

    clips: int = 24
    """Clips whose labels are damaged and corrected."""
    questions: int = 6
    """About each."""
    held_out_clips: int = 40
    """Clean ones, for measuring."""
    batches: int = 4
    batch_rows: int = 24
    """Corrections before each refresh."""
    damaged: float = 0.3
    """Share of the labels that are damaged."""
    tier: str = "rich"
    sft: SftConfig = field(
        default_factory=lambda: replace(tempo_tiny_refresh().sft, learning_rate=1e-3, epochs=10.0, threads=1)
    )
    """Of the start and of every refresh: hard enough that damaged labels do harm (docs/experiments.md)."""
    pir: PirGrpoConfig | None = None
    """PIR-GRPO in each refresh; None: SFT alone."""
    refresh: RefreshKind = "chained"
    """`chained`: each goes on from the one before and learns what was not corrected too. `from-start`: each begins with
    the start and learns the corrections so far alone, at half the rate and with six epochs: no refresh's luck is handed
    on. `none`: nothing is trained, and only the wrong rows that each order meets are counted."""

    def __post_init__(self) -> None:
        for name in ("clips", "questions", "held_out_clips", "batches", "batch_rows"):
            require(getattr(self, name) > 0, self, name, "a positive whole number")
        if not 0 < self.damaged < 1:
            raise InputError(f"The damaged share must lie between 0 and 1; got {self.damaged}.")
        if self.batches * self.batch_rows > self.clips * self.questions:
            raise InputError(
                f"{self.batches} batches of {self.batch_rows} rows are more than {self.clips * self.questions} rows. "
                "Take fewer, or more clips."
            )


def run_loop(
    plan: LoopPlan,
    out: Path,
    *,
    seeds: Sequence[int] = (0,),
    checkpoint: str | Path | None = None,
    orders: Sequence[str] = ORDERS,
    on_progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Run the experiment (or go on with it) and write its curve; returns what `curve.json` holds.

    `orders` leaves some of ORDERS out. Raises InputError on an unknown one, and where `out` holds an experiment of
    another size or base.
    """
    for order in orders:
        if order not in ORDERS:
            raise InputError(f"There is no order {order!r}; take some of {', '.join(ORDERS)}.")
    base = find_checkpoint(checkpoint)
    open_run(out, {"plan": as_dict(plan), "base": fingerprint(base)})
    points: list[dict[str, Any]] = []
    answers: dict[str, dict[int, list[list[PredictionRow]]]] = {order: {} for order in orders}
    with exclusive_lock(out):
        truth = _render_rows(plan, out / "clips", plan.clips, TEACHING_SEED)
        clean = _render_rows(plan, out / "held-out", plan.held_out_clips, HELD_OUT_SEED)
        clean_truth = truth_of(clean)
        for seed in seeds:
            loop = _Loop(
                plan=plan,
                folder=out / f"seed-{seed}",
                base=base,
                truth={row.row_id: row for row in truth},
                damaged=damage(truth, plan.damaged, np.random.default_rng([seed, 17])),
                clean=clean,
                seed=seed,
                on_progress=on_progress,
            )
            for order in orders:
                answers[order][seed] = loop.run(order)
                for number, rows in enumerate(answers[order][seed]):
                    measures = evaluate(rows, clean_truth).measures
                    point = {"seed": seed, "order": order, "corrections": number * plan.batch_rows}
                    points.append(point | {name: measures[name]["value"] for name in MEASURES})
                    points[-1]["wrong_rows_met"] = loop.wrong_rows_met(order, number)

        differences = []
        for number in range(1, plan.batches + 1):
            step: dict[str, Any] = {"corrections": number * plan.batch_rows}
            for first, second in PAIRS:
                if not {first, second} <= {*orders, START}:
                    continue
                # All orders begin with the same model.
                after = {seed: batches[number] for seed, batches in answers[first].items()}
                before = {seed: batches[0] for seed, batches in answers[first].items()}
                if second != START:
                    before = {seed: batches[number] for seed, batches in answers[second].items()}
                step[f"{first} - {second}"] = {
                    name: {key: gap[key] for key in ("gain", "low", "high")}
                    for name, gap in gains(before, after, clean_truth, measures=MEASURES).items()
                }
            differences.append(step)
        result = {"plan": as_dict(plan), "points": points, "differences": differences}
        write_json(out / "curve.json", json.loads(json.dumps(result, default=str)))
        (out / "curve.html").write_text(_curve_page(points))
    return result


@dataclass(frozen=True, kw_only=True, slots=True)
class _Loop:
    """One seed of the experiment."""

    plan: LoopPlan
    folder: Path
    base: Path
    truth: dict[str, Example]
    """Rows to correct, by id."""
    damaged: dict[str, tuple[Moment, ...]]
    clean: Sequence[Example]
    seed: int
    on_progress: Callable[[str], None]

    def run(self, order: str) -> list[list[PredictionRow]]:
        """Answers on the clean clips: of the damaged model, then after each batch of corrections."""
        from tempo_core.loading import load_model
        from train.data.encoding import Encoder
        from train.sft.trainer import run_sft
        from train.trainer import adapt

        folder = self.folder / order
        folder.mkdir(parents=True, exist_ok=True)
        labels = {row_id: self.damaged.get(row_id, row.moments) for row_id, row in self.truth.items()}

        # The adapter that learned the damaged labels; all orders begin with it.
        if not (self.folder / "start" / "done.json").is_file():
            loaded = load_model(self.base)
            config = replace(self.plan.sft, seed=self.seed)
            examples = [replace(row, moments=labels[row_id]) for row_id, row in self.truth.items()]
            model = adapt(loaded.model, config)
            run_sft(model, Encoder.of(loaded), examples, config, self.folder / "start")
        lineage = Lineage(
            base=self.base.resolve().name,
            base_fingerprint=fingerprint(self.base),
            parent=None,
            snapshot_sha256=None,
            recipe=as_dict(self.plan.sft),
            seeds={"sft": self.seed},
            code_version=code_version(),
        )
        registry = Registry(folder / "adapters")
        adapter = registry.add(self.folder / "start" / "adapter", lineage).folder

        with Store(folder / "cqvh.sqlite3") as store:
            # The damaged labels and their clips; harmless when it was done before.
            rows = [
                Row(
                    qid=row_id,
                    query=row.query,
                    vid=row.clip_id,
                    duration_s=row.duration_s,
                    split="train",
                    windows=tuple((moment.start_s, moment.end_s) for moment in labels[row_id]),
                )
                for row_id, row in self.truth.items()
            ]
            store.import_rows(rows, dataset=DATASET, op_id=self._op_id("import"))
            store.save_proposer(DATASET, ANY, op_id=self._op_id("proposer"), actor="loop")
            clips = next(iter(self.truth.values())).video.parent
            add_folder(store, clips, op_id=str(uuid4()), actor="loop")

            answers = [self._answer(adapter, self.clean, folder / "clean-0.jsonl")]
            for number in range(1, self.plan.batches + 1):
                if order == CONTROL and self.plan.refresh != "chained":
                    answers.append(answers[0])  # nothing corrected, nothing learned
                    continue
                if order != CONTROL:
                    self._propose(store, adapter)
                    for row_id in self._next_rows(store, order, number):
                        # The oracle says what is true.
                        pairs = [moment.to_ms() for moment in self.truth[row_id].moments]
                        edit = Edit(
                            verdict="moments" if pairs else "no-moment",
                            moments=tuple(EditedMoment(start_ms=a, end_ms=b) for a, b in pairs),
                            reason=None if pairs else "the world says so",
                        )
                        query_id, op_id = store.find(DATASET, row_id).id, self._op_id("correct", row_id)
                        store.submit(query_id, edit, annotator="oracle", parent_id=None, op_id=op_id)
                if self.plan.refresh == "none":
                    answers.append(answers[0])
                    continue
                refreshed = self._refresh(store, folder, registry, adapter, number)
                answers.append(self._answer(refreshed, self.clean, folder / f"clean-{number}.jsonl"))
                adapter = adapter if self.plan.refresh == "from-start" else refreshed
                self.on_progress(f"seed {self.seed}, {order}: {number * self.plan.batch_rows} corrections")
        return answers

    def wrong_rows_met(self, order: str, number: int) -> int:
        """How many of the damaged rows the first batches of an order held."""
        paths = [self.folder / order / f"batch-{batch}.json" for batch in range(1, number + 1)]
        return sum(
            row_id in self.damaged
            for path in paths
            if path.is_file()
            for row_id in json.loads(path.read_text())
        )

    def _answer(self, adapter: Path, rows: Sequence[Example], path: Path) -> list[PredictionRow]:
        return answer_rows(lambda: load_engine(self.base, adapter=adapter), rows, path)

    def _propose(self, store: Store, adapter: Path) -> None:
        """What the present model says of every row: suspicion looks for rows that it contradicts."""
        rows = list(self.truth.values())
        answers = self._answer(adapter, rows, self.folder / f"proposals-{adapter.name}.jsonl")
        for row, answer in zip(rows, answers, strict=True):
            moments = []
            for (start_s, end_s), (_, _, score) in zip(
                answer.moments or (), answer.windows or (), strict=True
            ):
                start_ms, end_ms = Moment(start_s, end_s).to_ms()
                moments.append(ProposedMoment(start_ms=start_ms, end_ms=end_ms, confidence=score))
            prediction = Prediction(
                model_id=adapter.name,
                moments=tuple(moments),
                refused=answer.refused,
                relevance=answer.relevance,
            )
            query = store.find(DATASET, row.row_id)
            store.propose(query.id, prediction, op_id=self._op_id("propose", adapter.name, row.row_id))

    def _next_rows(self, store: Store, order: str, number: int) -> list[str]:
        """The rows that the oracle is shown; a batch that was cut short is shown again."""
        path = self.folder / order / f"batch-{number}.json"
        if not path.is_file():
            size = self.plan.batch_rows
            if order == "random":
                shuffled = np.random.default_rng([self.seed, 23]).permutation(list(self.truth)).tolist()
                batch = shuffled[(number - 1) * size : number * size]
            else:
                if order == "gain":
                    store.renew_gains()
                row_filter = QueueFilter(
                    dataset=DATASET, unseen_by="oracle", order="gain" if order == "gain" else "suspicion"
                )
                queue = store.queue(row_filter, limit=size)
                batch = [item.qid for item in queue]
            write_json(path, batch)
        return json.loads(path.read_text())

    def _refresh(self, store: Store, folder: Path, registry: Registry, adapter: Path, number: int) -> Path:
        """The adapter after a batch."""
        run_folder = folder / f"refresh-{number}"
        path = run_folder / "outcome.json"
        if path.is_file():  # the store has gone on since: its snapshot would be another now
            return registry.entry(json.loads(path.read_text())["adapter"]).folder
        registry.promote(adapter.name, by="loop")
        sft = replace(self.plan.sft, seed=self.seed)
        uncorrected: Literal["leave", "use"] = "use"
        if self.plan.refresh == "from-start":
            sft, uncorrected = replace(sft, learning_rate=sft.learning_rate / 2, epochs=6.0), "leave"
        config = RefreshConfig(
            name="loop",
            seed=self.seed,
            sft=sft,
            pir=None if self.plan.pir is None else replace(self.plan.pir, seed=self.seed),
            uncorrected=uncorrected,
            original_weight=0.5,
            replay_share=0.0,
            held_out_share=0.0,
            world_clips=0,
        )
        snapshot = take_snapshot(store, folder / "snapshots", actor="loop")
        outcome = Refresh(
            snapshot.folder, config, run_folder, registry, checkpoint=self.base, promote=False
        ).run()
        if outcome.adapter is None:
            raise InputError(f"A refresh of the loop made no adapter: {outcome.message}")
        return registry.entry(outcome.adapter).folder

    def _op_id(self, *words: str) -> str:
        """An operation id that is the same when the experiment goes on."""
        return str(uuid5(NAMESPACE_URL, json.dumps([str(self.seed), *words])))


def _render_rows(plan: LoopPlan, folder: Path, clips: int, seed: int) -> list[Example]:
    if not (folder / "complete").is_file():
        mix = QueryMix(hard_share=0.2, hard_kinds=("several",))
        set_plan = SetPlan(
            clips=clips, queries=plan.questions, tier=plan.tier, seed=seed, mix=mix, short_side_px=112
        )
        make_set(set_plan, folder)
        (folder / "complete").touch()
    rows = read_examples(folder / "rows.jsonl").training
    return [replace(row, row_id=str(number)) for number, row in enumerate(rows)]


def _curve_page(points: Sequence[dict[str, Any]]) -> str:
    """The curve as one self-contained page: mean over seeds for each order."""
    import pandas as pd
    import plotly.graph_objects as go

    figure = go.Figure()
    means = pd.DataFrame(points).groupby(["order", "corrections"])["ra_iou"].mean()
    for order in dict.fromkeys(point["order"] for point in points):
        curve = means[order]
        figure.add_scatter(x=list(curve.index), y=list(curve), name=order, mode="lines+markers")
    figure.update_layout(
        template="plotly_white", title="Refusal-aware IoU on clean held-out clips", xaxis_title="corrections"
    )
    return str(figure.to_html(include_plotlyjs=True))
