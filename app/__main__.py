"""Starts the app: `python -m app [--checkpoint DIR] [--adapter DIR] [--host H] [--port P] [--no-four-bit]
[--home DIR] [--database URL] [--reviews-wanted N] [--sign-in] [--allow-anonymous-visitors]`; `python -m app accounts`
says who may sign in (`app.commands`).

The page is served first; the model loads beside it. Exit code 2 and one line for what can be mended: a port
in use, a folder that cannot be written, a damaged checkpoint.
"""

import argparse
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any

from app.commands import COMMANDS
from tempo_core.errors import InputError, TempoError

DEFAULT_PORT = 7860
DEFAULT_REVIEWS = 3
"""The same as app.annotate.service.REVIEWS_WANTED, which is heavy to import before the command line is read."""


def read_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Serve Tempo Studio in the browser.")
    parser.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="a Qwen2-VL checkpoint folder or hub name (default: the shipped tempo-tiny)",
    )
    parser.add_argument(
        "--adapter",
        metavar="DIR",
        help="a LoRA adapter made for that checkpoint (default: the promoted one, if any; none: no adapter)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)"
    )
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="port to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--four-bit",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="load the weights as NF4 (default: on)",
    )
    parser.add_argument(
        "--home", metavar="DIR", help="folder for clips and results (default: $TEMPO_HOME, else ./data)"
    )
    parser.add_argument(
        "--database", metavar="URL", help="the store of corrections (default: cqvh.sqlite3 in the home)"
    )
    parser.add_argument(
        "--reviews-wanted",
        type=int,
        default=DEFAULT_REVIEWS,
        metavar="N",
        help="annotators who are to answer each row; every row is done once first (default: %(default)s)",
    )
    parser.add_argument(
        "--sign-in",
        action="store_true",
        help="ask everybody to sign in, on this machine too (for a reverse proxy in front)",
    )
    parser.add_argument(
        "--allow-anonymous-visitors",
        action="store_true",
        help="admit anybody who can reach --host without sign-in, as a visitor and nothing more",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="other commands")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser.parse_args(arguments)


def say(line: str) -> None:
    """Tell the terminal what is going on."""
    print(f"tempo: {line}", flush=True)


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


def prepare_surroundings(uploads: Path, checkpoint: str | None = None) -> None:
    """Settings that Gradio and its libraries read from the environment: files stay in the home, nothing is
    reported. The hub is reached only for a checkpoint that was named and is no folder here.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    if checkpoint is None or Path(checkpoint).expanduser().exists():
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def look_through(checkpoint: str | None) -> None:
    """Raise CheckpointError for a folder that cannot be a checkpoint, before anything heavy is imported."""
    if checkpoint is not None and Path(checkpoint).expanduser().exists():
        from tempo_core.checkpoint import check_checkpoint, find_checkpoint

        check_checkpoint(find_checkpoint(checkpoint))


def serve(options: argparse.Namespace) -> int:
    """Run until stopped; returns the exit code. Raises InputError for what can be mended."""
    from annotations.store import Store
    from app.home import open_home

    if options.reviews_wanted < 1:
        raise InputError(f"--reviews-wanted must be at least 1; got {options.reviews_wanted}.")
    home = open_home(options.home)
    look_through(options.checkpoint)
    listener = claim_port(options.host, options.port)
    say(f"clips and results are kept in {home.root}")
    prepare_surroundings(home.uploads, options.checkpoint)
    with listener, Store(options.database or home.database) as store:
        authenticator = open_accounts(options, home, store)
        say("building the page")
        return _serve_on(listener, options, authenticator, home, store)


def open_accounts(options: argparse.Namespace, home: Any, store: Any) -> Any:
    """The accounts of this installation. Makes the first one and says its password, once."""
    from app.auth.accounts import LOCAL, AccountService
    from app.auth.sessions import Sessions
    from app.auth.users import authenticator_for

    accounts = AccountService(store, Sessions(home.sessions))
    password = accounts.add_first()
    authenticator = authenticator_for(
        options.host,
        allow_anonymous_visitors=options.allow_anonymous_visitors,
        sign_in=options.sign_in,
        accounts=accounts,
    )
    if password is not None:
        where = (
            "needed on other addresses than this machine's" if authenticator.is_local else "needed to sign in"
        )
        say(
            f"made the account {LOCAL!r} (administrator). Its password, {where} and shown only now: {password}"
        )
    return authenticator


def _serve_on(
    listener: socket.socket, options: argparse.Namespace, authenticator: Any, home: Any, store: Any
) -> int:
    import uvicorn

    from app.build import build_app
    from app.ground.engines import EngineProvider
    from app.training.service import ModelSelection

    failures: list[Exception] = []

    def load() -> Any:
        from tempo_core.checkpoint import choose_adapter
        from tempo_core.engine import load_engine

        adapter = choose_adapter(options.checkpoint, options.adapter, home.adapters)
        with_it = f" with adapter {adapter.name}" if adapter is not None else ""
        form = " as NF4" if options.four_bit else ""
        say(f"loading {options.checkpoint or 'the shipped model'}{with_it}{form}")
        engine = load_engine(options.checkpoint, adapter=adapter, four_bit=options.four_bit)
        say(f"{engine.model_id} is ready")
        return engine

    def give_up(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    engines = EngineProvider(load, on_failure=give_up)
    app = build_app(
        engines=engines, home=home, authenticator=authenticator, store=store, reviews_wanted=options.reviews_wanted,
        asked=ModelSelection(checkpoint=options.checkpoint, adapter=options.adapter),
    )  # fmt: skip
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
    host, port = listener.getsockname()[:2]
    say(f"serving http://{f'[{host}]' if ':' in host else host}:{port} (stop with Ctrl-C)")
    server.run(sockets=[listener])
    if failures:
        raise failures[0]
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    options = read_arguments(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        return int(options.run(options)) if options.command else serve(options)
    except TempoError as error:
        print(f"tempo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
