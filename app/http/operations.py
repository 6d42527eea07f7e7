"""For whoever runs the app: is it alive, is it ready, what does it do, and a line for each request.

GET /health/live and /health/ready are open to everybody and tell one word a part. GET /metrics is Prometheus' text
format (https://prometheus.io/docs/instrumenting/exposition_formats/), for administrators and for a scraper with the
token of TEMPO_METRICS_TOKEN. Logs and metrics name routes as they are declared: never a file's name, an id, or a query.
"""

import hmac
import json
import logging
import re
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth.users import Authenticator, Role
from app.http.base_path import route_path
from app.http.errors import NO_STORE

logger = logging.getLogger(__name__)

BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
"""Upper bounds of the histogram of durations."""
ACCOUNT_KEY = "account"
"""In a request's state: the id of who asks, once that is known."""
request_id: ContextVar[str] = ContextVar("request_id", default="")


class RequestMetrics:
    """Counts and durations of requests by method, route and status. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, int], int] = defaultdict(int)
        self._buckets: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * (len(BUCKETS_S) + 1))
        self._sums_s: dict[tuple[str, str], float] = defaultdict(float)

    def add(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count one request."""
        with self._lock:
            self._counts[method, route, status] += 1
            self._sums_s[method, route] += duration_s
            buckets = self._buckets[method, route]
            for place, bound_s in enumerate((*BUCKETS_S, float("inf"))):
                buckets[place] += duration_s <= bound_s

    def lines(self) -> list[str]:
        """The metrics in Prometheus' text format."""
        with self._lock:
            lines = ["# TYPE tempo_requests_total counter"]
            for (method, route, status), count in sorted(self._counts.items()):
                labels = f'method="{method}",route="{route}",status="{status}"'
                lines.append(f"tempo_requests_total{{{labels}}} {count}")
            lines.append("# TYPE tempo_request_seconds histogram")
            for (method, route), buckets in sorted(self._buckets.items()):
                labels = f'method="{method}",route="{route}"'
                for bound_s, count in zip((*map(str, BUCKETS_S), "+Inf"), buckets, strict=True):
                    lines.append(f'tempo_request_seconds_bucket{{{labels},le="{bound_s}"}} {count}')
                lines.append(f"tempo_request_seconds_sum{{{labels}}} {self._sums_s[method, route]:.6f}")
                lines.append(f"tempo_request_seconds_count{{{labels}}} {buckets[-1]}")
        return lines


class RequestLog:
    """ASGI middleware, the first that a request passes: gives it an id, counts it, and logs one line about it.

    `routes` are the paths as they are declared; it may be filled until the first request.
    """

    def __init__(self, app: ASGIApp, *, metrics: RequestMetrics, routes: Sequence[str]) -> None:
        self.app, self.metrics, self.routes = app, metrics, routes
        self._patterns: list[tuple[re.Pattern[str], str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started_s, status = time.perf_counter(), 500
        state = scope.setdefault("state", {})
        token = request_id.set(secrets.token_hex(8))

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id.get()
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            duration_s, route = time.perf_counter() - started_s, self._route(route_path(scope))
            self.metrics.add(scope["method"], route, status, duration_s)
            logger.info(
                "%s %s %s",
                scope["method"],
                route,
                status,
                extra={
                    "method": scope["method"],
                    "route": route,
                    "status": status,
                    "duration_ms": round(duration_s * 1000, 1),
                    "account": state.get(ACCOUNT_KEY),
                },
            )
            request_id.reset(token)

    def _route(self, path: str) -> str:
        if not self._patterns:
            self._patterns = [(compile_path(route)[0], route) for route in dict.fromkeys(self.routes)]
        return next((route for pattern, route in self._patterns if pattern.match(path)), "other")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request, what `RequestLog` adds, and a traceback's text."""

    FIELDS = ("method", "route", "status", "duration_ms", "account")

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        values = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get() or None,
            **{name: getattr(record, name, None) for name in self.FIELDS},
            "traceback": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in values.items() if value is not None})


class TextFormatter(logging.Formatter):
    """A line for people, with the request that it belongs to."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text; a traceback follows on lines of its own."""
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {record.getMessage()}"
        if hasattr(record, "duration_ms"):
            line += f" {record.duration_ms} ms {getattr(record, 'account', None) or '-'}"
        if request_id.get():
            line += f" [{request_id.get()}]"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up_logging(form: str) -> None:
    """Log to stderr. "warnings" leaves requests out; "text" and "json" have a line for each."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logger.setLevel(logging.WARNING if form == "warnings" else logging.INFO)


def operation_routes(
    authenticator: Authenticator,
    metrics: RequestMetrics,
    *,
    checks: Mapping[str, Callable[[], str]],
    gauges: Callable[[], Mapping[str, float]],
    metrics_token: str = "",
) -> APIRouter:
    """The routes of this module. `checks` give one word a part, "ok" when it works; an exception is "failed"."""
    router = APIRouter(include_in_schema=False)

    @router.get("/health/live")
    def live() -> Response:
        return JSONResponse({"live": True}, headers=NO_STORE)

    @router.get("/health/ready")
    def ready() -> Response:
        parts = {}
        for name, check in checks.items():
            try:
                parts[name] = check()
            except Exception:
                logger.exception("the readiness check %s failed", name)
                parts[name] = "failed"
        is_ready = all(word == "ok" for word in parts.values())
        return JSONResponse(
            {"ready": is_ready, "parts": parts}, status_code=200 if is_ready else 503, headers=NO_STORE
        )

    @router.get("/metrics")
    def read_metrics(request: Request) -> Response:
        sent = request.headers.get("authorization", "")
        if not (metrics_token and hmac.compare_digest(sent.encode(), f"Bearer {metrics_token}".encode())):
            authenticator.require(request, Role.ADMINISTRATOR)
        lines = metrics.lines()
        for name, value in gauges().items():
            lines += [f"# TYPE tempo_{name} gauge", f"tempo_{name} {value:g}"]
        return PlainTextResponse(
            "\n".join(lines) + "\n", media_type="text/plain; version=0.0.4", headers=NO_STORE
        )

    return router
