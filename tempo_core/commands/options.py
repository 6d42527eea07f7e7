"""Options that several commands share, and the engine that they describe."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:  # torch is imported when a command runs, not when its help is printed
    from tempo_core.engine import Engine

Checkpoint = Annotated[
    str | None,
    typer.Option(
        metavar="DIR", help="a checkpoint folder or hub name[@revision]; default: the one that ships"
    ),
]
Adapter = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="a LoRA adapter made for it; default: the one promoted in TEMPO_HOME, if any; none: no adapter",
    ),
]
FourBit = Annotated[
    bool, typer.Option("--four-bit/--no-four-bit", help="hold the language model's weights in NF4")
]
Fps = Annotated[
    float | None, typer.Option(metavar="F", help="frames a second; default: as the checkpoint wants")
]
TokenBudget = Annotated[int | None, typer.Option(metavar="N", help="vision tokens of the whole video")]
Allocator = Annotated[
    Literal["saa", "uniform"] | None,
    typer.Option(
        help="saa: more tokens where the picture changes; uniform: the same for every frame; default: as the "
        "checkpoint was trained"
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="how the model is asked and answers; default: what its tempo.json or its hub name says, else its "
        "family's plain one",
    ),
]


def open_engine(
    checkpoint: str | None, adapter: str | None, *, four_bit: bool, protocol: str | None = None
) -> "Engine":
    """The engine that the options describe."""
    from tempo_core.checkpoint import choose_adapter
    from tempo_core.engine import load_engine

    folder = choose_adapter(checkpoint, adapter)
    return load_engine(checkpoint, adapter=folder, four_bit=four_bit, protocol=protocol)
