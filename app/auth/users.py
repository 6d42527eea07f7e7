"""Who is asking: the one place that turns a request into a user, and says whether that user may.

A request for whose sender a trusted proxy vouches is the account of that identity (`app.auth.sign_on`), and one with a
session is the account that signed in (`app.auth.accounts`). Without one it is, on a loopback
address, the local account as long as that is the only account; where the operator admits them, an anonymous
visitor, told apart by an unguessable cookie; else nobody.
"""

import hashlib
import ipaddress
import re
import secrets
from dataclasses import dataclass, replace
from enum import StrEnum
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth.throttle import network_of
from app.http.base_path import address_of, cookie_name
from tempo_core.errors import TempoError

if TYPE_CHECKING:
    from app.auth.accounts import AccountService

SESSION_COOKIE = "tempo_session"
VISITOR_COOKIE = "tempo_visitor"
BROWSER_COOKIE = "tempo_browser"
"""Of a browser that signed in before: its next sign-in waits for nobody else's guesses."""
SIGN_ON_COOKIE = "tempo_sign_on"
"""Of a browser on its way to the provider of single sign-on and back."""
COOKIE_SHAPE = re.compile(r"[A-Za-z0-9_-]{43}")
COOKIE_AGE_S = 30 * 24 * 3600
VISITOR_PREFIX = "visitor-"
"""Begins the id of every anonymous visitor and of no account."""
USER_KEY = "user"
"""In a request's state: who asks, once that is known, so that it is read once a request."""
UPSTREAM = "tempo.upstream"
"""Key of a request's scope: whom a trusted proxy names (`app.auth.sign_on`)."""
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
"""Headers of a request that came through a proxy, and so perhaps from anywhere."""


class Role(StrEnum):
    """What a person may do. A handler asks for one of these; GRANTS says which of them an account's role brings."""

    VISITOR = "visitor"
    ANNOTATOR = "annotator"
    ADJUDICATOR = "adjudicator"
    RESEARCHER = "researcher"
    ADMINISTRATOR = "administrator"


