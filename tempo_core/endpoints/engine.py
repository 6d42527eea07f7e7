"""A model behind an OpenAI-compatible server, asked as its protocol says: frames, true stamps, an exact parser."""

import hashlib
import logging
import threading
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_core.answers import AnswerError
from tempo_core.backend import AskRequest, Backend, OnAnswer
from tempo_core.calibration import relevance_note
from tempo_core.checkpoint import folder_name
from tempo_core.chunks import ChunkedContext, ask_chunks
from tempo_core.conformance import unit_hash
from tempo_core.context import OnProgress, VideoContext, allocate_units
from tempo_core.defaults import GroundingDefaults
from tempo_core.endpoints.client import (
    ANSWER_TIMEOUT_S,
    Address,
    EndpointClient,
    EndpointError,
    ModelCard,
    Refused,
)
from tempo_core.endpoints.guided import cut_thought, guided_fields
from tempo_core.endpoints.messages import Picture, chat_messages, with_stills
from tempo_core.endpoints.names import plain_name
from tempo_core.endpoints.probabilities import (
    TOP_LOGPROBS,
    confidences,
    first_choice,
    read_logprobs,
    yes_share,
)
from tempo_core.endpoints.settings import ServedSettings, read_settings
from tempo_core.engine import Answer
from tempo_core.errors import Cancelled, InputError
from tempo_core.families import family_named
from tempo_core.films import FilmContext, ask_film
from tempo_core.memory import published
from tempo_core.protocols import HUB_NAMES, Choice, choose_protocol, protocol_named
from tempo_core.protocols.base import NON_THINKING, Pieces, Timeline, clean_query
from tempo_core.protocols.tempo import TempoProtocol
from tempo_core.vision import resize_frame

if TYPE_CHECKING:
    from tempo_core.video import SampledVideo

logger = logging.getLogger(__name__)

MAX_PICTURE_BYTES = 64 * 2**20
"""Of all frames of one question, as they are sent."""
UNKNOWN = "timelens_8b"
"""The protocol of models that nobody knows: plain Qwen3-VL's, a question and a sentence in seconds."""
NO_CONFIDENCE = "The endpoint gives no log-probabilities, so that there is no confidence and no P(relevant)."
STILLS = "The endpoint is shown single frames, each after its time in words; this model was trained on groups of two."
OPTIONAL_FIELDS = (
    ("logprobs", "top_logprobs"),
    ("structured_outputs",),
    ("ebnf",),
    ("grammar",),
    ("chat_template_kwargs",),
)
"""Fields that a server may refuse; it is asked again without those that it names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointContext(VideoContext):
    """A video as it is sent: its cache is the prompt's pieces, pictures among them."""

    def cache_bytes(self) -> int:
        return sum(len(piece.url) for piece in self.cache if isinstance(piece, Picture))


