"""Mutation run: do a module's own tests notice when one small thing in it is wrong?

    python -m scripts.mutants                                  # 200 random mutants of the modules in MODULES
    python -m scripts.mutants annotations/formats --count 50   # of some files or folders
    python -m scripts.mutants --list --seed 3                  # name them, run nothing
    python -m scripts.mutants --again                          # those that survived, with the tests as they are now
    python -m scripts.mutants --again --only csv.py:120        # one of them

A mutant is the source with one change: a comparison or sum turned round, a number one larger, a condition denied, a
call left out, an argument instead of the function's value. It is run in a copy of the project with the tests that
belong to its module (`own_tests`): the nearest file, then those that are soonest through. Quick tests run first; slow
and browser tests run when the quick ones notice nothing, and wait at most a minute for a page. A mutant whose tests
fail or never end is killed, one that passes survives; in the end the tests that noticed something are run without any
mutant. Survivors are printed with their line; some are equal to the original in all that matters.

The draw is by a hash of the changed text, so that a change to one module leaves the other modules' mutants in it.
Results are kept in --out as JSON lines, with the test that failed; a run goes on from there.

It is no test and not part of CI: 200 mutants take about an hour on two cores.
"""

import ast
import compileall
import hashlib
import importlib
import itertools
import json
import os
import py_compile
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import pytest
import typer

ROOT = Path(__file__).resolve().parents[1]
MODULES = (
    "annotations/formats",  # write formats
    "annotations/exporting.py",
    "annotations/importing.py",
    "annotations/imports.py",
    "annotations/rows.py",
    "tempo_core/video.py",  # read video
    "tempo_core/video_tasks.py",
    "tempo_core/decoders.py",
    "tempo_core/sampling.py",
    "tempo_core/demux.py",
    "tempo_core/picture_index.py",
    "tempo_core/bitstream.py",
    "tempo_core/animated_webp.py",
    "tempo_core/colour.py",
    "tempo_core/proxy.py",
    "tempo_core/transcode.py",
    "train/data",  # make training rows
    "app/ground",  # serve pages
    "app/annotate",
    "app/review",
    "app/data",
    "app/training",
    "app/media",
    "app/auth",
    "app/http",
    "app/timeline",
    "app/ui",
    "app/build.py",
)
WARM = (
    "numpy",
    "scipy.optimize",
    "pandas",
    "sqlalchemy",
    "torch",
    "transformers",
    "peft",
    "fastapi",
    "gradio",
    "pytest",
)
"""Imported once, before a process is forked for each mutant."""
SLOW_TO_TEST = ("app/", "tempo_core/")
"""Run last: their tests make videos, or drive a browser."""
FEATURES = ("app/", "annotations/formats/")
"""Where a module is reached through its neighbours: a layout by its page, a format by the list of formats."""
COMPARISONS = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
SUMS = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "*"}
UNSEEN_CALLS = {
    "cast",
    "info",
    "debug",
    "warning",
    "exception",
    "Path",
    "tuple",
    "list",
    "str",
    "cached_property",
}
"""Calls whose loss changes a log line or a type only."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file."""

    path: str
    line: int
    start: int
    """Offset into the UTF-8 bytes of the file."""
    end: int
    replacement: str
    original: str
    occurrence: int
    """How many equal changes of the same text stand before this one in the file."""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What stays the same when other lines of the file change."""
        return self.path, self.original, self.replacement, self.occurrence

    def rank(self, seed: int) -> str:
        """The place in the draw."""
        return hashlib.sha256(repr((seed, self.key)).encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.path}:{self.line}  {' '.join(self.original.split())!r} -> {self.replacement!r}"


def mutants_of(path: Path, root: Path = ROOT) -> Iterator[Mutant]:
    """Every mutant of a source file. Docstrings, annotations, `raise` texts and log lines are left alone."""
    source = path.read_bytes()
    occurrences: Counter[tuple[str, str]] = Counter()
    offsets = [0]
    for line in source.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))

    def mutant(node: ast.AST, replacement: str) -> Mutant:
        start = offsets[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = offsets[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        original = source[start:end].decode()
        occurrence = occurrences[original, replacement]
        occurrences[original, replacement] += 1
        name = str(path.relative_to(root))
        return Mutant(name, node.lineno, start, end, replacement, original, occurrence)  # type: ignore[attr-defined]

    def text(node: ast.AST) -> str:
        return ast.get_source_segment(source.decode(), node) or ""

    def function_name(function: ast.expr) -> str:
        return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")

    def visit(node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.Raise() | ast.Import() | ast.ImportFrom() | ast.arg():
                return
            case ast.JoinedStr():  # Python 3.11 gives wrong places inside of them
                return
            case ast.AnnAssign():
                if node.value is not None:
                    yield from visit(node.value)
                return
            case ast.Compare(ops=[operator]) if type(operator) in COMPARISONS:
                left, right = text(node.left), text(node.comparators[0])
                yield mutant(node, f"({left} {COMPARISONS[type(operator)]} {right})")
            case ast.BinOp() if type(node.op) in SUMS and not isinstance(
                node.left, ast.JoinedStr | ast.Constant
            ):
                yield mutant(node, f"({text(node.left)} {SUMS[type(node.op)]} {text(node.right)})")
            case ast.BoolOp():
                other = " or " if isinstance(node.op, ast.And) else " and "
                yield mutant(node, "(" + other.join(text(value) for value in node.values) + ")")
            case ast.UnaryOp(op=ast.Not()):
                yield mutant(node, f"({text(node.operand)})")
            case ast.If() | ast.IfExp() | ast.While() if not isinstance(
                node.test, ast.Compare | ast.BoolOp | ast.UnaryOp
            ):
                yield mutant(node.test, f"(not ({text(node.test)}))")
            case ast.Constant(value=bool()):
                yield mutant(node, str(not node.value))
            case ast.Constant(value=int() | float() as number):
                yield mutant(node, repr(number + 1))
            case ast.Expr(value=ast.Constant(value=str())):  # a docstring
                return
            case ast.Expr(value=ast.Call(func=function)):
                if function_name(function) in UNSEEN_CALLS:
                    return
                yield mutant(node, "pass")
            case ast.Call(args=[argument], keywords=[]) if not isinstance(
                argument, ast.Starred | ast.GeneratorExp
            ):
                name = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                if name[:1].islower() and name not in UNSEEN_CALLS:
                    yield mutant(node, f"({text(argument)})")
            case ast.Return(value=ast.expr() as value) if not (
                isinstance(value, ast.Constant) and value.value is None
            ):
                yield mutant(value, "None")
        for field, child in ast.iter_fields(node):
            if field in ("annotation", "returns", "type_params", "decorator_list"):
                continue
            for item in child if isinstance(child, list) else [child]:
                if isinstance(item, ast.AST):
                    yield from visit(item)

    yield from visit(ast.parse(source))


def mutated(source: bytes, mutant: Mutant) -> bytes:
    """The file's bytes with the change made."""
    return source[: mutant.start] + mutant.replacement.encode() + source[mutant.end :]


