"""What a visitor is told when something breaks that is nobody's input: a number, and nothing else."""

import logging
import secrets

from tempo_core.errors import TempoError

log = logging.getLogger(__name__)


def message_for(error: Exception) -> str:
    """The error's own text when it is ours; else a sentence with an incident id, under which the traceback
    is logged.
    """
    if isinstance(error, TempoError):
        return str(error)
    incident = secrets.token_hex(4)
    log.error("incident %s", incident, exc_info=error)
    return (
        "Something went wrong on our side; your clip is not at fault. "
        f"If it happens again, report incident {incident}."
    )
