"""A file system that is full for real: nothing acknowledged is lost, and saving goes on when there is room again."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOUNT = 'mount -t tmpfs -o size=3m tmpfs "$1" && exec "$2" -m tests.annotations.full_disk_worker "$1"'


def test_saving_on_a_full_file_system_loses_nothing_and_goes_on(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-rm", "true"], capture_output=True).returncode:
        pytest.skip("needs a file system of one's own (unshare -rm), which this machine does not give")
    process = subprocess.run(
        [unshare, "-rm", "sh", "-c", MOUNT, "sh", str(tmp_path), sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert [outcome.partition(": ")[0] for outcome in result["when_full"]] == ["DiskFull", "DiskFull"]
    assert len(result["saved"]) > 5
    assert result["stored"] == result["saved"], "those that were refused are there too, once each"
    assert result["problems"] == []
