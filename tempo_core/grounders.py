"""Published grounders that run here: hub name, size, licence, source and protocol. A list to choose from; nothing of it
is downloaded by itself.

    grounder = known_grounder("MCG-NJU/TimeLens2-4B")
    grounder.loaded_bytes("nf4", "cuda"), grounder.protocol.sets

A new one is a line in KNOWN, and one in `protocols.HUB_NAMES` where it is asked in words of its own. Torch is imported
only where a CPU is asked what it can do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tempo_core.memory import cpu_kernel, float_bytes, nf4_bits
from tempo_core.protocols import HUB_NAMES, PLAIN, protocol_named
from tempo_core.protocols.base import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """Sizes of a published checkpoint that others were trained from."""

    model_type: str
    title: str
    parameters: int
    quantised_parameters: int
    """Weights of the linear layers that NF4 replaces; `memory.plan` counts the same."""


ARCHITECTURES: Mapping[str, Architecture] = {
    name: Architecture(
        model_type=model_type, title=title, parameters=parameters, quantised_parameters=quantised
    )
    for name, model_type, title, parameters, quantised in (
        ("Qwen2-VL-2B-Instruct", "qwen2_vl", "Qwen2-VL", 2_208_985_600, 1_310_195_712),
        ("Qwen2-VL-7B-Instruct", "qwen2_vl", "Qwen2-VL", 8_291_375_616, 6_525_288_448),
        ("Qwen2.5-VL-3B-Instruct", "qwen2_5_vl", "Qwen2.5-VL", 3_754_622_976, 2_774_532_096),
        ("Qwen2.5-VL-7B-Instruct", "qwen2_5_vl", "Qwen2.5-VL", 8_292_166_656, 6_525_288_448),
        ("Qwen3-VL-2B-Instruct", "qwen3_vl", "Qwen3-VL", 2_127_532_032, 1_409_286_144),
        ("Qwen3-VL-4B-Instruct", "qwen3_vl", "Qwen3-VL", 4_437_815_808, 3_633_315_840),
        ("Qwen3-VL-8B-Instruct", "qwen3_vl", "Qwen3-VL", 8_767_123_696, 6_945_767_424),
        ("Qwen3.5-2B", "qwen3_5", "Qwen3.5", 2_213_241_664, 1_371_537_408),
    )
}
"""By the last part of their hub names, as in the families' `published`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownGrounder:
    """A published checkpoint or adapter."""

    name: str
    """Its hub name, owner/name."""
    architecture: Architecture
    licence: str
    base: str | None = None
    """The hub name of the checkpoint that an adapter belongs to; None: it is a checkpoint itself."""
    is_gated: bool = False
    """Whether its owners give it out on request only."""

    @property
    def protocol(self) -> Protocol:
        """How it is asked and how it answers."""
        plain = PLAIN[self.architecture.model_type]
        return protocol_named(HUB_NAMES.get(self.name.lower(), plain))

    @property
    def is_plain(self) -> bool:
        """Whether it was not trained to ground: it is asked as its family's plain protocol asks."""
        return self.name.lower() not in HUB_NAMES

    @property
    def source(self) -> str:
        """Its page on the hub."""
        return f"https://huggingface.co/{self.name}"

    @property
    def repositories(self) -> tuple[str, ...]:
        """Every hub name that has to be here before it runs: an adapter's base goes first."""
        return (self.name,) if self.base is None else (self.base, self.name)

    @property
    def stored_bytes(self) -> int:
        """About what a download takes, with 16-bit weights; the hub tells the exact size."""
        return 2 * self.architecture.parameters

    def loaded_bytes(self, precision: Literal["nf4", "whole"], device: str) -> int:
        """Memory of the weights as they are loaded, as `memory.plan` says: `whole` is bfloat16 on a GPU and float32 on
        a CPU."""
        quantised = self.architecture.quantised_parameters if precision == "nf4" else 0
        kernel = cpu_kernel(quantised, device)
        rest = self.architecture.parameters - quantised
        return round(quantised * nf4_bits(kernel) / 8) + rest * float_bytes(device, kernel)


APACHE = "Apache-2.0"

KNOWN: tuple[KnownGrounder, ...] = tuple(
    KnownGrounder(
        name=name,
        architecture=ARCHITECTURES[architecture],
        licence=licence or protocol_named(HUB_NAMES[name.lower()]).licence,
        base=base,
        is_gated=name == "NemoStation/Marlin-2B",
    )
    for name, architecture, licence, base in (
        ("MCG-NJU/TimeLens2-2B", "Qwen3-VL-2B-Instruct", None, None),
        ("MCG-NJU/TimeLens2-4B", "Qwen3-VL-4B-Instruct", None, None),
        ("MCG-NJU/TimeLens2-8B", "Qwen3-VL-8B-Instruct", None, None),
        ("TencentARC/TimeLens-8B", "Qwen3-VL-8B-Instruct", None, None),
        ("TencentARC/TimeLens-7B", "Qwen2.5-VL-7B-Instruct", None, None),
        ("RuizheChen/TVG-R1", "Qwen2.5-VL-7B-Instruct", None, None),
        ("RuizheChen/TVG_Coldstart", "Qwen2.5-VL-7B-Instruct", None, None),
        ("Boshenxx/Time-R1-3B", "Qwen2.5-VL-3B-Instruct", None, None),
        ("Boshenxx/Time-R1-7B", "Qwen2.5-VL-7B-Instruct", None, None),
        ("zeqianli/UniTime", "Qwen2-VL-7B-Instruct", None, "Qwen/Qwen2-VL-7B-Instruct"),
        ("NemoStation/Marlin-2B", "Qwen3.5-2B", None, None),
        ("zhengmh/OmniVTG-7B", "Qwen2.5-VL-7B-Instruct", None, None),
        ("Jinsuby/RA-RFT-Qwen2.5-VL-7B", "Qwen2.5-VL-7B-Instruct", None, None),
        ("Qwen/Qwen3-VL-2B-Instruct", "Qwen3-VL-2B-Instruct", APACHE, None),
        ("Qwen/Qwen3-VL-4B-Instruct", "Qwen3-VL-4B-Instruct", APACHE, None),
        ("Qwen/Qwen3-VL-8B-Instruct", "Qwen3-VL-8B-Instruct", APACHE, None),
        ("Qwen/Qwen3.5-2B", "Qwen3.5-2B", APACHE, None),
        ("Qwen/Qwen2.5-VL-3B-Instruct", "Qwen2.5-VL-3B-Instruct", "Qwen Research", None),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen2.5-VL-7B-Instruct", APACHE, None),
        ("Qwen/Qwen2-VL-2B-Instruct", "Qwen2-VL-2B-Instruct", APACHE, None),
        ("Qwen/Qwen2-VL-7B-Instruct", "Qwen2-VL-7B-Instruct", APACHE, None),
    )
)


def known_grounder(name: str) -> KnownGrounder | None:
    """The grounder of a hub name, in any case and with or without a @revision; None for an unknown one."""
    key = name.partition("@")[0].lower()
    return next((grounder for grounder in KNOWN if grounder.name.lower() == key), None)