def is_valid(mutant: Mutant) -> bool:
    """Whether the mutant is still Python."""
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(mutated((ROOT / mutant.path).read_bytes(), mutant), mutant.path, "exec")
    except SyntaxError:
        return False
    return True


@cache
def imported_modules(path: Path) -> frozenset[str]:
    """Dotted names of all that a file imports, wherever in it: `a.b` and `a.b.c` for `from a.b import c`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def imported_with_helpers(path: Path, root: Path) -> frozenset[str]:
    """The same, with what the test helpers import that it imports."""
    names = imported_modules(path)
    helpers = [root / f"{name.replace('.', '/')}.py" for name in names if name.startswith("tests.")]
    return names.union(*(imported_modules(helper) for helper in helpers if helper.is_file()))


def own_tests(module: str, root: Path) -> list[str]:
    """The test files of a module, nearest first. `tests/` mirrors the packages.

    They are those in the mirrored folder that import it. Where a folder is one feature (FEATURES) its other tests
    follow, and in `app/` those above it that import the module, if only by a helper. A module that no test there
    imports is tested through the modules of its folder that import it.
    """
    folder, stem = root / "tests" / Path(module).parent, Path(module).stem
    dotted = module.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    while not folder.is_dir():
        folder = folder.parent
    paths = sorted(folder.rglob("test_*.py"))
    # those that name the module most often first
    paths.sort(key=lambda path: -len(re.findall(stem.replace("_", "[-_]"), path.read_text())))

    def importing(names: set[str]) -> list[Path]:
        return [path for path in paths if names & imported_modules(path)]

    named = [path for path in paths if path.stem == f"test_{stem}"]
    tests = named + importing({dotted})
    if module.startswith("app/"):
        outside = sorted((root / "tests/app").glob("test_*.py"))
        tests += [path for path in outside if dotted in imported_with_helpers(path, root)]
    if module.startswith(FEATURES) and folder != root / "tests/app":
        tests += paths
    if not tests:
        users = [path for path in (root / module).parent.glob("*.py") if dotted in imported_modules(path)]
        tests = [path for path in paths if path.stem in {f"test_{user.stem}" for user in users}]
        tests += importing({".".join(user.relative_to(root).with_suffix("").parts) for user in users})
    return [str(path.relative_to(root)) for path in dict.fromkeys(tests or paths)]


class Stopwatch:
    """A pytest plugin that adds up the seconds of each test file, and writes them down in the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(json.dumps(self.seconds))


