"""The loop: labels damaged on purpose, an oracle who corrects them through the real store, a refresh after each batch.

It shows whether accuracy on clean held-out clips rises with the number of corrections, and whether correcting in the
order of suspicion beats a random order at equal effort. Everything is in one folder and goes on where it stopped:

    <out>/clips, <out>/held-out          rendered once
    <out>/seed-0/start/                  the model that learned the damaged labels
    <out>/seed-0/suspicion|random|none/  a store, snapshots, adapters and refreshes each
    <out>/curve.json, curve.html         the result

The oracle is not told which rows are damaged: it answers every row it is shown, and a right row costs as much as a
wrong one. What was not corrected teaches on, at half its weight. `none` is the control: as many refreshes of as many
steps, and no corrections, so that what more training does is not taken for what corrections do.
Long because damage, oracle, refreshes and the curve are one experiment.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import numpy as np

from annotations.queue import QueueFilter
from annotations.records import Edit, EditedMoment, Prediction, ProposedMoment
from annotations.rows import Row, Windows
from annotations.snapshot import take_snapshot
from annotations.store import Store
from annotations.videos import add_folder
from tempo_core.checkpoint import find_checkpoint, fingerprint
from tempo_core.engine import Engine, load_engine
from tempo_core.errors import InputError
from tempo_core.metrics import PredictionRow, compare, evaluate
from tempo_core.metrics.evaluation import number as number_
from tempo_core.moments import Moment, merge
from train.checkpoints import exclusive_lock, open_run, write_json
from train.config import as_dict, require
from train.data.example_files import read_examples
from train.data.examples import Example
from train.grpo.config import PirGrpoConfig
from train.recipes import tempo_tiny_refresh
from train.refresh.config import RefreshConfig
from train.refresh.lineage import Lineage, code_version
from train.refresh.promotion import answer_rows, truth_of
from train.refresh.registry import Registry
from train.refresh.run import Refresh
from train.sft.config import SftConfig
from train.shapeworld.clips import SetPlan, make_set
from train.shapeworld.queries import QueryMix

CONTROL = "none"
ORDERS = ("suspicion", "random", CONTROL)
START = "start"
PAIRS = (
    ("suspicion", "random"),
    ("suspicion", CONTROL),
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


Say = Callable[[str], None]


def run_loop(
    plan: LoopPlan,
    out: Path,
    *,
    seeds: Sequence[int] = (0,),
    checkpoint: str | Path | None = None,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Run the experiment (or go on with it) and write its curve; returns what `curve.json` holds.

    Raises InputError where `out` holds an experiment of another size or base.
    """
    base = find_checkpoint(checkpoint)
    open_run(out, {"plan": as_dict(plan), "base": fingerprint(base)})
    with exclusive_lock(out):
        return _run(plan, out, base, seeds, say)


def _run(plan: LoopPlan, out: Path, base: Path, seeds: Sequence[int], say: Say) -> dict[str, Any]:
    truth = _rendered(plan, out / "clips", plan.clips, TEACHING_SEED)
    clean = _rendered(plan, out / "held-out", plan.held_out_clips, HELD_OUT_SEED)
    points: list[dict[str, Any]] = []
    answers: dict[str, dict[int, list[list[PredictionRow]]]] = {order: {} for order in ORDERS}
    for seed in seeds:
        loop = _Loop(plan, out / f"seed-{seed}", base, truth, clean, seed, say)
        for order in ORDERS:
            answers[order][seed] = loop.run(order)
            points += [
                {"seed": seed, "order": order, **point}
                for point in _scored(clean, answers[order][seed], plan.batch_rows)
            ]
    differences = [
        {
            "corrections": number * plan.batch_rows,
            **{
                f"{a} - {b}": _gains(clean, _at(answers, b, number), _at(answers, a, number))
                for a, b in PAIRS
            },
        }
        for number in range(1, plan.batches + 1)
    ]
    result = {"plan": as_dict(plan), "points": points, "differences": differences}
    write_json(out / "curve.json", json.loads(json.dumps(result, default=str)))
    (out / "curve.html").write_text(_page(points))
    return result


