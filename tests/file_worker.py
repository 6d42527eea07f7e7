"""What in the product gives a finished file or folder its name, each twice, to be recorded (tests/power_cuts.py)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from annotations.formats.files import write_all
from app.models.settings import ModelSettings, SettingsFile
from tempo_core import files
from tempo_core.calibration import PlattScaling, read_scaling, write_scaling
from tempo_core.hub import Hub
from tests.power_cuts import acknowledge
from tests.train.refresh.test_registry import lineage, peft_files
from train.checkpoints import read_json, write_json
from train.refresh.registry import Registry

LONG = "x" * 3000
"""So that a file has several sectors."""


def scaling(number: float) -> PlattScaling:
    return PlattScaling(
        slope=1.0,
        offset=float(number),
        model_id="m",
        relevant_rows=9,
        irrelevant_rows=9,
        error_before=0.5,
        error_after=0.1,
        auroc=0.9,
    )


def write_export(folder: Path, number: int) -> None:
    write_all({folder / "export": f"{number}{LONG}".encode()}, overwrite=True)


def read_text(path: Path) -> int | None:
    """The number that a file of numbers and x begins with; fails on one that is not whole."""
    if not path.exists():
        return None
    text = path.read_text()
    assert text[1:] == LONG
    return int(text[0])


def write_folder(folder: Path, number: int) -> None:
    part = folder / f"part-{number}"
    (part / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (part / name).write_text(f"{number}{LONG}")
    files.move(part, folder / f"folder-{number}")


def read_folder(folder: Path) -> int | None:
    present = [number for number in (1, 2) if (folder / f"folder-{number}").exists()]
    for number in present:
        for name in ("a", "deep/b"):
            assert read_text(folder / f"folder-{number}" / name) == number
    return max(present, default=None)


def write_state(folder: Path, number: int) -> None:
    state = folder / f"state-{number}"
    state.mkdir()
    (state / "weights").write_text(f"{number}{LONG}")
    files.sync_all(state)
    files.write_whole(state / "whole", "")
    files.sync(folder)


def read_state(folder: Path) -> int | None:
    """The newest state with its mark."""
    whole = [number for number in (1, 2) if (folder / f"state-{number}" / "whole").exists()]
    for number in whole:
        assert read_text(folder / f"state-{number}" / "weights") == number
    return max(whole, default=None)


def write_settings(folder: Path, number: int) -> None:
    SettingsFile(folder / "models.json").change(lambda _: ModelSettings(offered=(str(number), LONG)))


def read_settings(folder: Path) -> int | None:
    offered = SettingsFile(folder / "models.json").read().offered
    return int(offered[0]) if offered else None


def read_offset(folder: Path) -> int | None:
    scaling = read_scaling(folder, "m")
    return None if scaling is None else int(scaling.offset)


def read_value(folder: Path) -> int | None:
    path = folder / "value.json"
    return int(read_json(path)["number"]) if path.exists() else None


PLACES: dict[str, tuple[Callable[[Path, int], Any], Callable[[Path], int | None]]] = {
    "whole": (
        lambda folder, number: files.write_whole(folder / "file", f"{number}{LONG}"),
        lambda folder: read_text(folder / "file"),
    ),
    "export": (write_export, lambda folder: read_text(folder / "export")),
    "folder": (write_folder, read_folder),
    "state": (write_state, read_state),
    "settings": (write_settings, read_settings),
    "scaling": (lambda folder, number: write_scaling(folder, scaling(number)), read_offset),
    "value": (
        lambda folder, number: write_json(folder / "value.json", {"number": number, "x": LONG}),
        read_value,
    ),
}
"""Name → how the value `number` is written, and how the number is read back; None where there is nothing yet."""


def write_everything(root: str) -> None:
    """Each place twice, in folders that are there; then an adapter that is promoted."""
    for name, (write, _) in PLACES.items():
        folder = Path(root) / "places" / name
        files.make_folder(folder)
        for number in (1, 2):
            write(folder, number)
            acknowledge(root, f"{name} {number}")
    registry = Registry(Path(root) / "adapters")
    entry = registry.add(peft_files(Path(root) / "trained", 1.0), lineage())
    acknowledge(root, f"added {entry.name}")
    registry.promote(entry.name, by="test")
    acknowledge(root, f"promoted {entry.name}")


def download(root: str, endpoint: str, name: str) -> None:
    """A checkpoint from a hub, into a cache of its own."""
    Hub(endpoint=endpoint, cache=Path(root) / "cache", pause_s=0.0).download(name)
    acknowledge(root, "downloaded")