GRANTS: dict[Role, frozenset[Role]] = {
    Role.VISITOR: frozenset({Role.VISITOR}),
    Role.ANNOTATOR: frozenset({Role.VISITOR, Role.ANNOTATOR}),
    Role.ADJUDICATOR: frozenset({Role.VISITOR, Role.ANNOTATOR, Role.ADJUDICATOR}),
    Role.RESEARCHER: frozenset({Role.VISITOR, Role.ANNOTATOR, Role.RESEARCHER}),
    Role.ADMINISTRATOR: frozenset(Role),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """A person, for as long as one request lasts."""

    id: str
    """Stable and not secret; owns clips and contexts, and stands in the store's records. An account's name."""
    name: str
    """What the page calls this person."""
    roles: frozenset[Role]
    signed_in: bool = False
    """Whether a session says so; the local account and visitors are who they are without one."""
    must_change_password: bool = False
    """Whether the password is a temporary one: nothing is open but the page that changes it."""
    network: str = ""
    """Of an anonymous visitor: the address that the request came from (`network_of`)."""

    @property
    def share(self) -> str:
        """Whose part of disk, queue and time this person uses: their own, or the address's of a visitor, who could
        come back as somebody else by dropping a cookie.
        """
        return f"visitors from {self.network}" if self.network else self.id


class NotAllowed(TempoError):
    """The request's user lacks the role."""

    status = 403


class NotSignedIn(NotAllowed):
    """Nobody is known to be asking."""

    status = 401


LOCAL_USER = User(id="local", name="Local account", roles=frozenset(Role))


@dataclass(frozen=True, kw_only=True, slots=True)
class Authenticator:
    """The policy of one running app."""

    anonymous: bool
    """Whether every browser that nobody signed in from is its own visitor."""
    local: bool = True
    """Whether this machine is the local account while that is the only account. Never with `anonymous`."""
    accounts: "AccountService | None" = None
    """Who may sign in; None: nobody can."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine's own pages are answered."""
        return self.local and not self.anonymous

    def resolve(self, request: Any, *, counts_as_use: bool = True) -> User | None:
        """The user behind a Starlette or Gradio request, or None. Every handler and route asks here and
        nowhere else. An event stream that is merely open asks without counting as use of the session.
        """
        # An event of Gradio's, which may wait, is looked up when it runs, and an open stream at every look.
        if counts_as_use and isinstance(request, HTTPConnection):
            user: User | None = request.scope.get("state", {}).get(USER_KEY)
            if user is not None:
                return user
        cookies = dict(request.cookies) if request is not None else {}
        headers = getattr(request, "headers", None) or {}
        # Browsers hold the session as a cookie; programs send it as a key, which no page of another site can.
        token = cookies.get(cookie_name(SESSION_COOKIE)) or headers.get("authorization", "").removeprefix(
            "Bearer "
        )
        # Gradio wraps Starlette's request and would turn its scope into JSON.
        scope = getattr(getattr(request, "request", request), "scope", {})
        account, identity = None, scope.get(UPSTREAM)
        if self.accounts is not None and identity is not None:
            # The proxy says who it is now; a cookie that somebody left in the same browser does not count.
            account = self.accounts.of_header(identity)
            if account is None:
                return None
        elif self.accounts is not None:
            account = self.accounts.of_session(token, counts_as_use=counts_as_use)
        if account is not None:
            is_temporary = account.password_expires_at_ms is not None
            return User(
                id=account.name,
                name=account.name,
                roles=GRANTS[Role.VISITOR if is_temporary else Role(account.role)],
                signed_in=True,
                must_change_password=is_temporary,
            )
        if self.anonymous:
            cookie = cookies.get(cookie_name(VISITOR_COOKIE), "")
            if not COOKIE_SHAPE.fullmatch(cookie):
                return None
            # The id may appear in logs and folders; the cookie itself is the secret and must not.
            visitor = hashlib.sha256(cookie.encode()).hexdigest()[:24]
            client = getattr(request, "client", None)
            network = network_of(client.host if client is not None else "unknown")
            roles = frozenset({Role.VISITOR})
            return User(id=f"{VISITOR_PREFIX}{visitor}", name="Visitor", roles=roles, network=network)
        if not self.local or any(name in headers for name in FORWARDED):
            return None
        # The local account, as long as it is the only one that is enabled
        accounts = self.accounts.all() if self.accounts is not None else []
        if not accounts:
            return LOCAL_USER
        enabled = [account for account in accounts if not account.disabled]
        if [account.name for account in enabled] != [LOCAL_USER.id]:
            return None
        return replace(LOCAL_USER, roles=GRANTS[Role(enabled[0].role)])

    def require(self, request: Any, role: Role) -> User:
        """The user behind the request. Raises NotSignedIn when there is none, NotAllowed when the role is
        missing.
        """
        user = self.resolve(request)
        if user is None and self.anonymous:
            raise NotSignedIn(
                "Your browser did not say who you are. Allow cookies for this site and reload the page."
            )
        if user is None:
            raise NotSignedIn("You are signed out. Sign in and try again.")
        if role not in user.roles and not user.signed_in and not self.is_local:
            raise NotAllowed(f"This needs the role {role}. Sign in with an account that has it.")
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


def authenticator_for(
    host: str,
    *,
    allow_anonymous_visitors: bool,
    sign_in: bool = False,
    accounts: "AccountService | None" = None,
) -> Authenticator:
    """The policy for a server bound to `host`: the local account only where no other machine can reach it,
    and neither `sign_in` (everybody signs in) nor visitors are asked for.
    """
    local = is_loopback(host) and not sign_in and not allow_anonymous_visitors
    return Authenticator(anonymous=allow_anonymous_visitors, local=local, accounts=accounts)


class VisitorCookies:
    """ASGI middleware that gives each browser without one an unguessable visitor cookie, valid from that
    very request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or COOKIE_SHAPE.fullmatch(_visitor_cookie(scope)):
            await self.app(scope, receive, send)
            return
        name = cookie_name(VISITOR_COOKIE)
        cookie = f"{name}={secrets.token_urlsafe(32)}"
        # The request goes on as if the browser had sent the cookie.
        cookies = [
            raw for key, raw in scope["headers"] if key == b"cookie" and f"{name}=".encode() not in raw
        ]
        headers = [header for header in scope["headers"] if header[0] != b"cookie"]
        scope = {**scope, "headers": [*headers, (b"cookie", b"; ".join([*cookies, cookie.encode()]))]}
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        set_cookie = (
            f"{cookie}; Path={address_of('/')}; Max-Age={COOKIE_AGE_S}; HttpOnly; SameSite=Lax{secure}"
        )

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", set_cookie)
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def _visitor_cookie(scope: Scope) -> str:
    jar, visitor_cookie = SimpleCookie(), cookie_name(VISITOR_COOKIE)
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                jar.load(value.decode("latin-1"))
            except CookieError:
                continue
    return jar[visitor_cookie].value if visitor_cookie in jar else ""
