"""How much disk people may fill, and what is left for saving their work."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from app.http.errors import StorageFull

GIB = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class StorageLimits:
    """Bounds on uploads and on the copies that are made of them. Saved work is never bounded."""

    person_bytes: int = 4 * GIB
    """Uploads of one account; anonymous visitors of one address share it."""
    total_bytes: int = 32 * GIB
    """Uploads of everybody."""
    free_space_floor_bytes: int = GIB
    """Free space of the disk below which nothing is uploaded or copied any more; what is left is for saves."""

    def check_upload(self, own_bytes: int, all_bytes: int) -> None:
        """Raise StorageFull when one person's or everybody's uploads would take more than they may."""
        if own_bytes > self.person_bytes:
            raise StorageFull(
                f"Your uploads would take more than {self.person_bytes / GIB:g} GB, which is the limit of one person. "
                "Ask about the clips that you sent, or try again in a few hours, when older ones are gone."
            )
        if all_bytes > self.total_bytes:
            raise StorageFull(
                "The server holds as many uploads as it may. Try again later, when older ones are gone."
            )

    def check_free_space(self, folder: Path, size_bytes: int) -> None:
        """Raise StorageFull when a file of this size would leave less free space than the floor."""
        if shutil.disk_usage(folder).free < self.free_space_floor_bytes + size_bytes:
            raise StorageFull(
                "The server's disk is too full for another clip. Try a shorter one, or try again later."
            )
