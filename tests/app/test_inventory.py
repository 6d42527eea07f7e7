"""Everything that can be asked of the running app, asked by everybody: nothing answers without a role check.

A new route or handler is found by itself. It fails here until it asks `Authenticator.require`, or until it is
added to OPEN with a reason.
"""

import asyncio
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Mount, Route

from annotations.store import Store
from app.auth.sign_on import OidcSettings, SignOnSettings
from app.auth.users import GRANTS, SESSION_COOKIE, Authenticator, NotAllowed, Role, User
from app.ground.engines import EngineProvider
from app.home import open_home
from app.http.gradio_gate import OPEN_ROUTES
from tests.app.conftest import own_environment
from tests.app.fakes import FakeEngine, fake_ground, light_draw, light_prepare
from tests.app.people import People

OPEN = {
    "GET /sign-in": "the form itself",
    "POST /sign-in": "who sends it is not known yet",
    "GET /sign-in/oidc": "leads to the provider",
    "GET /sign-in/oidc/callback": "who comes back is not known yet",
    "POST /sign-out": "signing out twice does no harm",
    "GET /account": "says who is asking; nobody gets 401",
    "GET /health/live": "for whoever starts the server again",
    "GET /health/ready": "for whoever sends people here; one word a part",
}
TABLE = Path("docs/security.md")
VALUES = {"query_id": "1", "level": "1", "number": "0", "correction_id": "1", "name": "x", "path": "x"}


@dataclass(frozen=True)
class Watched(Authenticator):
    """Accounts that remember which roles were asked for."""

    asked_roles: list[Role] = field(default_factory=list)

    def require(self, request: Any, role: Role) -> User:
        self.asked_roles.append(role)
        return super().require(request, role)


@dataclass
class Built:
    """One app, and everybody who may come."""

    app: FastAPI
    people: People
    authenticator: Watched

    @contextmanager
    def as_(self, role: Role | None) -> Iterator[TestClient]:
        """A browser of somebody with this role, or of nobody."""
        client = TestClient(self.app, base_url="http://tempo.example", follow_redirects=False)
        if role is not None:
            client.cookies.set(SESSION_COOKIE, self.people.token(f"a-{role}"), domain="tempo.example")
        yield client
        client.close()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    from app.__main__ import prepare_surroundings
    from app.build import build_app

    home = open_home(tmp_path_factory.mktemp("inventory") / "home")
    with own_environment(), Store(home.database) as store:
        prepare_surroundings(home.uploads)
        oidc = OidcSettings(issuer="http://127.0.0.1:9", client_id="tempo")  # nobody answers there
        people = People(store=store, sign_on=SignOnSettings(oidc=oidc))
        people.add(**{f"a-{role}": str(role) for role in Role})
        authenticator = Watched(anonymous=False, local=False, accounts=people.accounts)
        app = build_app(
            engines=EngineProvider.of(FakeEngine()),
            home=home,
            authenticator=authenticator,
            store=store,
            prepare=light_prepare,
            draw=light_draw,
            ground=fake_ground,
        )
        yield Built(app, people, authenticator)


def flat(router: Any) -> Iterator[Any]:
    """The routes of a router and of those that were included in it (FastAPI keeps them apart)."""
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from flat(inner)