def passes(tests: Sequence[str], marks: str, limit_s: float, log: Path) -> bool:
    """Whether the tests with these marks pass in the present folder, run in a forked process."""
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            ignored = "ignore::pytest.PytestAssertRewriteWarning"  # for plugins among what is warm
            options = ["-x", "-q", "-p", "no:cacheprovider", "-W", ignored, "-m", marks]
            code = pytest.main([*options, *tests], plugins=[Stopwatch(log.with_suffix(".json"))])
            os._exit(0 if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) else 1)
        except BaseException:  # never back into the parent's code
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(2)
    log.with_suffix(".json").write_text("{}")
    deadline = time.monotonic() + limit_s
    pid, status = os.waitpid(child, os.WNOHANG)
    while not pid and time.monotonic() < deadline:
        time.sleep(0.05)
        pid, status = os.waitpid(child, os.WNOHANG)
    with suppress(ProcessLookupError):  # the tests, and what they started and left behind
        os.killpg(child, signal.SIGKILL)
    if not pid:
        os.waitpid(child, 0)
    return bool(pid) and status == 0


FIELDS = tuple(Mutant.__dataclass_fields__)
PAGE_LIMIT = ("_MS = 300_000", "_MS = 60_000")
"""How long a browser test waits for its page: as it is, and in the copy, where mutants make it wait in vain."""
MARKS = ("not slow and not browser", "slow or browser")
UNKNOWN_S = {MARKS[0]: 20, MARKS[1]: 120}
"""What the tests of a file are taken to need until they have passed once."""


