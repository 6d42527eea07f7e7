"""What everyday things are called: names of the Unicode emoji list, with synonyms and categories."""

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

_WORDS = json.loads(Path(__file__).with_name("things.json").read_text())
CATEGORIES: dict[str, list[str]] = _WORDS["categories"]
"""Category -> subgroups of the emoji list that belong to it."""
CATEGORY_WORDS: dict[str, list[str]] = _WORDS["category_words"]
"""Category -> how people call one of its things."""
_SYNONYMS: dict[str, list[str]] = _WORDS["synonyms"]
_RENAMED: dict[str, str] = _WORDS["renamed"]
_LEFT_OUT = re.compile(r"face|button|sign|symbol|flag|:|with |without |non-|no ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Concept:
    """A thing that has a name."""

    name: str
    character: str
    category: str
    synonyms: list[str] = field(default_factory=list)
    """Other words for the same thing; no other thing has them."""


def read_concepts(unicode_folder: Path) -> list[Concept]:
    """Every thing that can be named in one to three words, in the order of the emoji list.

    `unicode_folder` holds emoji/emoji-test.txt and cldr/common/annotations/en.xml.
    """
    spoken: dict[str, str] = {}
    annotations = unicode_folder / "cldr/common/annotations/en.xml"
    for node in ElementTree.parse(annotations).getroot().iter("annotation"):  # a Debian package's file
        if node.get("type") == "tts" and node.text:
            spoken[str(node.get("cp"))] = node.text
    category_of = {group: name for name, groups in CATEGORIES.items() for group in groups}
    concepts: dict[str, Concept] = {}
    subgroup = ""
    for line in (unicode_folder / "emoji/emoji-test.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# subgroup: "):
            subgroup = line.removeprefix("# subgroup: ")
        category = category_of.get(subgroup)
        if category is None or "; fully-qualified" not in line:
            continue
        characters = "".join(chr(int(code, 16)) for code in line.split(";")[0].split())
        name = spoken.get(characters.replace("\ufe0f", ""))
        if name is None or len(characters.replace("\ufe0f", "")) > 1 or _LEFT_OUT.search(name.lower()):
            continue
        name = _RENAMED.get(name.lower(), name.lower()).replace("-", " ").replace("\u2019", "'")
        if name and len(name.split()) <= 3 and name not in concepts:
            concepts[name] = Concept(
                name=name, character=characters, category=category, synonyms=_SYNONYMS.get(name, [])
            )
    return list(concepts.values())
