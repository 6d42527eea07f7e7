"""Sign-in by OpenID Connect: the authorization code flow with PKCE, state and nonce
(https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth, RFC 7636, RFC 9207).

Authlib asks for the token and checks its claims, joserfc its signature. Between the way to the provider and the way
back only the browser remembers something: a signed cookie, so that nobody can fill the server with what they begin.
"""

import base64
import hashlib
import hmac
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

import httpx2
from authlib.integrations.httpx_client import OAuth2Client, OAuthError
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.auth.sign_on import LONGEST_SUBJECT, OidcSettings, UpstreamIdentity, check_address
from tempo_core.errors import InputError, TempoError

logger = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures that are believed: with a key that only the provider has. Never "none", never the client's own secret."""
LEEWAY_S = 60
"""How far the provider's clock may be off."""
PENDING_S = 600
"""How long somebody may take at the provider's pages."""
DISCOVERY_S = 3600
"""How long the provider's addresses and keys are believed without asking again."""
KEYS_PAUSE_S = 60
"""How long an unknown key is not asked for again: anybody can make one up."""
TIMEOUT_S = 10
SILENCE_S = 10
"""How long a provider that did not answer is not asked for its addresses again: anybody can make us ask."""


class SignOnFailed(TempoError):
    """Single sign-on led nowhere; the sentence is for whoever tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingSignOn:
    """What the browser brings back from the provider."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    next_path: str
    begun_at_s: float


