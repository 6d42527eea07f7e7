"""Fixtures that every floor uses."""

import gc
import os
from pathlib import Path

import pytest

gc.disable()
"""Until all is collected: nothing of it is garbage, and looking for some takes a quarter of its time."""

LONGEST_FIRST = ("tests/train/", "tests/app/")
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real rows, evaluator outputs and clips that lies beside a developer's checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the shared test data, which is not part of the project: {SHARED} does not exist")
    return SHARED


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two a core, since a test that drives a page or a child waits half of its time; a worker takes 1.5 GiB."""
    return min(2 * (os.cpu_count() or 1), 8)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a browser is slow. Folders with the longest files begin, so that side by side the last are short."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker("slow")
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in LONGEST_FIRST])


def pytest_collection_finish() -> None:
    """What the imports made stays anyway. A collection, of which every training begins with one, passes it by."""
    gc.collect()
    gc.freeze()
    gc.enable()
