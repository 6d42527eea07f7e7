"""The Gradio Space: its card says what is pinned, and its app.py serves the package of the same name."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def test_the_card_names_the_pinned_gradio_and_a_python_that_we_run_on() -> None:
    card = yaml.safe_load((ROOT / "space" / "README.md").read_text().split("---")[1])
    pinned = re.search(r"^gradio==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert card["sdk"] == "gradio"
    assert card["sdk_version"] == pinned[1]
    assert card["app_file"] == "app.py"
    assert card["python_version"] == "3.11"
    assert len(card["short_description"]) <= 60


def test_app_py_at_the_top_runs_the_package_beside_it(tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "space" / "app.py", tmp_path / "app.py")
    for package in ("app", "annotations", "train", "tempo_core"):
        (tmp_path / package).symlink_to(ROOT / package)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "app.py", "--help"]
    process = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "Serve Tempo Studio in the browser." in process.stdout
