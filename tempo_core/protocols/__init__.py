"""Protocols: how each kind of checkpoint wants to be asked and how it answers, one file each.

    choice = choose_protocol("qwen3_vl", source="TencentARC/TimeLens-8B")
    timeline = choice.protocol.timeline(video.times_s, video.end_s)
    pieces = choice.protocol.question("a man opens a door")

The contract of a protocol is in `base`. A new one is a module with a `PROTOCOL`, a line in NAMES, and lines in
HUB_NAMES for the checkpoints that speak it. Nothing here imports torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from tempo_core.errors import CheckpointError, InputError
from tempo_core.protocols.base import Protocol

NAMES = (
    "tempo",
    "timelens2",
    "timelens_8b",
    "timelens_7b",
    "tvg_r1",
    "time_r1",
    "unitime",
    "marlin",
    "omnivtg",
    "ra_rft",
    "qwen2_5_vl",
    "qwen3_5",
)
"""The protocols; each names its module."""

HUB_NAMES: Mapping[str, str] = {
    "mcg-nju/timelens2-2b": "timelens2",
    "mcg-nju/timelens2-4b": "timelens2",
    "mcg-nju/timelens2-8b": "timelens2",
    "tencentarc/timelens-8b": "timelens_8b",
    "tencentarc/timelens-7b": "timelens_7b",
    "ruizhechen/tvg-r1": "tvg_r1",
    "ruizhechen/tvg_coldstart": "tvg_r1",
    "boshenxx/time-r1-3b": "time_r1",
    "boshenxx/time-r1-7b": "time_r1",
    "zeqianli/unitime": "unitime",
    "nemostation/marlin-2b": "marlin",
    "zhengmh/omnivtg-7b": "omnivtg",
    "jinsuby/ra-rft-qwen2.5-vl-7b": "ra_rft",
}
"""Which protocol the published checkpoints and adapters speak, by their hub names in lower case."""

WORDLESS = ("yeliudev/videomind-2b", "yeliudev/videomind-7b", "yeliudev/videomind-2b-ft-qvhighlights")
"""Published grounders that name moments by a head of their own, not in words."""

PLAIN: Mapping[str, str] = {
    "qwen2_vl": "tempo",
    "qwen2_5_vl": "qwen2_5_vl",
    "qwen3_vl": "timelens_8b",
    "qwen3_5": "qwen3_5",
}
"""What a family's checkpoints are asked with when nothing is known about them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A protocol with why it is used."""

    protocol: Protocol
    reason: str
    """A sentence for the page."""
    is_known: bool
    """Whether the checkpoint is known to speak it; if not, the page says so."""


def protocol_named(name: str) -> Protocol:
    """The protocol of a name, written with "-" or "_". Raises InputError for an unknown one."""
    key = name.strip().lower().replace("-", "_")
    if key not in NAMES:
        raise InputError(f"There is no protocol {name!r}. Use one of: {', '.join(NAMES)}.")
    return import_module(f"tempo_core.protocols.{key}").PROTOCOL


def choose_protocol(
    model_type: str,
    *,
    named: str | None = None,
    settings: Mapping[str, Any] | None = None,
    source: str | None = None,
    adapter: str | None = None,
) -> Choice:
    """The protocol of a checkpoint of family `model_type`.

    In this order: `named` by a person; "protocol" in `settings`, the checkpoint's `tempo.json` (None: it has no such
    file; a file that names none is Tempo's own); the hub names of `adapter` and `source`, with or without a
    @revision; else the family's plain protocol. "thinking_tokens" in `settings` is the longest thought of the protocol
    that they name. Raises InputError for an unknown name or one that the family does not
    speak, CheckpointError when it stands in `tempo.json` or the checkpoint does not answer in words.
    """
    if named is not None:
        protocol = _spoken_by(model_type, named)
        if settings is not None and settings.get("protocol") == protocol.name:
            protocol = _with_thinking_tokens(protocol, settings)
        return Choice(protocol, f"It was asked for as --protocol {named}.", True)
    if settings is not None:
        try:
            protocol = _spoken_by(model_type, str(settings.get("protocol", "tempo")))
        except InputError as error:
            raise CheckpointError(f"tempo.json: {error}") from error
        return Choice(
            _with_thinking_tokens(protocol, settings), "The checkpoint's tempo.json names it.", True
        )
    for hub_name in (adapter, source):
        key = (hub_name or "").partition("@")[0].lower()
        if key in WORDLESS:
            raise CheckpointError(
                f"{hub_name} names moments by a regression head, which is not built here. Choose a model that "
                "answers in words."
            )
        if key in HUB_NAMES:
            return Choice(_spoken_by(model_type, HUB_NAMES[key]), f"{hub_name} was trained with it.", True)
    protocol = protocol_named(PLAIN[model_type])
    reason = f"Nothing is known about this checkpoint, so it is asked as a plain {model_type} model is asked."
    return Choice(protocol, reason, False)


def _with_thinking_tokens(protocol: Protocol, settings: Mapping[str, Any]) -> Protocol:
    """The protocol with the longest thought that a tempo.json states; 0: an empty one."""
    tokens = settings.get("thinking_tokens")
    if tokens is None or protocol.thinking is None:
        return protocol
    if type(tokens) is not int or tokens < 0:
        raise CheckpointError(
            f"tempo.json: 'thinking_tokens' has value {tokens!r}; it must be a whole number, 0 or more."
        )
    return replace(protocol, thinking=replace(protocol.thinking, max_tokens=tokens))


def _spoken_by(model_type: str, name: str) -> Protocol:
    """The named protocol if the family speaks it."""
    protocol = protocol_named(name)
    if model_type not in protocol.model_types:
        families = ", ".join(protocol.model_types)
        raise InputError(
            f"The protocol {protocol.name!r} is for {families}; this checkpoint is {model_type}."
        )
    return protocol
