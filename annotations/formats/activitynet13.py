"""ActivityNet 1.3 for detection: {"database": {vid: {"duration", "subset", "annotations": [{"segment", "label"}]}}}.

A label of a video is a query with all of its segments; segments of one label that overlap are queries of their own.
Videos of the test set have no annotations. Form: activity_net.v1-3.min.json, activity-net.org.
"""

from collections.abc import Iterator
from pathlib import Path

from annotations.formats.database import read_database
from annotations.formats.options import Item, ReadOptions


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order, one for each label of a video."""
    return read_database(path, options, text="label", joined=True)
