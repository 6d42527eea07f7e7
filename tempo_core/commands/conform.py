"""`python -m tempo_core conform`: hold the times that a checkpoint is told against the files' own, for a folder."""

from pathlib import Path
from typing import Annotated

import typer

from tempo_core.command_line import AsJson, show, table
from tempo_core.errors import InputError
from tempo_core.wording import plural


def conform(
    videos: Annotated[Path, typer.Argument(metavar="DIR", help="a folder of video files")],
    protocol: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="the protocol whose times are checked, such as timelens_8b; all: every one"
        ),
    ] = "tempo",
    max_frames: Annotated[int, typer.Option(metavar="N", min=1, help="most frames of a file")] = 64,
    as_json: AsJson = False,
) -> int:
    """Check that every stamp or position is the presentation time of its pixels, in every file of a folder.

    Exit code 1 when one is not; files that cannot be read are named and fail too.
    """
    from tempo_core.conformance import TimeReport, check_protocols
    from tempo_core.protocols import NAMES, protocol_named

    spoken = [protocol_named(name) for name in (NAMES if protocol == "all" else [protocol])]
    if not videos.is_dir():
        raise InputError(f"There is no folder {videos}. Name a folder of video files.")
    paths = sorted(path for path in videos.iterdir() if path.is_file())
    if not paths:
        raise InputError(f"{videos} holds no files. Name a folder of video files.")
    reports: list[TimeReport] = []
    unread: dict[str, str] = {}
    for path in paths:
        try:
            reports += check_protocols(path, spoken, max_frames=max_frames)
        except InputError as error:  # no readable video
            unread[path.name] = str(error)
    stamps = sum(len(report.pairs) for report in reports)
    failed = [report for report in reports if not report.conforms]
    off = sum(bool(report.problems) for report in failed)
    # Of many protocols only what is wrong is worth a line.
    row_reports = failed if len(spoken) > 1 else reports
    rows = [("file", "protocol", "frames", "largest gap", "allowed", "")]
    rows += [
        (
            report.file,
            report.protocol,
            str(report.n_frames),
            f"{report.largest_gap_s:.3f} s",
            f"{report.allowed_s:.3f} s",
            " ".join([*report.problems, *filter(None, [report.refusal])]) or "true",
        )
        for report in row_reports
    ]
    rows += [(name, "", "", "", "", message) for name, message in unread.items()]
    data = {
        "protocol": protocol if protocol == "all" else spoken[0].name,
        "stamps": stamps,
        "files": [report.to_dict() for report in reports],
        "unread": unread,
    }
    summary = (
        f"{plural(len(paths) - len(unread), 'file')}, {plural(len(spoken), 'protocol')}, "
        f"{plural(stamps, 'time')}: "
        f"{off} files and protocols with one that is off, {len(failed) - off} that a protocol refuses, "
        f"{len(unread)} files unread"
    )
    show(data, "\n".join([table(rows) if len(rows) > 1 else "", summary]).lstrip(), as_json=as_json)
    return 0 if not unread and not failed else 1
