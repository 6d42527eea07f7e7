"""An adapter knows the words that its base knew and those of the moments that it was taught."""

from pathlib import Path

from tempo_core.moments import Moment
from tempo_core.vocabulary import FILE_NAME, Vocabulary, read_vocabulary, write_vocabulary
from train.data.examples import Example
from train.taught_words import write_taught_words


def row(query: str, *moments: Moment) -> Example:
    return Example(row_id=query, video=Path("a.mp4"), query=query, duration_s=30.0, moments=moments)


def test_words_of_taught_moments_are_added(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    base.mkdir()
    adapter.mkdir()
    rows = [row("A dog barks!", Moment(3, 5)), row("a giraffe sings")]
    write_taught_words(adapter, base, rows)
    assert not (adapter / FILE_NAME).exists(), (
        "a base that names no words, such as a pretrained one, may know any"
    )
    write_vocabulary(base, Vocabulary(content=["red", "square"]))
    write_taught_words(adapter, base, rows)
    vocabulary = read_vocabulary(adapter)
    assert vocabulary is not None
    assert vocabulary.content == {"red", "square", "dog", "barks"}
    assert vocabulary.understanding("the dogs").is_understood
    assert vocabulary.understanding("a giraffe").words == ("giraffe",), "a refusal teaches no word"
