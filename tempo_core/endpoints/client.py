"""HTTP to an OpenAI-compatible server: time-outs, retries with back-off, and errors in a person's words.

A request changes nothing on the server, so that it may be sent again; one key names all its tries. A cancelled or
abandoned request closes its connection, which tells the server to stop. Redirects are not followed: frames and key go
to the named address and nowhere else.
"""

import asyncio
import json
import os
import random
import re
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import httpx

from tempo_core.endpoints.names import shown_name
from tempo_core.errors import Cancelled, InputError, TempoError

KEY_VARIABLE = "TEMPO_ENDPOINT_KEY"
"""The environment variable that holds the key."""
CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 300.0
"""Seconds without a byte from the server before it counts as too slow."""
MAX_TRIES = 4
FIRST_PAUSE_S = 0.5
"""Before the second try; doubled before each further one."""
LONGEST_PAUSE_S = 30.0
"""A server that wants to be left alone for longer is not waited for."""
MAX_RESPONSE_BYTES = 16 * 2**20
RETRIED_STATUSES = (429, 500, 502, 503, 504)
CANCEL_EVERY_S = 0.1
KNOWN_REASONS = [
    (
        re.compile(r"context (?:length|size|window)|longer than the maximum model length", re.IGNORECASE),
        "has no room for so many frames and words at once. Give fewer frames a second or a smaller token budget, or "
        "serve the model with a longer context.",
    ),
    (
        re.compile(r"at most (\d+) image", re.IGNORECASE),
        "takes at most {0} pictures in a question. Give fewer frames a second, or let the server take more (vLLM: "
        "--limit-mm-per-prompt).",
    ),
    (
        re.compile(r"(?:provide a|no) chat template|chat_template is not set", re.IGNORECASE),
        "serves a checkpoint that has no chat template. Put chat_template.jinja beside its tokenizer, or name one when "
        "the server starts (--chat-template).",
    ),
]
"""What servers say of a request that they refuse, and how it is told to a person."""


class EndpointError(TempoError):
    """An endpoint is down, slow, or refuses; it may work later."""


