"""The documents are true: their links lead somewhere, their commands exist, every command is documented."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from scripts.commands import Command, all_commands, refresh, sections

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tempo_core").rglob("*.md")]
    if path.is_file()
)
names = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


@cache
def commands() -> dict[str, Command]:
    """Read from the programs, of which the benchmarks load all that they measure: who asks for it is slow."""
    return all_commands()


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def shell_lines(text: str) -> list[str]:
    """The lines of a document's shell blocks, continued lines joined, comments and prompts taken away."""
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0].strip().removeprefix("$ ") for line in lines if line.strip()]


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_every_link_resolves(document: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(document.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_every_command_that_is_shown_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for line in shell_lines(document.read_text()):
        words = line.split()
        if words[0] == "make":
            assert words[1] in targets, line
        if words[:2] == ["python", "-m"] and words[2] != "pip":
            matches = [name for name in commands() if f"{line} ".startswith(f"{name} ")]
            assert matches, f"{line}: there is no such command"
            options = {word.split("=")[0] for word in words if word.startswith("--")}
            assert options <= set(commands()[max(matches, key=len)]["options"]), line


@pytest.mark.slow
def test_every_command_and_option_is_documented() -> None:
    documented = sections((ROOT / "docs" / "commands.md").read_text())
    assert set(documented) == set(commands()), "run `make docs`, then say in a sentence what it is for"
    missing = {
        line: absent
        for line, command in commands().items()
        if (absent := [option for option in command["options"] if option not in documented[line]])
    }
    assert missing == {}, "run `make docs`"


def test_refreshing_keeps_prose_adds_what_is_new_and_drops_what_is_gone() -> None:
    document = (
        "# Commands\n\n## `python -m app`\n\nServes.\n\n```text\nold\n```\n\nMore.\n\n"
        "## `python -m gone`\n\n```text\nold\n```\n"
    )
    commands: dict[str, Command] = {
        "python -m train sft": {"help": "usage: sft", "options": []},
        "python -m app": {"help": "usage: \\1 new", "options": []},
    }
    fresh = refresh(document, commands)
    assert fresh == (
        "# Commands\n\n## `python -m train sft`\n\n```text\nusage: sft\n```\n\n"
        "## `python -m app`\n\nServes.\n\n```text\nusage: \\1 new\n```\n\nMore.\n"
    )
    assert refresh(fresh, commands) == fresh


def test_every_command_says_what_it_is_for() -> None:
    """Prose beside the help text: at least one sentence."""
    documented = sections((ROOT / "docs" / "commands.md").read_text())
    bare = [line for line, part in documented.items() if not part.split("```")[0].partition("\n")[2].strip()]
    assert bare == []


def test_the_readme_begins_as_promised() -> None:
    """One sentence, a screenshot, the two commands, ten lines of Python."""
    readme = (ROOT / "README.md").read_text()
    assert readme.index("docs/images/film.png") < readme.index("make app") < readme.index("```python")
    assert {"make app", "make test"} <= set(shell_lines(readme))
    block = re.search(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert block is not None
    assert len(block[1].strip().splitlines()) <= 10


def test_the_readmes_python_names_what_exists() -> None:
    import tempo_core

    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert block is not None
    for node in ast.walk(ast.parse(block[1])):
        if isinstance(node, ast.ImportFrom):
            assert node.module == "tempo_core"
            assert all(callable(getattr(tempo_core, alias.name)) for alias in node.names)
