"""What answers questions about videos: a model in this process, or one behind an address.

    backend = open_backend("Qwen/Qwen3-VL-8B-Instruct")                  # `tempo_core.engine.Engine`
    backend = open_backend("https://gpu.example/v1#Qwen3-VL-8B-Instruct")  # `tempo_core.endpoints.EndpointEngine`
    answer, context = ground(backend, "clip.mp4", "a man opens a door")

Whoever asks needs no more than `Backend`: commands, pages and routes take either.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tempo_core.defaults import GroundingDefaults
from tempo_core.protocols import Choice
from tempo_core.protocols.base import Protocol
from tempo_core.vocabulary import Understanding, Vocabulary

if TYPE_CHECKING:
    from tempo_core.calibration import PlattScaling
    from tempo_core.card import About
    from tempo_core.context import OnProgress, VideoContext
    from tempo_core.engine import Answer
    from tempo_core.video import SampledVideo

OnAnswer = Callable[["Answer"], None]
"""Hears an answer as soon as it is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AskRequest:
    """A question about an encoded video, with the arguments of `Backend.ask`."""

    context: "VideoContext"
    query: str
    n_best: int = 5
    constrained: bool = True
    thinking_tokens: int | None = None
    cancel: threading.Event | None = None
    on_answer: OnAnswer | None = None
    on_progress: "OnProgress | None" = None
    """Hears how far a film is; nobody else takes so long."""


class Backend(ABC):
    """Encodes a video once and answers any number of questions about it. It keeps nothing of what it was asked."""

    model_id: str
    """What an answer was made with."""
    defaults: GroundingDefaults
    choice: Choice
    """How the model is asked, and why so."""
    scaling: "PlattScaling | None"
    """What makes P(relevant) a frequency, where the model was calibrated."""
    notes: list[str]
    """What a person should know before they believe an answer."""
    vocabulary: Vocabulary | None = None
    """The words that the model was taught, where it says so."""

    batch_size = 1
    """Questions that are worth asking in one go."""
    weight_bytes = 0
    """Memory that its weights take in this process."""
    about: "About | None" = None
    """What the model's own card says that it understands, where there is one."""

    @property
    def protocol(self) -> Protocol:
        """How the model is asked and how it answers."""
        return self.choice.protocol

    def understanding(self, query: str) -> Understanding | None:
        """Whether the model knows what a query asks for, before it looks at anything; None where it cannot say."""
        return None if self.vocabulary is None else self.vocabulary.understanding(query)

    def step_for(self, duration_s: float) -> float | None:
        """Seconds between the frames of a video of this length; None where the protocol has a sampling of its own, and
        for a film, which is scanned at one step and looked at again at another."""
        from tempo_core.video import round_step_s

        if self.protocol.sampling is not None or self.is_film(duration_s):
            return None
        return round_step_s(duration_s, self.defaults.max_frames, finest=self.defaults.finest_step_s)

    def is_film(self, duration_s: float) -> bool:
        """Whether a clip of this length is scanned and looked at again unasked (`tempo_core.films`). Protocols with a
        sampling of their own look at long clips as their authors do."""
        from tempo_core.film_plan import FILM_CONTEXTS

        whole_context_s = self.defaults.max_frames * self.defaults.finest_step_s
        return self.protocol.sampling is None and duration_s > FILM_CONTEXTS * whole_context_s

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What this backend is, as plain JSON values."""

    @abstractmethod
    def encode(
        self,
        video: "SampledVideo",
        *,
        token_budget: int | None = None,
        allocator: str | None = None,
        cancel: threading.Event | None = None,
        on_progress: "OnProgress | None" = None,
    ) -> "VideoContext":
        """Prepare a video for any number of questions. Raises InputError, Cancelled."""

    @abstractmethod
    def ask(
        self,
        context: "VideoContext",
        query: str,
        *,
        n_best: int = 5,
        constrained: bool = True,
        thinking_tokens: int | None = None,
        cancel: threading.Event | None = None,
        on_answer: "OnAnswer | None" = None,
    ) -> "Answer":
        """Answer one query about an encoded video; the context stays as it was.

        `on_answer` is called once with the answer, without its ranked windows, where ranking them takes a while; the
        answer that is returned is the same one with them. Raises InputError, AnswerError for a text that is no answer,
        Cancelled.
        """

    def ask_each(self, requests: Sequence[AskRequest]) -> list["Answer | Exception"]:
        """Answer questions that wait at the same time, each as `ask` does; one that cannot be answered has what `ask`
        raises in its place. A backend that can answers them together; here it is one after the other."""
        from tempo_core.films import FilmContext, ask_film

        results: list[Answer | Exception] = []
        for request in requests:
            arguments = {name: getattr(request, name) for name in AskRequest.__dataclass_fields__}
            del arguments["on_progress"]
            try:
                if isinstance(request.context, FilmContext):
                    results.append(ask_film(self, request))
                    continue
                results.append(self.ask(arguments.pop("context"), arguments.pop("query"), **arguments))
            except Exception as error:  # whoever asked gets it
                results.append(error)
        return results

    def ask_many(
        self,
        context: "VideoContext",
        queries: Sequence[str],
        *,
        n_best: int = 5,
        cancel: threading.Event | None = None,
    ) -> list["Answer"]:
        """`ask` of each query about one video, in order and together. Raises what the first that fails raises.

        red, blue = engine.ask_many(context, ["a red circle appears", "a blue square"])
        """
        requests = [
            AskRequest(context=context, query=query, n_best=n_best, cancel=cancel) for query in queries
        ]
        return answers_of(self.ask_each(requests))


def answers_of(results: Sequence["Answer | Exception"]) -> list["Answer"]:
    """The answers of `ask_each`. Raises the first error among them."""
    answers = []
    for result in results:
        if isinstance(result, Exception):
            raise result
        answers.append(result)
    return answers


def is_address(model: str | Path | None) -> bool:
    """Whether a model is named by the address of a server that answers for it."""
    return isinstance(model, str) and model.lower().startswith(("http://", "https://"))


def open_backend(
    model: str | Path | None = None,
    *,
    adapter: str | Path | None = None,
    four_bit: bool = True,
    device: str | None = None,
    protocol: str | None = None,
    settings: str | Path | None = None,
) -> Backend:
    """The backend of a checkpoint folder, a hub name (None: the one that ships), or an endpoint's URL#MODEL.

    `settings` is for an endpoint alone: the folder of the checkpoint that it serves. Raises CheckpointError and
    InputError as `load_engine` and `open_endpoint` do.
    """
    if not is_address(model):
        from tempo_core.engine import load_engine

        return load_engine(model, adapter=adapter, four_bit=four_bit, device=device, protocol=protocol)
    from tempo_core.endpoints import open_endpoint

    return open_endpoint(str(model), protocol=protocol, checkpoint=settings, adapter=adapter)
