"""The engine provider: loads the model in the background while the page is already up."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tempo_core.errors import InputError, TempoError

log = logging.getLogger(__name__)


class NotReady(InputError):
    """The model is still loading, or could not be loaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineStatus:
    """What the page says about the model."""

    state: str
    """"loading", "ready" or "failed"."""
    message: str
    model_id: str | None = None


class EngineProvider:
    """Holds one engine; `start` loads it in a thread, `get` hands it out once it is there."""

    def __init__(
        self, load: Callable[[], Any], *, on_failure: Callable[[Exception], None] | None = None
    ) -> None:
        self._load, self._on_failure = load, on_failure
        self._engine: Any = None
        self._status = EngineStatus(state="loading", message="The model is loading.")
        self._settled = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, engine: Any) -> "EngineProvider":
        """A provider of an engine that is already there."""
        provider = cls(lambda: engine)
        provider._run()
        return provider

    @property
    def status(self) -> EngineStatus:
        return self._status

    def start(self) -> None:
        """Begin loading; returns at once, and a second call does nothing."""
        if self._thread is None and not self._settled.is_set():
            self._thread = threading.Thread(target=self._run, name="tempo-load", daemon=True)
            self._thread.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether loading ended, well or badly, within `timeout_s` seconds."""
        return self._settled.wait(timeout_s)

    def get(self) -> Any:
        """The engine. Raises NotReady while there is none."""
        if self._engine is None:
            raise NotReady(self._status.message)
        return self._engine

    def _run(self) -> None:
        try:
            self._engine = self._load()
            name = str(self._engine.model_id)
            self._status = EngineStatus(state="ready", message=f"{name} is ready.", model_id=name)
        except Exception as error:  # a thread has no caller: the status and on_failure are where it goes
            self._fail(error)
        finally:
            self._settled.set()

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, TempoError):
            log.exception("loading the model failed")
        self._status = EngineStatus(
            state="failed", message="The model could not be loaded, so questions cannot be answered."
        )
        if self._on_failure is not None:
            self._on_failure(error)
