"""An answer in a notebook: where its bars stand, and that nothing in it is run."""

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from tempo_core.engine import Answer
from tempo_core.moments import Moment
from tempo_core.vocabulary import Understanding

ANSWER = Answer(
    query="<script>alert(1)</script> & a dog",
    moments=[Moment(2.0, 4.0), Moment(15.0, 20.0)],
    confidences=[0.9, 0.25],
    relevance=0.75,
    refused=False,
    text="",
    ranked=[(Moment(2.0, 4.0), 0.9)],
    model_id="tempo/tiny",
    timings={},
    notes=["P(relevant) is <not> calibrated."],
    clip_end_s=20.0,
)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[dict[str, Any]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_moments_stand_on_the_clips_length() -> None:
    page = Page(ANSWER._repr_html_())
    bars = [one for one in page.attributes if "title" in one]
    assert [bar["title"] for bar in bars] == [
        "2.0 to 4.0 s, confidence 0.90",
        "15.0 to 20.0 s, confidence 0.25",
    ]
    assert ["left:10.0%;width:10.0%" in bar["style"] for bar in bars] == [True, False]
    assert "left:75.0%;width:25.0%" in bars[1]["style"]
    assert {"0 s", "20.0 s", "P(relevant) 0.75", "P(relevant) is <not> calibrated."} <= set(page.texts)


def test_texts_are_escaped_and_nothing_is_loaded() -> None:
    page = Page(ANSWER._repr_html_())
    assert "<script>alert(1)</script> & a dog" in page.texts
    assert set(page.tags) <= {"div", "b", "span", "ul", "li"}
    assert all(not {"src", "href"} & one.keys() for one in page.attributes)


def test_a_refusal_and_an_answer_from_json() -> None:
    refusal = replace(ANSWER, moments=[], confidences=[], refused=True, relevance=0.1)
    assert {"No moment matches.", "P(relevant) 0.10"} <= set(Page(refusal._repr_html_()).texts)
    unclear = replace(
        refusal, refused=False, relevance=None, understood=Understanding(probability=0.0, words=("<dog>",))
    )
    texts = Page(unclear._repr_html_()).texts
    assert any("<dog>" in text for text in texts)
    assert not any("P(relevant) 0" in text for text in texts)
    unsure = Page(replace(ANSWER, confidences=[None, 0.5])._repr_html_())
    assert "2.0 to 4.0 s" in unsure.texts
    again = Answer.from_dict(ANSWER.to_dict())
    assert again == ANSWER
    assert "20.0 s" in Page(again._repr_html_()).texts
