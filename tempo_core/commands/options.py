"""Flags and output that several commands share."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tempo_core.errors import InputError

if TYPE_CHECKING:
    from tempo_core.defaults import GroundingDefaults
    from tempo_core.engine import Engine


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """--checkpoint, --adapter, --four-bit."""
    parser.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="a Qwen2-VL checkpoint folder or hub name; default: the one that ships",
    )
    parser.add_argument(
        "--adapter",
        metavar="DIR",
        help="a LoRA adapter made for it; default: the one promoted in TEMPO_HOME, if any; none: no adapter",
    )
    parser.add_argument(
        "--four-bit",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="hold the language model's weights in NF4 (default)",
    )


def add_budget_options(parser: argparse.ArgumentParser) -> None:
    """--fps, --token-budget, --allocator."""
    parser.add_argument(
        "--fps", type=float, metavar="F", help="frames a second; default: as the checkpoint wants"
    )
    parser.add_argument("--token-budget", type=int, metavar="N", help="vision tokens of the whole video")
    parser.add_argument(
        "--allocator",
        choices=("saa", "uniform"),
        default="saa",
        help="saa (default): more tokens where the picture changes; uniform: the same for every frame",
    )


def open_engine(args: argparse.Namespace) -> "Engine":
    """The engine that the flags describe."""
    from tempo_core.checkpoint import choose_adapter
    from tempo_core.engine import load_engine

    adapter = choose_adapter(args.checkpoint, args.adapter)
    return load_engine(args.checkpoint, adapter=adapter, four_bit=args.four_bit)


def defaults_for(checkpoint: str | None) -> "GroundingDefaults":
    """A checkpoint's defaults without loading it; those of big models where none is named and none ships."""
    from tempo_core.checkpoint import SHIPPED, find_checkpoint
    from tempo_core.defaults import GroundingDefaults, read_defaults

    if checkpoint is None and not SHIPPED.is_dir():
        return GroundingDefaults()
    return read_defaults(find_checkpoint(checkpoint))


def write_json(data: Any) -> None:
    """One JSON object on one line of stdout."""
    sys.stdout.write(json.dumps(data, allow_nan=False) + "\n")


def clock(seconds: float) -> str:
    """Seconds as people read them: 1:02.5 or 1:00:02.5."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def writable(path: str) -> Path:
    """A file that can be written. Raises InputError when its folder is missing or it cannot be opened."""
    target = Path(path)
    if target.is_dir() or not target.parent.is_dir():
        raise InputError(f"Cannot write {target}: it must be a file in a folder that exists.")
    try:
        with target.open("ab"):
            return target
    except OSError as error:
        raise InputError(f"Cannot write {target}: {error.strerror}. Choose another place.") from error


class StageLine:
    """Progress as one changing line on a terminal's stderr; silent where nobody watches."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()

    def __call__(self, stage: str, share: float) -> None:
        if self._on:
            sys.stderr.write(f"\r{stage} {share:4.0%}   ")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._on:
            sys.stderr.write("\r" + " " * 30 + "\r")
