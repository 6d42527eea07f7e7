"""Write the lock: every package but torch with the hashes of its files, for the Pythons and systems that are supported.

    python -m scripts.lock            # after a change of a pin
    python -m scripts.lock --check    # says whether the files on disk are what it would write

`requirements.lock` is what the product runs on, `requirements-dev.lock` what tests and checks need besides. uv resolves
requirements.txt and requirements-dev.txt under constraints.txt for Python 3.11 to 3.13 on Linux and macOS at once.
torch is left out, and so are the CUDA packages that its Linux build brings along: which build fits depends on the
machine (`scripts/setup.py`).
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INDEX = "https://pypi.org/simple"
OF_TORCH = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
"""What comes with a build of torch."""
ELSEWHERE = re.compile(r"sys_platform == '(win32|emscripten)'")
"""The marker of a package that is for other systems only."""
HEADER = "# Written by `python -m scripts.lock`: versions from {source} and constraints.txt, hashes of every file.\n"


def resolve(source: str) -> dict[str, str]:
    """Package → its lines: version, marker, hashes. Raises SystemExit with uv's own words."""
    command = [sys.executable, "-m", "uv", "pip", "compile", source, "--default-index", INDEX]
    command += ["--universal", "--python-version", "3.11", "--generate-hashes"]
    command += ["--no-annotate", "--no-header", "--quiet"]
    uv = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if uv.returncode:
        raise SystemExit(f"uv cannot resolve {source}: {uv.stderr.strip()}")
    blocks = re.findall(r"^\S.*\n(?:[ ].*\n)*", uv.stdout, re.MULTILINE)
    packages = {re.split(r"[=\[ ]", block, maxsplit=1)[0]: block for block in blocks if block[0] != "#"}
    return {
        name: block
        for name, block in packages.items()
        if not (OF_TORCH.fullmatch(name) or ELSEWHERE.search(block))
    }


def main(arguments: list[str]) -> int:
    runtime, developing = resolve("requirements.txt"), resolve("requirements-dev.txt")
    besides = {name: block for name, block in developing.items() if runtime.get(name) != block}
    stale = []
    for name, source, packages in (
        ("requirements.lock", "requirements.txt", runtime),
        ("requirements-dev.lock", "requirements-dev.txt", besides),
    ):
        text = HEADER.format(source=source) + "".join(packages.values())
        path = ROOT / name
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"{', '.join(stale)}: not what the pins give. Run `python -m scripts.lock`.")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
