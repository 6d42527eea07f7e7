"""What can go wrong between a caller and the store: one class for each situation a caller reacts to."""

from typing import TYPE_CHECKING

from tempo_core.errors import InputError, TempoError

if TYPE_CHECKING:
    from annotations.records import Correction, Edit, Verdict


class StoreError(TempoError):
    """The store cannot do what was asked, for a reason outside the request."""


class DiskFull(StoreError):
    """The disk of the database is full; nothing was written."""


class DatabaseAway(StoreError):
    """The database cannot be reached just now; what was sent can be sent again, under the same operation id."""


class NotFound(InputError):
    """Record not found."""


class OperationReused(InputError):
    """An operation id came back with another request under it."""


class DatabaseTooNew(StoreError):
    """The database was written by a later version of this program."""


class Conflict(TempoError):
    """Somebody wrote since the version that this write names as its parent; nothing was written.

    `yours` is what was sent (an `Edit`, or the correction id of a verdict), `theirs` the latest stored
    version (None when there is none).
    """

    def __init__(
        self,
        message: str,
        *,
        yours: "Edit | int",
        theirs: "Correction | Verdict | None",
        parent_id: int | None,
    ) -> None:
        super().__init__(message)
        self.yours = yours
        self.theirs = theirs
        self.parent_id = parent_id
        self.adopted: Correction | None = None
        """Of a verdict in `theirs`: the version that it names, where somebody looked it up."""
