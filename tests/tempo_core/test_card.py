"""What a card says about its model, from cards as people write them."""

from pathlib import Path

import pytest

from tempo_core.card import MAX_CHARACTERS, About, parse_card, read_about
from tempo_core.checkpoint import SHIPPED

HUB_CARD = """---
license: apache-2.0
tags: [video]
---
# Some-VL-7B
<p align="center"><img src="x.png"></p>

[![badge](https://b.example/a.svg)](https://b.example)

## Introduction

We present **Some-VL**, a model that [finds moments](https://some.example) in `video`. It was trained
on people cooking.

| a | b |
|---|---|
"""


def test_the_shipped_card_says_both() -> None:
    about = read_about(SHIPPED)
    assert about is not None
    assert about.understands.startswith("questions in varied English about: things of six colours")
    assert about.does_not.startswith("natural video. Where a question has a word that it was never taught")
    assert about.summary == ""
    assert max(map(len, (about.understands, about.does_not))) <= MAX_CHARACTERS


def test_of_another_card_the_first_paragraph_is_taken() -> None:
    assert parse_card(HUB_CARD) == About(
        summary="We present Some-VL, a model that finds moments in video. It was trained on people cooking."
    )


@pytest.mark.parametrize(
    "card",
    [
        "",
        "---\nlicense: mit\n---\n",
        "# Title only\n",
        "```\nimport this. Now.\n```\n",
        "- a list. Of things.\n",
        "\x00\ufeff",
    ],
)
def test_a_card_may_say_nothing(card: str, tmp_path: Path) -> None:
    assert parse_card(card) == About()
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert read_about(tmp_path) is None
    assert read_about(tmp_path / "nowhere") is None


def test_a_long_paragraph_ends_with_a_sentence() -> None:
    assert parse_card("It knows cats. " * 100).summary.endswith("It knows cats.")
    endless = parse_card("word " * 400 + ".").summary
    assert len(endless) <= MAX_CHARACTERS
    assert endless.endswith("word…")
