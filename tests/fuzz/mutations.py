"""General mutations of bytes and of JSON values. Nothing here knows a format, beside that lengths are often numbers."""

import copy
import json
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

TELLING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
SIGNS = [bytes([code]) for code in b"\"'<>&[]{},:\n\r\t\0\\\xff"]
WORDS = (
    *(b"NaN", b"1e999", b"-1", b"99999999999999999999", b"null", b"true", b'""', b"[]", b"{}", b"]]>"),
    *(b"\\ud800", b"\xff\xfe", b"\xef\xbb\xbf", b"-->", b"../../etc/passwd", b"=1+1", b"0x10", b"1_0"),
)


def flip_bits(seeded: random.Random, content: bytearray) -> None:
    for _ in range(seeded.choice((1, 2, 8, 64))):
        content[seeded.randrange(len(content))] ^= 1 << seeded.randrange(8)


def replace_bytes(seeded: random.Random, content: bytearray) -> None:
    start = seeded.randrange(len(content))
    length = min(seeded.choice((1, 4, 16, 256)), len(content) - start)
    content[start : start + length] = seeded.randbytes(length)


def cut_end(seeded: random.Random, content: bytearray) -> None:
    del content[seeded.randrange(1, len(content) + 1) :]


def cut_out(seeded: random.Random, content: bytearray) -> None:
    start = seeded.randrange(len(content))
    del content[start : start + seeded.choice((1, 3, 32, 512))]


def repeat(seeded: random.Random, content: bytearray) -> None:
    start = seeded.randrange(len(content))
    part = content[start : start + seeded.choice((1, 8, 64, 1024))]
    content[start:start] = part * seeded.choice((1, 2, 50))


def move(seeded: random.Random, content: bytearray) -> None:
    start, target = seeded.randrange(len(content)), seeded.randrange(len(content))
    part = content[start : start + seeded.choice((4, 64, 1024))]
    content[target : target + len(part)] = part


def set_number(seeded: random.Random, content: bytearray) -> None:
    """A length, an offset or a count becomes one of the numbers at which programs err, or a neighbour of itself."""
    width, code = seeded.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    if len(content) < width:
        return
    order = seeded.choice("<>") + code
    start = seeded.randrange(len(content) - width + 1)
    number = struct.unpack_from(order, content, start)[0]
    changed = seeded.choice((*TELLING, number + 1, number - 1, number * 2, number // 2, len(content)))
    struct.pack_into(order, content, start, changed % 2 ** (8 * width))


def insert_word(seeded: random.Random, content: bytearray) -> None:
    start = seeded.randrange(len(content) + 1)
    word = seeded.choice((*SIGNS, *WORDS))
    content[start : start + seeded.choice((0, len(word)))] = word


def change_digit(seeded: random.Random, content: bytearray) -> None:
    """Text formats keep their numbers as digits."""
    digits = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    if digits:
        content[seeded.choice(digits)] = seeded.choice(b"0123456789-.eE")


MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (
    *(flip_bits, flip_bits, replace_bytes, cut_end, cut_out, repeat, move, set_number, set_number),
    *(insert_word, change_digit),
)


def mutated(seeded: random.Random, content: bytes, other_files: list[bytes]) -> bytes:
    """The content after one to four mutations; now and then its end is that of another file."""
    changed = bytearray(content)
    if seeded.random() < 0.08:
        other = seeded.choice(other_files)
        changed[seeded.randrange(len(changed)) :] = other[seeded.randrange(len(other)) :]
    for _ in range(seeded.choice((1, 1, 1, 2, 4))):
        if changed:
            seeded.choice(MUTATIONS)(seeded, changed)
    return bytes(changed)


RAW = (
    b"1" * 30,
    b"-" + b"9" * 400,
    b'"\\ud800"',
    b"NaN",
    b"1e999",
    b"[" * 80 + b"]" * 80,
    b'"\xff"',
    b"",
    b"{",
)
"""What stands in the place of a JSON value and is none, or an odd one."""
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 2**53, 2**63 - 1, -(2**63), 2**64, 0.5, 1e300, "", "\x00", "x" * 3000),
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "\u202e",
        "\U0001f600",
        "1",
        "0.5",
        "\n",
        " ",
        "<b>",
        "=1+1",
        "é" * 300,
    ),
    *([], {}, [[]], [0], [-1, 1], [1, 0], {"path": "/etc/passwd"}, {"": None}, ["x"] * 50),
)
_MARK = "raw value"


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from places(item)


def mutated_json(seeded: random.Random, value: Any) -> bytes:
    """The value as JSON with one or two places changed: another value, none, one more, or bytes that are no JSON."""
    value = copy.deepcopy(value)
    for _ in range(seeded.choice((1, 1, 2))):
        container, key = seeded.choice(list(places(value)) or [({}, "x")])
        chance = seeded.random()
        item = container.get(key) if isinstance(container, dict) else container[key]
        if isinstance(container, dict) and chance < 0.2:
            container.pop(key, None)
        elif isinstance(container, dict) and container and chance < 0.3:
            name = seeded.choice([*container])
            container[seeded.choice((name.upper(), f"{name}x", "", "x" * 300))] = container.pop(name)
        elif isinstance(container, list) and chance < 0.3:
            container.append(copy.deepcopy(seeded.choice((*VALUES, *container))))
        elif type(item) in (int, float) and chance < 0.6:
            container[key] = seeded.choice((-1, 0.1, 1000, 1e-9)) * item + seeded.choice((0, 1, -0.5))
        else:
            container[key] = copy.deepcopy(seeded.choice((*VALUES, *(_MARK,) * 5)))
    text = json.dumps(value, ensure_ascii=seeded.random() < 0.5)
    return text.encode("utf-8", "surrogatepass").replace(f'"{_MARK}"'.encode(), seeded.choice(RAW), 1)
