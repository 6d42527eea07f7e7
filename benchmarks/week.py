"""An annotator's rows by keyboard, through the real page in Chromium: keys, waiting, and time away from the clip.

The rows are real ones of QVHighlights val; their clips are made, each as long as its row says, with a cut every ten
seconds. The app runs as a process of its own, of this checkout or of another one, and the same script sits before it:
what is to be done to which row, and how long a person takes over each key, is drawn from the seed and the row alone.

**The task is an outcome, not a list of keys**: which answer the row gets, and to which frame an edge goes. It is
reached by the shortest sequence that the build's own keyboard offers, by what its key sheet lists: an edge that belongs
to a cut goes there by one key where there is such a key, and by the steps that there are where there is none; so does
one that moves as the last one did. A key that does not do what it should (a cut that was not
found) costs its time, is undone, and then the long way follows. Where an edge arrives is read from the page; a build
that does not reach the frame fails.

**Time that is not looking at the clip** is counted by refreshes of the screen. A refresh counts when no clip is there
to look at, when a dialog covers it, while a person's finger is on its way to a key (KEY_S), or
while the page has not yet done what the last key asks. **Waiting** is the last of these alone: it begins with the first
refresh after the key at which the page has not done it (the picture that it asks for is not there, or the next row is
not), so that a key that is followed at once waits 0. **Held up** is what of a wait is left when the hand is back: the
only part of a response that Card, Moran and Newell's model charges to the product. Pauses for looking and deciding are
a person's own, and count as none of these.
"""

import json
import math
import os
import random
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from tempo_core.command_line import AsJson
from tempo_core.errors import InputError

ROWS_NAME, LOG_NAME, STUCK_NAME = "rows.jsonl", "log.jsonl", "stuck.png"
START_S = 600.0
"""The longest that the server, or a row, may take to come."""
TICKS = os.sysconf("SC_CLK_TCK")
CLIP_RATE, LOOP_S = 25, 10
KEY_S, LOOK_S, AUDITION_S = 0.18, 0.7, 1.5
"""Median seconds of a person for a key, for pointing (both of Card, Moran and Newell's keystroke-level model, the key
rounded), before a decision, and of watching an edge."""
CUT_SHARE, REPEAT_SHARE = 1 / 3, 1 / 6
"""Of the edges that are moved: those that belong to the next cut, and those that move as the last one did."""
MOST_CUT_S = 5.0
FRAME_S = 1 / CLIP_RATE
NEW_S = 2.0
"""Half of a moment that is made beside others."""
RUN_UP_S = 0.6
"""What a person sees of the clip before an edge that they mark."""
STEPS = {"edgeClip": 2.0, "edgeSecond": 1.0, "edgeHalf": 0.5, "edgeRow": 4 * FRAME_S, "edge": FRAME_S}
"""Keys of an edge by the beginning of their ids, with how far they move it."""
MOST_PRESSES = {"edgeSecond": 2, "edgeHalf": 1, "edgeRow": 2}
"""Of the steps between a clip and a frame: more of them, either way, are never the shortest."""
KEY_NAMES = {
    "Ctrl": "Control",
    "←": "ArrowLeft",
    "→": "ArrowRight",
    "↑": "ArrowUp",
    "↓": "ArrowDown",
    "↵": "Enter",
    "PgUp": "PageUp",
    "PgDn": "PageDown",
}
METER = """() => {
  const week = (window.week = { hand_ms: 0, measuring: false });
  const nothing = () => ({ waits: [], pending: null, no_clip_ms: 0, not_looking_ms: 0 });
  week.begin = () => Object.assign(week, nothing(), { measuring: true });
  Object.assign(week, nothing());
  let hand_until = 0;
  const root = () => document.querySelector(".tl-root");
  const video = () => document.querySelector(".tl-video");
  let pictured = null; // the clip of which a picture was there: it stays while the player seeks
  week.shown = () => {
    const clip = video();
    if (root()?.dataset.state !== "ready" || root().classList.contains("fl-covered") || !clip) return false;
    if (clip.readyState >= 2) pictured = clip.currentSrc;
    return clip.readyState >= 2 || (clip.seeking && pictured === clip.currentSrc);
  };
  const act = (key, isNext) => {
    hand_until = performance.now() + week.hand_ms;
    week.pending = { key, isNext, since: null, hash: location.hash };
  };
  addEventListener("keydown", (event) => {
    if (["Control", "Shift", "Alt"].includes(event.key)) return;
    act(event.key, event.key === "Enter" && (event.ctrlKey || event.altKey));
  }, true);
  let before = performance.now();
  const refresh = (now) => {
    const { pending } = week;
    const isWaiting = Boolean(pending?.since); // at the refresh before
    if (pending) {
      const isThere = week.shown() && !video().seeking;
      const isDone = isThere && (!pending.isNext || location.hash !== pending.hash);
      if (!isDone) pending.since ??= now;
      else {
        const ms = pending.since ? now - pending.since : 0;
        const held_ms = Math.max(0, Math.min(ms, now - hand_until));
        week.waits.push({ key: pending.key, isNext: pending.isNext, ms, held_ms });
        week.pending = null;
      }
    }
    if (week.measuring) {
      const isCovered = Boolean(document.querySelector("dialog[open]"));
      if (!week.shown()) week.no_clip_ms += now - before;
      if (!week.shown() || isCovered || isWaiting || now < hand_until) week.not_looking_ms += now - before;
    }
    before = now;
    requestAnimationFrame(refresh);
  };
  requestAnimationFrame(refresh);
}"""
"""What the page is to count."""


