"""A handful of made-up photographs and pictures in place of the packages'."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from train.naturalworld.assets import PICTURE_PX, Assets, Photograph, Picture
from train.naturalworld.names import Concept

SPLITS = ("train", "train", "train", "val", "test", "outside")
CONCEPTS = (
    Concept(name="dog", character="d", category="animal", synonyms=["hound"]),
    Concept(name="cat", character="c", category="animal"),
    Concept(name="car", character="v", category="vehicle", synonyms=["automobile"]),
    Concept(name="apple", character="a", category="fruit"),
    Concept(name="wine glass", character="w", category="drink"),
    Concept(name="glasses", character="g", category="clothes"),
)


@pytest.fixture(scope="session")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """Six photographs, one for each of SPLITS, and a train and a test picture of each of CONCEPTS."""
    folder = tmp_path_factory.mktemp("assets")
    rng = np.random.default_rng(0)
    photographs = []
    for i, split in enumerate(SPLITS):
        path = folder / "photographs" / split / f"package--view{i}--light.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 255, (20, 32, 3), dtype=np.uint8))
        small.resize((480, 300), Image.Resampling.BICUBIC).save(path)
        name = str(path.relative_to(folder))
        photographs.append(Photograph(file=name, subject=f"view{i}", package="package", split=split))  # type: ignore[arg-type]
    pictures, pixels = [], []
    for number, concept in enumerate(CONCEPTS):
        for split in ("train", "test"):
            image = Image.new("RGBA", (PICTURE_PX, PICTURE_PX), (0, 0, 0, 0))
            colour = (40 * number + 20, 250 - 40 * number, 90 if split == "train" else 200, 255)
            ImageDraw.Draw(image).regular_polygon((32, 32, 30), 3 + number, fill=colour)
            pictures.append(Picture(concept=concept.name, source="made up", split=split))  # type: ignore[arg-type]
            pixels.append(np.asarray(image))
    return Assets(
        folder=folder,
        photographs=tuple(photographs),
        pictures=tuple(pictures),
        pixels=np.stack(pixels),
        concepts={concept.name: concept for concept in CONCEPTS},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
