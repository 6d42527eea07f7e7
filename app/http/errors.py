"""What a visitor is told when something breaks that is nobody's input: a number, and nothing else."""

import logging
import re
import secrets

from tempo_core.errors import TempoError

log = logging.getLogger(__name__)

_FOLDERS = re.compile(r"(?:\bsqlite:/+|(?<![\w:/.~])~?/)(?:[^\s/'\"]+/)+(?=[^\s/])")
"""Everything of an absolute path before its last part."""


def user_message(error: Exception) -> str:
    """The error's own text when it is ours; else a sentence with an incident id, under which the traceback
    is logged. Files are named by the last part of their path.
    """
    if isinstance(error, TempoError):
        return without_paths(str(error))
    incident = secrets.token_hex(4)
    log.error("incident %s", incident, exc_info=error)
    return (
        "Something went wrong on our side; your clip is not at fault. "
        f"If it happens again, report incident {incident}."
    )


def without_paths(text: str) -> str:
    """The text with `name` for every `/some/folder/name`: where files lie is no visitor's business."""
    return _FOLDERS.sub("", text)
