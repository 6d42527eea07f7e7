"""The floors of the house: which package may import which, read from the sources, never by running them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "app": {"train", "annotations", "tempo_core"},
    "train": {"annotations", "tempo_core"},
    "annotations": {"tempo_core"},
    "tempo_core": set(),
}
OURS = {*MAY_IMPORT, "benchmarks", "scripts", "tests"}
# The store knows the moment type, the metrics, the errors, how a file is written whole and the command line, and cuts
# clips in a child process (`tempo_core.proxy`): nothing that loads a model.
ANNOTATIONS_MAY_NAME = (
    "tempo_core.moments",
    "tempo_core.metrics",
    "tempo_core.errors",
    "tempo_core.files",
    "tempo_core.command_line",
    "tempo_core.proxy",
    "tempo_core.sandbox",
    "tempo_core.wording",
)


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and absolute module name of every import in a source, those inside functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [alias.name for alias in node.names] if "." not in (node.module or "") else [""]
            yield from ((node.lineno, f"{node.module}.{name}".rstrip(".")) for name in names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            yield node.lineno, ".".join([*above, node.module or ""]).rstrip(".")


def wrong_arrows(source: str, package: str) -> list[str]:
    """One line for every import that a module of `package` (dotted) must not have."""
    floor = package.split(".")[0]
    wrong = []
    for line, name in imported(source, package):
        target = name.split(".")[0]
        if target in OURS - {floor} and target not in MAY_IMPORT[floor]:
            wrong.append(f"line {line}: {floor} must not import {name}")
        elif floor == "annotations" and target == "tempo_core" and not name.startswith(ANNOTATIONS_MAY_NAME):
            wrong.append(
                f"line {line}: annotations may import only {', '.join(ANNOTATIONS_MAY_NAME)}; got {name}"
            )
    return wrong


def sources(floor: str) -> list[Path]:
    return sorted((ROOT / floor).rglob("*.py"))


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_every_import_runs_down(floor: str) -> None:
    assert sources(floor), f"{floor} has no sources"
    wrong = {
        str(path.relative_to(ROOT)): arrows
        for path in sources(floor)
        if (arrows := wrong_arrows(path.read_text(), ".".join(path.relative_to(ROOT).parts[:-1])))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("import train", "annotations"),
        ("from app.build import build_app", "train"),
        ("from annotations.store import Store", "tempo_core.metrics"),
        ("def f():\n    import app", "tempo_core"),
        ("from tempo_core import engine", "annotations"),
        ("import tempo_core.loading", "annotations.formats"),
        ("from tests.conftest import clip", "app"),
    ],
)
def test_an_arrow_upwards_is_found(source: str, package: str) -> None:
    assert len(wrong_arrows(source, package)) == 1


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("from tempo_core.moments import Moment", "annotations"),
        ("from tempo_core import moments", "annotations"),
        ("from tempo_core import command_line", "annotations"),
        ("from .records import Row", "annotations.formats"),
        ("import apple, training.app", "tempo_core"),
        ("from train import sft\nimport annotations.store", "app.pages"),
    ],
)
def test_an_arrow_downwards_is_allowed(source: str, package: str) -> None:
    assert wrong_arrows(source, package) == []


@pytest.mark.parametrize("start", ["tempo_core", "tempo_core.metrics", "annotations"])
def test_the_light_floors_load_no_model_and_no_page(start: str) -> None:
    """Scoring and exporting must start fast, and work where torch and Gradio are not installed."""
    if start == "tempo_core":
        names = [start]
    else:
        folder = ROOT.joinpath(*start.split("."))
        paths = [
            path for path in folder.rglob("*.py") if path.stem != "__main__" and "versions" not in path.parts
        ]
        names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted(paths)]
        names = [name.removesuffix(".__init__") for name in names if not name.endswith("migrations.env")]
    script = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        "print(sorted({'torch', 'transformers', 'gradio'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == "[]"
