"""Photographs and pictures of things: fetched from Debian packages, split before anything is drawn, small on disk.

`prepare_assets(folder)` leaves

    photographs/SPLIT/NAME.jpg   short side PHOTOGRAPH_PX, SPLIT one of train, val, test and outside
    pictures.npz                 drawn things, RGBA, PICTURE_PX square
    assets.json                  which file is what, its package and split, and every package's licence
    licences/PACKAGE             the package's own words about authors and licences

A photograph's split follows from its name alone, so that the same photograph in another size or light is in the same
split. Photographs of OUTSIDE_PACKAGES are in the split `outside`, which no training and no choice may see.
"""

import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tempo_core.errors import InputError
from train.checkpoints import read_json, write_json
from train.naturalworld.names import Concept, read_concepts

Split = Literal["train", "val", "test", "outside"]

PHOTOGRAPH_PACKAGES = (
    "gnome-backgrounds",
    "mate-backgrounds",
    "plasma-workspace-wallpapers",
    "lomiri-wallpapers-16.04",
)
OUTSIDE_PACKAGES = ("ukui-wallpapers", "lomiri-wallpapers-20.04")
"""Their photographs are for testing only."""
PICTURE_PACKAGES = ("fonts-noto-color-emoji", "unicode-cldr-core", "unicode-data", "openclipart-png")
PACKAGES = (*PHOTOGRAPH_PACKAGES, *OUTSIDE_PACKAGES, *PICTURE_PACKAGES)
LICENCES = {
    "gnome-backgrounds": "CC-BY-SA-3.0, some CC0-1.0",
    "mate-backgrounds": "CC-BY-SA-4.0, GPL-2+",
    "plasma-workspace-wallpapers": "CC-BY-SA-4.0",
    "lomiri-wallpapers-16.04": "CC-BY-SA-3.0 and CC-BY-4.0",
    "ukui-wallpapers": "CC-BY-SA-4.0, GPL-2+",
    "lomiri-wallpapers-20.04": "CC-BY-SA-3.0 and CC-BY-4.0",
    "fonts-noto-color-emoji": "SIL-1.1, Apache-2.0",
    "unicode-cldr-core": "Unicode-DFS-2016",
    "unicode-data": "Unicode-DFS-2016",
    "openclipart-png": "CC0-1.0",
}
"""In short; `licences/` holds each package's own list of authors."""

