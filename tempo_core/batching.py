"""One question to several encoded clips, in one forward pass a step. The plain twin is `Engine.ask`, clip by clip.

    answers = ask_batch(engine, contexts, "a red circle appears")

Every clip is a row of one cache, padded to the longest. The cache only grows: what a token may see is said by a mask,
so that rows of different lengths, and beams that share a beginning, stand side by side. Each clip's answer is written
by the engine's own code in a thread of its own, which waits when it needs logits; when all of them wait, one forward
pass serves them.
Legend: B clips, K columns of the cache, Q tokens that are fed to a row, V vocabulary.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from tempo_core.chunks import ChunkedContext
from tempo_core.families import family_of

if TYPE_CHECKING:
    from tempo_core.context import VideoContext
    from tempo_core.engine import Answer, Engine


def can_batch(engine: "Engine", contexts: Sequence["VideoContext"]) -> bool:
    """Whether these clips can share a pass: the family takes masks, and each clip is in one piece."""
    return family_of(engine.loaded.model).packs_rows and all(
        not isinstance(context, ChunkedContext)
        and all(type(layer) is DynamicLayer for layer in context.cache.layers)
        for context in contexts
    )


def ask_batch(
    engine: "Engine",
    contexts: Sequence["VideoContext"],
    query: str,
    *,
    n_best: int = 0,
    cancel: threading.Event | None = None,
) -> list["Answer"]:
    """`engine.ask` of each context, in order. Raises what it raises."""
    if len(contexts) < 2 or not can_batch(engine, contexts):
        return [engine.ask(context, query, n_best=n_best, cancel=cancel) for context in contexts]
    turns = Turns(engine.loaded.model, contexts)
    results: list[Any] = [None] * len(contexts)

    def answer(row: int) -> None:
        context = contexts[row]
        try:
            with torch.inference_mode():
                results[row] = engine.answer_behind(
                    context, query, turns.scorers(row, context.position), n_best=n_best, cancel=cancel
                )
        except BaseException as error:
            results[row] = error
        finally:
            turns.leave()

    threads = [threading.Thread(target=answer, args=(row,), daemon=True) for row in range(len(contexts))]
    for thread in threads:
        thread.start()
    with torch.inference_mode():
        turns.serve()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@dataclass(kw_only=True, slots=True)
class Request:
    """Tokens to feed behind what is visible to them."""

    row: int
    ids: list[int]
    position: int
    """Of the first token."""
    columns: list[int]
    """Columns of the cache that the tokens may see."""
    new_columns: list[int] = field(default_factory=list)
    """Where the tokens stand once they are fed."""
    logits: Any = None
    """float32[V] after the last token."""


class Turns:
    """The shared cache, and who waits for it."""

    def __init__(self, model: Any, contexts: Sequence["VideoContext"]) -> None:
        self._model, self._family = model, family_of(model)
        self.lengths = [context.cache.get_seq_length() for context in contexts]
        longest = max(self.lengths)
        self._cache = DynamicCache(config=model.config.get_text_config())
        for idx in range(len(self._cache.layers)):
            padded = []
            for part in ("keys", "values"):
                states = [getattr(context.cache.layers[idx], part) for context in contexts]
                whole = states[0].new_zeros(len(states), states[0].shape[1], longest, states[0].shape[3])
                for row, state in enumerate(states):
                    whole[row, :, : state.shape[2]] = state[0]
                padded.append(whole)
            self._cache.update(*padded, idx)
        self._n_columns = longest
        self._working = len(contexts)
        """Threads that neither wait nor are done."""
        self._waiting: list[tuple[list[Request], threading.Event]] = []
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def scorers(self, row: int, position: int) -> Any:
        """What makes scorers behind a row's clip and some ids, as `Engine.answer_behind` wants it."""
        columns = list(range(self.lengths[row]))

        def scorers_behind(ids: Sequence[int]) -> Any:
            question = Request(row=row, ids=list(ids), position=position, columns=columns)
            self.feed([question])
            behind = [*columns, *question.new_columns]
            return lambda: RowScorer(self, row, behind, question.logits, position + len(ids))

        return scorers_behind

    def feed(self, requests: list[Request]) -> None:
        """Wait for the next pass, and have the requests served by it."""
        served = threading.Event()
        with self._changed:
            self._waiting.append((requests, served))
            self._working -= 1
            self._changed.notify_all()
        served.wait()
        if self._error is not None:
            raise self._error

    def leave(self) -> None:
        """A thread is done."""
        with self._changed:
            self._working -= 1
            self._changed.notify_all()

    def serve(self) -> None:
        """Run a pass whenever all threads wait, until all are done."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._working == 0)
                waiting, self._waiting = self._waiting, []
                if not waiting:
                    return
                self._working = len(waiting)
            try:
                if self._error is None:
                    self._forward([request for requests, _ in waiting for request in requests])
            except BaseException as error:  # those who wait must hear of it
                self._error = error
            for _, served in waiting:
                served.set()

    def _forward(self, requests: list[Request]) -> None:
        """One pass of the language model over all requests; those of one row stand side by side in it."""
        device, n_rows, old = self._model.device, len(self.lengths), self._n_columns
        ends = [0] * n_rows
        places: list[int] = []
        for request in requests:
            places.append(ends[request.row])
            ends[request.row] += len(request.ids)
        width = max(ends)
        ids = torch.zeros(n_rows, width, dtype=torch.long)
        positions = torch.zeros(n_rows, width, dtype=torch.long)
        mask = torch.zeros(n_rows, 1, width, old + width, dtype=torch.bool)
        # A token that fills up a row sees itself: a softmax over nothing is no number.
        mask[:, 0, range(width), range(old, old + width)] = True
        for request, place in zip(requests, places, strict=True):
            count, row = len(request.ids), request.row
            own = slice(place, place + count)
            ids[row, own] = torch.tensor(request.ids)
            positions[row, own] = torch.arange(request.position, request.position + count)
            mask[row, 0, own, torch.tensor(request.columns)] = True
            mask[row, 0, own, old + place : old + place + count] = torch.ones(count, count).tril().bool()
            request.new_columns = list(range(old + place, old + place + count))
        output = self._model.model.language_model(
            inputs_embeds=self._model.get_input_embeddings()(ids.to(device)),
            position_ids=positions.to(device).expand(3, -1, -1),
            attention_mask=self._family.attention_mask(mask.to(device)),
            past_key_values=self._cache,
            use_cache=True,
        )
        self._n_columns += width
        rows = torch.tensor([request.row for request in requests], device=device)
        last = torch.tensor(
            [place + len(request.ids) - 1 for request, place in zip(requests, places, strict=True)],
            device=device,
        )
        logits = self._model.lm_head(output.last_hidden_state[rows, last]).float()
        for request, scores in zip(requests, logits, strict=True):
            request.logits = scores


class RowScorer:
    """`decoding.CachedScorer` for one row of the shared cache; beams are columns that do not see each other."""

    def __init__(
        self, turns: Turns, row: int, columns: list[int], logits: torch.Tensor, position: int
    ) -> None:
        self._turns, self._row, self._position = turns, row, position
        self._columns, self._logits, self._n_fed = [columns], logits[None], 0

    def __call__(self, prefixes: Sequence[Sequence[int]], parents: Sequence[int]) -> torch.Tensor:
        self._columns = [self._columns[parent] for parent in parents]
        self._logits = self._logits[list(parents)]
        pending = [list(prefix[self._n_fed :]) for prefix in prefixes]
        if pending[0]:
            requests = [
                Request(row=self._row, ids=ids, position=self._position + self._n_fed, columns=columns)
                for ids, columns in zip(pending, self._columns, strict=True)
            ]
            self._turns.feed(requests)
            self._columns = [[*request.columns, *request.new_columns] for request in requests]
            self._logits = torch.stack([request.logits for request in requests])
            self._n_fed += len(pending[0])
        return self._logits
