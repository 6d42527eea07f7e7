"""How many functions four common operations run through: one correction, one snapshot, one question, one group.

Counted with sys.setprofile during one call:

- functions: different code objects of tempo_core, annotations, train and app that ran. Lambdas, comprehensions,
  module bodies and the methods that dataclasses generate are not counted; event hooks that SQLAlchemy calls are.
- files: the files that these functions stand in.
- depth: the most frames of our files that were on the stack at once, lambdas and comprehensions included; frames of
  libraries between them do not count.

Each operation runs once before the measured call, so that imports and caches are out of the way. Exit code 1 when a
figure is over its target.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Annotated, Any
from uuid import uuid4

import typer

from tempo_core.command_line import AsJson
from tempo_core.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tempo_core", "annotations", "train", "app")

TARGETS = {
    "submit": {"files": 6, "functions": 30, "depth": 10},
    "snapshot": {"files": 6, "functions": 35},
    "ask": {"files": 6, "functions": 30, "depth": 12},
    "group": {},
}
"""The most that each walk should need."""

TITLES = {
    "submit": "Store.submit on SQLite",
    "snapshot": "take_snapshot",
    "ask": "Engine.ask about an encoded clip",
    "group": "one PIR-GRPO group: sample and loss",
}


@dataclass(slots=True)
class Walk:
    """What ran during one call."""

    functions: dict[CodeType, int] = field(default_factory=dict)
    """Every counted function with the depth that it was first called at, in the order of the first calls."""
    depth: int = 0

    @property
    def files(self) -> list[str]:
        """Paths relative to the repository, sorted."""
        return sorted({_relative(code) for code in self.functions})

    def figures(self) -> dict[str, int]:
        """The three counts that targets speak of."""
        return {"files": len(self.files), "functions": len(self.functions), "depth": self.depth}

    def lines(self) -> list[str]:
        """One line a function, indented by depth: name, file and line."""
        return [
            f"{'  ' * (depth - 1)}{code.co_qualname}  {_relative(code)}:{code.co_firstlineno}"
            for code, depth in self.functions.items()
        ]


def run(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="WALK", help=f"of {', '.join(TARGETS)} (default: all)"),
    ] = None,
    functions: Annotated[
        bool, typer.Option("--functions", help="list the functions too, as they were called")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """How many functions four common operations run through: one correction, one snapshot, one question, one group.

    Exit code 1 when a figure is over its target.
    """
    for name in names or ():
        if name not in TARGETS:
            raise InputError(f"There is no walk {name!r}. Use some of: {', '.join(TARGETS)}.")
    walks = {name: MEASURES[name]() for name in names or TARGETS}
    over = {
        name: [key for key, most in TARGETS[name].items() if walk.figures()[key] > most]
        for name, walk in walks.items()
    }
    if as_json:
        report = {
            name: walk.figures()
            | {"target": TARGETS[name], "over": over[name]}
            | ({"calls": walk.lines()} if functions else {})
            for name, walk in walks.items()
        }
        print(json.dumps(report))
        return int(any(over.values()))
    print(f"{'':40}{'files':>12}{'functions':>12}{'depth':>12}")
    for name, walk in walks.items():
        cells = [
            f"{value} of {TARGETS[name][key]}" if key in TARGETS[name] else str(value)
            for key, value in walk.figures().items()
        ]
        verdict = f"   over: {', '.join(over[name])}" if over[name] else ""
        print(f"{TITLES[name]:40}" + "".join(f"{cell:>12}" for cell in cells) + verdict)
        if functions:
            print("\n".join(f"    {line}" for line in walk.lines()))
    return int(any(over.values()))


@contextmanager
def traced() -> Iterator[Walk]:
    """Count what this thread runs inside the block."""
    walk, stack = Walk(), list[FrameType]()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if not _is_ours(frame.f_code):
            return
        if event == "call":  # a generator is called again at every step
            stack.append(frame)
            walk.depth = max(walk.depth, len(stack))
            if not frame.f_code.co_name.startswith("<"):
                walk.functions.setdefault(frame.f_code, len(stack))
        elif event == "return" and stack and stack[-1] is frame:
            stack.pop()

    sys.setprofile(profile)
    try:
        yield walk
    finally:
        sys.setprofile(None)


def _is_ours(code: CodeType) -> bool:
    path = Path(code.co_filename)  # of a method that a dataclass generates: <string>
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES


def _relative(code: CodeType) -> str:
    return Path(code.co_filename).relative_to(ROOT).as_posix()


def measure_submit() -> Walk:
    """A first correction of a query with one moment, in a SQLite file."""
    from annotations.records import Edit, EditedMoment
    from annotations.store import Store

    edit = Edit(verdict="moments", moments=(EditedMoment(start_ms=1000, end_ms=9000),))
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder, "cqvh.sqlite3")) as store:
        _import_rows(store)
        store.submit(1, edit, annotator="ada", parent_id=None, op_id=str(uuid4()))
        with traced() as walk:
            store.submit(2, edit, annotator="ada", parent_id=None, op_id=str(uuid4()))
    return walk


def measure_snapshot() -> Walk:
    """A snapshot of three queries, two of them corrected."""
    from annotations.records import Edit, EditedMoment
    from annotations.snapshot import take_snapshot
    from annotations.store import Store

    edit = Edit(verdict="moments", moments=(EditedMoment(start_ms=1000, end_ms=9000),))
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder, "cqvh.sqlite3")) as store:
        _import_rows(store)
        store.submit(1, edit, annotator="ada", parent_id=None, op_id=str(uuid4()))
        take_snapshot(store, Path(folder, "snapshots"), actor="ada")
        store.submit(2, edit, annotator="ada", parent_id=None, op_id=str(uuid4()))
        with traced() as walk:
            take_snapshot(store, Path(folder, "snapshots"), actor="ada")
    return walk


def _import_rows(store: Any) -> None:
    """Three queries about one clip, with ids 1 to 3."""
    from annotations.rows import Row

    rows = [
        Row(
            qid=str(number),
            qid_is_int=True,
            query=f"thing {number} happens",
            vid="clip",
            duration_s=20.0,
            split="train",
            windows=((2.0, 8.0),),
            raw=f'{{"qid": {number}, "relevant_windows": [[2, 8]]}}',
        )
        for number in range(1, 4)
    ]
    store.import_rows(rows, dataset="walks", op_id=str(uuid4()))


def measure_ask() -> Walk:
    """A second question about a clip that tempo-tiny has encoded."""
    from benchmarks.engine import video
    from tempo_core.engine import load_engine

    engine = load_engine(None)
    context = engine.encode(video(0, 12))
    engine.ask(context, "a red circle appears")
    with traced() as walk:
        engine.ask(context, "a green square appears")
    return walk


def measure_group() -> Walk:
    """The second training step of a PIR-GRPO run of tempo-tiny with one group a step: four answers and their loss."""
    from benchmarks.engine import video
    from tempo_core.checkpoint import find_checkpoint
    from tempo_core.loading import load_model
    from tempo_core.moments import Moment
    from train.config import PirGrpoConfig
    from train.data.encoding import Encoder
    from train.data.examples import Example
    from train.grpo.trainer import PirGrpoTrainer, run_pir_grpo
    from train.trainer import adapt

    steps: list[Walk] = []
    untraced = PirGrpoTrainer.training_step

    def training_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        with traced() as walk:
            loss = untraced(self, *args, **kwargs)
        steps.append(walk)
        return loss

    config = PirGrpoConfig(
        steps=2,
        groups=1,
        num_generations=4,
        save_steps=2,
        logging_steps=2,
        skip_uniform_groups=False,
        threads=1,
    )
    loaded = load_model(find_checkpoint(None), four_bit=False, device="cpu")
    examples = [
        Example(
            row_id=query,
            video=Path("clip"),
            query=query,
            duration_s=12.0,
            moments=(Moment(3.0, 9.0),),
        )
        for query in ("a red circle appears", "a green square appears")
    ]
    encoder = Encoder.of(loaded, sample=lambda _: video(0, 12))
    PirGrpoTrainer.training_step = training_step  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as folder:
            run_pir_grpo(adapt(loaded.model, config), encoder, examples, config, Path(folder, "run"))
    finally:
        PirGrpoTrainer.training_step = untraced  # type: ignore[method-assign]
    return steps[-1]


MEASURES: dict[str, Callable[[], Walk]] = {
    "submit": measure_submit,
    "snapshot": measure_snapshot,
    "ask": measure_ask,
    "group": measure_group,
}
