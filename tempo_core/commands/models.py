"""`python -m tempo_core models`: the grounders that are known, what is here of them, and downloads."""

from typing import Annotated, Any

import typer

from tempo_core import command_line
from tempo_core.command_line import AsJson, ProgressLine, show, table

models = command_line.new_app("models", "List grounders that run here, and download one from the model hub.")


@models.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List known grounders: what they can do, their licence, the memory of their weights, and what is here of them.

    Asks nobody: sizes are those of the published configurations, and what is here is looked up in the hub's cache.
    """
    from tempo_core.grounders import KNOWN
    from tempo_core.hub import Hub

    hub = Hub.from_environment()
    rows = [("name", "licence", "several moments", "taught to refuse", "NF4", "bfloat16", "here")]
    answer: list[dict[str, Any]] = []
    for grounder in KNOWN:
        protocol = grounder.protocol
        states = [hub.cached(name) is not None for name in grounder.repositories]
        partial = sum(map(hub.partial_bytes, grounder.repositories))
        sizes = {precision: grounder.loaded_bytes(precision, "cuda") for precision in ("nf4", "whole")}
        here = "yes" if all(states) else f"{partial / 1e9:.1f} GB of it" if partial else "no"
        answer.append(
            {
                "name": grounder.name,
                "family": grounder.architecture.model_type,
                "protocol": protocol.name,
                "licence": grounder.licence,
                "source": grounder.source,
                "base": grounder.base,
                "is_gated": grounder.is_gated,
                "is_plain": grounder.is_plain,
                "names_sets": protocol.sets and not grounder.is_plain,
                "refuses": protocol.refuses and not grounder.is_plain,
                "stored_bytes": grounder.stored_bytes,
                "nf4_bytes": sizes["nf4"],
                "bfloat16_bytes": sizes["whole"],
                "is_here": all(states),
                "partial_bytes": partial,
            }
        )
        rows.append(
            (
                grounder.name,
                grounder.licence,
                "plain" if grounder.is_plain else "yes" if protocol.sets else "no",
                "yes" if protocol.refuses and not grounder.is_plain else "no",
                f"{sizes['nf4'] / 1e9:.1f} GB",
                f"{sizes['whole'] / 1e9:.1f} GB",
                here,
            )
        )
    show({"models": answer}, table(rows), as_json=as_json)


@models.command()
def download(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="a hub name, owner/name or owner/name@revision")
    ],
    as_json: AsJson = False,
) -> None:
    """Download a checkpoint or an adapter, with an adapter's base where it is known, into the hub's cache.

    What arrived stays when it is cut or stopped, and the next call goes on from it. Every file is held against the
    hash that the hub tells. HF_ENDPOINT, HF_HUB_CACHE, HF_HUB_OFFLINE and HF_TOKEN are honoured.
    """
    from tempo_core.grounders import known_grounder
    from tempo_core.hub import Hub

    hub, line = Hub.from_environment(), ProgressLine()
    grounder = known_grounder(name)
    names = [*(grounder.repositories[:-1] if grounder is not None else ()), name]
    folders = {}
    try:
        for repository in names:
            folders[repository] = str(
                hub.download(
                    repository, on_progress=lambda stage, done, total: line(stage, done / max(total, 1))
                )
            )
    finally:
        line.clear()
    show(
        {"folders": folders},
        "\n".join(f"{repository}: {folder}" for repository, folder in folders.items()),
        as_json=as_json,
    )