def run(
    annotations: Annotated[Path, typer.Option(help="QVHighlights' highlight_val_release.jsonl")],
    folder: Annotated[
        Path, typer.Option(help="for home, clips and log; a run that was stopped goes on in it")
    ],
    rows: Annotated[int, typer.Option(help="rows to do")] = 40,
    checkout: Annotated[
        Path | None, typer.Option(help="a folder with another version of the project; default: this one")
    ] = None,
    seed: Annotated[int, typer.Option(help="of rows, corrections and delays")] = 0,
    pace: Annotated[float, typer.Option(help="how much slower than usual the person is")] = 1.0,
    as_json: AsJson = False,
) -> int:
    """An annotator's rows by keyboard through the real page: keys and pointer moves a row, time that is not looking at
    the clip, and of that waiting for the product and no clip to look at. Needs Playwright and a Chromium.

    Beside wall time stands the server's CPU time: waits on a machine that others use are theirs too. Exit code 1
    where a row that was submitted is not in the store.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan = _plan(annotations, folder, rows, seed)
    log = folder / LOG_NAME
    entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    database = folder / "home" / "cqvh.sqlite3"
    # rows that a run which was stopped had submitted and not yet measured do not come again
    lost = max(0, _count_submitted(database) - len(entries)) if entries else 0
    if len(entries) + lost < rows:
        _make_clips(plan, folder / "home" / "videos")
        with _server(checkout or Path(__file__).parents[1], folder) as (url, pid):
            _work(url, pid, plan, entries, rows=rows - lost, seed=seed, pace=pace, folder=folder)
    report = _report(entries)
    report["submitted"] = _count_submitted(database)
    print(json.dumps({**report, "rows": entries}) if as_json else _text(report))
    return int(report["submitted"] < len(entries))


def _plan(annotations: Path, folder: Path, rows: int, seed: int) -> list[dict[str, Any]]:
    """The rows of the run, as the release has them; those of the folder where it has some. Raises InputError."""
    file = folder / ROWS_NAME
    if not file.exists():
        lines = annotations.read_text().splitlines()
        if len(lines) < rows:
            raise InputError(f"{annotations} has {len(lines)} rows; {rows} were asked for. Ask for fewer.")
        file.write_text("\n".join(random.Random(seed).sample(lines, rows)))
    plan = [json.loads(line) for line in file.read_text().splitlines()]
    if len(plan) != rows:
        raise InputError(
            f"{folder} holds a run of {len(plan)} rows; {rows} were asked for. Give another folder."
        )
    return plan


def _make_clips(plan: list[dict[str, Any]], videos: Path) -> None:
    """A clip for each row's `vid`, as long as the row says: ten seconds of one hue, over and over."""
    import av
    import numpy as np

    from tests.videos import state_plain_colours

    videos.mkdir(parents=True, exist_ok=True)
    for row in plan:
        path = videos / f"{row['vid']}.mp4"
        if path.exists():
            continue
        rng = np.random.default_rng(row["qid"])
        wall = np.kron(rng.integers(0, 255, (9, 32, 3)), np.ones((20, 20, 1))).astype(np.uint8)
        with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
            stream: Any = container.add_stream("libx264", rate=CLIP_RATE)
            stream.height, stream.width, stream.pix_fmt = 180, 320, "yuv420p"
            stream.gop_size, stream.codec_context.max_b_frames = CLIP_RATE // 2, 0
            stream.options = {"preset": "ultrafast", "crf": "24"}
            state_plain_colours(stream)
            packets = []
            for idx in range(CLIP_RATE * LOOP_S):
                view = np.roll(wall, -idx, axis=1)[:, :320]
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="rgb24")
                packets += stream.encode(frame)
            packets += stream.encode(None)
            contents = [(bytes(packet), packet.is_keyframe) for packet in packets]
            for idx in range(CLIP_RATE * int(row["duration"])):
                data, is_key = contents[idx % len(contents)]
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, Fraction(1, CLIP_RATE)
                packet.pts = packet.dts = idx
                packet.duration, packet.is_keyframe = 1, is_key
                container.mux(packet)