class EndpointEngine(Backend):
    """One model of one server. Safe to share: it keeps nothing of what it was asked."""

    def __init__(
        self,
        client: EndpointClient,
        card: ModelCard,
        choice: Choice,
        settings: ServedSettings | None = None,
    ) -> None:
        """`settings` None: nothing is known of the model but its name, for which `choice` was made."""
        self.client, self.card, self.settings = client, card, settings
        protocol = choice.protocol
        if settings is None:
            self.defaults = GroundingDefaults()
            if isinstance(protocol, TempoProtocol):
                protocol = protocol.with_instruction(self.defaults.instruction)
            family = published().get(plain_name(card.name)) or family_named(protocol.model_types[0])
        else:
            self.defaults, family = settings.defaults, settings.family
            self.vocabulary, self.about = settings.vocabulary, settings.about
        self.token_px: int = family.normaliser.token_px
        self.choice = replace(choice, protocol=with_stills(protocol))
        self.scaling = None
        # Visitors read ids; an address is not theirs, nor a path.
        source = client.url if card.title == card.name else f"{client.url}#{card.name}"
        server = hashlib.sha256(source.encode()).hexdigest()[:8]
        self.model_id = f"{card.title}@endpoint-{server}/{choice.protocol.name}"
        self.notes = [] if choice.is_known else [choice.reason]
        if protocol.layout != "frames":
            self.notes.append(STILLS)
        self._refused_fields: set[str] = set()

    def describe(self) -> dict[str, Any]:
        """What this backend is, as plain JSON values."""
        return {
            "model_id": self.model_id,
            "endpoint": self.client.url,
            "model": self.card.name,
            "server": self.card.server,
            "guided": bool(self._guided_fields(self.protocol.timeline([0.0], 1.0))),
            "protocol": self.protocol.name,
            "protocol_title": self.protocol.title,
            "protocol_reason": self.choice.reason,
            "protocol_is_known": self.choice.is_known,
            "names_sets": self.protocol.sets,
            "refuses": self.protocol.refuses,
            "settings": None if self.settings is None else folder_name(self.settings.folder),
            "words": None if self.vocabulary is None else len(self.vocabulary.content),
            "relevance": relevance_note(self.protocol, None),
        }

    def encode(
        self,
        video: "SampledVideo",
        *,
        token_budget: int | None = None,
        allocator: str | None = None,
        cancel: threading.Event | None = None,
        on_progress: OnProgress | None = None,
    ) -> EndpointContext:
        """The frames as pictures, each after its stamp; nothing is sent yet. Raises InputError, Cancelled."""
        report: OnProgress = on_progress or (lambda stage, share: None)
        laps = [time.perf_counter()]
        report("allocating", 0.0)
        timeline = self.protocol.timeline(video.times_s, video.end_s)
        allocation = allocate_units(
            video.frames,
            self.defaults,
            self.protocol,
            token_budget=token_budget,
            allocator=allocator,
            token_px=self.token_px,
        )
        laps.append(time.perf_counter())
        pieces: list[str | Picture] = [*self.protocol.opening]
        n_bytes = 0
        for idx, (frame, stamp) in enumerate(zip(video.frames, timeline.stamps, strict=True)):
            if cancel is not None and cancel.is_set():
                raise Cancelled("Stopped while the frames were written.")
            picture = Picture.of(resize_frame(frame, allocation.sizes_px[idx].tolist()))
            n_bytes += len(picture.url)
            if n_bytes > MAX_PICTURE_BYTES:
                raise InputError(
                    f"The {len(video.frames)} frames are more than {MAX_PICTURE_BYTES // 2**20} MB as pictures. Give "
                    "fewer frames a second or a smaller token budget."
                )
            pieces += [stamp, picture]
            report("encoding", (idx + 1) / len(video.frames))
        pieces.append(timeline.closing)
        laps.append(time.perf_counter())
        return EndpointContext(
            times_s=np.asarray(timeline.unit_times_s, dtype=np.float64),
            frame_times_s=np.asarray(video.times_s, dtype=np.float64),
            end_s=float(video.end_s),
            timeline=timeline,
            stamp_records=[
                {**pair, "sha256": unit_hash(video, unit)}
                for pair, unit in zip(timeline.stamp_pairs(), timeline.units, strict=True)
            ],
            allocation=allocation,
            model_id=self.model_id,
            prefix_tokens=int(allocation.tokens.sum()),
            position=0,
            cache=tuple(pieces),
            timings={
                stage: round(after - before, 4)
                for stage, (before, after) in zip(("allocating_s", "pictures_s"), pairwise(laps), strict=True)
            },
            sha256=video.sha256,
        )

    def ask(
        self,
        context: VideoContext,
        query: str,
        *,
        n_best: int = 5,
        constrained: bool = True,
        thinking_tokens: int | None = None,
        cancel: threading.Event | None = None,
        on_answer: OnAnswer | None = None,
    ) -> Answer:
        """One chat completion, read by the protocol's exact parser: no grammar, no answer.

        Without log-probabilities there are no confidences, no P(relevant) and no ranking. `n_best` windows at most are
        ranked, which is no work of its own, so that `on_answer` is not called. Raises InputError for a bad query or
        another backend's context, AnswerError for a text that is no answer, EndpointError, Cancelled.
        """
        if context.model_id != self.model_id:
            raise InputError(
                f"This context was prepared for {context.model_id}, not for {self.model_id}. Read the video again."
            )
        if isinstance(context, FilmContext):
            return ask_film(
                self,
                AskRequest(
                    context=context,
                    query=query,
                    n_best=n_best,
                    constrained=constrained,
                    thinking_tokens=thinking_tokens,
                    cancel=cancel,
                ),
            )
        if isinstance(context, ChunkedContext):
            return ask_chunks(
                self,
                context,
                query,
                n_best=n_best,
                constrained=constrained,
                thinking_tokens=thinking_tokens,
                cancel=cancel,
            )
        understood = self.understanding(query)
        if understood is not None and not understood.is_understood:
            return Answer.not_understood(self, query, understood)
        laps = [time.perf_counter()]
        protocol, timeline = self.protocol, context.timeline
        max_tokens = self.defaults.max_new_tokens if protocol.sampling is None else protocol.max_new_tokens
        thought: str | None = None
        if protocol.thinking is not None:
            limit = protocol.thinking.max_tokens if thinking_tokens is None else thinking_tokens
            max_tokens += limit
            thought = protocol.thinking.skipped if limit == 0 else None
        question = protocol.question(query)

        def complete(max_tokens: int, thought: str | None) -> tuple[dict[str, Any], str]:
            guided = self._guided_fields(timeline, thought) if constrained else {}
            choice = self._complete(context, question, {"max_tokens": max_tokens, **guided}, cancel)
            text = answer_text(choice["message"])
            if text is None:
                raise EndpointError(
                    "The endpoint answered with no text. Check that the model is one for chat."
                )
            return choice, text

        choice, text = complete(max_tokens, thought)
        if constrained and thought is None and self._guided_fields(timeline):
            # As in our own engine, a thought that reaches the limit is closed, and the answer comes behind it.
            closed = cut_thought(protocol, choice, text)
            if closed is not None:
                choice, text = complete(max_tokens + protocol.max_new_tokens, closed)
        try:
            moments = protocol.answer.parse(text, timeline, context.end_s)
        except AnswerError as error:
            cut = (
                f" It was cut off after {max_tokens} tokens."
                if choice.get("finish_reason") == "length"
                else ""
            )
            raise AnswerError(
                f"{self.card.title} answered outside of its grammar, so there is no answer.{cut} {error} Ask in other "
                "words, or name another --protocol."
            ) from error
        laps.append(time.perf_counter())
        tokens = read_logprobs(choice)
        relevance: float | None = None
        if tokens and protocol.refuses:
            relevance = first_choice(text, protocol.answer, tokens)
        elif tokens:
            verdict = self._complete(context, protocol.verification(query), {"max_tokens": 1}, cancel)
            relevance = yes_share(read_logprobs(verdict))
        figures = confidences(text, moments, tokens)
        ranked = [
            (moment, figure) for moment, figure in zip(moments, figures, strict=True) if figure is not None
        ]
        laps.append(time.perf_counter())
        notes = [*self.notes, relevance_note(protocol, None)] if relevance is not None else [*self.notes]
        return Answer(
            moments=moments,
            confidences=figures,
            relevance=relevance,
            refused=not moments,
            text=text,
            ranked=sorted(ranked, key=lambda window: -window[1])[:n_best],
            model_id=self.model_id,
            timings={
                stage: round(after - before, 4)
                for stage, (before, after) in zip(("answer_s", "relevance_s"), pairwise(laps), strict=True)
            },
            query=clean_query(query),
            notes=notes if tokens else [*notes, NO_CONFIDENCE],
            understood=understood,
            clip_end_s=context.end_s,
        )

    def _guided_fields(self, timeline: Timeline, thought: str | None = None) -> dict[str, Any]:
        fields = guided_fields(self.card.server, self.protocol, timeline, thought=thought)
        return {name: value for name, value in fields.items() if name not in self._refused_fields}

    def _complete(
        self, context: VideoContext, question: Pieces, fields: dict[str, Any], cancel: threading.Event | None
    ) -> dict[str, Any]:
        """The choice of a completion behind the context; asked again without a field that the server does not take."""
        body: dict[str, Any] = {
            "model": self.card.name,
            "messages": chat_messages([*context.cache, *question]),
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": TOP_LOGPROBS,
            **fields,
        }
        if self.protocol.assistant is NON_THINKING:
            body["chat_template_kwargs"] = {"enable_thinking": False}
        while True:
            allowed = {name: value for name, value in body.items() if name not in self._refused_fields}
            try:
                return self.client.complete(allowed, cancel)
            except Refused as error:
                names = next(
                    (
                        names
                        for names in OPTIONAL_FIELDS
                        if names[0] in allowed and any(name in error.reason for name in names)
                    ),
                    None,
                )
                if names is None:
                    raise
                logger.warning("the endpoint does not take %s; it is asked without", ", ".join(names))
                self._refused_fields.update(names)


