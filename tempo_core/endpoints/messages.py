"""A protocol's prompt as chat messages, for servers that write the model's template themselves.

Such a server takes pictures one at a time. A checkpoint that was trained on groups of two frames is therefore shown
single frames, half as many, each after its own presentation time in words; what a picture's time is stays true.
"""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tempo_core.protocols.base import IM_END, IM_START, Protocol, Token

JPEG_QUALITY = 95
WORDS_FOR_TIME = "<{} seconds>"
"""The stamp of protocols whose checkpoints are told the time by positions, which no server takes."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame as it is sent: a data URL."""

    url: str

    @classmethod
    def of(cls, frame: npt.NDArray[np.uint8]) -> "Picture":
        """A JPEG of a frame uint8[H, W, 3], colours at full resolution."""
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        return cls("data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode())


def with_stills(protocol: Protocol) -> Protocol:
    """The same protocol with single frames for groups of two, at the same budget of visual tokens."""
    if protocol.layout == "frames":
        return protocol
    sampling = protocol.sampling
    if sampling is not None:
        half = max(1, sampling.frames_per_unit)
        sampling = replace(
            sampling,
            fps=sampling.fps / half,
            n_frames=None if sampling.n_frames is None else max(2, sampling.n_frames // half),
            min_frames=max(2, sampling.min_frames // half),
            max_frames=max(2, sampling.max_frames // half),
            frames_per_unit=1,
        )
    return replace(protocol, layout="frames", sampling=sampling, stamp=protocol.stamp or WORDS_FOR_TIME)


def chat_messages(pieces: Iterable[str | Picture]) -> list[dict[str, Any]]:
    """The messages of a prompt's pieces: what a template's special tokens part, as roles and contents.

    What stands behind the last turn's opening is the server's to write, so that the opened answer is left out.
    """
    messages: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] | None = None  # of the turn that is open
    role = ""
    for piece in pieces:
        if isinstance(piece, Picture):
            assert parts is not None, "a picture stands within a turn"
            parts.append({"type": "image_url", "image_url": {"url": piece.url}})
        elif isinstance(piece, Token) and piece == IM_START:
            parts, role = [], ""
        elif isinstance(piece, Token) and piece == IM_END:
            parts = parts or []
            is_text = all(part["type"] == "text" for part in parts)
            # A text alone as a text, which every template takes; else the list of parts.
            content = "".join(part["text"] for part in parts) if is_text else parts
            messages.append({"role": role, "content": content})
            parts = None
        elif parts is not None:
            text = str(piece)
            if not role:
                role, _, text = text.partition("\n")
            if text and parts and parts[-1]["type"] == "text":
                parts[-1]["text"] += text
            elif text:
                parts.append({"type": "text", "text": text})
    return messages
