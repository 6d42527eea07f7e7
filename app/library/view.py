"""What the Ground page says about folders of clips: lines, and the list of moments as JSON."""

import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.library.service import LibraryStatus
from app.ui.templates import macros
from tempo_core.command_line import clock
from tempo_core.wording import plural

if TYPE_CHECKING:
    from tempo_core.library.search import LibraryAnswer

MAX_SHOWN = 48
"""Moments that the page lists; the API has them all."""

html = macros("library/view.html")


def index_html(status: LibraryStatus | None) -> str:
    """How far a folder is, with a bar while it is encoded."""
    return "" if status is None else str(html.index(status, index_line(status)))


def index_line(status: LibraryStatus) -> str:
    """One sentence about a folder."""
    if status.message:
        return status.message
    problems = f" {status.problems} cannot be read." if status.problems else ""
    if not status.is_indexing:
        return f"{plural(status.clips, 'clip is', 'clips are')} ready.{problems}"
    if not status.clips:
        return "Looking through the folder."
    time_left = ""
    if status.seconds_left is not None:
        minutes = status.seconds_left / 60
        time_left = (
            f", about {minutes:.0f} min left"
            if minutes >= 1.5
            else f", about {status.seconds_left:.0f} s left"
        )
    clips = plural(status.clips, "clip is", "clips are")
    return f"{status.ready} of {clips} ready{time_left}. Questions go to those.{problems}"


def answer_line(answer: "LibraryAnswer") -> str:
    """What to say when the answer is there."""
    if answer.understood is not None and not answer.is_understood:
        return answer.understood.sentence
    in_clips = len({item.clip for item in answer.moments})
    num_clips = in_clips + len(answer.without)
    if not answer.moments:
        result = f"In none of {plural(num_clips, 'clip')}"
    else:
        moments = plural(len(answer.moments), "moment")
        result = f"{moments} in {in_clips} of {plural(num_clips, 'clip')}"
    problems = f" {len(answer.problems)} could not be asked." if answer.problems else ""
    return f"{result}. Answered in {answer.elapsed_s:.1f} s.{problems}"


def ranked_json(answer: "LibraryAnswer", pictures: Sequence[bytes]) -> str:
    """The first moments with their pictures, and the clips without any, as the component reads them."""
    moments = answer.moments[: len(pictures)]
    hidden = len(answer.moments) - len(moments)
    return json.dumps(
        {
            "moments": [
                {
                    "clip": item.clip,
                    "times": f"{clock(item.moment.start_s)} to {clock(item.moment.end_s)}",
                    "probability": f"{item.probability:.2f}",
                    "picture": base64.b64encode(picture).decode(),
                }
                for item, picture in zip(moments, pictures, strict=True)
            ],
            "note": "" if answer.is_calibrated else "P is the model's own figure, not calibrated.",
            "more": f"{hidden} more are less probable." if hidden else "",
            "without": list(answer.without)[:200],
            "without_count": len(answer.without),
        }
    )
