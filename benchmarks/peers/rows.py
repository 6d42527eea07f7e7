"""The rows: one piece of work each, how Tempo does it, and which pinned peers do the same."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.metrics import write_random_files
from benchmarks.peers.clips import ENCODERS, make_clip
from benchmarks.peers.environments import Environment
from tempo_core.files import move


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One way to do a row's work."""

    name: str
    function: str
    """Of `worker`."""
    environment: Environment = field(default_factory=Environment)
    options: dict[str, Any] = field(default_factory=dict)
    """More arguments of the function."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A piece of work; the first side is Tempo's, the others' results are compared with its."""

    name: str
    sides: tuple[Side, ...]
    arguments: dict[str, Any]
    agreement: str
    """What the share of agreement says."""
    prepare: Callable[[], None] | None = None
    """Makes what the row needs; not timed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How much work a row is."""

    seconds: int = 150
    height: int = 1080
    frames: int = 150
    questions: int = 8
    saves: int = 100
    steps: int = 3


TORCHCODEC = Environment(
    requirements=("torchcodec==0.17.0", "torch==2.13.0", "av==18.1.0", "numpy==2.3.5"), ffmpeg_of_pyav=True
)
"""Its wheel links torch's CUDA libraries, so that torch comes as PyPI has it, not as the project has it."""
QWEN = Environment(
    requirements=(
        "qwen-vl-utils==0.0.14",
        "torchvision==0.28.0",
        "torchcodec==0.17.0",
        "torch==2.13.0",
        "av==18.1.0",
        "numpy==2.3.5",
    ),
    ffmpeg_of_pyav=True,
)
READERS = (
    Side(name="Tempo", function="sample_tempo"),
    Side(
        name="PyAV 18.1.0",
        function="sample_pyav",
        environment=Environment(requirements=("av==18.1.0", "numpy==2.3.5")),
    ),
    Side(
        name="decord 0.6.0",
        function="sample_decord",
        environment=Environment(requirements=("decord==0.6.0", "numpy==2.3.5")),
    ),
    Side(
        name="decord2 3.4.0",
        function="sample_decord",
        environment=Environment(requirements=("decord2==3.4.0", "numpy==2.3.5")),
    ),
    Side(
        name="ffmpeg (imageio-ffmpeg 0.6.0)",
        function="sample_ffmpeg",
        environment=Environment(requirements=("imageio-ffmpeg==0.6.0", "numpy==2.3.5")),
    ),
    Side(name="torchcodec 0.17.0", function="sample_torchcodec", environment=TORCHCODEC),
    Side(name="qwen-vl-utils 0.0.14", function="sample_qwen", environment=QWEN),
)
MODEL_SIZE = (84, 140)
"""Height and width of a frame of 15 visual tokens."""
TRANSFORMERS = Environment(requirements=("transformers==5.23.0",), with_project=True)
TRL = Environment(
    requirements=(
        "trl==1.16.0",
        "datasets==5.2.0",
        "dill==0.4.1",
        "multiprocess==0.70.19",
        "xxhash==4.1.0",
        "requests==2.34.2",
        "urllib3==2.8.0",
        "certifi==2026.10.19.post1",
        "idna==3.20",
        "charset-normalizer==3.5.3",
    ),
    with_project=True,
)
EVALUATOR = Environment(
    requirements=("numpy==2.3.5", "scikit-learn==1.9.1"),
    repository=("https://github.com/jayleicn/moment_detr", "b7e553ac3b0c898ee6b85e03ee507c064eab89ca"),
    folders=("standalone_eval",),
)


def rows(size: Size, folder: Path) -> list[Row]:
    """All rows; their clips are made in the folder."""
    return [
        *[decoding_row(codec, size, folder) for codec in ENCODERS],
        decoding_row("H.264", size, folder, at=MODEL_SIZE),
        asking_row("asking again", size, n_best=0),
        asking_row("asking again, n_best 5", size, n_best=5),
        asking_row("eight questions that wait together", size, n_best=0, together=True),
        saving_row(size),
        scoring_row(folder),
        learning_row(size),
    ]


def decoding_row(codec: str, size: Size, folder: Path, *, at: tuple[int, int] | None = None) -> Row:
    """Frames at even times, each the one on screen then, as RGB of the clip's size or `at` (height, width)."""
    path = folder / f"{codec}-{size.seconds}-{size.height}.{'webm' if codec == 'VP9' else 'mp4'}"

    def prepare() -> None:
        if not path.exists():
            part = path.with_name(f"part-{path.name}")
            make_clip(part, codec, seconds=size.seconds, height=size.height)
            move(part, path)

    # off the pictures' own times, so that "on screen at" has one answer
    times_s = [(idx + 0.5) * size.seconds / size.frames for idx in range(size.frames)]
    scaled = "" if at is None else f", at {at[1]} x {at[0]}"
    return Row(
        name=f"{size.frames} frames of {size.seconds} s, {size.height}p {codec}{scaled}",
        sides=READERS,
        arguments={
            "path": str(path),
            "times_s": [round(time_s * 30) / 30 + 0.01 for time_s in times_s],
            "size": at,
        },
        agreement="frames within 6 of 255 in the mean",
        prepare=prepare,
    )


def asking_row(name: str, size: Size, *, n_best: int, together: bool = False) -> Row:
    """Questions about one encoded clip, by tempo-tiny in four bits on both sides."""
    arguments = {"questions": size.questions, "n_best": n_best}
    return Row(
        name=name,
        sides=(
            Side(name="Tempo", function="ask_tempo", options={"together": together}),
            Side(
                name="transformers 5.23.0, generate behind a copied cache",
                function="ask_generate",
                environment=TRANSFORMERS,
                options={"reuse": True},
            ),
            Side(
                name="transformers 5.23.0, generate",
                function="ask_generate",
                environment=TRANSFORMERS,
                options={"reuse": False},
            ),
        ),
        arguments=arguments,
        agreement="greedy answers with the same text",
    )


def saving_row(size: Size) -> Row:
    """An annotator's answer, and what sqlite3 needs for five rows in one transaction with the same synchronisation."""
    return Row(
        name=f"{size.saves} saved answers",
        sides=(
            Side(name="Tempo, Store.submit", function="save_tempo"),
            Side(name="sqlite3 (Python's own)", function="save_sqlite"),
        ),
        arguments={"saves": size.saves},
        agreement="writes that are there afterwards",
    )


def scoring_row(folder: Path) -> Row:
    """A submission as large as QVHighlights' val split, from its files to the official scores."""
    paths = folder / "predictions.jsonl", folder / "truth.jsonl"

    def prepare() -> None:
        if not all(path.exists() for path in paths):
            write_random_files(folder)

    return Row(
        name="official scores of 1,550 queries",
        sides=(
            Side(name="Tempo", function="score_tempo"),
            Side(name="moment_detr's standalone_eval", function="score_official", environment=EVALUATOR),
        ),
        arguments={"predictions": str(paths[0]), "truth": str(paths[1])},
        agreement="numbers that are equal",
        prepare=prepare,
    )


def learning_row(size: Size) -> Row:
    """Steps of GRPO without the optimizer, on a random model of tempo-tiny's size: a new clip of 20 frames each,
    eight answers of 16 freely sampled tokens, rewards, and the gradient of the language model's weights."""
    return Row(
        name=f"{size.steps} steps of GRPO, 8 answers",
        sides=(
            Side(name="Tempo, PIR-GRPO", function="learn_tempo"),
            Side(name="TRL 1.16.0, GRPOTrainer", function="learn_trl", environment=TRL),
        ),
        arguments={"steps": size.steps},
        agreement="as many answers",
    )
