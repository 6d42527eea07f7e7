"""Where below its host name the app lives: the one place that makes addresses of it.

    python -m app --base-path /tempo    # https://lab.example/tempo/

Routes are declared as if the app stood at the root of its host. ASGI's `root_path` holds the base path, and
`address_of` puts it before what a browser is told, in Python and in templates. The scripts of components have an
`addressOf` from here; the modules below /ui-assets find it in their own address (app/timeline/assets/address.js).
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from starlette.datastructures import URL
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tempo_core.errors import InputError

SHAPE = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*")
"""Nothing, or parts that stand in an address, a cookie's path and a script as they are; "." and ".." are none."""
LONGEST = 200
_base_path: ContextVar[str] = ContextVar("base_path", default="")


def check_base_path(text: str) -> str:
    """The base path that somebody wrote, without a slash at its end; "" for the root. Raises InputError.

    >>> check_base_path("/lab/tempo/")
    '/lab/tempo'
    """
    base_path = text.strip().removesuffix("/")
    if len(base_path) > LONGEST or not SHAPE.fullmatch(base_path):
        raise InputError(
            f"--base-path is {text[:LONGEST]!r}; it must begin with a slash and consist of letters, digits and -._~ "
            f"between slashes, none of them . or .. alone, {LONGEST} characters at most. Give the path alone, like "
            "/tempo for https://lab.example/tempo/."
        )
    return base_path


@contextmanager
def below(base_path: str) -> Iterator[None]:
    """Make `address_of` know the base path: of an app that is built, and of a request or an event that is answered."""
    token = _base_path.set(base_path)
    try:
        yield
    finally:
        _base_path.reset(token)


def address_of(path: str) -> str:
    """A path of the app as browsers know it.

    >>> with below("/tempo"):
    ...     address_of("/sign-in")
    '/tempo/sign-in'
    """
    return _base_path.get() + path


def address_script() -> str:
    """A line of JavaScript that defines `addressOf` for a component's script."""
    return f"const addressOf = (path) => {json.dumps(_base_path.get())} + path;\n"


def cookie_name(name: str) -> str:
    """A cookie's name, which no other studio of the same host has: at /lab/ a browser sends the cookies of / too."""
    return name + _base_path.get().replace("/", ".")


def route_path(scope: Scope) -> str:
    """The path of a request as routes are declared."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class BasePath:
    """ASGI middleware, the outermost one: everything behind it knows where the app lives."""

    def __init__(self, app: ASGIApp, *, base_path: str) -> None:
        self.app, self.base_path = app, base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with below(self.base_path):
            await self.app({**scope, "root_path": self.base_path}, receive, send)


class BasePathRequired:
    """ASGI middleware: what lies outside of the base path is not the app's (404)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        base_path = scope.get("root_path", "")
        if scope["type"] == "http" and not scope["path"].startswith(f"{base_path}/"):
            await _outside(scope, base_path)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _outside(scope: Scope, base_path: str) -> Response:
    if scope["path"] == base_path:
        url = URL(scope=scope)
        return RedirectResponse(url.replace(path=f"{base_path}/", scheme="", netloc=""), status_code=307)
    return PlainTextResponse(
        f"There is nothing at this address: Tempo Studio lives below {base_path}/ here. "
        "A reverse proxy must pass the path on as it came.",
        status_code=404,
    )
