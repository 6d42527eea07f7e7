"""`python -m tempo_core conform`: hold the times that a checkpoint is told against the files' own, for a folder."""

from pathlib import Path
from typing import Annotated

import typer

from tempo_core.command_line import AsJson, show, table
from tempo_core.errors import InputError


def conform(
    videos: Annotated[Path, typer.Argument(metavar="DIR", help="a folder of video files")],
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="the protocol whose stamps are checked, such as timelens_8b")
    ] = "tempo",
    max_frames: Annotated[int, typer.Option(metavar="N", min=1, help="most frames of a file")] = 64,
    as_json: AsJson = False,
) -> int:
    """Check that every stamp is the presentation time of its pixels, in every file of a folder.

    Exit code 1 when one is not; files that cannot be read are named and fail too.
    """
    from tempo_core.conformance import check_file
    from tempo_core.protocols import protocol_named

    spoken = protocol_named(protocol)
    if not videos.is_dir():
        raise InputError(f"There is no folder {videos}. Name a folder of video files.")
    paths = sorted(path for path in videos.iterdir() if path.is_file())
    if not paths:
        raise InputError(f"{videos} holds no files. Name a folder of video files.")
    reports, unread = [], {}
    for path in paths:
        try:
            reports.append(check_file(path, spoken, max_frames=max_frames))
        except InputError as error:  # no readable video, or frames too close for the protocol's stamps
            unread[path.name] = str(error)
    rows = [("file", "frames", "largest gap", "allowed", "")]
    rows += [
        (
            report.file,
            str(report.n_frames),
            f"{report.largest_gap_s:.3f} s",
            f"{report.allowed_s:.3f} s",
            " ".join(report.problems) or "true",
        )
        for report in reports
    ]
    rows += [(name, "", "", "", message) for name, message in unread.items()]
    data = {
        "protocol": spoken.name,
        "files": [report.to_dict() for report in reports],
        "unread": unread,
    }
    show(data, table(rows), as_json=as_json)
    return 0 if not unread and all(report.conforms for report in reports) else 1
