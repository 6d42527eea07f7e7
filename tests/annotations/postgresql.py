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
FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c listen_addresses=''"


def binaries() -> Path:
    """The newest installed version's programs; skips where there is none."""
    programs = sorted(INSTALLED.glob("*/bin/initdb"), key=lambda initdb: int(initdb.parts[-3]))
    if programs:
        return programs[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql), and initdb was not found")
    return Path(on_path).parent


@contextmanager
def server() -> Iterator[str]:
    """The folder of a running server's socket. The server refuses to run as root, so root lends it a user."""
    programs = binaries()
    folder = Path(tempfile.mkdtemp(prefix="cqvh-pg-"))
    user = USER if os.geteuid() == 0 else None
    if user is not None:
        owner = pwd.getpwnam(user)
        os.chown(folder, owner.pw_uid, owner.pw_gid)

    def run(*command: str) -> None:
        done = subprocess.run(
            command, user=user, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, done.stdout

    data, log = str(folder / "data"), str(folder / "log")
    run(str(programs / "initdb"), "-D", data, "-U", USER, "--auth=trust", "--encoding=UTF8", "--no-sync")
    control = str(programs / "pg_ctl")
    run(control, "-D", data, "-l", log, "-w", "-o", f"{FAST} -k {folder}", "start")
    try:
        yield str(folder)
    finally:
        run(control, "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
