"""Our own protocol: ETA stamps before every frame, tokens by SAA, sets and refusal in one sentence.

The formats are those of `protocols.base`, `timestamps` and `answers`; sampling and budget are the checkpoint's own
(`tempo_core.defaults`). Qwen2-VL checkpoints that nobody trained on it get an instruction before the query.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tempo_core.answers import CLOSING, NEXT, OPENING, REFUSAL, SPACE, TO, parse_answer
from tempo_core.moments import Moment, moments_between
from tempo_core.protocols.base import AnswerForm, Pieces, Protocol, Timeline, opened
from tempo_core.timestamps import format_stamps


class TempoForm(AnswerForm):
    """The form of `tempo_core.answers`, whose parser knows only the video's own stamps."""

    __slots__ = ()

    def parse(self, text: str, timeline: Timeline, end_s: float) -> list[Moment]:
        stamps = [texts[0] for texts in timeline.mark_texts]
        return moments_between(parse_answer(text, stamps), timeline.marks_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class TempoProtocol(Protocol):
    """Stamps of one width, and a last one for the clip's end."""

    def with_instruction(self, instruction: str) -> "TempoProtocol":
        """The same protocol with a checkpoint's own instruction before every query; empty: none."""
        before = (instruction,) if instruction else ()
        return replace(self, lead=("\n", *before, "Query: "))

    def timeline(self, times_s: Iterable[float], end_s: float) -> Timeline:
        times = [float(time_s) for time_s in times_s]
        stamps = format_stamps(times, end_s)
        return Timeline(
            units=[(idx,) for idx in range(len(times))],
            unit_times_s=times,
            stamps=stamps[:-1],
            closing=stamps[-1],
            marks_s=[*times, float(end_s)],
            mark_texts=[(stamp,) for stamp in stamps],
        )

    def verification(self, query: str) -> Pieces:
        return ("\n", *Protocol.verification(self, query))


FORM = TempoForm(
    opening=(OPENING, SPACE), to=(TO, SPACE), next=(NEXT, SPACE), closing=(CLOSING,), refusals=(REFUSAL,)
)

PROTOCOL = TempoProtocol(
    name="tempo",
    title="Tempo",
    model_types=("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5"),
    sampling=None,
    layout="frames",
    opening=opened("user"),
    lead=("\n", "Query: "),
    turns=("{query}",),
    answer=FORM,
    sets=True,
    licence="MIT",
    source="METHOD of this project: ETA and SAA after Tempo-R0 (arXiv 2507.04702)",
)
