"""Single sign-on: who vouches for people from elsewhere, by a header of a trusted proxy or by OpenID Connect, and what
their groups mean here.

    TEMPO_SIGN_IN_HEADER=X-Forwarded-User TEMPO_ROLES_HEADER=X-Forwarded-Groups \
    TEMPO_ROLE_MAPPING="video-admins=administrator, video-team=annotator" \
    python -m app --host 0.0.0.0 --trusted-proxies 10.0.0.2
"""

import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from app.auth.users import UPSTREAM, Role, is_loopback
from tempo_core.errors import InputError

HEADER_ISSUER = "header"
"""Stands for the issuer of an identity that a proxy's header names."""
HEADER_SHAPE = re.compile(r"[A-Za-z0-9-]{1,64}")
LONGEST_SUBJECT = 255
"""Characters of what names a person upstream, as OpenID Connect has it."""
NAME_LENGTH = 32
"""Characters of an account's name that is made of an identity; there is room for a number behind it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamIdentity:
    """A person as an upstream names them."""

    issuer: str
    subject: str
    """Stable, unique with the issuer."""
    name: str
    """What an account of theirs would be called, before it is made to fit."""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OidcSettings:
    """The provider of OpenID Connect, and this app as it knows it."""

    issuer: str
    client_id: str
    client_secret: str = ""
    """Empty: a public client, which PKCE alone protects."""
    label: str = "single sign-on"
    """What the button says behind "Sign in with"."""
    role_claim: str = "groups"
    """The claim of the ID token that lists groups or roles; dots lead into objects."""
    scope: str = "openid profile email"


@dataclass(frozen=True, kw_only=True, slots=True)
class SignOnSettings:
    """Everything about single sign-on that an operator chooses."""

    header: str = ""
    """The proxy's header that names the person; empty: none is believed."""
    roles_header: str = ""
    """The proxy's header with groups or roles, by commas."""
    role_mapping: tuple[tuple[str, Role], ...] = ()
    """A group and the role that it brings, the most important first. Empty: roles are given here."""
    first_role: Role = Role.VISITOR
    """What an account has that a first sign-in makes, and whoever no group of the mapping has."""
    sign_out_url: str = ""
    """Where whoever signed in by the header signs out."""
    oidc: OidcSettings | None = None

    @property
    def is_on(self) -> bool:
        """Whether anybody signs in from elsewhere."""
        return bool(self.header) or self.oidc is not None

    def role_of(self, groups: Sequence[str]) -> Role | None:
        """The role that groups bring; None where roles are given here."""
        if not self.role_mapping:
            return None
        return next((role for group, role in self.role_mapping if group in groups), self.first_role)


def settings_from(environment: Mapping[str, str]) -> SignOnSettings:
    """The settings of these environment variables (docs/operations.md). Raises InputError, which names the variable."""

    def value(name: str) -> str:
        return environment.get(f"TEMPO_{name}", "").strip()

    headers = [value("SIGN_IN_HEADER"), value("ROLES_HEADER")]
    for name, header in zip(("SIGN_IN_HEADER", "ROLES_HEADER"), headers, strict=True):
        if header and not HEADER_SHAPE.fullmatch(header):
            raise InputError(
                f"TEMPO_{name} is {header[:80]!r}, which is no header's name. Use letters, digits and '-'."
            )
    if headers[1] and not headers[0]:
        raise InputError("TEMPO_ROLES_HEADER is set and TEMPO_SIGN_IN_HEADER is not. Set both, or neither.")
    mapping = []
    for pair in filter(None, (part.strip() for part in value("ROLE_MAPPING").split(","))):
        group, _, role = (part.strip() for part in pair.rpartition("="))
        if not group:
            raise InputError(f"TEMPO_ROLE_MAPPING holds {pair!r}. Write group=role, by commas.")
        mapping.append((group, _role("TEMPO_ROLE_MAPPING", role)))
    oidc = None
    if issuer := value("OIDC_ISSUER"):
        check_address("TEMPO_OIDC_ISSUER", issuer)
        if not value("OIDC_CLIENT_ID"):
            raise InputError(
                "TEMPO_OIDC_ISSUER is set and TEMPO_OIDC_CLIENT_ID is not. Register this app there."
            )
        # What is not set keeps its default.
        optional = {
            "label": value("OIDC_LABEL"),
            "role_claim": value("OIDC_ROLE_CLAIM"),
            "scope": value("OIDC_SCOPE"),
        }
        oidc = OidcSettings(
            issuer=issuer,
            client_id=value("OIDC_CLIENT_ID"),
            client_secret=value("OIDC_CLIENT_SECRET"),
            **{name: text for name, text in optional.items() if text},
        )
    return SignOnSettings(
        header=headers[0].lower(),
        roles_header=headers[1].lower(),
        role_mapping=tuple(mapping),
        first_role=_role("TEMPO_FIRST_ROLE", value("FIRST_ROLE") or Role.VISITOR),
        sign_out_url=check_address("TEMPO_SIGN_OUT_URL", value("SIGN_OUT_URL")),
        oidc=oidc,
    )


