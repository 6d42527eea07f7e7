"""Who is asking: the one place that turns a request into a user, and says whether that user may.

Signing in does not exist yet. On a loopback address there is one local account with every role. On any
other address the operator may admit anonymous visitors, who are told apart by an unguessable cookie and may
only use what a visitor may.
"""

import hashlib
import ipaddress
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tempo_core.errors import InputError, TempoError

VISITOR_COOKIE = "tempo_visitor"
COOKIE_SHAPE = re.compile(r"[A-Za-z0-9_-]{43}")
COOKIE_AGE_S = 30 * 24 * 3600


class Role(StrEnum):
    """What a person may do; a user holds any number of roles, and no role implies another."""

    VISITOR = "visitor"
    ANNOTATOR = "annotator"
    ADJUDICATOR = "adjudicator"
    RESEARCHER = "researcher"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """A person, for as long as one request lasts."""

    id: str
    """Stable and not secret; owns clips and contexts."""
    name: str
    """What the page calls this person."""
    roles: frozenset[Role]


class NotAllowed(TempoError):
    """The request's user lacks the role."""


LOCAL_USER = User(id="local", name="Local account", roles=frozenset(Role))


@dataclass(frozen=True, kw_only=True, slots=True)
class Accounts:
    """The policy of one running app."""

    anonymous: bool
    """False: everyone is the local account (loopback only). True: every browser is its own visitor."""

    def resolve(self, request: Any) -> User | None:
        """The user behind a Starlette or Gradio request, or None. Every handler and route asks here and
        nowhere else.
        """
        if not self.anonymous:
            return LOCAL_USER
        cookie = dict(request.cookies).get(VISITOR_COOKIE, "") if request is not None else ""
        if not COOKIE_SHAPE.fullmatch(cookie):
            return None
        # The id may appear in logs and folders; the cookie itself is the secret and must not.
        visitor = hashlib.sha256(cookie.encode()).hexdigest()[:24]
        return User(id=f"visitor-{visitor}", name="Visitor", roles=frozenset({Role.VISITOR}))

    def require(self, request: Any, role: Role) -> User:
        """The user behind the request. Raises NotAllowed when there is none or the role is missing."""
        user = self.resolve(request)
        if user is None:
            raise NotAllowed(
                "Your browser did not say who you are. Allow cookies for this site and reload the page."
            )
        if role not in user.roles:
            raise NotAllowed(
                f"This needs the role {role}; your account does not have it. Ask whoever runs this app."
            )
        return user


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` can only be reached from its own machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def accounts_for(host: str, *, allow_anonymous_visitors: bool) -> Accounts:
    """The policy for a server bound to `host`. Raises InputError where strangers could reach the local
    account.
    """
    if allow_anonymous_visitors:
        return Accounts(anonymous=True)
    if not is_loopback(host):
        raise InputError(
            f"--host {host} can be reached from other machines, and there is no sign-in yet. "
            "Use --host 127.0.0.1, or add --allow-anonymous-visitors to admit everyone as a visitor "
            "and nothing more."
        )
    return Accounts(anonymous=False)


class VisitorCookies:
    """ASGI middleware that gives each browser without one an unguessable visitor cookie, valid from that
    very request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or COOKIE_SHAPE.fullmatch(_cookie_of(scope)):
            await self.app(scope, receive, send)
            return
        fresh = secrets.token_urlsafe(32)
        scope = {**scope, "headers": _with_cookie(scope["headers"], fresh)}
        secure = "; Secure" if scope.get("scheme") == "https" else ""

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append(
                    "set-cookie",
                    f"{VISITOR_COOKIE}={fresh}; Path=/; Max-Age={COOKIE_AGE_S}; HttpOnly; "
                    f"SameSite=Lax{secure}",
                )
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def _cookie_of(scope: Scope) -> str:
    jar: SimpleCookie = SimpleCookie()
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                jar.load(value.decode("latin-1"))
            except CookieError:
                continue
    return jar[VISITOR_COOKIE].value if VISITOR_COOKIE in jar else ""


def _with_cookie(headers: list[tuple[bytes, bytes]], value: str) -> list[tuple[bytes, bytes]]:
    kept = [header for header in headers if header[0] != b"cookie"]
    others = [raw for name, raw in headers if name == b"cookie" and VISITOR_COOKIE.encode() not in raw]
    return [*kept, (b"cookie", b"; ".join([*others, f"{VISITOR_COOKIE}={value}".encode()]))]
