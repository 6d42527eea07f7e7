"""Files that are written whole: after a power cut at any moment they are as before, or as they were promised."""

import ast
import os
import random
from pathlib import Path

import pytest

from tempo_core import files
from tempo_core.checkpoint import SHIPPED, fingerprint
from tests import file_worker, power_cuts
from tests.power_cuts import Recording
from train.refresh.registry import Registry

CUTS = int(os.environ.get("TEMPO_POWER_CUTS", "40"))
PRODUCT = ("annotations", "app", "tempo_core", "train")
ROOT = Path(__file__).resolve().parents[2]
RENAMES_ELSEWHERE = {
    "app/media/uploads.py": "an upload lasts until the server stops",
}


@pytest.mark.slow
def test_what_was_promised_survives_a_power_cut_whole(tmp_path: Path) -> None:
    library = power_cuts.recorder(tmp_path)
    root, log = tmp_path / "written", tmp_path / "log"
    power_cuts.record(library, file_worker.write_everything, root, log)
    recording, seeded = Recording(log, root), random.Random(5)
    places = recording.places()
    cuts = [*seeded.sample(places, min(CUTS, len(places))), *[places[-1]] * len(power_cuts.DAMAGES)]
    for state in recording.states(sorted(cuts), seeded):
        disk = tmp_path / "disk"
        state.write(disk)
        promised = dict(line.split() for line in state.promised)
        for name, (_, read) in file_worker.PLACES.items():
            if (disk / "places" / name).is_dir():
                assert (read(disk / "places" / name) or 0) >= int(promised.get(name, 0)), (name, state.cut)
            else:
                assert name not in promised
        if "added" in promised:
            registry = Registry(disk / "adapters")
            entry = registry.entry(promised["added"])
            assert fingerprint(entry.folder).startswith(entry.name.rpartition("-")[2])
            base = registry.promoted(fingerprint(SHIPPED))
            assert (base is not None and base.name == entry.name) or "promoted" not in promised


def test_nothing_else_renames_files() -> None:
    """`files.move` is the one way to give a finished file its name."""
    renaming = {}
    for path in (path for package in PRODUCT for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if not is_call:
                continue
            name = ast.unparse(node.func)
            is_path_method = (
                node.func.attr in ("rename", "replace") and len(node.args) == 1 and not node.keywords
            )
            if name in ("os.replace", "os.rename", "shutil.move") or is_path_method:
                renaming.setdefault(path.relative_to(ROOT).as_posix(), []).append(ast.unparse(node))
    assert set(renaming) == {"tempo_core/files.py", *RENAMES_ELSEWHERE}, renaming


def test_a_file_takes_the_place_of_the_one_there_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for content in ("first", b"second"):
        files.write_whole(path, content)
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    (path / "full").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        files.write_whole(path, "content")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_a_folder_does_not_take_the_place_of_one_with_content(tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    with pytest.raises(OSError, match="old"):
        files.move(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "file").read_text() == "old"


def test_folders_are_made_with_those_above_them(tmp_path: Path) -> None:
    for _ in range(2):
        files.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
