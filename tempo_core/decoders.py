"""The pictures of a video file at given times: PyAV for every file, Decord for our own normal copy. Runs in the child.

PyAV decodes in one forward pass and skips the groups of pictures without a requested one, and in the others the
pictures that nobody asked for and no other is predicted from. Decord 0.6 seeks by a table
of its own, which is wrong for many foreign files (docs/decisions/0004-video-readers.md); so it reads only copies as
`tempo_core.transcode` writes them, and only where its table agrees with the container's.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from tempo_core.colour import to_rgb
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
DECORD_BATCH_BYTES = 64 * 2**20
MAX_LOST_SHARE = 0.1

Picture = tuple[float, np.ndarray]
"""(presentation time on the player's clock in seconds, uint8[H, W, 3])"""


class SkippingFailed(Exception):
    """Decoding only some groups of pictures did not give every requested picture."""


class DecordFailed(Exception):
    """Decord did not give the pictures that the container's index promises."""


def turn(picture: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Apply a display matrix of quarter turns and mirrors to uint8[H, W, 3]."""
    a, b, c, d = matrix
    if a == 0:
        picture, across, down = picture.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    return picture[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def upright_rgb(
    scaler: VideoReformatter, frame: Any, index: PictureIndex, size: tuple[int, int]
) -> np.ndarray:
    """A frame as it is shown: uint8[H, W, 3], scaled to `size` (height, width) and turned."""
    return turn(to_rgb(scaler, frame, size[::-1] if index.turned else size), index.matrix)


class PyavReader:
    """Forward decoding with PyAV: right for everything that FFmpeg 8 can read."""

    def __init__(self, video_file: VideoFile, index: PictureIndex, *, skip: bool = True) -> None:
        """`skip` leaves out what the requested pictures do not need; without it every picture is decoded."""
        self.video_file, self.index, self.skip = video_file, index, skip
        self.notes: list[str] = []
        self._scaler = VideoReformatter()

    def pictures_at(
        self, times_s: Sequence[float], size: tuple[int, int], on_progress: Callable[[float], None]
    ) -> Iterator[Picture]:
        """The pictures shown at the sorted `times_s`, each once, scaled to `size` (height, width).

        A time before the first picture gets the first. Raises VideoError when too many pictures are damaged.
        """
        for frame in self.frames_at(times_s, on_progress):
            yield self.index.seconds(frame.pts), upright_rgb(self._scaler, frame, self.index, size)

    def frames_at(self, times_s: Sequence[float], on_progress: Callable[[float], None]) -> Iterator[Any]:
        """The PyAV frames of `pictures_at`, as they were decoded."""
        last_s = -np.inf
        plan = _plan(self.index, times_s) if self.skip else None
        if plan is not None:
            try:
                for number, frame in enumerate(self._planned_frames(*plan)):
                    last_s = self.index.seconds(frame.pts)
                    yield frame
                    on_progress((number + 1) / len(plan[0]))
                return
            except SkippingFailed as error:
                self.notes.append(str(error))
        for frame in self._frames_at(times_s, on_progress):
            if self.index.seconds(frame.pts) > last_s:
                yield frame

    def all_frames(self, health: Health) -> Iterator[tuple[float, Any]]:
        """(time, PyAV frame) of every picture in the order shown, strictly increasing; `health` counts the others."""
        last_s = -np.inf
        with open_container(self.video_file) as container:
            stream = container.streams[self.index.stream]
            # Threads report a damaged packet late, and PyAV then drops the good pictures that come in the same call:
            # the last ones of a file that was cut off.
            threads = 1 if self.index.oddities.corrupt else None
            for frame in decoded(
                self.video_file, container, stream, health, threads=threads, joints=self.index.joints
            ):
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
        total = health.good + health.failed
        if health.failed > max(1, MAX_LOST_SHARE * total):  # the one that a cut goes through is no damage
            raise VideoError(
                f"'{self.video_file.name}' is damaged: {health.failed} of {total} pictures cannot be decoded "
                "or dated. Give an undamaged copy."
            )
        if health.failed:
            self.notes.append(
                f"{health.failed} pictures cannot be decoded or dated; the one before stays in their place."
            )
        if health.corrupt:
            self.notes.append(f"{health.corrupt} pictures are damaged and patched by the decoder.")

    def _frames_at(self, times_s: Sequence[float], on_progress: Callable[[float], None]) -> Iterator[Any]:
        """Frames shown at the times, from a plain pass over the whole file up to the last of them."""
        position, current, last_yielded, health = 0, None, None, Health()
        for time_s, frame in self.all_frames(health):
            # The current frame is on screen at every time before this one begins.
            while (
                current is not None
                and position < len(times_s)
                and time_s > times_s[position] + SHOWN_TOLERANCE_S
            ):
                position += 1
                if last_yielded is not current:
                    last_yielded = current
                    yield current
            if position == len(times_s):
                break
            current = frame
            on_progress(max(0.0, time_s) / self.index.end_s)
        if position < len(times_s) and current is not None and current is not last_yielded:
            yield current
        self.judge(health)

    def _planned_frames(self, ticks: list[int], in_group: np.ndarray, is_needed: np.ndarray) -> Iterator[Any]:
        """Frames with these ticks, decoding only the needed packets. Raises SkippingFailed when one is missing."""
        remaining = ticks[::-1]
        health = Health()
        with open_container(self.video_file) as container:
            stream = container.streams[self.index.stream]
            prepare_decoder(self.video_file, stream)
            coded = packets(container, stream, joints=self.index.joints)
            for frame in _needed_frames(stream, zip(coded, in_group, is_needed, strict=False), health):
                health.good += 1
                if not remaining or (frame.pts is not None and frame.pts > remaining[-1]):
                    break
                if frame.pts == remaining[-1]:
                    remaining.pop()
                    check_size(self.video_file, frame.width, frame.height)
                    yield frame
        if remaining:
            raise SkippingFailed(
                "Skipping pictures did not give every one that was asked for; all were decoded instead."
            )
        self.judge(health)


def _needed_frames(
    stream: Any, packets_in_group: Iterable[tuple[Any, bool, bool]], health: Health
) -> Iterator[Any]:
    """Frames of the needed packets, of (packet, in_group, is_needed); the decoder is emptied where a group ends."""
    fed = False
    for packet, in_group, is_needed in packets_in_group:
        if is_needed:
            yield from decode_packet(stream, packet, health)
            fed = True
        elif fed and not in_group:
            yield from decode_packet(stream, None, health)
            stream.codec_context.flush_buffers()
            fed = False
    if fed:
        yield from decode_packet(stream, None, health)


def _plan(index: PictureIndex, times_s: Sequence[float]) -> tuple[list[int], np.ndarray, np.ndarray] | None:
    """(ticks of the frames shown at `times_s`, packets from key pictures to requested ones, those of them to decode),
    the latter two as masks; None where packets cannot be trusted.

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
    in_group = np.zeros(len(pts), dtype=bool)
    for start, pick in zip(starts, picks, strict=True):
        in_group[start : pick + 1] = True
    is_needed = in_group & index.referred
    is_needed[picks] = True
    return pts[picks].tolist(), in_group, is_needed


def shown_positions(shown_s: np.ndarray, times_s: Sequence[float]) -> np.ndarray:
    """Positions in the sorted `shown_s` of the pictures on screen at `times_s`; before the first, that."""
    positions = np.searchsorted(shown_s, np.asarray(times_s) + SHOWN_TOLERANCE_S, side="right") - 1
    return np.maximum(positions, 0)


def decord_pictures(
    video_file: VideoFile,
    index: PictureIndex,
    times_s: Sequence[float],
    size: tuple[int, int],
    on_progress: Callable[[float], None],
) -> Iterator[Picture]:
    """What `PyavReader.pictures_at` gives, by random access with Decord, for a file that `is_normal_copy`.

    Raises DecordFailed where Decord cannot read on, or sees other pictures than the container's packets.
    """
    import decord  # an eighth of the child's start-up, and foreign files never need it

    positions = np.unique(shown_positions(index.times_s, times_s)).tolist()
    height, width = index.coded_size
    batch, scaler = max(1, DECORD_BATCH_BYTES // (height * width * 3)), VideoReformatter()
    try:
        # The smallest tolerance there is: one picture that Decord would replace by its neighbour is an error.
        reader = decord.VideoReader(video_file.path, num_threads=video_file.threads, fault_tol=1e-9)
        if len(reader) != len(index.times_s):
            raise DecordFailed(f"Decord counts {len(reader)} pictures of {len(index.times_s)}")
        decord_times_s = reader.get_frame_timestamp(np.arange(len(reader)))[:, 0]
        apart_s = np.abs((decord_times_s - decord_times_s[0]) - (index.times_s - index.times_s[0])).max()
        if not apart_s < 0.4 * np.diff(index.times_s).min(initial=1.0):
            raise DecordFailed(f"Decord's times differ from the container's by {apart_s:.3f} s")
        for first in range(0, len(positions), batch):
            numbers = positions[first : first + batch]
            pictures = reader.get_batch(numbers).asnumpy()
            if pictures.shape != (len(numbers), height, width, 3):
                raise DecordFailed(f"Decord gave pictures of shape {pictures.shape}")
            for number, picture in zip(numbers, pictures, strict=True):
                # Decord's own scaling puts colours off by 4 of 255, where it does not scale by 2.
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                yield float(index.times_s[number]), to_rgb(scaler, frame, size)
            on_progress((first + len(numbers)) / len(positions))
    except (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError, AssertionError) as error:
        raise DecordFailed("Decord cannot read it") from error
