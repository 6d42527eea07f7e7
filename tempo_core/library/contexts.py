"""Encoded clips on disk, so that one that was encoded yesterday answers at once today.

    contexts = ContextFiles(Path("data/contexts"))
    key = context_key(engine, sha256, EncodingSettings())
    context = contexts.load(key, engine)          # None: encode the clip, then contexts.save(key, context)

An entry is a safetensors file named by its key, written whole or not at all, with a digest over all of it. It holds the
language model's cache where that is small, else the visual tokens that the cache is read from: a large model's take a
fifth to an eighth of the room, and the language model reads them again (docs/experiments.md has the figures).
Entries that nobody used for longest make room. Processes may share a folder.
"""

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from tempo_core.allocation import Allocation
from tempo_core.chunks import ChunkedContext
from tempo_core.context import PromptTokens, VideoContext, grammar_for
from tempo_core.decoding import read_prompt
from tempo_core.engine import Engine
from tempo_core.files import write_whole
from tempo_core.film_plan import FilmWindow
from tempo_core.passes import TwoPassContext
from tempo_core.protocols.base import Timeline
from tempo_core.room import check_room, telling_shortage

logger = logging.getLogger(__name__)

FORMAT = 1
"""Of the entries; another number is another key."""
DEFAULT_BYTES = 20 * 2**30
SMALL_CACHE_BYTES = 32 * 2**20
"""Caches up to so many bytes are stored as they are."""
STALE_PART_S = 3600.0
"""Files that a killed process left half written are removed after so long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodingSettings:
    """How a clip is looked at; None leaves the choice to the model."""

    fps: float | None = None
    """Frames a second."""
    token_budget: int | None = None
    """Visual tokens of the whole clip."""
    allocator: str | None = None


def context_key(
    engine: Engine, sha256: str, settings: EncodingSettings, window: FilmWindow | None = None
) -> str:
    """Names what decides a context, as 64 hex digits: the model with its adapter, precision and protocol, how it
    samples, where it computes and with which libraries, the clip's content, and the settings; `window` of a film."""
    parts = {
        "format": FORMAT,
        "model": engine.model_id,
        "defaults": asdict(engine.defaults),
        "protocol": engine.protocol.name,
        "device": torch.device(engine.loaded.device).type,
        "dtype": str(engine.loaded.model.dtype),
        "libraries": [torch.__version__, version("transformers")],
        "clip": sha256,
        "settings": asdict(settings),
        **({} if window is None else {"window": asdict(window)}),
        # entries of these protocols that are older than this line have marks on the clip's clock
        **({"marks": "since the first picture"} if engine.protocol.layout == "video" else {}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class ContextFiles:
    """A folder of encoded clips, of bounded size. Threads and processes may share it."""

    def __init__(self, folder: Path, *, max_bytes: int = DEFAULT_BYTES) -> None:
        """The folder is made when the first entry is saved; `max_bytes` bounds all entries together."""
        self.folder, self.max_bytes = folder, max_bytes

    def path(self, key: str) -> Path:
        """Where the entry of a key is, if it is there."""
        return self.folder / f"{key}.safetensors"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def load(self, key: str, engine: Engine) -> VideoContext | None:
        """The context of a key, None where there is none that can be used. A damaged or foreign entry is removed, with
        a line in the log. Raises MemoryShortage for one that the device has no room for, which stays."""
        path = self.path(key)
        try:
            with safe_open(path, "pt") as file:
                metadata = dict(file.metadata() or {})
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError) as error:
            self._discard(path, str(error))
            return None
        if metadata.get("key") != key or metadata.get("digest") != _digest(metadata, tensors):
            self._discard(path, "its digest is another")
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the time of its last use; another process may have removed it meanwhile
        try:
            return _unpack(json.loads(metadata["context"]), tensors, engine)
        except (KeyError, ValueError, TypeError) as error:  # whole, but written by other code
            self._discard(path, f"{type(error).__name__}: {error}")
            return None

    def save(self, key: str, context: VideoContext, *, used_before_s: float = float("inf")) -> bool:
        """Write an entry; entries that were last used before `used_before_s` (seconds since 1970) make room.

        False where the room does not suffice, or the context is of a kind that is not stored (`is_storable`).
        """
        if not is_storable(context):
            return False
        header, tensors = _pack(context)
        metadata = {"key": key, "context": json.dumps(header)}
        metadata["digest"] = _digest(metadata, tensors)
        data = save(tensors, metadata)
        if not self._make_room(len(data), used_before_s):
            return False
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self.path(key), data)
        except OSError as error:  # a full disk: the clip is encoded again when it is asked
            logger.warning("an encoded clip could not be stored: %s", error.strerror)
            return False
        return True

    def total_bytes(self) -> int:
        """What all entries take."""
        return sum(size for _, size, _ in self._entries())

    def _entries(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, path) of each entry, the one that was not used for longest first."""
        entries, now_s = [], time.time()
        for path in self.folder.glob("*.safetensors") if self.folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                entries.append((stat.st_mtime, stat.st_size, path))
        for path in self.folder.glob(".*.part"):
            with contextlib.suppress(FileNotFoundError):
                if now_s - path.stat().st_mtime > STALE_PART_S:
                    path.unlink()
        return sorted(entries)

    def _make_room(self, n_bytes: int, used_before_s: float) -> bool:
        """Remove the oldest entries until another of so many bytes fits, none that was used since that time."""
        entries = self._entries()
        total = sum(size for _, size, _ in entries) + n_bytes
        removable = [entry for entry in entries if entry[0] < used_before_s]
        if total - sum(size for _, size, _ in removable) > self.max_bytes:
            return False
        for _, size, path in removable:
            if total <= self.max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size
        return True

    def _discard(self, path: Path, reason: str) -> None:
        logger.warning("the encoded clip %s is not used and is removed: %s", path.name[:12], reason)
        path.unlink(missing_ok=True)


class StoredWindows:
    """Encoded windows of one film among the entries of a folder (`tempo_core.films.WindowStore`)."""

    def __init__(self, files: ContextFiles, engine: Engine, sha256: str, settings: EncodingSettings) -> None:
        self.files, self.engine, self.sha256, self.settings = files, engine, sha256, settings

    def __contains__(self, window: FilmWindow) -> bool:
        return self._key(window) in self.files

    def load(self, window: FilmWindow) -> VideoContext | None:
        """The window; None where there is none that can be used."""
        return self.files.load(self._key(window), self.engine)

    def save(self, window: FilmWindow, context: VideoContext) -> None:
        """Write it, where there is room."""
        self.files.save(self._key(window), context)

    def _key(self, window: FilmWindow) -> str:
        return context_key(self.engine, self.sha256, self.settings, window)


def is_storable(context: VideoContext) -> bool:
    """Whether a context can be stored: one of a clip in one piece and one pass, by a model in this process."""
    return not isinstance(context, ChunkedContext | TwoPassContext) and context.prompt is not None


def _pack(context: VideoContext) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """A context as plain JSON values and tensors."""
    assert context.prompt is not None
    layers = context.cache.layers
    # Other layers have states of other kinds: those caches are read again from the visual tokens.
    is_plain = all(type(layer) is DynamicLayer for layer in layers)
    if is_plain and context.cache_bytes() <= SMALL_CACHE_BYTES:
        tensors = {
            f"{part}.{idx}": getattr(layer, part).contiguous().cpu()
            for idx, layer in enumerate(layers)
            for part in ("keys", "values")
        }
    else:
        tensors = {
            "visual_tokens": context.prompt.visual_tokens.contiguous().cpu(),
            "positions": torch.from_numpy(context.prompt.positions).contiguous(),
            "ids": torch.tensor(context.prompt.ids),
        }
    allocation = context.allocation
    header = {
        "times_s": context.times_s.tolist(),
        "frame_times_s": context.frame_times_s.tolist(),
        "timeline": asdict(context.timeline),
        "allocation": {
            "tokens": allocation.tokens.tolist(),
            "sizes_px": allocation.sizes_px.tolist(),
            "variation": allocation.variation.tolist(),
            "allocator": allocation.allocator,
            "budget_tokens": allocation.budget_tokens,
        },
        **{
            name: getattr(context, name)
            for name in (
                "end_s",
                "stamp_records",
                "model_id",
                "prefix_tokens",
                "position",
                "timings",
                "sha256",
                "clock_start_s",
            )
        },
    }
    return header, tensors


@telling_shortage
def _unpack(header: dict[str, Any], tensors: Mapping[str, torch.Tensor], engine: Engine) -> VideoContext:
    """The context that `_pack` took apart, on the engine's device. Raises MemoryShortage."""
    model = engine.loaded.model
    check_room(engine.loaded, int(header["prefix_tokens"]), sum(map(int, header["allocation"]["tokens"])))
    prompt: PromptTokens | None = None
    if "visual_tokens" in tensors:
        prompt = PromptTokens(
            ids=tensors["ids"].tolist(),
            positions=tensors["positions"].numpy(),
            visual_tokens=tensors["visual_tokens"].to(model.device),
        )
        with torch.inference_mode():
            cache, _ = read_prompt(model, prompt.ids, prompt.positions, prompt.visual_tokens)
    else:
        cache = DynamicCache(config=model.config.get_text_config())
        for idx in range(len(cache.layers)):
            cache.update(
                tensors[f"keys.{idx}"].to(model.device), tensors[f"values.{idx}"].to(model.device), idx
            )
    timeline_fields, allocation = header.pop("timeline"), header.pop("allocation")
    timeline = Timeline(
        **{
            **timeline_fields,
            "units": [tuple(unit) for unit in timeline_fields["units"]],
            "mark_texts": [tuple(texts) for texts in timeline_fields["mark_texts"]],
        }
    )
    return VideoContext(
        **{
            **header,
            "times_s": np.array(header["times_s"], dtype=np.float64),
            "frame_times_s": np.array(header["frame_times_s"], dtype=np.float64),
        },
        timeline=timeline,
        allocation=Allocation(
            tokens=np.array(allocation["tokens"], dtype=np.int64),
            sizes_px=np.array(allocation["sizes_px"], dtype=np.int64),
            variation=np.array(allocation["variation"], dtype=np.float64),
            allocator=allocation["allocator"],
            budget_tokens=allocation["budget_tokens"],
        ),
        cache=cache,
        prompt=prompt,
        grammar=grammar_for(engine.loaded, timeline),
    )


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    """A sha256 over everything that an entry holds but the digest itself."""
    digest = hashlib.sha256(json.dumps([metadata.get("key"), metadata.get("context")]).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
