"""One question to several encoded clips, in one forward pass a step. The plain twin is `Engine.ask`, clip by clip.

    answers = ask_batch(engine, contexts, "a red circle appears")

Every clip is a row with columns: its context's, and behind them whatever was fed. Columns are only added: what a token
may see is said by a mask, so that rows of different lengths, and beams that share a beginning, stand side by side. Each
clip's answer is written by the engine's own code in a thread of its own, one at a time, which waits when it needs
logits; when all of them wait, one forward pass over the rows in question serves them.
Legend: R rows of a pass, K columns of the longest row, Q tokens that are fed to a row, V vocabulary.
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
        with turns.baton:
            try:
                with torch.inference_mode():
                    results[row] = engine.answer_behind(
                        context, query, turns.scorers(row, context.position), n_best=n_best, cancel=cancel
                    )
            except BaseException as error:
                results[row] = error
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
    """The rows, and who waits for a pass."""

    def __init__(self, model: Any, contexts: Sequence["VideoContext"]) -> None:
        self._model, self._family = model, family_of(model)
        self._contexts = contexts
        self.lengths = [context.cache.get_seq_length() for context in contexts]
        """Columns of each row."""
        self._added: list[list[tuple[torch.Tensor, torch.Tensor]]] = [
            [(layer.keys[0, :, :0], layer.values[0, :, :0]) for layer in context.cache.layers]
            for context in contexts
        ]
        """By row and layer, keys and values [heads, added columns, D] of what was fed."""
        self.baton = threading.Lock()
        """Held by the one thread that works: a tokenizer is not for several at a time."""
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
        self.baton.release()
        served.wait()
        self.baton.acquire()
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
        device = self._model.device
        rows = sorted({request.row for request in requests})
        longest = max(self.lengths[row] for row in rows)
        ends = dict.fromkeys(rows, 0)
        places: list[int] = []
        for request in requests:
            places.append(ends[request.row])
            ends[request.row] += len(request.ids)
        width = max(ends.values())

        ids = torch.zeros(len(rows), width, dtype=torch.long)
        positions = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), 1, width, longest + width, dtype=torch.bool)
        # A token that fills up a row sees itself: a softmax over nothing is no number.
        mask[:, 0, range(width), range(longest, longest + width)] = True
        for request, place in zip(requests, places, strict=True):
            count, row, length = len(request.ids), rows.index(request.row), self.lengths[request.row]
            own = slice(place, place + count)
            ids[row, own] = torch.tensor(request.ids)
            positions[row, own] = torch.arange(request.position, request.position + count)
            mask[row, 0, own, torch.tensor(request.columns)] = True
            new = slice(longest + place, longest + place + count)
            mask[row, 0, own, new] = torch.ones(count, count).tril().bool()
            request.new_columns = list(range(length + place, length + place + count))

        cache = self._padded(rows, longest)
        output = self._model.model.language_model(
            inputs_embeds=self._model.get_input_embeddings()(ids.to(device)),
            position_ids=positions.to(device).expand(3, -1, -1),
            attention_mask=self._family.attention_mask(mask.to(device)),
            past_key_values=cache,
            use_cache=True,
        )
        for idx, row in enumerate(rows):
            self.lengths[row] += ends[row]
            fed = slice(longest, longest + ends[row])
            self._added[row] = [
                (
                    torch.cat([keys, layer.keys[idx, :, fed]], dim=1),
                    torch.cat([values, layer.values[idx, :, fed]], dim=1),
                )
                for (keys, values), layer in zip(self._added[row], cache.layers, strict=True)
            ]
        lasts = [place + len(request.ids) - 1 for request, place in zip(requests, places, strict=True)]
        hidden = output.last_hidden_state[[rows.index(request.row) for request in requests], lasts]
        for request, logits in zip(requests, self._model.lm_head(hidden).float(), strict=True):
            request.logits = logits

    def _padded(self, rows: list[int], longest: int) -> Any:
        """A cache of these rows, filled up to the longest with columns that nothing sees."""
        cache: Any = DynamicCache(config=self._model.config.get_text_config())
        for number in range(len(cache.layers)):
            layers = [self._contexts[row].cache.layers[number] for row in rows]
            n_heads = layers[0].keys.shape[1]
            keys, values = (
                layers[0].keys.new_zeros(len(rows), n_heads, longest, part.shape[-1])
                for part in (layers[0].keys, layers[0].values)
            )
            for idx, (row, layer) in enumerate(zip(rows, layers, strict=True)):
                n_own = layer.keys.shape[2]
                for whole, own, added in (
                    (keys, layer.keys, self._added[row][number][0]),
                    (values, layer.values, self._added[row][number][1]),
                ):
                    whole[idx, :, :n_own] = own[0]
                    whole[idx, :, n_own : n_own + added.shape[1]] = added
            cache.update(keys, values, number)
        return cache


class RowScorer:
    """`decoding.CachedScorer` for one row; its beams are columns that do not see each other."""

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
