"""EDL and FCPXML: timecode by hand, frames that are whole, and the structure of Apple's document type definition."""

import re
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree as ET

import av
import numpy as np
import pytest

from tempo_core.errors import InputError
from tempo_core.library.editing import (
    DROP_RATES,
    USUAL_RATES,
    Shot,
    edl,
    fcpxml,
    frame_of,
    sequence_rate,
    timecode,
)
from tempo_core.moments import Moment
from tempo_core.video import probe

FILM, NTSC, NTSC_60 = Fraction(24_000, 1001), Fraction(30_000, 1001), Fraction(60_000, 1001)

CHILDREN = {
    "fcpxml": {"resources", "library"},
    "resources": {"format", "asset"},
    "format": set(),
    "asset": {"media-rep"},
    "media-rep": set(),
    "library": {"event"},
    "event": {"project"},
    "project": {"sequence"},
    "sequence": {"spine"},
    "spine": {"asset-clip"},
    "asset-clip": {"note"},
    "note": set(),
}
ATTRIBUTES = {
    "fcpxml": {"version"},
    "format": {"id", "frameDuration", "width", "height"},
    "asset": {"id", "name", "start", "duration", "hasVideo", "format", "hasAudio", "audioSources"},
    "media-rep": {"kind", "src"},
    "event": {"name"},
    "project": {"name"},
    "sequence": {"format", "duration", "tcStart", "tcFormat"},
    "asset-clip": {"ref", "name", "offset", "start", "duration", "tcFormat"},
}
"""Elements and attributes that are written, with where FCPXML 1.10 allows them."""


def shot(first: int, last: int, rate: Fraction, name: str = "a b.mp4") -> Shot:
    """Frames [first, last) of a clip."""
    return Shot(
        name=name,
        path=Path("/clips") / name,
        moment=Moment(float(first / rate), float(last / rate)),
        rate=rate,
        duration_s=7200.0,
        width=640,
        height=360,
        has_audio=True,
        note="a red circle",
    )


@pytest.mark.parametrize(
    ("frame", "rate", "drop", "text"),
    [
        (0, NTSC, True, "00:00:00;00"),
        (1, NTSC, True, "00:00:00;01"),
        (1799, NTSC, True, "00:00:59;29"),
        (1800, NTSC, True, "00:01:00;02"),
        (3597, NTSC, True, "00:01:59;29"),
        (3598, NTSC, True, "00:02:00;02"),
        (17_981, NTSC, True, "00:09:59;29"),
        (17_982, NTSC, True, "00:10:00;00"),
        (107_892, NTSC, True, "01:00:00;00"),  # an hour by the clock, to 3.6 ms
        (107_892, NTSC, False, "00:59:56:12"),
        (108_000, NTSC, False, "01:00:00:00"),
        (3600, NTSC_60, True, "00:01:00;04"),
        (35_964, NTSC_60, True, "00:10:00;00"),
        (86_400, FILM, False, "01:00:00:00"),
        (23, FILM, False, "00:00:00:23"),
        (24, FILM, False, "00:00:01:00"),
        (25 * 86_400, Fraction(25), False, "00:00:00:00"),
    ],
)
def test_timecode(frame: int, rate: Fraction, drop: bool, text: str) -> None:
    assert timecode(frame, rate, drop=drop) == text


@pytest.mark.parametrize("rate", DROP_RATES)
def test_drop_frame_numbers_every_frame_once_and_keeps_up_with_the_clock(rate: Fraction) -> None:
    texts = [timecode(frame, rate, drop=True) for frame in range(40_000)]
    assert texts == sorted(set(texts))
    assert not [text for text in texts if re.fullmatch(r"..:.[1-9]:00;0[01]", text)]
    for frame in range(0, 40_000, 997):
        hours, minutes, seconds, frames = map(int, re.split("[:;]", texts[frame]))
        told_s = 3600 * hours + 60 * minutes + seconds + frames / round(rate)
        assert abs(told_s - frame / rate) < 0.1


