"""Takes a picture of every page in every state: `python -m scripts.screenshots OUT [--only NAME ...]`.

Starts the app on a temporary home with the shipped model and the sample project, drives a headless Chromium
through `scripts.scenes`, in light and in dark, 1440, 1366 and 390 pixels wide, and writes OUT/NAME-THEME-WIDTH.png.
Exit code 2 and one line for bad input; 1 when a scene could not be reached (the others are still taken).
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from scripts.scene import Scene
from scripts.scenes import SCENES
from scripts.stage import Served, StageError, browsing, serving

THEMES = ("light", "dark")
WIDTHS = {1440: 900, 1366: 768, 390: 844}
"""Width and height of the window."""


def read_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line. Exits with 2 on an unknown scene, theme or width."""
    names = [scene.name for scene in SCENES]
    parser = argparse.ArgumentParser(
        prog="python -m scripts.screenshots", description=__doc__.partition("\n\n")[2].strip()
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder for the pictures; made when missing")
    parser.add_argument(
        "--only", metavar="NAME", nargs="+", choices=names, default=names, help=f"scenes: {', '.join(names)}"
    )
    parser.add_argument("--themes", nargs="+", choices=THEMES, default=THEMES, help="default: both")
    parser.add_argument(
        "--widths", nargs="+", type=int, choices=tuple(WIDTHS), default=tuple(WIDTHS), help="default: all"
    )
    return parser.parse_args(arguments)


def say(line: str) -> None:
    print(f"screenshots: {line}", flush=True)


def take(browser: Any, served: Served, scene: Scene, theme: str, width: int, out: Path) -> str | None:
    """One picture; why there is none, else None."""
    context = browser.new_context(
        viewport={"width": width, "height": WIDTHS[width]},
        color_scheme=theme,
        reduced_motion="reduce",
        has_touch=width < 600,
        is_mobile=width < 600,
    )
    page = context.new_page()
    page.set_default_timeout(30_000)
    problem = None
    try:
        scene.act(page, served)
    except Exception as error:  # whatever went wrong, the picture shows it and the others go on
        problem = str(error).strip().splitlines()[0]
    suffix = "-unreached" if problem else ""
    path = out / f"{scene.name}-{theme}-{width}{suffix}.png"
    try:
        page.screenshot(path=path, full_page=scene.whole, animations="disabled")
    except Exception as error:  # a tab that crashed has no picture
        problem = problem or str(error).strip().splitlines()[0]
    page.unroute_all(behavior="ignoreErrors")
    context.close()
    return problem


def take_all(options: argparse.Namespace) -> int:
    """Every picture that the options name; how many could not be made as planned."""
    missed = 0
    with browsing() as browser:
        for signed_out in (False, True):
            scenes = [s for s in SCENES if s.name in options.only and s.signed_out == signed_out]
            if not scenes:
                continue
            with serving(*(["--allow-anonymous-visitors"] if signed_out else [])) as served:
                for scene, theme, width in product(scenes, options.themes, options.widths):
                    problem = take(browser, served, scene, theme, width, options.out)
                    missed += problem is not None
                    say(f"{scene.name} {theme} {width}{f': {problem}' if problem else ''}")
    return missed


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    options = read_arguments(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        return 1 if take_all(options) else 0
    except OSError as error:
        print(f"screenshots: {options.out} cannot be written: {error.strerror or error}.", file=sys.stderr)
    except StageError as error:
        print(f"screenshots: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
