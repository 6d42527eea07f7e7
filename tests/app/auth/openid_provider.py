"""A small OpenID Connect provider on this machine: discovery, keys, codes with PKCE, and RS256 tokens."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "tempo", "s3cret:with %signs"


@dataclass
class Provider:
    """What a test changes about the provider, and what was asked of it."""

    issuer: str
    keys: list[RSAKey] = field(default_factory=list)
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "0001", "preferred_username": "Grace"})
    forge: Callable[[dict[str, Any]], str] | None = None
    """Makes the ID token instead of the provider's own signing."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Instead of what the provider says of itself."""
    paths: list[str] = field(default_factory=list)
    """Every request, in order."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def new_key(self) -> RSAKey:
        key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"})
        self.keys = [key]
        return key

    def sign(self, claims: dict[str, Any], key: RSAKey | None = None) -> str:
        key = key or self.keys[0]
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)

    def claims(self, nonce: str) -> dict[str, Any]:
        now_s = int(time.time())
        times = {"iat": now_s, "exp": now_s + 300}
        return {"iss": self.issuer, "aud": CLIENT_ID, "nonce": nonce, **times, **self.person}

    def authorize(self, address: str) -> dict[str, str]:
        """What the person's browser brings back once they have signed in at the provider's page."""
        assert address.startswith(f"{self.issuer}/authorize?")
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert (query["response_type"], query["client_id"], query["code_challenge_method"]) == (
            "code",
            CLIENT_ID,
            "S256",
        )
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        return {"code": code, "state": query["state"]}

    def exchange(self, sent: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """The token endpoint: a code is good once, for its client, its address and its verifier."""
        query = self.codes.pop(sent.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(sent.get("code_verifier", "").encode()).digest())
        client = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if authorization != f"Basic {client}":
            return 401, {"error": "invalid_client"}
        if (
            query is None
            or challenge.rstrip(b"=").decode() != query["code_challenge"]
            or sent["redirect_uri"] != query["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant"}
        claims = self.claims(query["nonce"])
        token = self.sign(claims) if self.forge is None else self.forge(claims)
        return 200, {"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": token}


@contextmanager
def running_provider() -> Iterator[Provider]:
    """The provider on a free port, stopped at the end."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def reply(self, status: int, values: dict[str, Any]) -> None:
            body = json.dumps(values).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            provider.paths.append(self.path)
            issuer = provider.issuer
            if self.path == "/.well-known/openid-configuration":
                names = ("authorize", "token", "keys", "leave")
                authorize, token, keys, leave = (f"{issuer}/{name}" for name in names)
                metadata = {
                    "issuer": issuer,
                    "authorization_endpoint": authorize,
                    "token_endpoint": token,
                    "jwks_uri": keys,
                    "end_session_endpoint": leave,
                }
                self.reply(200, {**metadata, **provider.metadata})
            elif self.path == "/keys":
                self.reply(200, {"keys": [key.as_dict(private=False) for key in provider.keys]})
            elif self.path.startswith("/authorize?"):
                # Whoever comes is signed in there already and is sent back at once.
                back = provider.authorize(f"{issuer}{self.path}")
                self.send_response(302)
                redirect_uri = provider.codes[back["code"]]["redirect_uri"]
                self.send_header("location", f"{redirect_uri}?{urlencode(back)}")
                self.send_header("content-length", "0")
                self.end_headers()
            else:
                self.reply(404, {})

        def do_POST(self) -> None:
            provider.paths.append(self.path)
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            sent = {name: values[0] for name, values in parse_qs(body).items()}
            self.reply(*provider.exchange(sent, self.headers.get("authorization", "")))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = Provider(issuer=f"http://127.0.0.1:{server.server_address[1]}")
    provider.new_key()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield provider
    server.shutdown()
    thread.join()
    server.server_close()
