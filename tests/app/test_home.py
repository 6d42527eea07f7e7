"""The home folder."""

import errno
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from app.home import open_home, serving_lock
from tempo_core.errors import InputError


def test_makes_every_room_for_its_owner_only(tmp_path: Path) -> None:
    home = open_home(tmp_path / "deep" / "home")
    for folder in (home.root, home.media, home.uploads, home.adapters, home.snapshots):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert home.database == home.root / "cqvh.sqlite3"


def test_opens_twice_and_keeps_what_is_there(tmp_path: Path) -> None:
    (open_home(tmp_path / "home").media / "kept").write_text("x")
    assert (open_home(tmp_path / "home").media / "kept").read_text() == "x"


def test_takes_the_folder_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPO_HOME", str(tmp_path / "named"))
    assert open_home().root == tmp_path / "named"
    monkeypatch.delenv("TEMPO_HOME")
    monkeypatch.chdir(tmp_path)
    assert open_home().root == tmp_path / "data"


def test_a_file_in_the_way_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(InputError, match=r"cannot write to its folder .*home .*--home or TEMPO_HOME"):
        open_home(tmp_path / "home")


def test_a_read_only_file_system_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **named: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(InputError, match="Read-only file system"):
        open_home(tmp_path / "home")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write to a read-only folder")
def test_a_read_only_folder_is_an_input_error(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot write"):
        open_home(home)


def test_one_server_at_a_time_works_in_a_home(tmp_path: Path) -> None:
    """A child holds the lock, as another server would; killed, it gives it back."""
    home = open_home(tmp_path / "home")
    holder = (
        "import sys, time; from app.home import open_home, serving_lock, serving_lock\n"
        "with serving_lock(open_home(sys.argv[1])): print('holds', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", holder, str(home.root)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"holds\n"
        problem = rf"Another server works in .*home \(process {child.pid}\)"
        with pytest.raises(InputError, match=problem), serving_lock(home):
            pass
        child.kill()
    with serving_lock(home):
        assert (home.root / "serving.lock").read_text() == f"{os.getpid()}\n"
