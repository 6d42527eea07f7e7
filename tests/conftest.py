"""Fixtures that every floor uses."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tempo_core import forkserver

settings.register_profile("any machine", settings.default, deadline=None)
settings.load_profile("any machine")
"""No example has a time limit: the first one may load a library, and the machine may be busy."""

gc.disable()
"""Until all is collected: nothing of it is garbage, and looking for some takes a quarter of its time."""

LONGEST_FIRST = (
    "tests/app/load/test_load.py",
    "tests/train/refresh/test_run.py",
    "tests/annotations/test_migrations.py",
    "tests/tempo_core/library/test_index.py",
    "tests/train/test_loop.py",
    "tests/train/test_commands.py",
    "tests/fuzz/test_fuzz.py",
    "tests/test_docs.py",
    "tests/annotations/test_durability.py",
    "tests/annotations/test_power_cuts.py",
    "tests/train/grpo/test_trainer.py",
    "tests/train/grpo/test_processes.py",
    "tests/train/test_gains.py",
    "tests/train/test_ablation.py",
    "tests/train/naturalworld/test_recipe.py",
    "tests/annotations/formats/test_round_trips.py",
    "tests/annotations/test_commands.py",
    "tests/app/test_reverse_proxy.py",
    "tests/app/test_main.py",
    "tests/app/test_no_request_leaves.py",
    "tests/app/ground/test_page.py",
    "tests/app/annotate/test_page.py",
    "tests/app/review/test_page.py",
    "tests/app/test_accessibility.py",
    "tests/app/media/test_colours.py",
    "tests/app/ground/test_as_uploaded.py",
    "tests/app/data/test_page.py",
    "tests/app/timeline/test_tutorial.py",
    "tests/app/training/test_page.py",
    "tests/app/timeline/test_timeline_view.py",
    "tests/app/timeline/test_keyboard.py",
)
"""Files of ten seconds and more. Those that drive a browser stand last, next to all others that do."""
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real rows, evaluator outputs and clips that lies beside a developer's checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the shared test data, which is not part of the project: {SHARED} does not exist")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def ended_servers() -> Iterator[None]:
    """Fork servers end with the tests."""
    yield
    forkserver.close_servers()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two a core, since a test that drives a page or a child waits half of its time; a worker takes 1.5 GiB. Three a
    core took a seventh longer on two cores (docs/experiments.md)."""
    return min(2 * (os.cpu_count() or 1), 8)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a browser is slow. The longest files begin, so that side by side the last are short; then those that
    drive a browser follow each other and share it."""
    browsing = set()
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker("slow")
            browsing.add(item.path)
    ranks = {file: rank for rank, file in enumerate(LONGEST_FIRST)}
    items.sort(
        key=lambda item: (
            ranks.get(item.nodeid.partition("::")[0], len(ranks)),
            item.path not in browsing,
        )
    )


def pytest_collection_finish() -> None:
    """What the imports made stays anyway. A collection, of which every training begins with one, passes it by."""
    gc.collect()
    gc.freeze()
    gc.enable()
