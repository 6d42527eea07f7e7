"""`python -m app`: serves Tempo Studio. `python -m app accounts` says who may sign in (`app.commands`).

The page is served first; the model loads beside it. Exit code 2 and one line for what can be mended: a port
in use, a folder that cannot be written, a damaged checkpoint. What is heavy to import is imported when it is needed.
"""

import ipaddress
import logging
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import uuid4

import typer

from app.commands.accounts import accounts
from app.commands.audit import audit
from tempo_core import command_line
from tempo_core.errors import InputError
from tempo_core.model_imports import import_models

if TYPE_CHECKING:
    import uvicorn

    from annotations.store import Store
    from app.auth.sign_on import SignOnSettings
    from app.auth.users import Authenticator
    from app.home import Home

DEFAULT_PORT = 7860
DEFAULT_REVIEWS = 3
"""The same as app.annotate.service.REVIEWS_WANTED, which is heavy to import before the command line is read."""

KEEP_ALIVE_S = 60
"""How long a connection may be quiet: people pause between two saves for longer than uvicorn's 5 seconds."""

SECRET = re.compile("KEY|SECRET|TOKEN|PASSWORD")

LogForm = Literal["warnings", "text", "json"]

app = command_line.new_app("python -m app", "Serve Tempo Studio in the browser.", variables="TEMPO")
app.add_typer(accounts)
app.command()(audit)


def say(line: str) -> None:
    """Tell the terminal what is going on."""
    print(f"tempo: {line}", flush=True)


def masked_settings(environment: Mapping[str, str]) -> list[str]:
    """`NAME=value` of the variables that are ours, sorted, with `***` for secrets and for passwords in addresses.

    >>> masked_settings({"TEMPO_LOG": "json", "TEMPO_METRICS_TOKEN": "abc", "HOME": "/root"})
    ['TEMPO_LOG=json', 'TEMPO_METRICS_TOKEN=***']
    """
    return [
        f"{name}=" + ("***" if SECRET.search(name) else re.sub(r"(://[^/@]*?:)[^/]*@", r"\1***@", value))
        for name, value in sorted(environment.items())
        if name.startswith("TEMPO_")
    ]


def claim_port(host: str, port: int) -> socket.socket:
    """A socket bound to the address. Raises InputError when the port is taken or may not be used."""
    if not 0 <= port <= 65535:
        raise InputError(f"--port must lie between 0 and 65535; got {port}.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(f"--host {host} is not an address of this machine. Use 127.0.0.1.") from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise InputError(
            f"Cannot listen on {host}:{port} ({error.strerror}). Stop what uses it, "
            "or choose another with --port."
        ) from error
    return listener


