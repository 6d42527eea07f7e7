"""YouCook2: {"database": {vid: {"duration", "subset", "annotations": [{"segment": [s, e], "id", "sentence"}]}}}.

Each step of a recipe is a query. Videos of the test set have no annotations. Form: youcookii_annotations_trainval.json,
youcook2.eecs.umich.edu.
"""

from collections.abc import Iterator
from pathlib import Path

from annotations.formats.database import read_database
from annotations.formats.options import Item, ReadOptions


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order, one for each step."""
    return read_database(path, options, text="sentence", extra=("recipe_type", "video_url"))
