"""Saving on a file system of a few megabytes that fills up: prints what happened as JSON."""

import json
import sys
from pathlib import Path

from annotations import checks
from annotations.errors import StoreError
from annotations.store import Store
from tests.annotations.conftest import ROWS, edit


def save(store: Store, op_id: str) -> str:
    """ "ok", or the error's class and sentence."""
    try:
        change = edit((0, 10), note="x" * 3000)
        store.submit(1, change, annotator=op_id, parent_id=None, op_id=op_id)
    except StoreError as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


def main(folder: Path) -> None:
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    store = Store(folder / "cqvh.sqlite3")
    store.import_rows(ROWS, dataset="qvh", op_id="import")
    saved: list[str] = []
    while (outcome := save(store, f"save-{len(saved)}")) == "ok":
        saved.append(f"save-{len(saved)}")
    when_full = [outcome, save(store, "another")]
    sound_when_full = checks.problems(store)
    ballast.unlink()
    saved += [op_id for op_id in (f"save-{len(saved)}", "another") if save(store, op_id) == "ok"]
    store.close()
    with Store(folder / "cqvh.sqlite3") as again:
        result = {
            "saved": saved,
            "stored": [version.op_id for version in again.corrections(1)],
            "when_full": when_full,
            "problems": sound_when_full + checks.problems(again),
        }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
