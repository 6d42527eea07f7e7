"""Options that several commands share, and the engine that they describe."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tempo_core.errors import InputError

if TYPE_CHECKING:  # torch is imported when a command runs, not when its help is printed
    from tempo_core.backend import Backend

Checkpoint = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="a checkpoint folder, hub name[@revision] or tempo-tiny-footage, which ships too; default: tempo-tiny",
    ),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL[#MODEL]",
        help="ask a model behind an OpenAI-compatible server, such as http://127.0.0.1:8000/v1#NAME; frames are sent "
        "there; its key is read from TEMPO_ENDPOINT_KEY; --checkpoint and --adapter then name the folders of what is "
        "served, for how it wants to be asked",
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

Scan = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        help="look at the clip as a film: first a frame every S seconds, then more closely where it matters; the "
        "model's finest step looks at all of it closely",
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="look at the clip as a film, at no more than N frames; default: a quarter of all at the finest step",
    ),
]


def model_named(checkpoint: str | None, endpoint: str | None) -> str | None:
    """The address where one was given, else the checkpoint. Raises InputError for an endpoint that is no URL."""
    from tempo_core.backend import is_address

    if endpoint is None:
        return checkpoint
    if not is_address(endpoint):
        raise InputError(
            f"--endpoint {endpoint!r} is no http or https address. Write it like http://host:8000/v1#MODEL."
        )
    return endpoint


def open_engine(
    checkpoint: str | None,
    adapter: str | None,
    *,
    four_bit: bool,
    protocol: str | None = None,
    endpoint: str | None = None,
) -> "Backend":
    """The backend that the options describe."""
    from tempo_core.backend import is_address, open_backend
    from tempo_core.checkpoint import choose_adapter

    model = model_named(checkpoint, endpoint)
    if is_address(model):
        return open_backend(
            model, adapter=adapter if adapter != "none" else None, protocol=protocol, settings=checkpoint
        )
    return open_backend(model, adapter=choose_adapter(model, adapter), four_bit=four_bit, protocol=protocol)