def damage(rows: Sequence[Example], share: float, rng: np.random.Generator) -> dict[str, tuple[Moment, ...]]:
    """Wrong answers for a share of the rows, by row id: shifted edges, dropped windows, wrong verdicts in turn."""
    chosen = sorted(rng.choice(len(rows), size=round(share * len(rows)), replace=False).tolist())
    kinds = [_shifted, _dropped, _wrong_verdict]
    return {
        rows[place].row_id: kinds[number % len(kinds)](rows[place], rng)
        for number, place in enumerate(chosen)
    }


def _shifted(row: Example, rng: np.random.Generator) -> tuple[Moment, ...]:
    """Every edge moved by two to five seconds; a refusal becomes a wrong verdict."""
    if not row.moments:
        return _wrong_verdict(row, rng)
    found = []
    for moment in row.moments:
        start_s, end_s = (
            edge + float(rng.choice([-1, 1])) * float(rng.integers(2, 6))
            for edge in (moment.start_s, moment.end_s)
        )
        start_s = min(max(0.0, start_s), row.duration_s - 1)
        found.append(Moment(start_s, max(start_s + 1, min(row.duration_s, end_s))))
    return tuple(merge(found))


def _dropped(row: Example, rng: np.random.Generator) -> tuple[Moment, ...]:
    """One window less; of a single one, half of it."""
    if len(row.moments) > 1:
        gone = int(rng.integers(len(row.moments)))
        return tuple(moment for place, moment in enumerate(row.moments) if place != gone)
    if not row.moments:
        return _wrong_verdict(row, rng)
    (moment,) = row.moments
    middle_s = (moment.start_s + moment.end_s) / 2
    return (Moment(moment.start_s, middle_s) if rng.random() < 0.5 else Moment(middle_s, moment.end_s),)


def _wrong_verdict(row: Example, rng: np.random.Generator) -> tuple[Moment, ...]:
    """Nothing where there is something, something where there is nothing."""
    if row.moments:
        return ()
    start_s = float(rng.integers(0, max(1, int(row.duration_s) - 4)))
    return (Moment(start_s, min(row.duration_s, start_s + float(rng.integers(2, 8)))),)