class OidcProvider:
    """One provider. Threads may share it; `begin` and `finish` wait for the network."""

    def __init__(self, settings: OidcSettings, *, clock: Callable[[], float] = time.time) -> None:
        self.settings, self._clock, self._lock = settings, clock, threading.Lock()
        self._secret = secrets.token_bytes(32)  # a restart makes whoever is under way begin again
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._read_at_s = self._keys_at_s = self._silent_at_s = float("-inf")

    # The way there and back

    def begin(self, redirect_uri: str, next_path: str) -> tuple[str, str]:
        """The provider's address to send the browser to, and the cookie's value. Raises SignOnFailed."""
        pending = PendingSignOn(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            redirect_uri=redirect_uri,
            next_path=next_path if len(next_path) <= 1000 else "/",
            begun_at_s=self._clock(),
        )
        endpoint = self._discover()["authorization_endpoint"]
        with self._client() as client:
            address, _ = client.create_authorization_url(
                endpoint,
                state=pending.state,
                code_verifier=pending.verifier,
                nonce=pending.nonce,
                redirect_uri=redirect_uri,
                scope=self.settings.scope,
            )
        return str(address), self._seal(pending)

    def finish(self, parameters: Mapping[str, str], cookie: str) -> tuple[UpstreamIdentity, str]:
        """Who came back with these parameters, and where to. Raises SignOnFailed."""
        pending = self._open(cookie)
        if pending is None or not hmac.compare_digest(
            pending.state.encode(), parameters.get("state", "").encode()
        ):
            raise SignOnFailed("This sign-in was not begun in this browser, or took too long. Begin again.")
        if parameters.get("iss", self.settings.issuer) != self.settings.issuer:
            raise SignOnFailed("Another provider answered than the one that was asked. Begin again.")
        if "code" not in parameters:
            reason = parameters.get("error", "")
            named = f" ({reason})" if re.fullmatch(r"[a-z_]{1,40}", reason) else ""
            raise SignOnFailed(f"The provider did not sign you in{named}.")
        token = self._exchange(parameters["code"], pending)
        claims = self._checked_claims(token, pending.nonce)
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
            raise SignOnFailed("The provider's answer does not say who you are. Ask whoever runs this app.")
        names = [claims.get(name) for name in ("preferred_username", "email", "name", "sub")]
        identity = UpstreamIdentity(
            issuer=self.settings.issuer,
            subject=subject,
            name=next(name for name in names if isinstance(name, str) and name),
            groups=groups_of(claims, self.settings.role_claim),
        )
        return identity, pending.next_path

    def sign_out_address(self, back: str) -> str:
        """Where to sign out of the provider too and come back; empty where it has no such page, as far as is known."""
        endpoint = self._metadata.get("end_session_endpoint", "")
        query = urlencode({"client_id": self.settings.client_id, "post_logout_redirect_uri": back})
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}" if endpoint else ""

    # What the provider says

    def _discover(self) -> dict[str, Any]:
        """The provider's addresses (OpenID Connect Discovery). Raises SignOnFailed."""
        with self._lock:
            if self._clock() - self._read_at_s >= DISCOVERY_S:
                issuer = self.settings.issuer
                if self._clock() - self._silent_at_s < SILENCE_S:
                    raise self._silence(TimeoutError("asked a moment ago"))
                self._silent_at_s = self._clock()
                metadata = self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if metadata.get("issuer") != issuer:
                    logger.error("the provider calls itself %.200r, not %r", metadata.get("issuer"), issuer)
                    raise SignOnFailed(
                        "The provider is not the one that was set up. Ask whoever runs this app."
                    )
                try:
                    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                        check_address(name, str(metadata.get(name) or "missing"))
                    check_address("end_session_endpoint", str(metadata.get("end_session_endpoint") or ""))
                except InputError as error:
                    logger.error("the provider's addresses cannot be used: %s", error)
                    raise SignOnFailed("The provider cannot be used. Ask whoever runs this app.") from error
                self._metadata, self._read_at_s = metadata, self._clock()
                self._silent_at_s = float("-inf")
            return self._metadata

    def _key_set(self, *, renew: bool) -> KeySet | None:
        """The provider's keys; with `renew`, asked for again, or None where that was just done. Raises SignOnFailed."""
        address = self._discover()["jwks_uri"]
        with self._lock:
            age_s = self._clock() - self._keys_at_s
            if renew and age_s < KEYS_PAUSE_S:
                return None
            if renew or self._keys is None or age_s >= DISCOVERY_S:
                try:
                    self._keys = KeySet.import_key_set(self._get(address))  # type: ignore[arg-type]
                except (JoseError, ValueError, TypeError, KeyError) as error:
                    logger.error("the provider's keys cannot be read: %s", error)
                    raise SignOnFailed(
                        "The provider's keys cannot be read. Ask whoever runs this app."
                    ) from error
                self._keys_at_s = self._clock()
            return self._keys

    def _exchange(self, code: str, pending: PendingSignOn) -> Mapping[str, Any]:
        """The tokens for a code. Raises SignOnFailed."""
        metadata = self._discover()
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        try:
            with self._client(basic="client_secret_basic" in methods) as client:
                token: Mapping[str, Any] = client.fetch_token(
                    metadata["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=pending.redirect_uri,
                    code_verifier=pending.verifier,
                )
        except OAuthError as error:
            logger.warning("the provider refused a code: %s", error)
            raise SignOnFailed("The provider did not accept this sign-in. Begin again.") from error
        except (httpx2.HTTPError, ValueError) as error:
            raise self._silence(error) from error
        return token

    def _checked_claims(self, token: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token whose signature, issuer, audience, time and nonce hold. Raises SignOnFailed."""
        refusal = "The provider's answer cannot be trusted; you were not signed in. Begin again."
        try:
            text = token.get("id_token")
            if not isinstance(text, str):
                raise ValueError("there is no ID token")
            try:
                decoded = jwt.decode(text, self._key_set(renew=False), ALGORITHMS)  # type: ignore[arg-type]
            except (JoseError, ValueError):
                # The provider may sign with a newer key by now.
                keys = self._key_set(renew=True)
                if keys is None:
                    raise
                decoded = jwt.decode(text, keys, ALGORITHMS)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                options={
                    "iss": {"essential": True, "value": self.settings.issuer},
                    "aud": {"essential": True, "value": self.settings.client_id},
                },
                params={
                    "nonce": nonce,
                    "client_id": self.settings.client_id,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(now=int(self._clock()), leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            logger.warning("an ID token was refused: %s: %s", type(error).__name__, error)
            raise SignOnFailed(refusal) from error
        return claims

    def _get(self, address: str) -> dict[str, Any]:
        try:
            response = httpx2.get(address, timeout=TIMEOUT_S)
            response.raise_for_status()
            values = response.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise self._silence(error) from error
        if not isinstance(values, dict):
            raise self._silence(ValueError("the answer is no JSON object"))
        return values

    def _silence(self, error: Exception) -> SignOnFailed:
        logger.error("the provider of single sign-on does not answer as it should: %s", error)
        return SignOnFailed("The provider does not answer as it should. Try again in a while.")

    def _client(self, *, basic: bool = True) -> OAuth2Client:
        settings = self.settings
        method = "client_secret_basic" if basic else "client_secret_post"
        return OAuth2Client(
            settings.client_id,
            settings.client_secret or None,
            token_endpoint_auth_method=method if settings.client_secret else "none",
            code_challenge_method="S256",
            timeout=TIMEOUT_S,
        )

    # The cookie

    def _seal(self, pending: PendingSignOn) -> str:
        content = base64.urlsafe_b64encode(json.dumps(asdict(pending)).encode()).decode()
        return f"{content}.{self._signature(content)}"

    def _open(self, cookie: str) -> PendingSignOn | None:
        """What `_seal` wrote; None for another text, and after `PENDING_S`."""
        content, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._signature(content).encode(), signature.encode()):
            return None
        pending = PendingSignOn(**json.loads(base64.urlsafe_b64decode(content)))
        return pending if self._clock() - pending.begun_at_s <= PENDING_S else None

    def _signature(self, content: str) -> str:
        return hmac.new(self._secret, content.encode(), hashlib.sha256).hexdigest()


def groups_of(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Groups or roles in a claim: a list of texts or one text. "realm_access.roles" leads into objects where no claim
    has that very name.
    """
    value: Any = claims
    for part in [name] if name in claims else name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(group for group in values if isinstance(group, str))