def prepare_surroundings(uploads: Path) -> None:
    """Settings that Gradio and its libraries read from the environment: files stay in the home, nothing is
    reported. The hub is asked only for a checkpoint that somebody named, here or on the Models page.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def open_authenticator(
    home: "Home",
    store: "Store",
    *,
    host: str = "127.0.0.1",
    sign_in: bool = False,
    allow_anonymous_visitors: bool = False,
    sign_on: "SignOnSettings | None" = None,
) -> "Authenticator":
    """Who may do what in this installation. Makes the first account and says its password, once."""
    from app.auth.accounts import LOCAL, AccountService
    from app.auth.sessions import Sessions
    from app.auth.users import authenticator_for

    account_service = AccountService(store, Sessions(home.sessions), sign_on=sign_on)
    password = account_service.add_first()
    authenticator = authenticator_for(
        host,
        allow_anonymous_visitors=allow_anonymous_visitors,
        sign_in=sign_in or account_service.sign_on.is_on,
        accounts=account_service,
    )
    if password is not None:
        need = "to sign in" if not authenticator.is_local else "on other addresses than this machine's"
        say(
            f"made the account {LOCAL!r} (administrator). Its password, needed {need} and shown only now: {password}"
        )
    return authenticator


def server_settings(
    studio: Any, trusted_proxies: str = "", sign_on: "SignOnSettings | None" = None
) -> "uvicorn.Config":
    """How the server runs. Without trusted proxies nobody's word is taken for where a request comes from: uvicorn by
    itself believes an X-Forwarded-For that comes from this machine. Raises InputError.
    """
    import uvicorn
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    from app.auth.sign_on import UpstreamHeaders

    proxies = [entry.strip() for entry in trusted_proxies.split(",") if entry.strip()]
    for entry in proxies:
        try:
            ipaddress.ip_network(entry)
        except ValueError as error:
            raise InputError(
                f"--trusted-proxies names {entry!r}, which is no address or network. Give them like "
                "127.0.0.1,10.0.0.0/8."
            ) from error
    if proxies:
        studio = ProxyHeadersMiddleware(studio, trusted_hosts=proxies)
    if sign_on is not None and sign_on.header:
        if not proxies:
            raise InputError(
                "TEMPO_SIGN_IN_HEADER is set, and no proxy is trusted to send it. Name it with --trusted-proxies."
            )
        studio = UpstreamHeaders(studio, sign_on, proxies)
    return uvicorn.Config(
        studio,
        log_level="warning",
        timeout_graceful_shutdown=5,
        timeout_keep_alive=KEEP_ALIVE_S,
        proxy_headers=False,  # done above, behind what must see the connection's own address
    )


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="a checkpoint folder, hub name[@revision] or tempo-tiny-footage, which ships too "
            "(default: tempo-tiny)",
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL[#MODEL]",
            help="ask a model behind an OpenAI-compatible server; frames are sent there; its key is read from "
            "TEMPO_ENDPOINT_KEY; --checkpoint and --adapter then name the folders of what is served, for how it wants "
            "to be asked",
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="a LoRA adapter made for that checkpoint (default: the promoted one, if any; none: no adapter)",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="address to listen on; the default is this machine only")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = DEFAULT_PORT,
    four_bit: Annotated[bool, typer.Option(help="load the weights as NF4")] = True,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="how the model is asked and answers (default: what is known about the checkpoint)",
        ),
    ] = None,
    home: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="folder for clips and results (default: $TEMPO_HOME, else ./data)"),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="the store of corrections (default: cqvh.sqlite3 in the home)"),
    ] = None,
    reviews_wanted: Annotated[
        int,
        typer.Option(metavar="N", help="annotators who are to answer each row; every row is done once first"),
    ] = DEFAULT_REVIEWS,
    blind_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="share of rows that annotators answer without seeing release or model, in tenths; the store keeps it "
            "(at first 0.2)",
        ),
    ] = None,
    sign_in: Annotated[
        bool,
        typer.Option(
            "--sign-in", help="ask everybody to sign in, on this machine too (for a reverse proxy in front)"
        ),
    ] = False,
    allow_anonymous_visitors: Annotated[
        bool,
        typer.Option(
            "--allow-anonymous-visitors",
            help="admit anybody who can reach --host without sign-in, as a visitor and nothing more",
        ),
    ] = False,
    trusted_proxies: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="addresses and networks, by commas, whose X-Forwarded-For and -Proto are believed "
            "(default: nobody's)",
        ),
    ] = "",
    base_path: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="where below its host name the app lives, such as /tempo; a reverse proxy passes the path on as "
            "it came (default: the root)",
        ),
    ] = "",
    library: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="a folder of clips of which everybody may ask all at once and watch each; may be given several times",
        ),
    ] = None,
    log: Annotated[
        LogForm,
        typer.Option(
            help="what is logged to stderr: warnings only, or a line for each request too, as text or JSON",
        ),
    ] = "warnings",
) -> int:
    """Serve Tempo Studio in the browser."""
    if context.invoked_subcommand is not None:
        context.obj = {"home": home, "database": database}
        return 0
    from annotations.arms import check_blind_share
    from annotations.checks import check_file
    from annotations.store import Store
    from app.home import open_home, serving_lock

    if reviews_wanted < 1:
        raise InputError(f"--reviews-wanted must be at least 1; got {reviews_wanted}.")
    if blind_share is not None:
        check_blind_share(blind_share)
    from app.auth.sign_on import settings_from
    from app.http.base_path import check_base_path
    from tempo_core.commands.options import model_named

    base_path = check_base_path(base_path)
    sign_on = settings_from(os.environ)
    model = model_named(checkpoint, endpoint)
    tempo_home = open_home(home)
    if checkpoint is not None and endpoint is not None:
        from tempo_core.endpoints.settings import settings_folders

        settings_folders(checkpoint, adapter if adapter != "none" else None)
    elif checkpoint is not None and Path(checkpoint).expanduser().exists():
        # A folder that cannot be a checkpoint is refused before anything heavy is imported.
        from tempo_core.checkpoint import check_checkpoint, find_checkpoint

        check_checkpoint(find_checkpoint(checkpoint))
    listener = claim_port(host, port)
    say(f"clips and results are kept in {tempo_home.root}")
    if settings := masked_settings(os.environ):
        say(f"settings from the environment: {' '.join(settings)}")
    prepare_surroundings(tempo_home.uploads)
    with listener, serving_lock(tempo_home), Store(database or tempo_home.database) as store:
        check_file(store)
        authenticator = open_authenticator(
            tempo_home,
            store,
            host=host,
            sign_in=sign_in,
            allow_anonymous_visitors=allow_anonymous_visitors,
            sign_on=sign_on,
        )
        if blind_share is not None:
            store.save_blind_share(blind_share, op_id=str(uuid4()), actor="python -m app")
        say("building the page")
        import uvicorn

        from app.build import build_app
        from app.ground.engines import EngineProvider
        from app.http.operations import set_up_logging
        from app.models.service import ENDPOINT, model_name
        from app.training.service import ModelSelection
        from tempo_core.sandbox import unbound_parts

        set_up_logging(log)
        unbound_parts()  # so that the log says it at the start, not at the first clip
        failures: list[Exception] = []

        def load() -> Any:
            from tempo_core.backend import is_address, open_backend
            from tempo_core.checkpoint import choose_adapter

            if is_address(model):
                say(f"asking the endpoint {model}")
                backend = open_backend(
                    model,
                    adapter=adapter if adapter != "none" else None,
                    protocol=protocol,
                    settings=checkpoint,
                )
                say(f"{backend.model_id} is ready")
                return backend
            folder = choose_adapter(model, adapter, tempo_home.adapters)
            with_adapter = f" with adapter {folder.name}" if folder is not None else ""
            precision = " as NF4" if four_bit else ""
            say(f"loading {model or 'the shipped model'}{with_adapter}{precision}")
            import_models()
            engine = open_backend(model, adapter=folder, four_bit=four_bit, protocol=protocol)
            say(f"{engine.model_id} is ready")
            return engine

        def give_up(error: Exception) -> None:
            failures.append(error)
            server.should_exit = True

        studio = build_app(
            engines=EngineProvider(
                load, name=ENDPOINT if endpoint is not None else model_name(checkpoint), on_failure=give_up
            ),
            home=tempo_home,
            authenticator=authenticator,
            store=store,
            reviews_wanted=reviews_wanted,
            selection=ModelSelection(checkpoint=checkpoint, adapter=adapter),
            metrics_token=os.environ.get("TEMPO_METRICS_TOKEN", ""),
            libraries=library or (),
            base_path=base_path,
        )
        server = uvicorn.Server(server_settings(studio, trusted_proxies, sign_on))
        address, number = listener.getsockname()[:2]
        host_name = f"[{address}]" if ":" in address else address
        below_it = f"{base_path}/" if base_path else ""
        say(f"serving http://{host_name}:{number}{below_it} (stop with Ctrl-C)")
        server.run(sockets=[listener])
        if failures:
            raise failures[0]
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 2 after an error that a person can mend, or 130 after Ctrl-C."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return command_line.main(app, argv)


if __name__ == "__main__":
    sys.exit(main())