def run_worker(mutants: Sequence[Mutant], results: Path) -> None:
    """Try each mutant in a copy of the project, and add a line to `results` for each."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder) / "project"
        names = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout
        for name in filter(None, names.split("\0")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
        for name in ("../shared", ".venv", "node_modules"):
            if (ROOT / name).exists():
                (copy / name).symlink_to((ROOT / name).resolve())
        os.chdir(copy)
        sys.path[:] = [str(copy), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
        # a mutant may be as long and as new as its original, which is all that an ordinary .pyc is compared by
        compileall.compile_dir(copy, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
        own = sorted({test for mutant in mutants for test in own_tests(mutant.path, copy)})
        passes(["--collect-only", *own], "", 3600, Path(folder) / "log")  # pytest keeps what it makes of them
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        os.environ["COLUMNS"] = "300"  # a failure's line holds its error
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(Path(folder) / "hypothesis")
        for path in (copy / "tests/app").rglob("*.py"):
            path.write_text(path.read_text().replace(*PAGE_LIMIT))
        log = Path(folder) / "log"
        usual_s: dict[tuple[str, str], float] = {}
        """Of each file and marks, the longest so far."""
        killers: dict[str, list[Mutant]] = {}
        """The mutants that a test noticed first."""

        def failure_of(mutant: Mutant, tests: Sequence[str], marks: str) -> str | None:
            """The first test that fails on the mutant, with its error; None where all pass."""
            path = copy / mutant.path
            source = path.read_bytes()
            path.write_bytes(mutated(source, mutant))
            limit_s = 60 + 5 * sum(usual_s.get((test, marks), UNKNOWN_S[marks]) for test in tests)
            passed = passes(tests, marks, limit_s, log)
            path.write_bytes(source)
            for test, seconds in json.loads(log.with_suffix(".json").read_text() or "{}").items():
                usual_s[test, marks] = max(seconds, usual_s.get((test, marks), 0.0))
            failures = re.findall(r"^(?:FAILED|ERROR) (.*)", log.read_text(errors="replace"), re.MULTILINE)
            return None if passed else failures[0] if failures else "the tests did not end"

        for mutant in mutants:
            verdict, failure, since = "survived", None, time.monotonic()
            nearest, *more_tests = own_tests(mutant.path, copy)
            for marks, tests in itertools.product(MARKS, ([nearest], more_tests)):
                tests = sorted(tests, key=lambda test: usual_s.get((test, marks), 0.0))
                failure = failure_of(mutant, tests, marks) if tests else None
                if failure is not None:
                    verdict = "killed"
                    break
            row = {
                "verdict": verdict,
                "failure": (failure or "")[:300],
                "seconds": round(time.monotonic() - since),
            }
            with results.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(mutant) | row) + "\n")
            if failure is not None and "::" in failure:
                killers.setdefault(failure.partition(" - ")[0], []).append(mutant)

        # Only the mutant may be to blame for a failure: the same tests pass without it.
        if killers and not passes([*killers], "", 3600, log):
            for name, killed in killers.items():
                if not passes([name], "", 3600, log):
                    print(f"{name} fails without a mutant too:\n{log.read_text()[-2000:]}", flush=True)
                    with results.open("a", encoding="utf-8") as lines:
                        rows = [asdict(mutant) | {"verdict": "untestable"} for mutant in killed]
                        lines.writelines(json.dumps(row) + "\n" for row in rows)


def read_verdicts(results: Path) -> dict[tuple[str, str, str, int], str]:
    """The last verdict on each mutant, by its key."""
    if not results.exists():
        return {}
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    return {Mutant(**{name: row[name] for name in FIELDS}).key: row["verdict"] for row in rows}


def main(
    paths: Annotated[list[Path] | None, typer.Argument(help="files or folders; default: MODULES")] = None,
    count: Annotated[int, typer.Option(help="how many mutants to draw")] = 200,
    seed: Annotated[int, typer.Option(help="of the draw")] = 0,
    jobs: Annotated[int, typer.Option(help="processes")] = 2,
    list_only: Annotated[bool, typer.Option("--list", help="name the mutants, run nothing")] = False,
    again: Annotated[bool, typer.Option("--again", help="run those that were not killed once more")] = False,
    only: Annotated[list[str] | None, typer.Option(help="run those whose name contains this")] = None,
    out: Annotated[Path, typer.Option(help="results as JSON lines; a run goes on from them")] = Path(
        "mutants.jsonl"
    ),
) -> None:
    """Draw mutants, run their tests, print survivors; exit code 1 when fewer than nine in ten are killed."""
    files: list[Path] = []
    for path in [ROOT / path for path in paths or MODULES]:
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    population = [mutant for file in files for mutant in mutants_of(file)]
    population.sort(key=lambda mutant: mutant.rank(seed))
    sample = list(itertools.islice(filter(is_valid, population), count))
    if list_only:
        print("\n".join(str(mutant) for mutant in sample))
        return
    out = out.resolve()
    verdicts = read_verdicts(out)
    remaining = [
        mutant
        for mutant in sorted(sample, key=lambda mutant: mutant.path.startswith(SLOW_TO_TEST))
        if (mutant.key not in verdicts or (again and verdicts[mutant.key] != "killed"))
        and (not only or any(text in str(mutant) for text in only))
    ]
    for name in WARM:
        importlib.import_module(name)
    workers = []
    for number in range(jobs):
        worker = os.fork()
        if worker == 0:
            run_worker(remaining[number::jobs], out)
            os._exit(0)
        workers.append(worker)
    for worker in workers:
        os.waitpid(worker, 0)
    verdicts = read_verdicts(out)
    for mutant in sample:
        if verdicts.get(mutant.key) != "killed":
            print(f"{verdicts.get(mutant.key, 'not run')}: {mutant}")
    killed = sum(verdicts.get(mutant.key) == "killed" for mutant in sample)
    print(
        f"{killed} of {len(sample)} mutants killed ({killed / len(sample):.1%}), drawn from {len(population)}"
    )
    raise typer.Exit(0 if killed >= 0.9 * len(sample) else 1)


if __name__ == "__main__":
    typer.run(main)
