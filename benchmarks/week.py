"""An annotator's rows by keyboard, through the real page in Chromium: keys, waiting, and time away from the clip.

The rows are real ones of QVHighlights val; their clips are made, each as long as its row says. The app runs as a
process of its own, of this checkout or of another one, and the same script sits before it: which row gets which
corrections, and how long a person takes over each key, is drawn from the seed and the row alone.
"""

import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
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
"""Median seconds of a person between two keys, before a decision, and of watching an edge."""
METER = """() => {
  const week = (window.week = { waits: [], pending: null, away_ms: 0, whole_ms: 0 });
  const root = () => document.querySelector(".tl-root");
  const video = () => document.querySelector(".tl-video");
  week.shown = () => root()?.dataset.state === "ready" && !root().classList.contains("fl-covered")
    && (video()?.readyState ?? 0) >= 2;
  const isLooking = () => week.shown() && !document.querySelector("dialog[open]");
  addEventListener("keydown", (event) => {
    if (["Control", "Shift", "Alt"].includes(event.key)) return;
    const isNext = event.key === "Enter" && event.ctrlKey;
    week.pending = { key: event.key, isNext, from: performance.now(), hash: location.hash, refreshes: 0 };
  }, true);
  addEventListener("pointerdown", () => {
    week.pending = { key: "pointer", isNext: false, from: performance.now(), hash: location.hash, refreshes: 0 };
  }, true);
  let before = performance.now();
  const refresh = (now) => {
    if (week.measuring) {
      week.whole_ms += now - before;
      if (!isLooking()) week.away_ms += now - before;
    }
    before = now;
    const { pending } = week;
    if (pending && (pending.refreshes += 1) > 2) {
      const isDone = pending.isNext ? location.hash !== pending.hash && week.shown() : !video()?.seeking;
      if (isDone) {
        week.waits.push({ key: pending.key, isNext: pending.isNext, ms: performance.now() - pending.from });
        week.pending = null;
      }
    }
    requestAnimationFrame(refresh);
  };
  requestAnimationFrame(refresh);
}"""
"""What the page is to count: from a key to the picture that it asks for, and how long no clip can be looked at."""


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
    """An annotator's rows by keyboard through the real page: keys and pointer moves a row, seconds of waiting for the
    product, and time in which the clip cannot be looked at. Needs Playwright and a Chromium.

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
        while len(entries) < rows:
            row = by_query[" ".join(page.inner_text(".tl-query").split())]
            person = Person(page, random.Random(f"{seed} {row['qid']}"), pace)
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
            entry |= {"qid": row["qid"], "server_cpu_s": _cpu_s(pid) - cpu_s, "load": os.getloadavg()[0]}
            if not entries:
                entry["first_s"] = first_s
            entries.append(entry)
            with (folder / LOG_NAME).open("a") as log:
                log.write(json.dumps(entry) + "\n")
            print(
                f"{len(entries)} of {rows}: {entry['task']}, {entry['keys']} keys, waited {entry['waited_s']:.2f} s",
                file=sys.stderr,
            )
        browser.close()


class Person:
    """Somebody at the keyboard: who looks, decides, presses, and presses again when the page has followed."""

    def __init__(self, page: Any, rng: random.Random, pace: float) -> None:
        self.page, self.rng, self.pace = page, rng, pace
        self.keys = self.pointer_moves = 0

    def do(self, row: dict[str, Any], *, is_last: bool) -> dict[str, Any]:
        """One row to its end: what it took. The last row's end is its save, not the next row."""
        page, begun_s = self.page, time.monotonic()
        page.evaluate("Object.assign(week, { waits: [], away_ms: 0, whole_ms: 0, measuring: true })")
        task = self.rng.choices(["accept", "fix an edge", "new moment", "no moment"], [40, 40, 10, 10])[0]
        own = page.locator("[data-lane=mine] [data-edge]").count()
        if task in ("accept", "fix an edge") and own == 0:
            task = "new moment"  # where release and model are hidden, there is nothing to accept
        self.pause(LOOK_S * 2)
        self.point(float(row["relevant_windows"][0][0]), float(row["duration"]))
        if task == "accept":
            self.press("ArrowDown")
            self.watch("Shift+P")
        elif task == "fix an edge":
            self.press("ArrowDown")
            self.press("]" if self.rng.random() < 0.6 else "[")
            self.watch("p")
            for _ in range(self.rng.randint(1, 6)):
                self.press(self.rng.choice(["ArrowRight", "ArrowLeft"]))
            self.watch("p")
        elif task == "new moment":
            self.press("n")
            for _ in range(2):
                self.press("PageDown")
            self.press("o")
            self.watch("p")
        else:
            self.watch("Space")
            self.press("0")
            self.pause(LOOK_S)
            self.press("1")
        self.pause(LOOK_S)
        if is_last:
            page.keyboard.press("Control+Enter")
            page.wait_for_timeout(2000)
            page.evaluate("week.pending = null")
        else:
            self.press("Control+Enter")
        page.evaluate("week.measuring = false")
        page.wait_for_function(
            "/^Saved/.test(document.querySelector('.fl-chip').textContent)", timeout=START_S * 1000
        )
        week = page.evaluate("week")
        waits_s = [wait["ms"] / 1000 for wait in week["waits"]]
        return {
            "task": task,
            "keys": self.keys,
            "pointer_moves": self.pointer_moves,
            "waited_s": sum(waits_s),
            "next_s": sum(wait["ms"] / 1000 for wait in week["waits"] if wait["isNext"]),
            "longest_key_s": max(
                (wait["ms"] / 1000 for wait in week["waits"] if not wait["isNext"]), default=0.0
            ),
            "away_s": week["away_ms"] / 1000,
            "whole_s": time.monotonic() - begun_s,
        }

    def pause(self, median_s: float) -> None:
        """Take a person's time."""
        self.page.wait_for_timeout(1000 * self.pace * median_s * self.rng.lognormvariate(0, 0.3))

    def press(self, key: str) -> None:
        """Press a key, and go on when the page shows what it asks for, but not sooner than a person does."""
        self.keys += 1
        self.page.keyboard.press(key)
        self.pause(KEY_S)
        self.page.wait_for_function("week.pending === null", timeout=START_S * 1000)

    def watch(self, key: str) -> None:
        """Play what the key plays, look at it, and stop it."""
        self.press(key)
        self.pause(AUDITION_S)
        self.press("Space")

    def point(self, time_s: float, duration_s: float) -> None:
        """Click into the ruler."""
        self.pointer_moves += 1
        box = self.page.locator("[data-lane=ruler]").bounding_box()
        self.page.mouse.move(box["x"] + box["width"] * time_s / duration_s, box["y"] + box["height"] / 2)
        self.page.mouse.down()
        self.page.mouse.up()
        self.pause(KEY_S)
        self.page.wait_for_function("week.pending === null", timeout=START_S * 1000)


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process and of its children, those that have ended too."""
    pids, total = [pid], 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) in pids:
            pids.append(int(stat.parent.name))
    for number in pids:
        try:
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        own = fields[11:15] if number == pid else fields[11:13]
        total += sum(int(value) for value in own) / TICKS
    return total


def _count_submitted(database: Path) -> int:
    """Rows that the store holds a submitted answer of."""
    import sqlite3

    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        statement = "SELECT count(DISTINCT query_id) FROM corrections WHERE submitted"
        return int(connection.execute(statement).fetchone()[0])


FIGURES = (
    "keys",
    "pointer_moves",
    "waited_s",
    "next_s",
    "longest_key_s",
    "away_s",
    "server_cpu_s",
    "whole_s",
)


def _report(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Median and 95th percentile of each figure over the rows."""
    report: dict[str, Any] = {"done": len(entries), "first_s": entries[0].get("first_s")}
    for name in FIGURES:
        values = sorted(float(entry[name]) for entry in entries)
        report[name] = {
            "median": statistics.median(values),
            "p95": values[min(len(values) - 1, int(0.95 * len(values)))],
            "sum": sum(values),
        }
    report["load"] = statistics.median(entry["load"] for entry in entries)
    return report


TITLES = {
    "keys": "keys",
    "pointer_moves": "pointer moves",
    "waited_s": "waiting for the product, s",
    "next_s": "  of that, for the next row, s",
    "longest_key_s": "longest wait of one key, s",
    "away_s": "no clip to look at, s",
    "server_cpu_s": "CPU of the server, s",
    "whole_s": "the whole row, s",
}


def _text(report: dict[str, Any]) -> str:
    lines = [
        f"{report['done']} rows, {report['submitted']} of them submitted in the store; "
        f"load {report['load']:.1f} on {os.cpu_count()} cores",
        f"{'a row':<34}{'median':>9}{'p95':>9}{'sum':>10}",
    ]
    for name, title in TITLES.items():
        figure = report[name]
        lines.append(f"{title:<34}{figure['median']:>9.2f}{figure['p95']:>9.2f}{figure['sum']:>10.1f}")
    if report["first_s"] is not None:
        lines.append(f"the page with its first row: {report['first_s']:.1f} s")
    return "\n".join(lines)
