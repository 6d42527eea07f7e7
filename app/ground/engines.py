"""The engine provider: loads the model in the background while the page is already up, and again or another on
request."""

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.http.errors import without_paths
from tempo_core.card import About
from tempo_core.errors import InputError, MemoryShortage, TempoError
from tempo_core.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

Load = Callable[[], Any]
MOST_OTHERS = 2
"""Models that stay loaded beside the served one after they were asked."""
LAST_ANSWERS_S = 120.0
"""How long a model that makes room for another may go on with the questions that it was asked."""


class NotReady(InputError):
    """The model is still loading, or could not be loaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineStatus:
    """What the page says about the model."""

    state: str
    """"loading", "ready" or "failed"."""
    message: str
    model_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Knowledge:
    """What a model says of itself."""

    about: About | None
    vocabulary: Vocabulary | None


class EngineProvider:
    """Holds the engine that is served; `start` loads it in a thread, `get` hands it out once it is there.

    Whoever asked for an engine keeps it until the question is answered: a question that waits while another model is
    served is answered by the one that it was asked of.
    """

    def __init__(
        self, load: Load, *, name: str = "", on_failure: Callable[[Exception], None] | None = None
    ) -> None:
        self._load, self._on_failure = load, on_failure
        self.first_name, self.first_load = name, load
        """The model that the app was started with."""
        self.name = name
        """What the served model is called on the Models page."""
        self.loading: str | None = None
        """The name of a model that is being loaded to be served next."""
        self.problem = ""
        """Why the model that was last asked for is not served."""
        self._engine: Any = None
        self._others: dict[str, Any] = {}
        """Engines of models that were asked beside the served one, by name, the one asked last at the end."""
        self.on_departure: Callable[[str], None] = lambda model_id: None
        """Hears the id of a model that leaves to make room for another: what it has seen takes memory too."""
        self.status = EngineStatus(state="loading", message="The model is loading.")
        self._lock = threading.Lock()
        self._requested = False
        """Whether to load once more when the present load has ended."""
        self._next: tuple[str, Load] | None = None
        """The model to serve next."""
        self._idle = threading.Event()
        """Set while no thread loads."""
        self._idle.set()

    @classmethod
    def of(cls, engine: Any, name: str = "") -> "EngineProvider":
        """A provider of an engine that is already there."""
        provider = cls(lambda: engine, name=name)
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
            self._begin()

    def serve(self, name: str, load: Load) -> None:
        """Load another model in the background and serve it once it is there; returns at once.

        The present one answers until then, and goes on when the other cannot be loaded: `problem` says why. Where the
        memory holds one of the two only, the present one goes first, and questions wait. Raises InputError while
        another one is being loaded for that, or when it is served already.
        """
        with self._lock:
            if self.loading is not None:
                raise InputError(f"{self.loading} is being loaded. Wait until it is there.")
            if name == self.name:
                raise InputError(f"{name} is served already.")
            self.loading, self.problem, self._next = name, "", (name, load)
            self._begin()

    def _begin(self) -> None:
        """Load in a thread, or once more when the thread that loads has ended. The lock is held."""
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

    def knowledge(self) -> "Knowledge | None":
        """What the served model knows; None while there is no model."""
        engine = self._engine
        return None if engine is None else Knowledge(about=engine.about, vocabulary=engine.vocabulary)

    def loaded(self, name: str) -> Any | None:
        """The engine of a model if it is loaded, served or not."""
        with self._lock:
            return self._engine if name == self.name else self._others.get(name)

    def with_id(self, model_id: str) -> Any:
        """The loaded engine with this id, else the served one, which refuses what others encoded. Raises NotReady."""
        with self._lock:
            engines = list(self._others.values())
        return next((engine for engine in engines if engine.model_id == model_id), None) or self.get()

    def other(self, name: str, load: Load) -> Any:
        """The engine of a model beside the served one, loaded if it is not. Slow; one thread at a time calls it.

        Those asked longest ago make room for it, the served one never. Raises InputError when it cannot be loaded.
        """
        engine = self.loaded(name)
        if engine is None:
            try:
                engine = self._load_without_others(load)
            except Exception as error:
                if not isinstance(error, TempoError):
                    logger.exception("loading %s failed", name)
                raise InputError(loading_problem(name, error)) from error
        with self._lock:
            if name != self.name:
                self._others.pop(name, None)
                self._others[name] = engine
                for surplus in list(self._others)[:-MOST_OTHERS]:
                    del self._others[surplus]
        return engine

    def _load_without_others(self, load: Load) -> Any:
        """The engine that `load` makes; models that were asked beside the served one make room, one by one, those asked
        longest ago first."""
        while True:
            try:
                return load()
            except Exception as error:
                with self._lock:
                    oldest = next(iter(self._others), None)
                    if oldest is None or not is_shortage(error):
                        raise
                    del self._others[oldest]

    def _load_while_requested(self) -> None:
        while True:
            with self._lock:
                candidate, self._next = self._next, None
            if candidate is not None:
                self._load_another(*candidate)
            else:
                self._load_once()
            with self._lock:
                if not self._requested:
                    self._idle.set()
                    return
                self._requested = False

    def _load_another(self, name: str, load: Load) -> None:
        """Serve another model, or say why not. A thread has no caller: an error goes to `problem` and the log."""
        try:
            try:
                engine = self._load_without_others(load)
            except MemoryShortage as shortage:
                if self._engine is None or not 0 < (shortage.missing_bytes or 0) < self._engine.weight_bytes:
                    raise
                engine = self._load_in_place(name, load)
            model_id = str(engine.model_id)
        except Exception as error:
            if not isinstance(error, TempoError):
                logger.exception("loading %s failed", name)
            with self._lock:
                self.problem, self.loading = loading_problem(name, error), None
            return
        with self._lock:
            self._load, self._engine, self.name = load, engine, name
            self._others.pop(name, None)
            self.problem, self.loading = "", None
            self.status = EngineStatus(state="ready", message=f"{model_id} is ready.", model_id=model_id)

    def _load_in_place(self, name: str, load: Load) -> Any:
        """The engine that `load` makes once the served one is gone, which comes back where that fails."""
        with self._lock:
            departing, model_id = weakref.ref(self._engine), str(self._engine.model_id)
            self._engine = None
            self.status = EngineStatus(
                state="loading",
                message=f"{name} takes the place of {self.name}: the memory holds one of them.",
            )
        # Whoever asked it has it until the question is answered, and its memory is free when nobody has it.
        deadline = time.monotonic() + LAST_ANSWERS_S
        while departing() is not None and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.1)
        self.on_departure(model_id)
        try:
            return load()
        except Exception:
            self._load_once()
            raise

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
        self._on_failure = None  # from here on people are served, and another model may be chosen
        self.status = EngineStatus(state="ready", message=message, model_id=model_id)


def is_shortage(error: Exception) -> bool:
    """Whether a model could not be loaded for want of memory."""
    return isinstance(error, MemoryError | MemoryShortage) or "out of memory" in str(error).lower()


def loading_problem(name: str, error: Exception) -> str:
    """Why a model is not served, as a sentence for people who administer models."""
    if isinstance(error, TempoError):
        return f"{name} could not be loaded: {without_paths(str(error))}"
    if is_shortage(error):
        return f"{name} could not be loaded: the memory does not hold it beside the served model. Choose a smaller one."
    return f"{name} could not be loaded ({type(error).__name__}). The server's log says more."
