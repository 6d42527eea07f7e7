"""The benchmark of an annotator's rows: its clips, its plan and its figures; the page itself is tested elsewhere."""

import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import av
import pytest

from benchmarks import week
from tempo_core.errors import InputError

ROWS = [
    {
        "qid": number,
        "query": f"thing {number}",
        "vid": f"v{number}_0.0_6.0",
        "duration": 12,
        "relevant_windows": [[2, 4]],
    }
    for number in range(3)
]


def test_each_row_has_a_clip_as_long_as_it_says(tmp_path: Path) -> None:
    week._make_clips(ROWS[:2], tmp_path)
    for row in ROWS[:2]:
        with av.open(str(tmp_path / f"{row['vid']}.mp4")) as container:
            times_s = [float(frame.time) for frame in container.decode(video=0)]
        assert len(times_s) == 12 * week.CLIP_RATE
        assert times_s == sorted(times_s)
        assert times_s[-1] == pytest.approx(12 - 1 / week.CLIP_RATE, abs=0.01)
    first, second = ((tmp_path / f"{row['vid']}.mp4").read_bytes() for row in ROWS[:2])
    assert first != second


def test_a_run_goes_on_with_its_own_rows(tmp_path: Path) -> None:
    release = tmp_path / "release.jsonl"
    release.write_text("\n".join(json.dumps(row) for row in ROWS))
    first = week._plan(release, tmp_path, 2, seed=3)
    assert len(first) == 2
    release.write_text("")
    assert week._plan(release, tmp_path, 2, seed=3) == first
    with pytest.raises(InputError, match="holds a run of 2 rows; 3 were asked for"):
        week._plan(release, tmp_path, 3, seed=3)


def test_more_rows_than_there_are_is_refused(tmp_path: Path) -> None:
    release = tmp_path / "release.jsonl"
    release.write_text(json.dumps(ROWS[0]))
    with pytest.raises(InputError, match="has 1 rows; 2 were asked for"):
        week._plan(release, tmp_path, 2, seed=0)


def test_the_figures_are_those_of_a_row() -> None:
    entries = [{**dict.fromkeys(week.FIGURES, float(number)), "load": 1.0} for number in range(1, 21)]
    report = week._report(entries)
    assert report["waited_s"] == {"median": 10.5, "p95": 20.0, "mean": 10.5, "sum": 210.0}
    assert report["done"] == 20


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Shift + → or Shift + .", "Shift+ArrowRight"),
        ("Alt + Shift + Enter", "Alt+Shift+Enter"),
        ("C", "c"),
        ("PgDn", "PageDown"),
        ("[", "["),
    ],
)
def test_keys_are_read_from_the_pages_sheet(text: str, key: str) -> None:
    assert week.playwright_key(text) == key


@pytest.mark.parametrize(
    ("distance_s", "keys"),
    [
        (0.08, [("edge", 2)]),
        (-0.2, [("edgeRow", -1), ("edge", -1)]),
        (0.66, [("edgeHalf", 1), ("edgeRow", 1)]),
        (1.96, [("edgeClip", 1), ("edge", -1)]),
        (-3.5, [("edgeClip", -2), ("edgeHalf", 1)]),
        (19.0, [("edgeClip", 9), ("edgeSecond", 1)]),
        (0.0, []),
    ],
)
def test_an_edge_moves_by_the_fewest_keys(distance_s: float, keys: list[tuple[str, int]]) -> None:
    assert week.edge_keys(distance_s) == keys


def test_an_edge_moves_by_the_steps_that_the_keyboard_has() -> None:
    assert week.edge_keys(-0.2, ["edgeClip", "edgeSecond", "edgeHalf", "edge"]) == [("edge", -5)]
    assert week.edge_keys(0.4, ["edgeClip", "edgeSecond", "edge"]) == [("edge", 10)]


