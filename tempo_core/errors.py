"""The errors that a person can cause and mend: each message says what was given, the rule, and the remedy."""


class TempoError(Exception):
    """Base of every error that may be shown to a person as it stands."""


class InputError(TempoError):
    """Something that was given (a file, a query, a number) breaks a stated rule."""


class VideoError(InputError):
    """A video file cannot be read, or cannot be read truthfully."""


class CheckpointError(InputError):
    """A checkpoint or adapter folder is missing, damaged, or of the wrong kind."""


class MemoryShortage(CheckpointError):
    """A device has no room for a checkpoint or a clip; `missing_bytes` more would do (None: nobody knows)."""

    def __init__(self, message: str, *, missing_bytes: int | None = None) -> None:
        super().__init__(message)
        self.missing_bytes = missing_bytes


class Cancelled(TempoError):
    """The person who asked for this work asked for it to stop."""
