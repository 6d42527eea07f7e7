"""A running app on a home of its own, and a browser to look at it; for `scripts.screenshots`."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_MS = 120_000
"""A model loads and answers on a busy machine."""


class StageError(Exception):
    """The app or the browser could not be started; the message is the one line that a person reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """An app that answers."""

    url: str
    home: Path
    account: str
    password: str
    """Of the first account, as the app printed it."""


@contextmanager
def serving(*options: str) -> Iterator[Served]:
    """`python -m app` on a free port and a fresh home, until the block ends. Raises StageError."""
    with tempfile.TemporaryDirectory(prefix="tempo-screenshots-") as home:
        command = [sys.executable, "-m", "app", "--port", "0", "--home", home, *options]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "TEMPO_HOME": home},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield _when_served(process, Path(home))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def _when_served(process: subprocess.Popen[str], home: Path) -> Served:
    password = ""
    for line in process.stdout or ():
        if "shown only now: " in line:
            password = line.rsplit(" ", 1)[1].strip()
        if "serving http" in line:
            return Served(url=line.split()[2], home=home, account="local", password=password)
    raise StageError(f"the app ended with exit code {process.wait()} before it served; its message is above.")


@contextmanager
def browsing() -> Iterator[Any]:
    """A headless Chromium. Raises StageError where there is none."""
    from playwright.sync_api import sync_playwright

    from scripts.setup import CHROMIUM_FLAGS, find_browser

    executable = find_browser()
    if executable is None:
        raise StageError("there is no Chromium. `make test` installs one, or name it with TEMPO_CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
