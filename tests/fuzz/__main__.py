"""Long campaigns by command; see the package's docstring."""

import logging
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Literal

import typer

from tests.fuzz.campaign import Case, Tally, line_of, run

Campaign = Literal["videos", "annotations", "bodies"]


def open_campaign(name: Campaign, folder: Path) -> AbstractContextManager[Case]:
    """The campaign's cases, in a folder of their own."""
    if name == "videos":
        # What children need is loaded once, before the first is forked.
        import tempo_core.animated_webp
        import tempo_core.transcode  # noqa: F401
        from tests.fuzz.videos import video_case

        return video_case(folder)
    if name == "annotations":
        from tests.fuzz.annotations import annotation_case

        return annotation_case(folder)
    from tests.fuzz.bodies import body_case

    return body_case(folder)


def main(
    campaign: Campaign,
    count: Annotated[int, typer.Option(help="up to this case")] = 1000,
    seed: Annotated[int, typer.Option(help="another one makes other cases")] = 1,
    minutes: Annotated[float | None, typer.Option(help="stop after so many; run it again to go on")] = None,
    state: Annotated[Path | None, typer.Option(help="where it keeps how far it is")] = None,
    only: Annotated[int | None, typer.Option(help="run this case alone, to look into a fault")] = None,
) -> None:
    """Run mutated cases of a campaign; the exit code is 1 when there was a fault."""
    logging.disable()  # what a server would log of each refusal
    tally = Tally.load(state if only is None else None, seed)
    if only is not None:
        tally.next_case, count = only, only + 1
    with (
        tempfile.TemporaryDirectory(prefix="tempo-fuzz-", ignore_cleanup_errors=True) as folder,
        open_campaign(campaign, Path(folder)) as case,
    ):
        run(campaign, case, tally, count=count, minutes=minutes, state=state, report=print)
    print(line_of(campaign, tally, count))
    for fault in tally.faults:
        print(f"case {fault['case']}: {fault['fault']}")
    sys.exit(1 if tally.faults else 0)


if __name__ == "__main__":
    typer.run(main)
