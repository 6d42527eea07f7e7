"""What a page of the app is, and the gate that keeps a page from people without its role.

The gate answers the page's address with a card that says which role is needed; nothing of the page is sent.
Every route and handler of a page asks `Authenticator.require` as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import gradio as gr
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.auth.users import Authenticator, Role
from app.http.base_path import route_path
from app.ui.templates import macros


class PageAddress(Protocol):
    """What the gate needs to know of a page."""

    title: str
    """Its name in the navigation bar."""
    path: str
    """Its address: "/" for the first page, else one word such as "/annotate"."""
    role: Role
    """What a person must hold to see it."""


@dataclass(slots=True)
class PlainPage:
    """A page without Gradio, which a route of its own answers."""

    title: str
    path: str
    role: Role


class Page(PageAddress, Protocol):
    """One page: a name in the navigation bar, an address, and what is on it."""

    def routes(self) -> APIRouter | None:
        """The page's own JSON routes, below `<path>/api`; each asks for its role."""
        ...

    def build(self, blocks: gr.Blocks) -> None:
        """Lay the page out; called once, inside the page's route of `blocks`."""
        ...


class RoleRequired:
    """ASGI middleware: a page that the user may not see is answered with a card."""

    def __init__(self, app: ASGIApp, *, pages: Sequence[PageAddress], authenticator: Authenticator) -> None:
        self.app, self.authenticator = app, authenticator
        self.pages = {page.path: page for page in pages}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = self.pages.get(route_path(scope).rstrip("/") or "/") if scope["type"] == "http" else None
        if page is not None:
            user = self.authenticator.resolve(Request(scope))
            if user is None or page.role not in user.roles:
                html = str(macros("auth/page.html").no_role(user, page.title, page.role))
                await HTMLResponse(html, status_code=403)(scope, receive, send)
                return
        await self.app(scope, receive, send)