@pytest.mark.parametrize("rate", USUAL_RATES)
def test_a_timecode_names_its_frame(rate: Fraction) -> None:
    for frame in [*range(0, 40_000, 331), 107_892, 1_999_999]:
        for drop in {False, rate in DROP_RATES}:
            assert frame_of(timecode(frame, rate, drop=drop), rate) == frame
    assert frame_of("no timecode", rate) == frame_of("00:00:00:99", rate) == 0


def test_frames_count_from_the_clips_own_timecode(tmp_path: Path) -> None:
    path = tmp_path / "camera.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=NTSC)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.metadata["timecode"] = "01:00:00;00"
        for _ in range(90):
            picture = np.zeros((48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    info = probe(path)
    assert info.timecode == "01:00:00;00"
    camera = Shot.of("camera.mp4", Moment(1.001, 2.002), info)
    assert "01:00:01;00 01:00:02;00 00:00:00;00 00:00:01;00" in edl([camera], "q", drop=True)
    root = ET.fromstring(fcpxml([camera], "q"))
    [asset], [clip] = root.findall("resources/asset"), root.findall(".//asset-clip")
    zero_s = Fraction((asset.get("start") or "").removesuffix("s"))
    assert zero_s == 107_892 / NTSC
    assert Fraction((clip.get("start") or "").removesuffix("s")) - zero_s == 30 / NTSC
    assert clip.get("tcFormat") == "DF"


def test_an_edl_in_full() -> None:
    shots = [shot(1800, 1890, NTSC), shot(0, 10, NTSC, "café\n2.mp4")]
    assert edl(shots, "a red circle", drop=True).split("\r\n") == [
        "TITLE: a red circle",
        "FCM: DROP FRAME",
        "",
        "001  AX       V     C        00:01:00;02 00:01:03;02 00:00:00;00 00:00:03;00",
        "* FROM CLIP NAME: a b.mp4",
        "* COMMENT: a red circle",
        "002  AX       V     C        00:00:00;00 00:00:00;10 00:00:03;00 00:00:03;10",
        "* FROM CLIP NAME: caf? 2.mp4",
        "* COMMENT: a red circle",
        "",
    ]
    assert "FCM: NON-DROP FRAME" in edl(shots, "a red circle")
    assert "00:01:00:00 00:01:03:00" in edl(shots, "a red circle")


@pytest.mark.parametrize("rate", [*USUAL_RATES, Fraction(4), Fraction(15), Fraction(7)])
def test_fcpxml_has_whole_frames_in_the_structure_of_its_definition(rate: Fraction) -> None:
    shots = [shot(first, first + 50, rate, name) for first, name in ((0, "a.mp4"), (1801, "ü & <b>\x01.mp4"))]
    root = ET.fromstring(fcpxml(shots, "“what”"))
    for element in root.iter():
        assert {child.tag for child in element} <= CHILDREN[element.tag]
        assert element.attrib.keys() <= ATTRIBUTES.get(element.tag, set())
    ids = [element.get("id") for element in root.iterfind("resources/*")]
    assert len(ids) == len(set(ids))
    own = sequence_rate(shots)
    clips = root.findall("library/event/project/sequence/spine/asset-clip")

    def frames(text: str | None, per_second: Fraction) -> Fraction:
        return Fraction((text or "").removesuffix("s")) * per_second

    assert [frames(clip.get("start"), rate) for clip in clips] == [0, 1801]
    record = Fraction(0)
    for clip in clips:
        assert clip.get("ref") in ids
        assert frames(clip.get("offset"), own) == record
        length = frames(clip.get("duration"), own)
        assert length.denominator == 1
        assert abs(length / own - 50 / rate) <= Fraction(1, 2) / own
        record += length
    sequence = root.find("library/event/project/sequence")
    assert sequence is not None
    assert frames(sequence.get("duration"), own) == record
    assert (
        root.findall("resources/asset/media-rep")[1].get("src")
        == "file:///clips/%C3%BC%20%26%20%3Cb%3E%01.mp4"
    )


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(InputError, match="There is no moment"):
        edl([], "q")
    with pytest.raises(InputError, match="999 moments; there are 1000"):
        edl([shot(0, 10, NTSC)] * 1000, "q")
    for write in (edl, fcpxml):
        with pytest.raises(InputError, match="not at 25"):
            write([shot(0, 10, Fraction(25))], "q", drop=True)
