"""Fixtures that every floor uses."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real rows, evaluator outputs and clips that lies beside a developer's checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the shared test data, which is not part of the project: {SHARED} does not exist")
    return SHARED
