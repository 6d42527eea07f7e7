"""How a served checkpoint wants to be asked, out of its folder: a server tells its model's name and no more.

A checkpoint that was trained here says in `tempo.json` how many frames and tokens it was shown and with which words it
was asked, and in `vocabulary.json` which words it knows. Asked in another way it answers another question. Weights are
not read, so that the folder may hold its small files only.
"""

from dataclasses import dataclass
from pathlib import Path

from tempo_core.card import About, read_about
from tempo_core.checkpoint import SHIPPED_FOLDERS, read_config
from tempo_core.defaults import GroundingDefaults, read_defaults
from tempo_core.errors import CheckpointError
from tempo_core.families import family_named
from tempo_core.families.base import Family
from tempo_core.protocols import Choice
from tempo_core.vocabulary import Vocabulary, read_vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedSettings:
    """What the files of a served checkpoint, and of the adapter that it is served with, say."""

    folder: Path
    choice: Choice
    defaults: GroundingDefaults
    family: Family
    vocabulary: Vocabulary | None
    about: About | None


def settings_folders(checkpoint: str | Path, adapter: str | Path | None = None) -> tuple[Path, Path | None]:
    """The folders that are meant, the checkpoint's by name where it ships. Raises CheckpointError where one is not
    there: the hub is not asked for what a server has."""
    folder = Path(checkpoint).expanduser()
    if not folder.is_dir():
        folder = SHIPPED_FOLDERS.get(str(checkpoint), folder)
    adapter_folder = None if adapter is None else Path(adapter).expanduser()
    for kind, path in (("checkpoint", folder), ("adapter", adapter_folder)):
        if path is not None and not path.is_dir():
            raise CheckpointError(
                f"There is no {kind} folder {path}. Beside --endpoint, name the folder of what the server serves: its "
                "config.json, tempo.json and vocabulary.json are read, its weights are not."
            )
    return folder, adapter_folder


def read_settings(
    checkpoint: str | Path, adapter: str | Path | None = None, protocol: str | None = None
) -> ServedSettings:
    """The settings in a folder, or of a shipped checkpoint by its name; `adapter` is a folder too.

    Raises CheckpointError for a folder that is not there or has no config.json, InputError for a protocol that the
    family does not speak.
    """
    from tempo_core.loading import serving_choice  # with torch, which an endpoint alone does not need

    folder, adapter_folder = settings_folders(checkpoint, adapter)
    return ServedSettings(
        folder=folder,
        choice=serving_choice(folder, adapter_folder, protocol),
        defaults=read_defaults(folder),
        family=family_named(str(read_config(folder)["model_type"])),
        vocabulary=read_vocabulary(adapter_folder or folder),
        about=(read_about(adapter_folder) if adapter_folder else None) or read_about(folder),
    )
