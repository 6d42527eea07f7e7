"""One module for each command: `add_parser(subparsers)` describes it, `run(args)` returns its exit code."""

from annotations.commands import (
    agreement,
    export,
    history,
    import_,
    migrate,
    queue,
    revert,
    snapshot,
    stats,
    verify,
    videos,
)

COMMANDS = (import_, export, snapshot, stats, agreement, verify, videos, queue, history, revert, migrate)