def check_address(name: str, url: str) -> str:
    """The address, if it is empty, or HTTPS, or on this machine. Raises InputError."""
    parts = urlsplit(url)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if url and not (is_safe and parts.hostname):
        raise InputError(f"{name} is {url[:200]!r}; it must be an https:// address.")
    return url


def _role(name: str, role: str) -> Role:
    try:
        return Role(role)
    except ValueError:
        raise InputError(f"{name} names the role {role!r}; the roles are {', '.join(Role)}.") from None


def account_names(name: str) -> Iterable[str]:
    """Names that an account may have, made of what an upstream calls a person: the part before an "@", in plain small
    letters, then the same with a number.
    """
    plain = unicodedata.normalize("NFKD", name.partition("@")[0]).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9._-]+", "-", plain).strip("-._")[:NAME_LENGTH] or "person"
    yield base
    for number in range(2, 10_000):
        yield f"{base}-{number}"


class UpstreamHeaders:
    """ASGI middleware, the first of all: takes the sign-in header of requests whose connection comes from a trusted
    proxy, and of no other. It must see the connection's own address: what believes X-Forwarded-For stands behind it.
    """

    def __init__(self, app: ASGIApp, settings: SignOnSettings, proxies: Sequence[str]) -> None:
        self.app, self.settings = app, settings
        self.networks = [ipaddress.ip_network(entry) for entry in proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._is_trusted(scope.get("client")):
            identity = self._identity(scope["headers"])
            if identity is not None:
                scope = {**scope, UPSTREAM: identity}
        await self.app(scope, receive, send)

    def _is_trusted(self, client: Any) -> bool:
        try:
            address = ipaddress.ip_address(client[0])
        except (TypeError, ValueError):
            return False  # a socket of the file system, or a test: no address, no trust
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.networks)

    def _identity(self, headers: Iterable[tuple[bytes, bytes]]) -> UpstreamIdentity | None:
        """Whom the headers name; None where it is nobody, or not clear who."""
        values_by_header = {self.settings.header: list[str](), self.settings.roles_header: list[str]()}
        for name, value in headers:
            key = name.decode("latin-1").lower()
            if key and key in values_by_header:
                values_by_header[key].append(value.decode("utf-8", "replace").strip())
        subjects = values_by_header[self.settings.header]
        # Two of them: one may be the visitor's own, which the proxy passed on beside its own.
        if len(subjects) != 1 or not 0 < len(subjects[0]) <= LONGEST_SUBJECT or not subjects[0].isprintable():
            return None
        groups = [
            group.strip()
            for value in values_by_header[self.settings.roles_header]
            for group in value.split(",")
        ]
        if not self.settings.roles_header:
            groups = []
        return UpstreamIdentity(
            issuer=HEADER_ISSUER,
            subject=subjects[0],
            name=subjects[0],
            groups=tuple(group for group in groups if group),
        )