class _Loop:
    """One seed of the experiment."""

    def __init__(
        self, plan: LoopPlan, folder: Path, base: Path, truth: Sequence[Example], clean: Sequence[Example], seed: int,
        say: Say,
    ) -> None:  # fmt: skip
        self.plan, self.folder, self.base, self.clean, self.seed, self.say = (
            plan,
            folder,
            base,
            clean,
            seed,
            say,
        )
        self.truth = {row.row_id: row for row in truth}
        self.damaged = damage(truth, plan.damaged, np.random.default_rng([seed, 17]))
        self.base_fingerprint = fingerprint(base)
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, order: str) -> list[list[PredictionRow]]:
        """Answers on the clean clips: of the damaged model, then after each batch of corrections."""
        folder = self.folder / order
        folder.mkdir(exist_ok=True)
        registry = Registry(folder / "adapters")
        now = registry.add(self._start(), self._lineage()).folder
        with Store(folder / "cqvh.sqlite3") as store:
            self._fill(store)
            answers = [self._answers(now, folder / "clean-0.jsonl")]
            for number in range(1, self.plan.batches + 1):
                if order != CONTROL:
                    self._propose(store, now)
                    for row_id in self._next(store, order, number):
                        self._correct(store, row_id)
                now = self._refresh(store, folder, registry, now, number)
                answers.append(self._answers(now, folder / f"clean-{number}.jsonl"))
                self.say(f"seed {self.seed}, {order}: {number * self.plan.batch_rows} corrections")
        return answers

    def _start(self) -> Path:
        """The adapter that learned the damaged labels."""
        from tempo_core.loading import load_model
        from train.data.encoding import Encoder
        from train.sft.trainer import run_sft
        from train.trainer import adapt

        rows = [
            replace(row, moments=self.damaged.get(row_id, row.moments)) for row_id, row in self.truth.items()
        ]
        loaded = load_model(self.base)
        config = replace(self.plan.sft, seed=self.seed)
        model = adapt(loaded.model, config)
        run_sft(model, loaded.tokenizer, Encoder.of(loaded), rows, config, self.folder / "start")
        return self.folder / "start" / "adapter"

    def _lineage(self) -> Lineage:
        return Lineage(
            base=self.base.resolve().name, base_fingerprint=self.base_fingerprint, parent=None, snapshot_sha256=None,
            recipe=as_dict(self.plan.sft), seeds={"sft": self.seed}, code_version=code_version(),
        )  # fmt: skip

    def _fill(self, store: Store) -> None:
        """The damaged labels as an import, and their clips. Harmless when it was done before."""
        rows = [
            Row(
                qid=row_id, query=row.query, vid=row.clip_id, duration_s=row.duration_s, split="train",
                windows=_windows(self.damaged.get(row_id, row.moments)),
            )
            for row_id, row in self.truth.items()
        ]  # fmt: skip
        store.import_rows(rows, dataset=DATASET, op_id=self._op("import"))
        clips = next(iter(self.truth.values())).video.parent
        add_folder(store, clips, op_id=str(uuid4()), actor="loop")  # the second time it finds nothing to add

    def _propose(self, store: Store, adapter: Path) -> None:
        """What the present model says of every row: suspicion looks for rows that it contradicts."""
        rows = list(self.truth.values())
        path = self.folder / f"proposals-{adapter.name}.jsonl"
        found = answer_rows(self._engine(adapter), rows, path)
        for row, said in zip(rows, found, strict=True):
            moments = []
            for (start_s, end_s), (_, _, score) in zip(said.moments or (), said.windows or (), strict=True):
                start_ms, end_ms = Moment(start_s, end_s).to_ms()
                moments.append(ProposedMoment(start_ms=start_ms, end_ms=end_ms, confidence=score))
            prediction = Prediction(
                model_id=adapter.name, moments=tuple(moments), refused=said.refused, relevance=said.relevance
            )
            query = store.find(DATASET, row.row_id)
            store.propose(query.id, prediction, op_id=self._op("propose", adapter.name, row.row_id))

    def _next(self, store: Store, order: str, number: int) -> list[str]:
        """The rows that the oracle is shown; a batch that was cut short is shown again."""
        path = self.folder / order / f"batch-{number}.json"
        if path.is_file():
            shown: list[str] = json.loads(path.read_text())
            return shown
        if order == "random":
            whole = np.random.default_rng([self.seed, 23]).permutation(list(self.truth)).tolist()
            shown = whole[(number - 1) * self.plan.batch_rows : number * self.plan.batch_rows]
        else:
            queue = store.queue(QueueFilter(dataset=DATASET, unseen_by="oracle"), limit=self.plan.batch_rows)
            shown = [item.qid for item in queue]
        write_json(path, shown)
        return shown

    def _correct(self, store: Store, row_id: str) -> None:
        """The oracle says what is true."""
        moments = []
        for moment in self.truth[row_id].moments:
            start_ms, end_ms = moment.to_ms()
            moments.append(EditedMoment(start_ms=start_ms, end_ms=end_ms))
        edit = Edit(
            verdict="moments" if moments else "no-moment", moments=tuple(moments),
            reason=None if moments else "the world says so",
        )  # fmt: skip
        query = store.find(DATASET, row_id)
        store.submit(query.id, edit, annotator="oracle", parent_id=None, op_id=self._op("correct", row_id))

    def _refresh(self, store: Store, folder: Path, registry: Registry, now: Path, number: int) -> Path:
        done = folder / f"refresh-{number}" / "outcome.json"
        if done.is_file():  # the store has gone on since: its snapshot would be another now
            return registry.entry(json.loads(done.read_text())["adapter"]).folder
        registry.promote(now.name, by="loop")
        config = RefreshConfig(
            name="loop", seed=self.seed, sft=replace(self.plan.sft, seed=self.seed),
            pir=None if self.plan.pir is None else replace(self.plan.pir, seed=self.seed), uncorrected="use",
            original_weight=0.5, replay_share=0.0, held_out_share=0.0, world_clips=0,
        )  # fmt: skip
        snapshot = take_snapshot(store, folder / "snapshots", actor="loop")
        outcome = Refresh(
            snapshot.folder,
            config,
            folder / f"refresh-{number}",
            registry,
            checkpoint=self.base,
            promote=False,
        ).run()
        if outcome.adapter is None:
            raise InputError(f"A refresh of the loop made no adapter: {outcome.message}")
        return registry.entry(outcome.adapter).folder

    def _answers(self, adapter: Path, path: Path) -> list[PredictionRow]:
        return answer_rows(self._engine(adapter), self.clean, path)

    def _engine(self, adapter: Path) -> Engine:
        return load_engine(self.base, adapter=adapter)

    def _op(self, *words: str) -> str:
        """An operation id that is the same when the experiment goes on."""
        return str(uuid5(NAMESPACE_URL, json.dumps([str(self.seed), *words])))