class Refused(EndpointError):
    """The server understood the request and does not take it; `reason` is its own text."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a server answers, and for which of its models."""

    url: str
    """Without a slash at its end, such as https://gpu.example/v1."""
    model: str | None
    """None: the only one that it serves."""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """From URL or URL#MODEL. A URL without a path gets /v1. Raises InputError."""
        rule = "Write it like https://gpu.example:8000/v1#Qwen/Qwen3-VL-8B-Instruct."
        try:
            parts = urlsplit(text.strip())
            parts.port  # noqa: B018  # raises for one that is no number
        except ValueError as error:
            raise InputError(f"The endpoint's address is no URL ({error}). {rule}") from error
        if parts.username is not None or parts.password is not None:  # not repeated: it holds a secret
            raise InputError(
                f"The endpoint's address holds a user or a password. Put the key into {KEY_VARIABLE}."
            )
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
            raise InputError(f"The endpoint {text!r} is no http or https address. {rule}")
        if parts.query:
            raise InputError(f"The endpoint's address holds a query behind '?'. {rule}")
        path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
        return cls(
            url=f"{parts.scheme.lower()}://{parts.netloc}{path}", model=unquote(parts.fragment) or None
        )


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model that a server says it serves."""

    name: str
    server: str
    """What the server calls itself: vllm, sglang, llamacpp, or anything else."""

    @property
    def title(self) -> str:
        """The name for visitors."""
        return shown_name(self.name)


class EndpointClient:
    """Requests to one server. Threads may share it."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
        first_pause_s: float = FIRST_PAUSE_S,
        title: str | None = None,
    ) -> None:
        """`key` None: the environment's, if it holds one. `title` is what errors call the server (None: its
        address)."""
        self.url = url
        self.title = f"The endpoint {urlsplit(url).netloc}" if title is None else title
        self._key = (os.environ.get(KEY_VARIABLE, "") if key is None else key).strip()
        if not self._key.isascii() or any(letter.isspace() for letter in self._key):
            raise InputError(
                f"{KEY_VARIABLE} holds characters that no key has. Copy the key once more, in one line."
            )
        self._timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        self._first_pause_s = first_pause_s

    def models(self) -> list[ModelCard] | None:
        """What the server serves; None where it has no such list. Raises EndpointError."""
        try:
            listing = self._request("GET", "/models", None, None)
        except Refused as error:
            if "(404" in str(error):
                return None
            raise
        rows = listing.get("data")
        if not isinstance(rows, list):
            raise EndpointError(f"{self.url}/models is no list of models. {_WRONG_ADDRESS}")
        return [
            ModelCard(str(row["id"]), str(row.get("owned_by", "")))
            for row in rows
            if isinstance(row, dict) and "id" in row
        ]

    def complete(self, body: dict[str, Any], cancel: threading.Event | None = None) -> dict[str, Any]:
        """The first choice of a chat completion. Raises EndpointError, Cancelled."""
        completion = self._request("POST", "/chat/completions", body, cancel)
        choices = completion.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise EndpointError(f"The endpoint's response holds no answer. {_WRONG_ADDRESS}")
        return choice

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None, cancel: threading.Event | None
    ) -> dict[str, Any]:
        """One request with its retries, in a thread with an event loop of its own, so that it can be cut short."""
        is_over = threading.Event()

        def should_stop() -> bool:
            return is_over.is_set() or (cancel is not None and cancel.is_set())

        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tempo-endpoint") as pool:
            future = pool.submit(asyncio.run, self._send(method, path, body, should_stop))
            try:
                return future.result()
            finally:
                is_over.set()  # after Ctrl-C the thread must not wait for the server

    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None, should_stop: Callable[[], bool]
    ) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", "idempotency-key": str(uuid4())}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        async with httpx.AsyncClient(timeout=self._timeout, headers=headers) as client:
            for attempt in range(1, MAX_TRIES + 1):
                pause_s = self._first_pause_s * 2 ** (attempt - 1) * random.uniform(1.0, 1.25)
                try:
                    response = await _unless(self._exchange(client, method, path, content), should_stop)
                except httpx.ReadTimeout as error:  # it may still be at work: asking again would double it
                    raise EndpointError(
                        f"{self.title} gave no answer within {self._timeout.read:g} s. Ask again later, "
                        "or with fewer frames or a smaller token budget."
                    ) from error
                except httpx.HTTPError as error:
                    failure = EndpointError(
                        f"{self.title} cannot be reached ({_words(error)}). Check the address, and that "
                        "the server is up."
                    )
                    failure.__cause__ = error
                else:
                    if response.status_code == 200:
                        return _json_object(response.content)
                    failure = self._failure(response)
                    if response.status_code not in RETRIED_STATUSES or isinstance(failure, Refused):
                        raise failure
                    wait_s = _retry_after_s(response.headers.get("retry-after"))
                    if wait_s is not None:
                        pause_s = max(pause_s, wait_s)
                if attempt == MAX_TRIES or pause_s > LONGEST_PAUSE_S:
                    raise failure
                await _unless(asyncio.sleep(pause_s), should_stop)
        raise AssertionError("the last try returns or raises")

    async def _exchange(
        self, client: httpx.AsyncClient, method: str, path: str, content: bytes | None
    ) -> httpx.Response:
        """One try, with the whole body read up to MAX_RESPONSE_BYTES."""
        async with client.stream(method, self.url + path, content=content) as response:
            received = bytearray()
            async for chunk in response.aiter_bytes():
                received += chunk
                if len(received) > MAX_RESPONSE_BYTES:
                    raise EndpointError(
                        f"{self.title} sent more than {MAX_RESPONSE_BYTES} bytes for one answer. "
                        f"{_WRONG_ADDRESS}"
                    )
            headers = {"retry-after": response.headers.get("retry-after", "")}
            return httpx.Response(response.status_code, headers=headers, content=bytes(received))

    def _failure(self, response: httpx.Response) -> EndpointError:
        """The error of a response that is no success."""
        status, reason = response.status_code, self._reason(response.content)
        detail = f": {reason}" if reason else ""
        if status in (401, 403):  # the server's own text may repeat part of the key
            key = "does not accept the key" if self._key else "wants a key"
            return EndpointError(f"{self.title} {key} ({status}). Put one that it knows into {KEY_VARIABLE}.")
        if status == 429:
            wait_s = _retry_after_s(response.headers.get("retry-after"))
            when = f"in {wait_s:.0f} s" if wait_s else "later"
            return EndpointError(f"{self.title} is at its limit (429{detail}). Ask again {when}.")
        if 300 <= status < 400:
            return Refused(
                f"{self.title} sends on to another address ({status}), which is not followed. Name that "
                "address itself.",
                reason,
            )
        if status >= 500 and "image input is not supported" in reason:  # llama.cpp; no later try changes it
            return Refused(
                f"{self.title} takes no pictures ({status}{detail}). Serve the model with its vision part.",
                reason,
            )
        if status >= 500:
            return EndpointError(f"{self.title} failed ({status}{detail}). Ask again later.")
        for pattern, words in KNOWN_REASONS:
            if match := pattern.search(reason):
                return Refused(f"{self.title} {words.format(*match.groups())}", reason)
        return Refused(f"{self.title} refused the request ({status}{detail}).", reason)

    def _reason(self, content: bytes) -> str:
        """What a server says of its own error, in one line, without the key."""
        try:
            text = json.loads(content)
        except ValueError:
            return ""
        for name in ("error", "detail", "message"):
            if isinstance(text, dict) and name in text:
                text = text[name]
        reason = " ".join(str(text).split())[:300] if isinstance(text, str | list) else ""
        return reason.replace(self._key, "***") if self._key else reason


_WRONG_ADDRESS = "Check that the address is the one of an OpenAI-compatible server, such as https://host/v1."


async def _unless(work: Coroutine[Any, Any, Any], should_stop: Callable[[], bool]) -> Any:
    """What `work` returns; ends it and raises Cancelled as soon as it should stop."""
    task = asyncio.ensure_future(work)
    while not task.done():
        if should_stop():
            task.cancel()
            await asyncio.wait({task})
            raise Cancelled("Cancelled while the endpoint was answering.")
        await asyncio.wait({task}, timeout=CANCEL_EVERY_S)
    return task.result()


def _words(error: httpx.HTTPError) -> str:
    """What went wrong with a connection."""
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time"
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise EndpointError(f"The endpoint's response is no JSON. {_WRONG_ADDRESS}") from error
    if not isinstance(values, dict):
        raise EndpointError(f"The endpoint's response is no JSON object. {_WRONG_ADDRESS}")
    return values


def _retry_after_s(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except (ValueError, TypeError):
        return None