class Hand(week.Person):
    """A person before a page that is a list of moments, plays or not, and loops or not; what they do is listed."""

    def __init__(
        self, own: list[list[float]], *, is_playing: bool = False, loops: str = "never", makes: bool = True
    ) -> None:
        """`loops` says when something loops: "never", "always", or "new" once a moment is made."""
        names = ("toggle", "add", "markStart", "markEnd", "auditionEdge")
        super().__init__(None, {name: name for name in names}, random.Random(0), pace=1.0, last_move_s=None)
        self.own, self.plays, self.loops, self.makes = own, is_playing, loops, makes
        self.pressed: list[str] = []

    def own_moments(self) -> list[list[float]]:
        return self.own

    def is_playing(self) -> bool:
        return self.plays

    def is_looping(self) -> bool:
        return self.loops == "always" or (self.loops == "new" and "markEnd" in self.pressed)

    def press(self, key: str) -> None:
        self.pressed.append(key)
        if key == "toggle":
            self.plays, self.loops = not self.plays, "never"
        if key in ("add", "markStart") and self.makes:
            self.own = [*self.own, [2.0, 4.0]]

    def play_to(self, time_s: float) -> None:
        self.pressed.append(f"until {time_s}")

    def pause(self, median_s: float) -> None: ...


def test_a_new_moment_is_marked_while_the_clip_plays() -> None:
    hand = Hand([])
    hand.add_moment(2.0, 9.0)
    marks = ["until 2.0", "markStart", "until 9.0", "markEnd"]
    assert hand.pressed == ["toggle", *marks, "auditionEdge"]
    hand = Hand([], is_playing=True, loops="new")
    hand.add_moment(2.0, 9.0)
    assert hand.pressed == marks, "the clip played already, and the moment loops by itself"


def test_beside_other_moments_a_key_adds_one_and_a_loop_is_stopped_before() -> None:
    hand = Hand([[6.0, 9.0]], is_playing=True, loops="always")
    hand.add_moment(2.0, 4.0)
    assert hand.pressed == ["toggle", "toggle", "until 2.0", "add", "until 4.0", "markEnd", "auditionEdge"]


def test_a_new_moment_that_the_page_does_not_make_ends_the_run() -> None:
    with pytest.raises(InputError, match=re.escape("makes no moment from 2.0 to 9.0 s")):
        Hand([], makes=False).add_moment(2.0, 9.0)


@pytest.mark.parametrize(
    ("own", "window_s"),
    [
        ([], (2.0, 4.0)),  # the row's first
        ([[2.0, 4.0]], (6.0, 10.0)),
        ([[0.0, 1.0], [9.0, 12.0]], (3.0, 7.0)),
        ([[2.0, 4.0], [9.0, 10.0]], None),  # five seconds are too few
    ],
)
def test_a_new_moment_is_made_where_there_is_room(
    own: list[list[float]], window_s: tuple[float, float] | None
) -> None:
    assert Hand(own).free_window({"relevant_windows": [[2, 4]], "duration": 12}) == window_s
    assert Hand([]).free_window({"relevant_windows": [[2, 12]], "duration": 12}) == (2.0, 11.5)


def test_edges_belong_to_a_cut_to_the_last_offset_or_to_a_frame_between_their_limits() -> None:
    kinds: Counter[str] = Counter()
    for number in range(300):
        person = week.Person(None, {}, random.Random(number), pace=1.0, last_move_s=-1.52)
        kind, target_s = person.target(24.0, 22.0, 60.0)
        kinds[kind] += 1
        assert 22 <= target_s <= 60
        assert target_s != 24
        assert target_s == pytest.approx(round(target_s * week.CLIP_RATE) / week.CLIP_RATE)
        assert kind != "repeat" or target_s == pytest.approx(22.48)
        kind, target_s = person.target(27.0, 22.0, 60.0)
        assert kind != "cut" or target_s == 30
        kinds[f"near, {kind}"] += 1
    assert kinds["cut"] == 0, "20 s lies before the least"
    assert 30 <= kinds["repeat"] <= 70
    assert 70 <= kinds["near, cut"] <= 130


def test_cpu_time_is_that_of_a_process_and_of_all_that_descend_from_it() -> None:
    """Of processes of its own: those that other tests left count, or end, at any time."""
    wait = "print(flush=True); input()"
    burn = f"import time\nwhile time.process_time() < 0.35: pass\n{wait}"
    nested = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])"
    outer = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {nested!r}])\n{wait}"
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        assert week._cpu_s(process.pid) >= 0.3, "all run"
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"\n"
        assert week._cpu_s(process.pid) >= 0.3, "what it started has ended"
        process.communicate(b"\n")