PHOTOGRAPH_PX = 300
PICTURE_PX = 64
LEAST_CONTRAST = 22.0
"""Standard deviation of a photograph's grey values, of 255; anything plainer is left out."""
SHORTEST_SIDE_PX = 500
"""Smaller files are icons and previews."""
_FONT = "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
_FONT_PX, _CANVAS_PX = 109, 136
"""The only size that the font's bitmaps have, and the square that holds them."""
_CLIPART = "usr/share/openclipart/png"
_VARIANT = re.compile(r"[-_](?:d|l|dark|light|no-logo|\d+x\d+)(?=[-_.]|$)|_images(?:_dark)?_\d+x\d+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Photograph:
    """One file of photographs/."""

    file: str
    """Below the assets' folder."""
    subject: str
    """The photograph itself: sizes and lights of one share it."""
    package: str
    split: Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One row of pictures.npz."""

    concept: str
    """Name of the thing (`names.Concept.name`)."""
    source: str
    split: Split


@dataclass(frozen=True, slots=True, eq=False)
class Assets:
    """What clips are drawn from. Immutable; processes may share the folder. Equal to itself only."""

    folder: Path
    photographs: tuple[Photograph, ...]
    pictures: tuple[Picture, ...]
    pixels: np.ndarray
    """uint8[P, PICTURE_PX, PICTURE_PX, 4] of `pictures`."""
    concepts: dict[str, Concept]

    def photograph_indices(self, splits: Sequence[Split]) -> list[int]:
        """Which photographs may be shown in these splits."""
        return [i for i, photograph in enumerate(self.photographs) if photograph.split in splits]

    def picture_indices(self, splits: Sequence[Split]) -> dict[str, list[int]]:
        """The pictures of each thing that may be shown in these splits."""
        by_name: dict[str, list[int]] = {}
        for i, picture in enumerate(self.pictures):
            if picture.split in splits:
                by_name.setdefault(picture.concept, []).append(i)
        return by_name

    def open_photograph(self, idx: int) -> Image.Image:
        """The photograph in RGB."""
        with Image.open(self.folder / self.photographs[idx].file) as image:
            return image.convert("RGB")


def split_of(subject: str) -> Split:
    """train, val or test (70, 10, 20 per cent), from the name alone."""
    draw = int(hashlib.sha256(subject.encode()).hexdigest(), 16) % 100
    return "train" if draw < 70 else "val" if draw < 80 else "test"


def subject_of(path: str) -> str:
    """The photograph that a file of a package shows, whatever its size and light.

    >>> subject_of("usr/share/wallpapers/Kay/contents/images_dark/1080x1920.png")
    'Kay'
    >>> subject_of("usr/share/backgrounds/gnome/wood-d.webp")
    'wood'
    """
    parts = Path(path).parts
    if "contents" in parts:
        return parts[parts.index("contents") - 1]
    return _VARIANT.sub("", Path(path).stem)


def read_assets(folder: Path) -> Assets:
    """The assets that `prepare_assets` left. Raises InputError where there are none."""
    if not (folder / "assets.json").is_file():
        raise InputError(
            f"{folder} holds no assets.json. Make it with `python -m train naturalworld assets --out {folder}`."
        )
    manifest = read_json(folder / "assets.json")
    with np.load(folder / "pictures.npz") as arrays:
        pixels = arrays["pixels"]
    return Assets(
        folder=folder,
        photographs=tuple(Photograph(**row) for row in manifest["photographs"]),
        pictures=tuple(Picture(**row) for row in manifest["pictures"]),
        pixels=pixels,
        concepts={row["name"]: Concept(**row) for row in manifest["concepts"]},
    )


def prepare_assets(
    folder: Path,
    *,
    packages: Path | None = None,
    on_progress: Callable[[str], None] = lambda message: None,
) -> Assets:
    """Fetch, split and shrink everything, once: a folder that is whole stays as it is.

    `packages` is a folder of .deb files to take instead of fetching them with apt. Raises InputError where a package
    can be neither fetched nor found.
    """
    if (folder / "assets.json").is_file():
        return read_assets(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        root, sources = Path(temporary) / "root", packages or Path(temporary)
        for package in PACKAGES:
            on_progress(f"unpacking {package}")
            if not list(sources.glob(f"{package}_*.deb")):
                _download(package, sources)
            archive = sorted(sources.glob(f"{package}_*.deb"))[-1]
            files_before = _files(root)
            subprocess.run(["dpkg", "-x", str(archive), str(root)], check=True)
            if package in (*PHOTOGRAPH_PACKAGES, *OUTSIDE_PACKAGES):
                on_progress(f"shrinking the photographs of {package}")
                _shrink_photographs(root, _files(root) - files_before, package, folder)
            licences = folder / "licences"
            licences.mkdir(exist_ok=True)
            (licences / package).write_bytes((root / "usr/share/doc" / package / "copyright").read_bytes())
        photographs = [
            Photograph(
                file=str(path.relative_to(folder)),
                subject=path.stem.split("--")[1],
                package=path.stem.split("--")[0],
                split=path.parent.name,  # type: ignore[arg-type]
            )
            for path in sorted((folder / "photographs").rglob("*.jpg"))
        ]
        on_progress("drawing the things")
        concepts = read_concepts(root / "usr/share/unicode")
        pictures, pixels = _draw_pictures(root, concepts)
    np.savez_compressed(folder / "pictures.npz", pixels=pixels)
    manifest: dict[str, Any] = {
        "photographs": [asdict(photograph) for photograph in photographs],
        "pictures": [asdict(picture) for picture in pictures],
        "concepts": [asdict(concept) for concept in concepts],
        "licences": LICENCES,
    }
    # the manifest comes last: a folder with it is whole
    write_json(folder / "assets.json", manifest)
    return read_assets(folder)


def _download(package: str, folder: Path) -> None:
    try:
        subprocess.run(
            ["apt-get", "download", package], cwd=folder, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
        raise InputError(
            f"The Debian package {package} could not be fetched ({' '.join(reason)}). Run `apt-get update`, or put its "
            ".deb file into a folder and name that with --packages."
        ) from error


def _files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


def _shrink_photographs(root: Path, files: set[Path], package: str, folder: Path) -> None:
    """One JPEG for each photograph and light of a package, sizes of the same one taken once."""
    for path in sorted(files):
        if path.suffix not in (".jpg", ".jpeg", ".png", ".webp") or "screenshot" in path.name:
            continue
        relative = str(path.relative_to(root))
        with Image.open(path) as image:
            if min(image.size) < SHORTEST_SIDE_PX or image.height > image.width:
                continue
            subject = subject_of(relative)
            split: Split = "outside" if package in OUTSIDE_PACKAGES else split_of(subject)
            light = "dark" if "dark" in relative or path.stem.endswith("-d") else "light"
            target = folder / "photographs" / split / f"{package}--{subject}--{light}.jpg"
            if target.is_file():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            image.draft("RGB", (2 * PHOTOGRAPH_PX, 2 * PHOTOGRAPH_PX))
            scale = PHOTOGRAPH_PX / min(image.size)
            size = (round(image.width * scale), round(image.height * scale))
            photograph = image.convert("RGB").resize(size, Image.Resampling.BOX)
            # patterns on nothing, and pictures with next to nothing on them, make no footage
            if image.mode == "RGB" and float(np.asarray(photograph.convert("L")).std()) >= LEAST_CONTRAST:
                photograph.save(target, quality=92)


def _draw_pictures(root: Path, concepts: Sequence[Concept]) -> tuple[list[Picture], np.ndarray]:
    """Every concept from the font, and from clip art whose file is called just so; half of the clip art is held out."""
    font = ImageFont.truetype(str(root / _FONT), _FONT_PX)
    pictures: list[Picture] = []
    pixels: list[np.ndarray] = []
    clipart: dict[str, list[Path]] = {}
    for path in sorted((root / _CLIPART).rglob("*.png")):
        match = re.fullmatch(r"(.+?)(?:_\d+)?", path.stem.lower())
        if match and not path.is_symlink():
            clipart.setdefault(match[1].replace("_", " "), []).append(path)
    for concept in concepts:
        canvas = Image.new("RGBA", (_CANVAS_PX, _CANVAS_PX), (0, 0, 0, 0))
        ImageDraw.Draw(canvas).text((0, 4), concept.character, font=font, embedded_color=True)
        if canvas.getbbox() is None:
            continue
        pictures.append(Picture(concept=concept.name, source="noto", split="train"))
        pixels.append(_square(canvas))
        clipart_paths = {
            path.name: path for name in (concept.name, *concept.synonyms) for path in clipart.get(name, ())
        }
        for number, (name, path) in enumerate(sorted(clipart_paths.items())[:6]):
            with Image.open(path) as image:
                square = _square(image.convert("RGBA"))
            if 0.08 < float((square[..., 3] > 128).mean()) < 0.95:
                split: Split = "test" if number % 2 == 0 else "train"
                pictures.append(Picture(concept=concept.name, source=f"openclipart/{name}", split=split))
                pixels.append(square)
    return pictures, np.stack(pixels)


def _square(image: Image.Image) -> np.ndarray:
    """uint8[PICTURE_PX, PICTURE_PX, 4]: the picture without its empty border, in the middle of a square."""
    image = image.crop(image.getbbox())
    image.thumbnail((PICTURE_PX, PICTURE_PX), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (PICTURE_PX, PICTURE_PX), (0, 0, 0, 0))
    square.paste(image, ((PICTURE_PX - image.width) // 2, (PICTURE_PX - image.height) // 2))
    return np.asarray(square)


def manifest_digest(folder: Path) -> str:
    """SHA-256 of what a run is drawn from: the manifest without its licences."""
    manifest = read_json(folder / "assets.json")
    manifest.pop("licences", None)
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