def own_routes(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route of ours, with values for what stands in braces."""
    routes = []
    for route in flat(app.router):
        if isinstance(route, Route):
            path = re.sub(r"{(\w+)(:\w+)?}", lambda match: VALUES.get(match[1], "x"), route.path)
            routes += [(method, path) for method in sorted(route.methods or ()) if method != "HEAD"]
    return routes


def ask(client: TestClient, method: str, path: str) -> int:
    body: dict[str, Any] = {"json": {}} if method in ("POST", "PUT", "PATCH") else {}
    with client.stream(method, path, **body) as answer:
        return answer.status_code


def needed(built: Built, method: str, path: str) -> set[Role]:
    """The roles that a route asks for, found by asking it as somebody who has them all."""
    built.authenticator.asked_roles.clear()
    with built.as_(Role.ADMINISTRATOR) as client:
        status = ask(client, method, path)
    assert status != 500, f"{method} {path} broke"
    return set(built.authenticator.asked_roles)


def test_every_route_of_ours_asks_for_a_role(built: Built) -> None:
    routes = own_routes(built.app)
    assert ("GET", "/status") in routes, "the routes are found"
    bare = [f"{method} {path}" for method, path in routes if not needed(built, method, path)]
    assert sorted(bare) == sorted(OPEN)


@pytest.mark.slow
def test_every_route_of_ours_keeps_out_those_without_the_role(built: Built) -> None:
    wrong = []
    for method, path in own_routes(built.app):
        if f"{method} {path}" in OPEN:
            continue
        needed_roles = needed(built, method, path)
        for role in (None, *Role):
            may = role is not None and needed_roles <= GRANTS[role]
            with built.as_(role) as client:
                status = ask(client, method, path)
            if (status in (401, 403)) == may or (role is None and status != 401):
                wrong.append(
                    f"{method} {path} as {role or 'nobody'}: {status}, asked for {sorted(needed_roles)}"
                )
    assert wrong == []


def gradio_routes(app: FastAPI) -> list[tuple[str, str]]:
    mounts = [route for route in app.routes if isinstance(route, Mount)]
    inner = [(mount.path, route) for mount in mounts for route in flat(mount)]
    routes = set()
    for prefix, route in inner:
        if isinstance(route, Route):
            path = prefix + re.sub(r"{[^}]*}", "x", route.path)
            routes |= {(method, path) for method in route.methods or ()}
    return sorted(routes)


def test_nobody_gets_anything_of_gradio_or_the_assets(built: Built) -> None:
    routes = gradio_routes(built.app)
    assert len(routes) > 50, "Gradio's routes are found"
    with built.as_(None) as client:
        open_routes = [f"{method} {path}" for method, path in routes if ask(client, method, path) != 401]
        assert open_routes == []
        for path in ("/", "/annotate", "/timeline-assets/timeline.js", "/ui-assets/timeline.js"):
            assert ask(client, "GET", path) == 401
            page = client.get(path, headers={"accept": "text/html"})
            assert page.status_code == 303
            assert page.headers["location"] == f"/sign-in?next={path}"


def documented() -> dict[str, str]:
    """The table of docs/security.md: the role that each route needs, by method and path."""
    rows = re.findall(r"^\| `((?:GET|HEAD|POST) /\S*)` \| (\S+) \|", TABLE.read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a route is listed once"
    return dict(rows)


PAGES = {
    "annotate": Role.ANNOTATOR,
    "review": Role.ADJUDICATOR,
    "data": Role.ANNOTATOR,
    "train": Role.RESEARCHER,
    "models": Role.RESEARCHER,
}


def test_the_documented_table_lists_every_route_and_the_role_that_it_needs(built: Built) -> None:
    """Gradio's routes that are open stand in it too; tests/app/test_gradio_routes.py asks all the others."""
    expected = {}
    for route in flat(built.app.router):
        for method in route.methods if isinstance(route, Route) else ():
            path = re.sub(r"{(\w+)(:\w+)?}", lambda match: VALUES.get(match[1], "x"), route.path)
            roles = needed(built, method, path)
            expected[f"{method} {route.path}"] = str(*roles) if roles else "everybody"
    expected |= {f"{method} {path}": "visitor" for method, path in OPEN_ROUTES if "{page}" not in path}
    expected |= {f"GET /{page}{end}": str(role) for page, role in PAGES.items() for end in ("", "/")}
    expected["GET /timeline-assets/{path:path}"] = "visitor"
    assert documented() == expected


@pytest.mark.parametrize("role", list(Role))
def test_a_page_is_not_shown_without_its_role(built: Built, role: Role) -> None:
    pages = {path.lstrip("/") for path, _, _ in blocks_of(built.app).pages}
    with built.as_(role) as client:
        assert client.get("/").status_code == 200, "everybody may ground"
        for page in ("people", "audit"):
            answer = client.get(f"/{page}")
            is_administrator = role == Role.ADMINISTRATOR
            assert (answer.status_code == 200) == is_administrator
            assert ("needs the role administrator" in answer.text) != is_administrator
        for page in pages & set(PAGES):
            status = client.get(f"/{page}").status_code
            may = bool(GRANTS[role] & {PAGES[page], Role.ADMINISTRATOR})
            assert (status == 200) == may, f"{page} as {role}: {status}"


def blocks_of(app: FastAPI) -> Any:
    """The Gradio pages behind the app."""
    gate = next(route.app for route in app.routes if isinstance(route, Mount) and route.path == "")
    return gate.app.get_blocks()


def handlers(app: FastAPI) -> dict[str, Any]:
    """Every Python function that an event or an API call reaches, by page and name."""
    blocks = {}
    for number, block in blocks_of(app).fns.items():
        if block.fn is not None and "gradio" not in (inspect.unwrap(block.fn).__module__ or "").split("."):
            blocks[f"{block.page or 'ground'} {block.name} {number}"] = block
    return blocks


async def call(block: Any) -> object:
    """Call a handler as Gradio would for somebody unknown; what it returned first, or the exception."""
    nobody = SimpleNamespace(cookies={}, headers={}, session_hash="nobody", username=None, query_params={})
    inputs = iter([component.value for component in block.inputs])
    arguments = []
    for parameter in inspect.signature(block.fn).parameters.values():
        asks = "request" in parameter.name.lower() or "Request" in str(parameter.annotation)
        event = "EventData" in str(parameter.annotation)
        arguments.append(nobody if asks else SimpleNamespace(_data={}) if event else next(inputs, None))
    try:
        result = block.fn(*arguments)
        if inspect.isasyncgen(result):
            return await anext(result, None)
        if inspect.isgenerator(result):
            return next(result, None)
        return await result if inspect.isawaitable(result) else result
    except Exception as error:
        return error


def test_a_choice_made_while_another_is_shown_is_not_dropped(built: Built) -> None:
    """Gradio's default, `once`, ignores an event while the one before it is answered: the page would then show
    something else than what was chosen last. What writes (restoring a version) is meant to run once, and
    a tab that is opened shows the same however often."""
    once = set()
    for function in handlers(built.app).values():
        events = {event for _, event in function.targets}
        if events & {"select", "input"} and function.trigger_mode == "once":
            once.add((function.page, function.name))
    assert once == {("data", "restore"), ("data", "arrive"), ("data", "figures")}


def test_every_handler_asks_who_it_is(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved: list[str] = []
    resolve = Authenticator.resolve

    def watched(self: Authenticator, request: Any) -> User | None:
        resolved.append("asked")
        return resolve(self, request)

    monkeypatch.setattr(Authenticator, "resolve", watched)
    silent, open_handlers = [], []
    for name, block in handlers(built.app).items():
        resolved.clear()
        result = asyncio.run(call(block))
        if not resolved:
            silent.append(name)
        refused = isinstance(result, NotAllowed | gr.Error) or "Sign in" in repr(result)
        if not refused and result is not None and not name.startswith("ground "):
            open_handlers.append(f"{name}: {result!r:.200}")
    assert silent == []
    assert open_handlers == [], "a page beyond Ground shows nothing to somebody unknown"


def test_components_offer_no_other_way_in(built: Built) -> None:
    """Server functions of components are called without the queue; there are none, so none can be forgotten."""
    offered = [
        f"{block.get_block_name()} {function.__name__}"
        for block in blocks_of(built.app).blocks.values()
        for function in getattr(block, "server_fns", [])
        if "gradio" not in (function.__module__ or "").split(".")
    ]
    assert offered == []
