"""`python -m tempo_core frames`: the frames that a model sees, on disk, named by index and true time."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tempo_core.errors import InputError

if TYPE_CHECKING:  # numpy is imported when the command runs, not when its help is printed
    from tempo_core.video import SampledVideo

MANIFEST = "manifest.json"


def add_parser(subparsers: Any) -> None:
    """Add the command to an argparse subparsers object."""
    parser = subparsers.add_parser(
        "frames",
        help="write the frames that a model sees, with their true times",
        description="Sample a video and write its frames as PNG files named by index and presentation time, "
        f"with a {MANIFEST}. Without --fps and --at: one frame a second.",
    )
    parser.add_argument("video", metavar="VIDEO", help="a video file")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--fps", type=float, metavar="F", help="frames a second")
    which.add_argument(
        "--at", type=float, nargs="+", metavar="T", help="seconds; the frame shown then is written"
    )
    parser.add_argument("--max-pixels", type=int, metavar="N", help="scale frames down to at most N pixels")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--json", action="store_true", help="print the manifest instead of one line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the frames and their manifest. Raises InputError on a bad video, request or folder."""
    from tempo_core.video import sample

    folder = _empty_folder(Path(args.out))
    sampled = sample(args.video, fps=args.fps, at=args.at, max_pixels=args.max_pixels)
    manifest = write_frames(sampled, Path(args.video).name, folder)
    if args.json:
        sys.stdout.write(json.dumps(manifest, allow_nan=False) + "\n")
    else:
        count, reader = len(manifest["frames"]), manifest["reader"]
        sys.stdout.write("".join(f"Note: {note}\n" for note in manifest["notes"]))
        sys.stdout.write(f"{count} frames of '{manifest['video']}' are in {folder}, read with {reader}.\n")
    return 0


def write_frames(sampled: "SampledVideo", name: str, folder: Path) -> dict[str, Any]:
    """Write PNG files and the manifest into an existing folder; the manifest is returned.

    It holds `video`, `sha256`, `end_s`, `reader`, `notes`, and for each of `frames` its `index`, `time_s`,
    `file`.
    """
    from PIL import Image

    rows = []
    for index, (time_s, frame) in enumerate(zip(sampled.times_s, sampled.frames, strict=True)):
        file = f"{index:05d}_{time_s:010.3f}s.png"
        Image.fromarray(frame).save(folder / file)
        rows.append({"index": index, "time_s": float(time_s), "file": file})
    manifest = {
        "video": name,
        "sha256": sampled.sha256,
        "end_s": sampled.end_s,
        "reader": sampled.reader,
        "notes": list(sampled.notes),
        "frames": rows,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def _empty_folder(folder: Path) -> Path:
    """The folder, made if it is not there. Old frames beside new ones would be mistaken for them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        filled = any(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"'{folder}' cannot be used as a folder ({error.strerror}). Give another --out."
        ) from None
    if filled:
        raise InputError(f"'{folder}' is not empty. Give a new or empty folder as --out.")
    return folder