def _rendered(plan: LoopPlan, folder: Path, clips: int, seed: int) -> list[Example]:
    mix = QueryMix(hard_share=0.2, hard_kinds=("several",))
    if not (folder / "complete").is_file():
        make_set(
            SetPlan(
                clips=clips, queries=plan.questions, tier=plan.tier, seed=seed, mix=mix, short_side_px=112
            ),
            folder,
        )
        (folder / "complete").touch()
    rows = read_examples(folder / "rows.jsonl").training
    return [replace(row, row_id=str(number)) for number, row in enumerate(rows)]


def _windows(moments: Sequence[Moment]) -> Windows:
    return tuple((moment.start_s, moment.end_s) for moment in moments)


def _scored(
    clean: Sequence[Example], answers: Sequence[Sequence[PredictionRow]], batch_rows: int
) -> Iterator[dict[str, Any]]:
    for number, rows in enumerate(answers):
        measures = evaluate(rows, truth_of(clean)).measures
        yield {"corrections": number * batch_rows, **{name: measures[name]["value"] for name in MEASURES}}


def _at(
    answers: dict[str, dict[int, list[list[PredictionRow]]]], order: str, number: int
) -> list[PredictionRow]:
    """All seeds' answers after so many batches."""
    order, number = ("random", 0) if order == START else (order, number)
    return [
        replace(row, qid=f"{seed}-{row.qid}")
        for seed, found in answers[order].items()
        for row in found[number]
    ]


def _gains(
    clean: Sequence[Example], before: Sequence[PredictionRow], after: Sequence[PredictionRow]
) -> dict[str, Any]:
    """What `after` gains: a paired bootstrap over clips, all seeds' answers together."""
    seeds = sorted({str(row.qid).partition("-")[0] for row in before})
    truth = [replace(row, qid=f"{seed}-{row.qid}") for seed in seeds for row in truth_of(clean)]
    found = compare(before, after, truth)
    return {
        name: {"gain": number_(gap.second - gap.first), "low": number_(gap.low), "high": number_(gap.high)}
        for name, gap in found.items()
        if name in MEASURES
    }


def _page(points: Sequence[dict[str, Any]]) -> str:
    """The curve as one self-contained page: mean over seeds for each order."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for order in ORDERS:
        steps = sorted({point["corrections"] for point in points})
        found = [
            [point["ra_iou"] for point in points if (point["order"], point["corrections"]) == (order, step)]
            for step in steps
        ]
        figure.add_scatter(
            x=steps, y=[float(np.mean(values)) for values in found], name=order, mode="lines+markers"
        )
    figure.update_layout(
        template="plotly_white", title="Refusal-aware IoU on clean held-out clips", xaxis_title="corrections"
    )
    return str(figure.to_html(include_plotlyjs=True))
