"""A real PostgreSQL server for the tests: in a temporary folder, on a socket, stopped afterwards."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

INSTALLED = Path("/usr/lib/postgresql")  # where Debian's package puts each version
USER = "postgres"
FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_wal_size=64MB"
MEMORY = Path("/dev/shm")
"""A file system in memory, where a database of 300 files is copied in a tenth of the time that a disk takes."""
ROOM_BYTES = 2**30
"""What it must have free."""


def binaries() -> Path:
    """The newest installed version's programs; skips where there is none."""
    programs = sorted(INSTALLED.glob("*/bin/initdb"), key=lambda initdb: int(initdb.parts[-3]))
    if programs:
        return programs[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql), and initdb was not found")
    return Path(on_path).parent


class Server:
    """A server in a folder, which holds its socket too. It refuses to run as root, so root lends it a user."""

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder, self.settings, self.is_running = folder, settings, False
        self._programs = binaries()
        self._user = USER if os.geteuid() == 0 else None
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = str(folder / "data")
        self._run("initdb", "-D", data, "-U", USER, "--auth=trust", "--encoding=UTF8", "--no-sync")

    def start(self) -> None:
        settings = f"{self.settings} -c listen_addresses='' -k {self.folder}"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-l", log, "-w", "-o", settings, "start")
        self.is_running = True

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is a crash; `fast` ends the connections and closes properly."""
        if self.is_running:
            self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", mode, "stop")
        self.is_running = False

    def _run(self, program: str, *arguments: str) -> None:
        process = subprocess.run(
            [str(self._programs / program), *arguments],
            user=self._user,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.returncode == 0, process.stdout


@contextmanager
def server(settings: str = FAST) -> Iterator[Server]:
    """A running server. As it stands it forgets with the power; `settings` "" is one that does not."""
    in_memory = settings == FAST and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    folder = Path(tempfile.mkdtemp(prefix="cqvh-pg-", dir=MEMORY if in_memory else None))
    try:
        running = Server(folder, settings)
        try:
            running.start()
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
