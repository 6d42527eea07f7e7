"""`python -m tempo_core frames`: the frames that a model sees, on disk, named by index and true time."""

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from tempo_core.command_line import AsJson, show
from tempo_core.errors import InputError
from tempo_core.wording import plural

if TYPE_CHECKING:  # numpy is imported when the command runs, not when its help is printed
    from tempo_core.video import SampledVideo

MANIFEST = "manifest.json"


class FramesCommand(TyperCommand):
    """Lets one `--at` take several times: `--at 1 2` is read as `--at 1 --at 2`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        repeated: list[str] = []
        for word in args:
            if repeated[-2:-1] == ["--at"]:
                with suppress(ValueError):  # another word than a number ends the times
                    float(word)
                    repeated.append("--at")
            repeated.append(word)
        return super().parse_args(ctx, repeated)


def frames(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="a video file")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="a new or empty folder")],
    fps: Annotated[float | None, typer.Option(metavar="F", help="frames a second")] = None,
    at: Annotated[
        list[float] | None,
        typer.Option(metavar="T [T ...]", help="seconds; the frame shown then is written; may be repeated"),
    ] = None,
    max_pixels: Annotated[
        int | None, typer.Option(metavar="N", help="scale frames down to at most N pixels")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sample a video and write its frames as PNG files named by index and presentation time, with a manifest.json.
    Without --fps and --at: one frame a second."""
    from tempo_core.video import sample

    if fps is not None and at:
        raise InputError("--fps and --at exclude each other. Give one of them.")
    # Old frames beside new ones would be mistaken for them.
    try:
        out.mkdir(parents=True, exist_ok=True)
        is_empty = not any(out.iterdir())
    except OSError as error:
        raise InputError(
            f"'{out}' cannot be used as a folder ({error.strerror}). Give another --out."
        ) from None
    if not is_empty:
        raise InputError(f"'{out}' is not empty. Give a new or empty folder as --out.")
    sampled = sample(video, fps=fps, at=at or None, max_pixels=max_pixels)
    manifest = write_frames(sampled, video.name, out)
    notes = "".join(f"Note: {note}\n" for note in manifest["notes"])
    summary = f"{plural(len(manifest['frames']), 'frame is', 'frames are')} in {out}, read with {manifest['reader']}."
    show(manifest, notes + summary, as_json=as_json)


def write_frames(sampled: "SampledVideo", name: str, folder: Path) -> dict[str, Any]:
    """Write PNG files and the manifest into an existing folder; the manifest is returned.

    It holds `video`, `sha256`, `end_s`, `reader`, `notes`, and for each of `frames` its `index`, `time_s`, `file`.
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