def answer_text(message: dict[str, Any]) -> str | None:
    """The text of a response's message; None where it has none.

    Where a template opens a thought, a server that parts thoughts from answers takes an answer that is bound by a
    grammar, and so ends no thought, for the thought. The parser sees whether it is one.
    """
    values = (message.get(name) for name in ("content", "reasoning_content", "reasoning"))
    texts = [value for value in values if isinstance(value, str)]
    return next(filter(None, texts), "" if texts else None)


def open_endpoint(
    address: str,
    *,
    protocol: str | None = None,
    checkpoint: str | Path | None = None,
    adapter: str | Path | None = None,
    key: str | None = None,
    timeout_s: float | None = None,
) -> EndpointEngine:
    """The engine of a model behind an OpenAI-compatible server, URL#MODEL or a URL that serves one model.

    `protocol` names how it is asked (None: what is known of the model's name, else plain Qwen3-VL's). `checkpoint` is
    the folder of what is served, `adapter` that of the adapter that it is served with: the model is then asked as these
    say (`endpoints.settings`). `key` None is that of the environment (client.KEY_VARIABLE). `timeout_s` is how long the
    server may say nothing. The server is asked what it serves. Raises InputError for an address or model that is none
    and for an adapter without its base, CheckpointError for a folder that is none, EndpointError for a server that is
    down, slow or refuses.
    """
    where = Address.parse(address)
    if adapter is not None and checkpoint is None:
        raise InputError(
            f"The adapter {adapter} cannot be put on a model behind an endpoint. Serve the model with it there, and "
            "name the folder of its base with --checkpoint, or leave --adapter out."
        )
    settings = None if checkpoint is None else read_settings(checkpoint, adapter, protocol)
    timeout_s = ANSWER_TIMEOUT_S if timeout_s is None else timeout_s
    cards = EndpointClient(where.url, key=key, timeout_s=timeout_s).models()
    names = [card.name for card in cards or ()]
    if cards is None and where.model is None:
        raise InputError(f"{where.url} does not say what it serves. Name the model: {where.url}#MODEL.")
    if where.model is None and len(names) != 1:
        listed = ", ".join(names[:5]) or "none"
        raise InputError(f"{where.url} serves {len(names)} models ({listed}). Name one: {where.url}#MODEL.")
    if cards is not None and where.model is not None and where.model not in names:
        raise InputError(
            f"{where.url} does not serve {where.model!r}; it serves {', '.join(names[:5]) or 'nothing'}. Name one of "
            "these."
        )
    name = where.model or names[0]
    card = next((card for card in cards or () if card.name == name), ModelCard(name, ""))
    # Visitors read what goes wrong with a question: an address is not theirs.
    client = EndpointClient(where.url, key=key, timeout_s=timeout_s, title=f"The endpoint of {card.title}")
    choice = endpoint_choice(card.title, protocol) if settings is None else settings.choice
    return EndpointEngine(client, card, choice, settings)


def endpoint_choice(model: str, named: str | None) -> Choice:
    """How a model is asked that only its name is known of: as a person says, as the tables of published names say, or
    as a plain Qwen3-VL is."""
    if named is not None:
        return Choice(protocol_named(named), f"It was asked for as --protocol {named}.", True)
    hub_name = model.partition("@")[0].lower()
    if hub_name in HUB_NAMES:
        return choose_protocol(protocol_named(HUB_NAMES[hub_name]).model_types[0], source=model)
    own_name = plain_name(model)
    for hub_name, protocol in HUB_NAMES.items():
        if hub_name.rpartition("/")[2] == own_name.lower():
            return Choice(protocol_named(protocol), f"{own_name} was trained with it.", True)
    family = published().get(own_name)
    if family is not None:
        return choose_protocol(family.model_type)
    reason = f"Nothing is known about {model}, so it is asked as a plain Qwen3-VL model is asked."
    return Choice(protocol_named(UNKNOWN), reason, False)