@contextmanager
def _server(checkout: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """The app of a checkout on the folder's home, with the rows imported: its address and its process."""
    home = folder / "home"
    imported = subprocess.run(
        [
            *(sys.executable, "-m", "annotations", "import", str((folder / ROWS_NAME).resolve())),
            *("--format", "qvhighlights", "--dataset", "qvhighlights", "--split", "val"),
            *("--database", f"sqlite:///{(home / 'cqvh.sqlite3').resolve()}"),
        ],
        cwd=checkout,
        capture_output=True,
        text=True,
    )
    if imported.returncode:
        raise InputError(f"{checkout} cannot import the rows: {imported.stderr.strip()[-500:]}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "app", "--home", str(home.resolve()), "--port", str(port)]
    with (folder / "server.log").open("ab") as output:
        process = subprocess.Popen(command, cwd=checkout, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        give_up_s = time.monotonic() + START_S
        while not _is_served(f"{url}/annotate"):
            if process.poll() is not None or time.monotonic() > give_up_s:
                raise InputError(
                    f"The app of {checkout} does not start; its words are in {folder / 'server.log'}."
                )
            time.sleep(0.5)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def _is_served(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _work(
    url: str,
    pid: int,
    plan: list[dict[str, Any]],
    entries: list[dict[str, Any]],
    *,
    rows: int,
    seed: int,
    pace: float,
    folder: Path,
) -> None:
    """Do what is left of the rows, a line of the log each. Raises InputError where the page stays behind."""
    from playwright.sync_api import TimeoutError, sync_playwright

    from scripts.setup import find_browser

    by_query = {" ".join(row["query"].split()): row for row in plan}
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=find_browser(), args=flags)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(f"({METER})()")
        begun_s = time.monotonic()
        page.goto(f"{url}/annotate")
        page.wait_for_function("window.week?.shown()", timeout=START_S * 1000)
        first_s = time.monotonic() - begun_s
        keyboard = read_keys(page)
        last_move_s = None
        while len(entries) < rows:
            row = by_query[" ".join(page.inner_text(".tl-query").split())]
            person = Person(page, keyboard, random.Random(f"{seed} {row['qid']}"), pace, last_move_s)
            cpu_s = _cpu_s(pid)
            is_last = len(entries) + 1 == rows
            try:
                entry = person.do(row, is_last=is_last)
            except TimeoutError as error:
                page.screenshot(path=folder / STUCK_NAME)
                raise InputError(
                    f"Row {row['qid']} does not go on; {folder / STUCK_NAME} shows where. The same command tries it "
                    "again."
                ) from error
            last_move_s = person.last_move_s
            entry |= {"qid": row["qid"], "server_cpu_s": _cpu_s(pid) - cpu_s, "load": os.getloadavg()[0]}
            if not entries:
                entry["first_s"] = first_s
            entries.append(entry)
            with (folder / LOG_NAME).open("a") as log:
                log.write(json.dumps(entry) + "\n")
            print(
                f"{len(entries)} of {rows}: {entry['task']}, {entry['keys']} keys, waited {entry['waited_s']:.2f} s, "
                f"not looking {entry['not_looking_s']:.2f} s",
                file=sys.stderr,
            )
        browser.close()


def read_keys(page: Any) -> dict[str, str]:
    """What the page's key sheet lists: the first key of each action by the action's id, as Playwright names it."""
    page.keyboard.press("?")
    texts = page.evaluate(
        """Object.fromEntries(
          [...document.querySelectorAll(".tl-key[data-id]")].map((key) => [key.dataset.id, key.textContent]))"""
    )
    page.keyboard.press("Escape")
    return {action: playwright_key(text) for action, text in texts.items()}


def playwright_key(text: str) -> str:
    """A key as the sheet writes it, "Shift + →" or ", or ←", under Playwright's names.

    >>> playwright_key("Shift + → or Shift + .")
    'Shift+ArrowRight'
    """
    parts = text.split(" or ")[0].split(" + ")
    return "+".join(KEY_NAMES.get(part, part.lower() if len(part) == 1 else part) for part in parts)


def edge_keys(distance_s: float, steps: Collection[str] = tuple(STEPS)) -> list[tuple[str, int]]:
    """The fewest presses that move an edge so far by the `steps` that a keyboard has, as (beginning of the key's id,
    presses; backwards below 0).

    >>> edge_keys(1.96)
    [('edgeClip', 1), ('edge', -1)]
    >>> edge_keys(0.2)
    [('edgeRow', 1), ('edge', 1)]
    >>> edge_keys(0.2, ["edgeClip", "edgeSecond", "edgeHalf", "edge"])
    [('edge', 5)]
    """
    nearest = round(distance_s / STEPS["edgeClip"])
    between = [range(-most, most + 1) if name in steps else [0] for name, most in MOST_PRESSES.items()]
    moves = []
    for counts in product(range(nearest - 1, nearest + 2), *between):
        coarse_s = sum(count * step_s for count, step_s in zip(counts, STEPS.values(), strict=False))
        moves.append((*counts, round((distance_s - coarse_s) / FRAME_S)))
    best = min(moves, key=lambda counts: sum(map(abs, counts)))
    return [(name, count) for name, count in zip(STEPS, best, strict=True) if count]


class Person:
    """Somebody at the keyboard: who looks, decides, presses, and presses again when the page has followed."""

    def __init__(
        self,
        page: Any,
        keyboard: dict[str, str],
        rng: random.Random,
        pace: float,
        last_move_s: float | None,
    ) -> None:
        """`last_move_s` is how far they moved an edge last; None: not yet."""
        self.page, self.keyboard, self.rng, self.pace = page, keyboard, rng, pace
        self.last_move_s = last_move_s
        self.keys = 0

    def do(self, row: dict[str, Any], *, is_last: bool) -> dict[str, Any]:
        """One row to its end: what it took. The last row's end is its save, not the next row."""
        page, begun_s = self.page, time.monotonic()
        page.evaluate("week.begin()")
        task = self.rng.choices(["accept", "fix an edge", "new moment", "no moment"], [40, 40, 10, 10])[0]
        own = self.own_moments()
        if task in ("accept", "fix an edge") and not own:
            task = "new moment"  # where release and model are hidden, there is nothing to accept
        elif task == "new moment" and self.free_window(row) is None:
            task = "accept"
        self.pause(LOOK_S * 2)
        if task == "accept":
            if not self.is_playing():  # the key that submits may have begun the loop
                self.press(self.keyboard["auditionMoment"])
            self.pause(AUDITION_S)
        elif task == "fix an edge" and not self.fix_edge("end" if self.rng.random() < 0.6 else "start"):
            task = "new moment"
        if task == "new moment" and (window_s := self.free_window(row)):
            self.add_moment(*window_s)
        elif task == "no moment":
            if not self.is_playing():
                self.press(self.keyboard["toggle"])
            self.pause(AUDITION_S)
            if "eventAbsent" in self.keyboard:
                self.press(self.keyboard["eventAbsent"])
            else:  # through the list of reasons
                self.press(self.keyboard["noMoment"])
                self.pause(LOOK_S)
                self.press("1")
        self.pause(LOOK_S)
        submit = self.keyboard.get("submitAndLoop", self.keyboard["submit"])
        if is_last:
            self.keys += 1
            page.keyboard.press(submit)
            page.evaluate("week.measuring = false")
            page.wait_for_timeout(2000)
            page.evaluate("week.pending = null")
        else:
            self.press(submit)
        page.evaluate("week.measuring = false")
        page.wait_for_function(
            "/^Saved/.test(document.querySelector('.fl-chip').textContent)", timeout=START_S * 1000
        )
        week = page.evaluate("week")
        waits_s = [wait["ms"] / 1000 for wait in week["waits"]]
        return {
            "task": task,
            "keys": self.keys,
            "not_looking_s": week["not_looking_ms"] / 1000,
            "waited_s": sum(waits_s),
            "held_s": sum(wait["held_ms"] / 1000 for wait in week["waits"]),
            "next_s": sum(wait["ms"] / 1000 for wait in week["waits"] if wait["isNext"]),
            "longest_key_s": max(
                (wait["ms"] / 1000 for wait in week["waits"] if not wait["isNext"]), default=0.0
            ),
            "no_clip_s": week["no_clip_ms"] / 1000,
            "whole_s": time.monotonic() - begun_s,
        }

    def own_moments(self) -> list[list[float]]:
        """Seconds of each moment's edges, in order, as the page says them."""
        edges = (
            "[...document.querySelectorAll('[data-lane=mine] [data-edge]')].map((edge) => +edge.ariaValueNow)"
        )
        values = sorted(self.page.evaluate(edges))
        return [values[idx : idx + 2] for idx in range(0, len(values), 2)]

    def free_window(self, row: dict[str, Any]) -> tuple[float, float] | None:
        """Seconds of a new moment: the row's first window in a lane without moments, else four seconds in the middle of
        the longest stretch without one. None where there is no room.
        """
        own = self.own_moments()
        if not own:
            start_s, end_s = row["relevant_windows"][0]
            return float(start_s), min(end_s, row["duration"] - NEW_S / 4)  # before the clip stops by itself
        borders = [0.0, *(edge_s for moment in own for edge_s in moment), float(row["duration"])]
        stretches = list(zip(borders[::2], borders[1::2], strict=True))
        start_s, end_s = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
        middle_s = (start_s + end_s) / 2
        return (middle_s - NEW_S, middle_s + NEW_S) if end_s - start_s > 3 * NEW_S else None

    def add_moment(self, start_s: float, end_s: float) -> None:
        """Mark a new moment while the clip plays, and look at its end. Raises InputError where the page makes none."""
        count = len(self.own_moments())
        if self.is_looping():
            self.press(self.keyboard["toggle"])
        if not self.is_playing():
            self.press(self.keyboard["toggle"])
        self.play_to(start_s)
        self.press(
            self.keyboard["add" if count else "markStart"]
        )  # beside others the start is that of one of them
        self.play_to(end_s)
        self.press(self.keyboard["markEnd"])
        if len(self.own_moments()) == count:
            raise InputError(f"The page makes no moment from {start_s} to {end_s} s.")
        if not self.is_looping():  # the new moment may have begun the loop
            self.press(self.keyboard["auditionEdge"])
        self.pause(AUDITION_S)

    def play_to(self, time_s: float) -> None:
        """Look at the clip until a time. What plays before its last instant is left out."""
        script = "(time_s) => (document.querySelector('.tl-video').currentTime = Math.max(0, time_s))"
        self.page.evaluate(script, time_s - RUN_UP_S)
        self.page.wait_for_function(
            "(time_s) => document.querySelector('.tl-video').currentTime >= time_s",
            arg=max(time_s, 1.5 * FRAME_S),
            timeout=START_S * 1000,
        )

    def fix_edge(self, edge: str) -> bool:
        """Look at an edge of the first moment, move it to where it belongs, and look again. False where the moment has
        gone meanwhile, as a model's answer may replace it. Raises InputError where the page does not follow.
        """
        if not self.is_active(edge):  # it may be looped from the row's beginning
            self.press(self.keyboard["endEdge" if edge == "end" else "startEdge"])
        if not self.is_playing():  # a loop may have gone over to the edge
            self.press(self.keyboard["auditionEdge"])
        self.pause(AUDITION_S)
        place = self.page.locator(f"[data-lane=mine] [data-edge={edge}]").first
        if place.count() == 0:
            return False
        here_s, least_s, most_s = (
            float(place.get_attribute(f"aria-value{name}")) for name in ("now", "min", "max")
        )
        kind, target_s = self.target(here_s, least_s, most_s)
        shortcut = None
        if kind == "cut":
            shortcut = "edgeShotOn" if target_s > here_s else "edgeShotBack"
        elif kind == "repeat":
            shortcut = "repeatOffset"
        if shortcut in self.keyboard:
            self.press(self.keyboard[shortcut])
            now_s = float(place.get_attribute("aria-valuenow"))
            if now_s != here_s and abs(now_s - target_s) > 0.6 * FRAME_S:
                self.press(self.keyboard["undo"])
        steps = [name for name in STEPS if f"{name}On" in self.keyboard]
        for _ in range(2):  # halves of a second end on the nearest frame
            now_s = float(place.get_attribute("aria-valuenow"))
            for name, count in edge_keys(target_s - now_s, steps):
                for _ in range(abs(count)):
                    self.press(self.keyboard[name + ("On" if count > 0 else "Back")])
        if abs(float(place.get_attribute("aria-valuenow")) - target_s) > 0.6 * FRAME_S:
            raise InputError(f"The {edge} does not go from {here_s} to {target_s} s by the page's keys.")
        self.last_move_s = target_s - here_s
        self.pause(AUDITION_S)
        return True

    def target(self, here_s: float, least_s: float, most_s: float) -> tuple[str, float]:
        """Where an edge belongs, on a frame between its limits, and what is there: a cut, as far again as the last
        time, or nothing particular (`free`).
        """
        draw = self.rng.random()
        way = self.rng.choice([-1, 1])
        free_s = self.rng.randint(0, 6) * 0.5 + self.rng.randint(1, 4) * FRAME_S

        def fits(time_s: float) -> bool:
            return least_s <= time_s <= most_s and abs(time_s - here_s) > 0.5 * FRAME_S

        cuts_s = [LOOP_S * math.floor(here_s / LOOP_S), LOOP_S * math.ceil(here_s / LOOP_S)]
        near_s = [
            cut_s for cut_s in cuts_s if abs(cut_s - here_s) <= MOST_CUT_S and fits(cut_s) and cut_s > 0
        ]
        if draw < CUT_SHARE and near_s:
            return "cut", float(min(near_s, key=lambda cut_s: abs(cut_s - here_s)))
        offset_s = self.last_move_s or 0.0
        if CUT_SHARE <= draw < CUT_SHARE + REPEAT_SHARE and fits(here_s + offset_s):
            return "repeat", here_s + offset_s
        for distance_s in (way * free_s, -way * free_s, FRAME_S, -FRAME_S):
            time_s = round((here_s + distance_s) / FRAME_S) * FRAME_S
            if fits(time_s):
                return "free", time_s
        return "free", here_s

    def is_active(self, edge: str) -> bool:
        """Whether keys move this edge of the first moment, which is looped."""
        place = self.page.locator(f"[data-lane=mine] [data-edge={edge}]").first
        is_focused = bool(place.count() and place.evaluate("(node) => node === document.activeElement"))
        return is_focused and self.is_looping()

    def is_playing(self) -> bool:
        return not self.page.evaluate("document.querySelector('.tl-video').paused")

    def is_looping(self) -> bool:
        """A clip without own moments may play and not loop."""
        return bool(self.page.evaluate("/^Looping/.test(document.querySelector('.tl-doing').textContent)"))

    def pause(self, median_s: float) -> None:
        """Take a person's time to look."""
        self.page.wait_for_timeout(1000 * self.pace * median_s * self.rng.lognormvariate(0, 0.3))

    def press(self, key: str) -> None:
        """Press a key, and go on when the page shows what it asks for, but not sooner than a person does."""
        self.keys += 1
        self.act(KEY_S, lambda: self.page.keyboard.press(key))

    def act(self, median_s: float, action: Callable[[], Any]) -> None:
        hand_ms = 1000 * self.pace * median_s * self.rng.lognormvariate(0, 0.3)
        self.page.evaluate("(hand_ms) => (week.hand_ms = hand_ms)", hand_ms)
        action()
        self.page.wait_for_timeout(hand_ms)
        self.page.wait_for_function("week.pending === null", timeout=START_S * 1000)


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process and of all that descend from it, those that have ended too."""
    fields_of: dict[int, list[str]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            fields_of[int(stat.parent.name)] = stat.read_text().rpartition(")")[2].split()
    family, total = [pid], 0.0
    for member in family:
        family += [number for number, fields in fields_of.items() if int(fields[1]) == member]
        # own time, and that of the children that it has waited for
        total += sum(int(value) for value in fields_of.get(member, [])[11:15]) / TICKS
    return total


def _count_submitted(database: Path) -> int:
    """Rows that the store holds a submitted answer of."""
    import sqlite3

    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        statement = "SELECT count(DISTINCT query_id) FROM corrections WHERE submitted"
        return int(connection.execute(statement).fetchone()[0])


FIGURES = (
    "keys",
    "not_looking_s",
    "waited_s",
    "held_s",
    "next_s",
    "longest_key_s",
    "no_clip_s",
    "server_cpu_s",
    "whole_s",
)


def _report(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Median, 95th percentile, mean and sum of each figure over the rows."""
    report: dict[str, Any] = {"done": len(entries), "first_s": entries[0].get("first_s")}
    for name in FIGURES:
        values = sorted(float(entry[name]) for entry in entries)
        report[name] = {
            "median": statistics.median(values),
            "p95": values[min(len(values) - 1, int(0.95 * len(values)))],
            "mean": statistics.fmean(values),
            "sum": sum(values),
        }
    report["load"] = statistics.median(entry["load"] for entry in entries)
    return report


TITLES = {
    "keys": "keys",
    "not_looking_s": "not looking at the clip, s",
    "waited_s": "waiting for the product, s",
    "held_s": "  of that, held up, s",
    "next_s": "  of that, for the next row, s",
    "longest_key_s": "longest wait of one key, s",
    "no_clip_s": "no clip to look at, s",
    "server_cpu_s": "CPU of the server, s",
    "whole_s": "the whole row, s",
}


def _text(report: dict[str, Any]) -> str:
    lines = [
        f"{report['done']} rows, {report['submitted']} of them submitted in the store; "
        f"load {report['load']:.1f} on {os.cpu_count()} cores",
        f"{'a row':<34}{'median':>9}{'p95':>9}{'mean':>9}{'sum':>10}",
    ]
    for name, title in TITLES.items():
        figure = report[name]
        values = f"{figure['median']:>9.2f}{figure['p95']:>9.2f}{figure['mean']:>9.2f}{figure['sum']:>10.1f}"
        lines.append(f"{title:<34}{values}")
    if report["first_s"] is not None:
        lines.append(f"the page with its first row: {report['first_s']:.1f} s")
    return "\n".join(lines)
