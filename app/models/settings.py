"""What people chose on the Models page, in one file of the home: models of one's own, and what visitors are offered."""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tempo_core.checkpoint import FOOTAGE
from tempo_core.errors import CheckpointError
from tempo_core.files import write_whole


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """The content of the file."""

    offered: tuple[str, ...] = ()
    """Names of models that visitors may choose beside the served one."""
    hub_names: tuple[str, ...] = ()
    """Hub names that somebody downloaded and that are not among the known ones."""
    folders: dict[str, str] = field(default_factory=dict)
    """Paths of folders of one's own, by the names that they are shown under."""


class SettingsFile:
    """The file; threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def read(self) -> ModelSettings:
        """What stands there; without a file the other shipped model is offered. Raises CheckpointError when damaged."""
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
            return ModelSettings(
                offered=tuple(map(str, values["offered"])),
                hub_names=tuple(map(str, values["hub_names"])),
                folders={str(name): str(path) for name, path in values["folders"].items()},
            )
        except FileNotFoundError:
            return ModelSettings(offered=(FOOTAGE.name,))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{self.path} is damaged. Delete it to begin with no models of your own and none offered."
            ) from error

    def change(self, changed: Callable[[ModelSettings], ModelSettings]) -> ModelSettings:
        """Write what `changed` makes of the settings, whole or not at all."""
        with self._lock:
            settings = changed(self.read())
            write_whole(self.path, json.dumps(asdict(settings), indent=1) + "\n")
            return settings


def with_offered(settings: ModelSettings, name: str, *, is_offered: bool) -> ModelSettings:
    """The settings with a model offered, or no longer."""
    names = tuple(offer for offer in settings.offered if offer != name)
    return replace(settings, offered=(*names, name) if is_offered else names)
