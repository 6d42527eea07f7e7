"""The engine provider: loads the model in the background while the page is already up, and again on request."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tempo_core.errors import InputError, TempoError

logger = logging.getLogger(__name__)


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
        self.status = EngineStatus(state="loading", message="The model is loading.")
        self._lock = threading.Lock()
        self._requested = False
        """Whether to load once more when the present load has ended."""
        self._idle = threading.Event()
        """Set while no thread loads."""
        self._idle.set()

    @classmethod
    def of(cls, engine: Any) -> "EngineProvider":
        """A provider of an engine that is already there."""
        provider = cls(lambda: engine)
        provider._load_once()
        return provider

    def start(self) -> None:
        """Begin loading; returns at once, and a second call does nothing."""
        if self.status.state == "loading" and self._idle.is_set():
            self.reload()

    def reload(self) -> None:
        """Load again in the background, for example after another adapter was promoted; returns at once.

        The present engine answers until the new one is there, and goes on if it cannot be loaded. A reload asked for
        while a load runs follows it: two at once would need memory for two models, and the older might win.
        """
        with self._lock:
            if not self._idle.is_set():
                self._requested = True
                return
            self._idle.clear()
        threading.Thread(target=self._load_while_requested, name="tempo-load", daemon=True).start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether every load has ended, well or badly, within `timeout_s` seconds."""
        return self._idle.wait(timeout_s)

    def get(self) -> Any:
        """The engine. Raises NotReady while there is none."""
        if self._engine is None:
            raise NotReady(self.status.message)
        return self._engine

    def _load_while_requested(self) -> None:
        while True:
            self._load_once()
            with self._lock:
                if not self._requested:
                    self._idle.set()
                    return
                self._requested = False

    def _load_once(self) -> None:
        """Load, and say how it went. A thread has no caller: an error goes to the status, the log and `on_failure`."""
        try:
            engine = self._load()
            model_id = str(engine.model_id)
            message = f"{model_id} is ready."
        except Exception as error:
            engine = self._engine
            if engine is None:
                if not isinstance(error, TempoError):
                    logger.exception("loading the model failed")
                message = "The model could not be loaded, so questions cannot be answered."
                self.status = EngineStatus(state="failed", message=message)
                if self._on_failure is not None:
                    self._on_failure(error)
                return
            logger.error("loading the model again failed; the present one goes on", exc_info=error)
            model_id = str(engine.model_id)
            message = f"{model_id} answers: the promoted adapter could not be loaded."
        self._engine = engine
        self.status = EngineStatus(state="ready", message=message, model_id=model_id)
