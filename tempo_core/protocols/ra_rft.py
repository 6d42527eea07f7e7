"""RA-RFT (Qwen2.5-VL): Time-R1's frames, taught to refuse in prose and to correct the query.

Prompt and numbers: JINSUBY/RA-RFT at 8843cbb, inference.py; its training wrote "answerable" for "relevant"
(src/time_r1/rl/timer1_trainer_rarft.py). A refusal is prose of any kind, which its authors hand to a judge model.
Here it needs none: an answer without a time range beside a corrected query is a refusal, a time range beside NIL is a
moment, and anything else is no answer. The offered refusals begin as those of its training data do.
"""

import re

from tempo_core.answers import AnswerError
from tempo_core.moments import Moment
from tempo_core.protocols import base, time_r1
from tempo_core.protocols.base import THOUGHT, AnswerForm, Timeline

_PROSE = re.compile(
    rf"\s*{THOUGHT}<answer>(?P<answer>[^<]*)</answer>\s*<correction>(?P<query>[^<]*)</correction>\s*",
    re.DOTALL,
)
_RANGE = re.compile(r"\d\s*(?:to|and|-)\s*\d", re.IGNORECASE)

REFUSALS = (
    "The query does not align with the video.",
    "This query does not align with the video.",
    "There are inconsistencies between the query and the video.",
    "I believe this query does not align with the video.",
)


class RaRftForm(AnswerForm):
    """A time range with no correction, or prose with one."""

    __slots__ = ()

    def parse(self, text: str, timeline: Timeline, end_s: float) -> list[Moment]:
        prose = _PROSE.fullmatch(text)
        if prose and prose["answer"].strip() and not _RANGE.search(prose["answer"]):
            if prose["query"].strip().upper() in ("", "NIL"):
                raise AnswerError(f"Neither a moment nor a corrected query: {text[-200:]!r}.")
            return []
        return AnswerForm.parse(self, text, timeline, end_s)


PROTOCOL = base.Protocol(
    name="ra_rft",
    title="RA-RFT",
    model_types=("qwen2_5_vl",),
    sampling=time_r1.SAMPLING,
    layout="video",
    opening=(*base.turn("system", "You are a video analysis expert."), *base.opened("user")),
    turns=(
        'Given a video and a query "{query}", determine whether the video contains a segment that is relevant to the '
        "query.\n\n**If a relevant segment exists**, output your thought process within the <think> </think> tags, "
        "including analysis with specific time ranges (xx.xx to xx.xx) in <timestep> </timestep> tags.\n"
        "Then, provide the start and end times (in seconds, precise to two decimal places) within the <answer> "
        "</answer> tags.\n"
        'For example: <answer>12.54 to 17.83</answer>. Finally, provide "<correction>NIL</correction>".\n\n'
        "**If no relevant segment exists**, output your thought process within the <think> </think> tags, including "
        "analysis with specific time ranges (xx.xx to xx.xx) in <timestep> </timestep> tags.\n"
        "Then, state explicitly that the video does not contain a relevant segment and explain why you think so "
        "within the <answer> </answer> tags.\n"
        "Finally, based on the given video and query, output a corrected query that is likely to be relevant query "
        "to the video within the <correction> </correction> tags.\n",
    ),
    spell=base.decimals(2),
    answer=RaRftForm(
        opening=("<answer>",),
        to=(" to ",),
        closing=("</answer>\n<correction>NIL</correction>",),
        refusals=tuple(f"<answer>{sentence}</answer>" for sentence in REFUSALS),
        lead=THOUGHT,
    ),
    thinking=base.Thinking(max_tokens=512),
    sets=False,
    licence="Apache-2.0",
    source="github.com/JINSUBY/RA-RFT, inference.py",
)
