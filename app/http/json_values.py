"""JSON from strangers: read strictly, so that what comes in can be stored, compared and sent out again.

Python's own reader takes integers of any length, NaN and half of a surrogate pair. A database takes none of them.
"""

import json
import math
from typing import Any, NoReturn

from app.http.errors import BadBody

MAX_DEPTH = 64
"""Lists and objects inside one another; an edit has 5."""
INT64 = range(-(2**63), 2**63)


def parse_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises BadBody for what is no JSON, a whole number beyond 64 bits, NaN or an infinity, half a surrogate pair,
    and more than MAX_DEPTH levels.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except BadBody:
        raise
    except (ValueError, RecursionError) as error:
        raise BadBody(f"The request is no JSON ({error}). Send one JSON text in UTF-8.") from error
    # Level by level, without recursion: the depth is the sender's choice.
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise BadBody(f"The request nests more than {MAX_DEPTH} levels. Send it flatter.")
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str):
                _check_text(item)
            elif isinstance(item, float) and not math.isfinite(item):
                raise BadBody("A number is too large for a float. Send a smaller one.")
            elif isinstance(item, int) and item not in INT64:
                raise BadBody(f"{str(item)[:20]}… is a whole number beyond 64 bits. Send a smaller one.")
        level = below
    return value


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadBody(
            f"A text holds half of a character (U+{ord(text[error.start]):04X}). Send whole characters."
        ) from None


def _refuse_constant(name: str) -> NoReturn:
    raise BadBody(f"{name} is no JSON number. Send a finite one.")
