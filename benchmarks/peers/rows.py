"""The rows: one piece of work each, how Tempo does it, and which pinned peers do the same."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    Side(
        name="torchcodec 0.17.0",
        function="sample_torchcodec",
        environment=Environment(requirements=("torchcodec==0.17.0",), with_project=True),
    ),
    Side(
        name="qwen-vl-utils 0.0.14",
        function="sample_qwen",
        environment=Environment(
            requirements=(
                "qwen-vl-utils==0.0.14",
                "torchvision==0.28.0",
                "requests==2.34.2",
                "urllib3==2.8.0",
                "certifi==2026.10.19.post1",
                "idna==3.20",
                "charset-normalizer==3.5.3",
            ),
            with_project=True,
        ),
    ),
)
TRANSFORMERS = Environment(requirements=("transformers==5.23.0",), with_project=True)


def rows(size: Size, folder: Path) -> list[Row]:
    """All rows; their clips are made in the folder."""
    return [
        *[decoding_row(codec, size, folder) for codec in ENCODERS],
        asking_row("asking again", size, n_best=0),
        asking_row("asking again, n_best 5", size, n_best=5),
        asking_row("eight questions that wait together", size, n_best=0, together=True),
        saving_row(size),
    ]


def decoding_row(codec: str, size: Size, folder: Path) -> Row:
    """Frames at even times, each the one on screen then, as RGB of the clip's size."""
    path = folder / f"{codec}-{size.seconds}-{size.height}.{'webm' if codec == 'VP9' else 'mp4'}"

    def prepare() -> None:
        if not path.exists():
            part = path.with_name(f"part-{path.name}")
            make_clip(part, codec, seconds=size.seconds, height=size.height)
            move(part, path)

    # off the pictures' own times, so that "on screen at" has one answer
    times_s = [(idx + 0.5) * size.seconds / size.frames for idx in range(size.frames)]
    return Row(
        name=f"{size.frames} frames of {size.seconds} s, {size.height}p {codec}",
        sides=READERS,
        arguments={"path": str(path), "times_s": [round(time_s * 30) / 30 + 0.01 for time_s in times_s]},
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
