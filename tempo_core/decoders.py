"""Two readers of pictures behind one interface: Decord where it is proven right, PyAV elsewhere. Runs in the
child.

A reader is handed wanted times and yields the pictures shown at them, each with its own presentation time.
Decord 0.6 seeks by index, and its index is wrong for transport streams, AVI, edit lists and variable rates
taken by number; so it reads only H.264, HEVC, VP8 and VP9 in MP4 or Matroska, and only after its own table of
times agreed with the packets'. PyAV decodes in one forward pass and leaves out the groups of pictures that
nobody asked for.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from tempo_core.demux import (
    Health,
    check_size,
    decode_packet,
    decoded,
    open_container,
    packets,
    prepare_decoder,
)
from tempo_core.errors import VideoError
from tempo_core.picture_index import NO_PTS, PictureIndex, VideoFile

SHOWN_TOLERANCE_S = 0.0006  # clocks of whole milliseconds put a picture up to half of one late
DECORD_CODECS = ("h264", "hevc", "vp8", "vp9")
DECORD_CONTAINERS = ("mov", "matroska")
DECORD_MIN_SIDE_PX = 32  # at 16x16 its scaler reports a wrong size
DECORD_MAX_PIXELS = 10_000_000  # it takes twice the memory of PyAV
DECORD_BATCH_BYTES = 64 * 2**20
MAX_LOST_SHARE = 0.1

Picture = tuple[float, np.ndarray]
"""(presentation time on the player's clock in seconds, uint8[H, W, 3])"""


class Reader(Protocol):
    """Yields pictures of one file."""

    name: str
    notes: list[str]

    def shown_at(
        self, times_s: Sequence[float], size: tuple[int, int], report: Callable[[float], None]
    ) -> Iterator[Picture]:
        """The pictures shown at the sorted `times_s`, each once, scaled to `size` (height, width).

        A time before the first picture gets the first. Raises VideoError when the file gives none.
        """


class Doubt(Exception):
    """A fast way turned out not to be provably right for this file."""


def choose_reader(
    video_file: VideoFile, index: PictureIndex, *, force: str | None = None
) -> tuple[Reader, str]:
    """The reader for a file and the reason, in words. `force` names one for tests and for a second try."""
    against = f"{force} was asked for" if force == "pyav" else decord_objection(index)
    if against is None:
        try:
            return DecordReader(
                video_file, index
            ), "whole, no edit list, and Decord's times equal the container's"
        except Doubt as doubt:
            against = str(doubt)
    return PyavReader(video_file, index), against


def decord_objection(index: PictureIndex) -> str | None:
    """Why Decord must not read this file, or None."""
    height, width = index.coded_size
    checks = (
        (index.codec not in DECORD_CODECS, f"Decord is not proven for {index.codec}"),
        (not index.container.startswith(DECORD_CONTAINERS), f"Decord seeks wrongly in {index.container}"),
        (index.oddities.discarded > 0, "an edit list cuts pictures, which Decord does not honour"),
        (not index.has_duration, "the container states no duration, which Decord needs"),
        (index.oddities.undated > 0 or index.out_of_order, "some pictures carry no time, or a repeated one"),
        (index.oddities.corrupt > 0 or index.is_cut_short, "the file is cut short or damaged"),
        (index.oddities.soft_keys > 0, "some key pictures do not stand alone, and Decord would seek to them"),
        (index.open_groups, "pictures lean on the group before theirs, and Decord seeks past that"),
        (index.fragmented, "the MP4 is in fragments, in which Decord loses pictures"),
        (not index.shown.all(), "some packets are never shown, and Decord would count them"),
        (not index.key[0], "the file does not begin with a whole picture"),
        (min(height, width) < DECORD_MIN_SIDE_PX, "Decord cannot read pictures this small"),
        (height * width > DECORD_MAX_PIXELS, "pictures this large cost Decord too much memory"),
        (index.mirrored, "Decord does not mirror pictures"),
        (index.video_streams > 1, "there is more than one video track"),
    )
    return next((reason for holds, reason in checks if holds), None)


def turn(picture: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Apply a display matrix of quarter turns and mirrors to uint8[H, W, 3]."""
    a, b, c, d = matrix
    if a == 0:
        picture, across, down = picture.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    return picture[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


class PyavReader:
    """Forward decoding with PyAV: right for everything that FFmpeg 8 can read."""

    name = "pyav"

    def __init__(self, video_file: VideoFile, index: PictureIndex, *, leave_out: bool = True) -> None:
        """`leave_out` allows skipping groups of pictures that nobody asked for; without it every picture is
        decoded.
        """
        self.video_file, self.index, self.leave_out = video_file, index, leave_out
        self.notes: list[str] = []
        self._scaler = VideoReformatter()

    def shown_at(
        self, times_s: Sequence[float], size: tuple[int, int], report: Callable[[float], None]
    ) -> Iterator[Picture]:
        """See Reader. A plan to leave out groups that does not work out is dropped for plain decoding."""
        last_s = -np.inf
        plan = _plan(self.index, times_s) if self.leave_out else None
        if plan is not None:
            try:
                for number, frame in enumerate(self._jumping(*plan)):
                    last_s = self.index.seconds(frame.pts)
                    yield self._picture(frame, size)
                    report((number + 1) / len(plan[0]))
                return
            except Doubt as doubt:
                self.notes.append(str(doubt))
        for frame in self._every(times_s, report):
            if self.index.seconds(frame.pts) > last_s:
                yield self._picture(frame, size)

    def all_frames(self, health: Health) -> Iterator[tuple[float, Any]]:
        """(time, PyAV frame) of every picture in the order shown, strictly increasing; `health` counts the
        others.
        """
        last_s = -np.inf
        with open_container(self.video_file) as container:
            stream = container.streams[self.index.stream]
            for frame in decoded(self.video_file, container, stream, health):
                time_s = -np.inf if frame.pts is None else self.index.seconds(frame.pts)
                if time_s <= last_s:
                    health.failed += 1
                    continue
                check_size(self.video_file, frame.width, frame.height)
                last_s = time_s
                health.good += 1
                yield time_s, frame

    def judge(self, health: Health) -> None:
        """Note what was lost on the way. Raises VideoError when it is too much to speak of the same video."""
        everything = health.good + health.failed
        if health.failed > MAX_LOST_SHARE * everything:
            raise VideoError(
                f"'{self.video_file.name}' is damaged: {health.failed} of {everything} pictures cannot be"
                " decoded or dated."
                " Give an undamaged copy."
            )
        if health.failed:
            self.notes.append(
                f"{health.failed} pictures cannot be decoded or dated; the one before stays in their place."
            )
        if health.corrupt:
            self.notes.append(f"{health.corrupt} pictures are damaged and patched by the decoder.")

    def _every(self, times_s: Sequence[float], report: Callable[[float], None]) -> Iterator[Any]:
        """Frames shown at the wanted times, from a plain pass over the whole file up to the last of them."""
        position, held, given, health = 0, None, None, Health()
        for time_s, frame in self.all_frames(health):
            while (
                held is not None
                and position < len(times_s)
                and time_s > times_s[position] + SHOWN_TOLERANCE_S
            ):
                position += 1
                if given is not held:
                    given = held
                    yield held
            if position == len(times_s):
                break
            held = frame
            report(max(0.0, time_s) / self.index.end_s)
        if position < len(times_s) and held is not None and held is not given:
            yield held
        self.judge(health)

    def _jumping(self, wanted: list[int], needed: np.ndarray) -> Iterator[Any]:
        """Frames with the wanted ticks, decoding only the needed packets. Raises Doubt when one does not come
        out.
        """
        queue = wanted[::-1]
        health = Health()
        with open_container(self.video_file) as container:
            stream = container.streams[self.index.stream]
            prepare_decoder(self.video_file, stream)
            for frame in _stretches(container, stream, needed, health):
                health.good += 1
                if not queue or (frame.pts is not None and frame.pts > queue[-1]):
                    break
                if frame.pts == queue[-1]:
                    queue.pop()
                    check_size(self.video_file, frame.width, frame.height)
                    yield frame
        if queue:
            raise Doubt("Skipping between key pictures did not give every picture; all were decoded instead.")
        self.judge(health)

    def _picture(self, frame: Any, size: tuple[int, int]) -> Picture:
        height, width = size[::-1] if self.index.turned else size
        scaled = self._scaler.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=Interpolation.BICUBIC
        )
        return self.index.seconds(frame.pts), turn(scaled.to_ndarray(), self.index.matrix)


def _stretches(container: Any, stream: Any, needed: np.ndarray, health: Health) -> Iterator[Any]:
    """Frames of the needed packets; the decoder is emptied wherever packets are left out."""
    fed = False
    for packet, need in zip(packets(container, stream), needed, strict=False):
        if need:
            yield from decode_packet(stream, packet, health)
            fed = True
        elif fed:
            yield from decode_packet(stream, None, health)
            stream.codec_context.flush_buffers()
            fed = False
    if fed:
        yield from decode_packet(stream, None, health)


def _plan(index: PictureIndex, times_s: Sequence[float]) -> tuple[list[int], np.ndarray] | None:
    """(ticks of the frames shown at `times_s`, mask of the packets to decode), or None where packets cannot
    be trusted.

    Decoding towards a picture starts at the last key picture shown no later: pictures that follow a key
    picture in the file but are shown before it lean on the group before.
    """
    odd = index.oddities
    if index.out_of_order or odd.undated or odd.corrupt or odd.discarded or odd.soft_keys or not index.key[0]:
        return None
    pts = np.where(index.shown, index.pts, NO_PTS)
    order = np.argsort(pts, kind="stable")[np.count_nonzero(~index.shown) :]
    picks = order[np.unique(shown_positions(index.times_s, times_s))]
    keys = np.flatnonzero(index.key & index.shown)
    key_pts = np.maximum.accumulate(pts[keys])
    if (key_pts != pts[keys]).any():
        return None
    starts = keys[np.maximum(np.searchsorted(key_pts, pts[picks], side="right") - 1, 0)]
    needed = np.zeros(len(pts), dtype=bool)
    for start, pick in zip(starts, picks, strict=True):
        needed[start : pick + 1] = True
    return pts[picks].tolist(), needed


def shown_positions(shown_s: np.ndarray, times_s: Sequence[float]) -> np.ndarray:
    """Positions in the sorted `shown_s` of the pictures on screen at `times_s`; before the first, that."""
    found = np.searchsorted(shown_s, np.asarray(times_s) + SHOWN_TOLERANCE_S, side="right") - 1
    return np.maximum(found, 0)


class DecordReader:
    """Random access with Decord 0.6, once its own table of times has agreed with the container's packets."""

    name = "decord"

    def __init__(self, video_file: VideoFile, index: PictureIndex) -> None:
        """Raises Doubt when Decord cannot open the file or sees other pictures than the packets say."""
        self.video_file, self.index = video_file, index
        self.notes: list[str] = []
        reader = self._open(index.shown_size)
        if len(reader) != len(index.times_s):
            raise Doubt(
                f"Decord counts {len(reader)} pictures where the container holds {len(index.times_s)}"
            )
        own = reader.get_frame_timestamp(np.arange(len(reader)))[:, 0]
        apart = np.abs((own - own[0]) - (index.times_s - index.times_s[0])).max()
        if not apart < 0.4 * np.diff(index.times_s).min(initial=1.0):
            raise Doubt(f"Decord's times differ from the container's by {apart:.3f} s")

    def _open(self, size: tuple[int, int]) -> Any:
        import decord  # only here: an eighth of the child's start-up, and many files never need it

        # The smallest tolerance there is: one picture that Decord would replace by its neighbour is an error.
        options = {"num_threads": self.video_file.threads, "fault_tol": 1e-9}
        try:
            return decord.VideoReader(self.video_file.file, width=size[1], height=size[0], **options)
        except (decord.DECORDError, RuntimeError, AssertionError) as error:
            raise Doubt("Decord cannot open it") from error

    def shown_at(
        self, times_s: Sequence[float], size: tuple[int, int], report: Callable[[float], None]
    ) -> Iterator[Picture]:
        """See Reader. Falls back to PyAV, with a note, where Decord fails on the way."""
        positions = np.unique(shown_positions(self.index.times_s, times_s)).tolist()
        batch = max(1, DECORD_BATCH_BYTES // (size[0] * size[1] * 3))
        done = 0
        try:
            reader = self._open(size)
            while done < len(positions):
                numbers = positions[done : done + batch]
                for number, picture in zip(numbers, self._batch(reader, numbers, size), strict=True):
                    yield float(self.index.times_s[number]), picture
                done += len(numbers)
                report(done / len(positions))
        except Doubt as doubt:
            plain = PyavReader(self.video_file, self.index)
            rest = [float(self.index.times_s[number]) for number in positions[done:]]
            yield from plain.shown_at(rest, size, report)
            self.name = plain.name
            self.notes += [f"{doubt}; the rest was read with PyAV.", *plain.notes]

    def _batch(self, reader: Any, numbers: list[int], size: tuple[int, int]) -> np.ndarray:
        import decord

        try:
            pictures = reader.get_batch(numbers).asnumpy()
        except (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError) as error:
            raise Doubt("Decord failed on the way") from error
        if pictures.shape != (len(numbers), *size, 3):
            raise Doubt(f"Decord gave pictures of shape {pictures.shape}")
        return pictures
