"""Read a video file's own index: when each picture is shown, on the player's clock. Runs in the sandbox's child.

Every packet is read and none decoded, except the first picture. Nothing that a header merely promises is believed:
duration, picture count and end are measured. The clock starts at the earliest of the video and the audio, so a video
track that starts late keeps its delay; sound from before zero (an encoder's run-in) does not count.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from tempo_core.bitstream import (
    is_hidden,
    is_scrambled,
    is_soft_key,
    is_truncated,
    length_bytes,
    recording_count,
    referral,
    top_boxes,
)
from tempo_core.colour import HDR, WIDE, is_plain, transparent_rgba
from tempo_core.errors import VideoError
from tempo_core.picture_index import (
    NO_PTS,
    UNSTATED_STAY_S,
    UPRIGHT,
    Joint,
    Oddities,
    PictureIndex,
    VideoFile,
)

REMEDY = "Re-encode it to an ordinary MP4 (H.264) and try again."
ENCRYPTED = "'{}' is encrypted (DRM), so its pictures cannot be read. Give a copy without protection."
MAX_UNDATED_SHARE = 0.01
UNSTATED_END_S = 1.0
JOINED_S = 0.5  # a decoding clock that falls back by more is a second recording
MAX_JOINTS = 1000
JOINABLE = ("mpegts", "mpeg")  # recordings of these may be joined byte by byte, as dashcams' owners do


def open_container(video_file: VideoFile) -> Any:
    """The file as an open PyAV container, parsed by the one demuxer that its magic bytes call for.

    Raises VideoError when it cannot be parsed. Only the file itself is opened: no references, no network.
    """
    try:
        return av.open(
            video_file.path,
            format=video_file.demuxer,
            options={"max_pixels": str(video_file.max_pixels)},
            container_options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        raise VideoError(
            f"'{video_file.name}' begins like a video ({video_file.demuxer}) but cannot be opened"
            f" ({error.strerror}): it is cut short or damaged. {REMEDY}"
        ) from error


def best_video(container: Any, name: str) -> Any:
    """The stream that a player would show. Raises VideoError when there is none that can be decoded."""
    stream = container.streams.best("video")
    cover = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    if stream is not None and stream.disposition & cover:
        stream = next((other for other in container.streams.video if not other.disposition & cover), None)
    if stream is None:
        if any(video.disposition & cover for video in container.streams.video):
            raise VideoError(f"'{name}' is sound with a cover picture. Give a file with moving pictures.")
        types = sorted({stream.type for stream in container.streams}) or ["nothing"]
        raise VideoError(
            f"'{name}' has no video that can be decoded (it holds: {', '.join(types)}). Give a file with"
            " moving pictures."
        )
    if (
        stream.codec_context is None
    ):  # encrypted, or a vendor's own format; perhaps beside a cover that is known
        raise VideoError(f"The video track of '{name}' is in a format that is not known here. {REMEDY}")
    return stream


def read_index(video_file: VideoFile) -> PictureIndex:
    """Demux the whole file and decode its first picture.

    Raises VideoError for what cannot be dated truthfully: no pictures, undated ones, clocks that jump back,
    pictures over the limits.
    """
    with open_container(video_file) as container:
        stream = best_video(container, video_file.name)
        context = stream.codec_context
        check_size(video_file, context.width, context.height)
        # A stream without a decoder has no context; it cannot be heard, and counts for nothing.
        sounds = [sound for sound in container.streams.audio if sound.codec_context is not None]
        columns, oddities, sound_ends = _read_packets(video_file, container, stream, sounds)
        joints = _lay_end_to_end(columns, stream.time_base) if video_file.demuxer in JOINABLE else ()
        audio_end_s = max(
            (end_s + offset_at(joints, position) for position, end_s in sound_ends), default=0.0
        )
        pts, dts, is_shown = columns["pts"], columns["dts"], columns["shown"]
        if not is_shown.any():
            raise VideoError(f"'{video_file.name}' holds no picture that is ever shown. {REMEDY}")

        # Zero is the earlier start of picture and sound; an encoder's run-in before zero does not count.
        base = stream.time_base
        sorted_pts = np.sort(pts[is_shown])
        sound_starts_s = [
            max(0.0, float(sound.start_time * sound.time_base))
            for sound in sounds
            if sound.start_time is not None
        ]
        zero_s = min([int(sorted_pts[0]) * (base.numerator / base.denominator), *sound_starts_s])

        tick_s = float(base)
        dts_steps = np.diff(dts[dts != NO_PTS])
        last = int(np.flatnonzero(is_shown & (pts == sorted_pts[-1]))[-1])
        # An MP4 says how far decoding times are apart (ISO/IEC 14496-12 8.6.1.2). Where pictures are reordered, only
        # the last sample's entry is no such distance, but how long a picture stays.
        if video_file.demuxer == "mov" and is_shown[last:].sum() > 1:
            last = len(pts) - 1
        header_end_s = None
        if stream.duration:
            header_end_s = stream.duration * tick_s + (stream.start_time or 0) * tick_s - zero_s
        ratio = stream.sample_aspect_ratio
        boxes = top_boxes(video_file.path) if video_file.demuxer == "mov" else []
        index = PictureIndex(
            container=container.format.name,
            codec=context.codec.canonical_name,
            pixel_format=context.pix_fmt or "",
            stream=stream.index,
            video_streams=len(container.streams.video),
            time_base=base,
            zero_s=zero_s,
            pts=pts,
            key=columns["key"],
            shown=is_shown,
            referred=columns["referred"] | (columns["layer"] < columns["layer"].max()),
            last_duration=int(columns["duration"][last]),
            out_of_order=bool((np.diff(sorted_pts) == 0).any() or (dts_steps < 0).any()),
            falls_back_s=float(-min(0, dts_steps.min(initial=0)) * tick_s),
            header_end_s=header_end_s,
            fragmented=b"moof" in boxes,
            index_first=b"moov" in boxes and b"mdat" in boxes and boxes.index(b"moov") < boxes.index(b"mdat"),
            states_length=container.duration is not None and b"moof" not in boxes,
            truncated=is_truncated(video_file.path, video_file.demuxer),
            recordings=recording_count(video_file.path, video_file.demuxer, boxes),
            audio_codec=next((sound.codec_context.codec.canonical_name for sound in sounds), None),
            audio_end_s=max(0.0, audio_end_s - zero_s),
            average_rate=stream.average_rate or None,
            coded_size=(context.height, context.width),
            pixel_ratio=ratio if ratio and Fraction(1, 8) <= ratio <= 8 else Fraction(1),
            oddities=oddities,
            joints=joints,
            timecode=stream.metadata.get("timecode") or container.metadata.get("timecode"),
        )
        # a player's time line ends where the header says, although its pictures go on
        if index.states_length:
            index.states_length = container.duration / av.time_base > index.end_s - UNSTATED_END_S

    # Size, format and turn are the first picture's, not the header's.
    with open_container(video_file) as container:
        frame = next(iter(decoded(video_file, container, container.streams[index.stream], Health())), None)
        if frame is None:
            raise VideoError(
                f"Not one picture of '{video_file.name}' ({index.codec}) can be decoded: it is damaged, or "
                f"its pictures are over the limit of {video_file.max_pixels} pixels. {REMEDY}"
            )
        check_size(video_file, frame.width, frame.height)
        index.coded_size = (frame.height, frame.width)
        index.pixel_format = frame.format.name
        index.plain_colour = is_plain(frame)
        if hdr := HDR.get(frame.color_trc):
            index.notes.append(f"The pictures are HDR ({hdr}); they are tone-mapped for ordinary screens.")
        elif wide := WIDE.get(frame.color_primaries):
            index.notes.append(
                f"The pictures are in the colours of {wide}; they are narrowed for ordinary screens."
            )
        if transparent_rgba(frame) is not None:
            index.notes.append("Parts of the pictures are transparent; they are shown on white.")
        index.matrix = display_matrix(frame, index.notes)
        check_size(video_file, *index.shown_size[::-1])
    _refuse_untruthful(video_file, index)
    return index


def check_size(video_file: VideoFile, width: int, height: int) -> None:
    """Raise VideoError when a picture is over the limits."""
    if width * height > video_file.max_pixels or max(width, height) > video_file.max_side_px:
        raise VideoError(
            f"'{video_file.name}' has pictures of {width}x{height}; the limit is {video_file.max_pixels} pixels and"
            f" {video_file.max_side_px} a side. Scale it down and try again."
        )


def _read_packets(
    video_file: VideoFile, container: Any, stream: Any, sounds: list[Any]
) -> tuple[dict[str, np.ndarray], Oddities, list[tuple[int, float]]]:
    """Every packet once: the video's columns, what was odd about them, and the sound's (position in the file, end on
    the container's clock)."""
    rows: list[tuple[int, int, int, int, bool, bool, bool, int]] = []
    sound_ends: list[tuple[int, float]] = []
    oddities = Oddities()
    positions: dict[int, int] = {}
    codec = stream.codec_context.codec.canonical_name
    length_size = length_bytes(codec, stream.codec_context.extradata)
    for packet in packets(container, stream, *sounds):
        position = position_of(packet, positions)
        if packet.stream_index != stream.index:
            if packet.pts is not None:
                end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                sound_ends.append((position, end_s))
            continue
        if packet.has_sidedata("encryption_info"):
            raise VideoError(ENCRYPTED.format(video_file.name))
        oddities.discarded += packet.is_discard
        oddities.corrupt += packet.is_corrupt
        oddities.soft_keys += packet.is_keyframe and is_soft_key(codec, memoryview(packet), length_size)
        is_unseen = packet.is_discard or is_hidden(codec, memoryview(packet))
        oddities.undated += packet.pts is None and not is_unseen
        pts = NO_PTS if packet.pts is None else packet.pts
        dts = NO_PTS if packet.dts is None else packet.dts
        is_shown = packet.pts is not None and not is_unseen
        columns = (position, pts, dts, packet.duration or 0, packet.is_keyframe, is_shown)
        rows.append((*columns, *referral(codec, memoryview(packet), length_size)))
        if len(rows) > video_file.max_packets:
            raise VideoError(
                f"'{video_file.name}' holds more than {video_file.max_packets} pictures. Give a shorter video."
            )
    if not rows and video_file.demuxer == "mpegts" and is_scrambled(video_file.path):
        raise VideoError(ENCRYPTED.format(video_file.name))
    if not rows:
        raise VideoError(f"'{video_file.name}' has a video track without a single picture. {REMEDY}")
    names = ("position", "pts", "dts", "duration", "key", "shown", "referred", "layer")
    types = (np.int64, np.int64, np.int64, np.int64, np.bool_, np.bool_, np.bool_, np.int64)
    arrays: dict[str, np.ndarray] = {
        name: np.array(column, dtype=dtype)
        for name, dtype, column in zip(names, types, zip(*rows, strict=True), strict=True)
    }
    return arrays, oddities, sound_ends


def _lay_end_to_end(columns: dict[str, np.ndarray], time_base: Fraction) -> tuple[Joint, ...]:
    """Move each further recording of a joined file behind the one before, in `columns`, as players do; the joints."""
    pts, dts, duration = columns["pts"], columns["dts"], columns["duration"]
    clock = np.where(dts != NO_PTS, dts, pts)
    dated = np.flatnonzero(clock != NO_PTS)
    starts = dated[1:][np.diff(clock[dated]) < -JOINED_S / time_base]
    if len(starts) > MAX_JOINTS:
        return ()  # and the clock's jumps refuse the file
    joints = []
    for first, start in zip([0, *starts], starts, strict=False):
        next_start = starts[starts > start].min(initial=len(pts))
        before = first + np.flatnonzero(pts[first:start] != NO_PTS)
        part = start + np.flatnonzero(pts[start:next_start] != NO_PTS)
        if not len(before) or not len(part):
            continue
        last = before[np.argmax(pts[before])]
        stay = duration[last] or np.diff(np.sort(pts[before])).min(initial=round(UNSTATED_STAY_S / time_base))
        offset = int(pts[last] + stay - pts[part].min())
        pts[part] += offset
        dts[start:next_start][dts[start:next_start] != NO_PTS] += offset
        joints.append((int(columns["position"][start]), float(offset * time_base)))
    return tuple(joints)


def offset_at(joints: tuple[Joint, ...], position: int) -> float:
    """Seconds to add to a packet at this position of the file."""
    return next((offset_s for start, offset_s in reversed(joints) if position >= start), 0.0)


def position_of(packet: Any, positions: dict[int, int]) -> int:
    """Where a packet stands in the file. `positions` holds the last one of each stream.

    A picture that begins inside a PES packet of a program stream has no position of its own: it has the last one's.
    """
    if packet.pos is not None:
        positions[packet.stream_index] = packet.pos
    return positions.get(packet.stream_index, 0)


def packets(container: Any, *streams: Any, joints: tuple[Joint, ...] = ()) -> Iterator[Any]:
    """The streams' packets until the end or the first unreadable byte: what a cut file still holds.

    `joints` puts those of further recordings behind the first one's.
    """
    positions: dict[int, int] = {}
    try:
        for packet in container.demux(*streams):
            if packet.size:
                if offset_s := offset_at(joints, position_of(packet, positions)):
                    ticks = round(offset_s / packet.time_base)
                    packet.pts = None if packet.pts is None else packet.pts + ticks
                    packet.dts = None if packet.dts is None else packet.dts + ticks
                yield packet
    except IndexError:
        # A stream that appeared on the way. PyAV 18.1 knows those of the beginning only, and fails at the end, when
        # every packet was given.
        return
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise


def display_matrix(frame: Any, notes: list[str]) -> tuple[int, int, int, int]:
    """Signs of the frame's display matrix; anything but quarter turns and mirrors is ignored with a note."""
    side = next((s for s in frame.side_data if s.type.name == "DISPLAYMATRIX"), None)
    if side is None:
        return UPRIGHT
    a, b, _, c, d = struct.unpack("=9i", bytes(side))[:5]
    signs = tuple(
        (abs(v) > 2000) * (1 if v > 0 else -1) for v in (a, b, c, d)
    )  # 16.16 fixed point: 0.03 is noise
    if signs[0] * signs[3] - signs[1] * signs[2] not in (1, -1) or sum(map(abs, signs)) != 2:
        notes.append("The file asks for a turn that is not a quarter; its pictures are shown unturned.")
        return UPRIGHT
    return signs


@dataclass(slots=True)
class Health:
    """What went wrong while decoding."""

    good: int = 0
    """Pictures that were decoded and dated."""
    failed: int = 0
    """Packets that the decoder refused, and pictures without a time of their own."""
    corrupt: int = 0
    """Pictures that the decoder patched up."""


def decoded(
    video_file: VideoFile,
    container: Any,
    stream: Any,
    health: Health,
    *,
    threads: int | None = None,
    joints: tuple[Joint, ...] = (),
) -> Iterator[Any]:
    """Every picture of the stream in the order shown, past damaged packets, which `health` counts."""
    prepare_decoder(video_file, stream, threads=threads)
    for packet in packets(container, stream, joints=joints):
        yield from decode_packet(stream, packet, health)
    yield from decode_packet(stream, None, health)


def prepare_decoder(video_file: VideoFile, stream: Any, *, threads: int | None = None) -> None:
    """Threads (the file's setting where not given) and limits, before the first packet."""
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = threads or video_file.threads
    stream.codec_context.options = {"max_pixels": str(video_file.max_pixels)}


def decode_packet(stream: Any, packet: Any, health: Health) -> list[Any]:
    """The pictures that a packet (None: the end) sets free; a damaged packet is counted instead."""
    try:
        frames = stream.decode(packet)
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        health.failed += 1
        return []
    health.corrupt += sum(frame.is_corrupt for frame in frames)
    return frames


def _refuse_untruthful(video_file: VideoFile, index: PictureIndex) -> None:
    """Refuse what cannot be dated, and note what is odd but dated."""
    pictures = len(index.times_s)
    if index.falls_back_s > JOINED_S:
        raise VideoError(
            f"The clock of '{video_file.name}' jumps back by {index.falls_back_s:.1f} s on the way: two "
            f"recordings were joined, and their times cannot be told apart. {REMEDY}"
        )
    if index.oddities.undated > MAX_UNDATED_SHARE * (pictures + index.oddities.undated):
        raise VideoError(
            f"{index.oddities.undated} of {pictures + index.oddities.undated} pictures of "
            f"'{video_file.name}' carry no time, so nobody can say when they are shown. {REMEDY}"
        )
    if pictures > 1 and not index.times_s[-1] > index.times_s[0]:
        raise VideoError(
            f"All {pictures} pictures of '{video_file.name}' carry the same time, so nobody can say when each is "
            f"shown. {REMEDY}"
        )
    if index.joints:
        index.notes.append(f"{len(index.joints) + 1} recordings were joined; they are laid end to end.")
    if index.oddities.undated:
        index.notes.append(f"{index.oddities.undated} pictures carry no time and are left out.")
    if index.oddities.discarded:
        index.notes.append(f"An edit list cuts {index.oddities.discarded} pictures; they are left out.")
    if index.oddities.corrupt:
        index.notes.append(f"{index.oddities.corrupt} packets are marked as damaged.")
    if index.video_streams > 1:
        size = "{1}x{0}".format(*index.coded_size)
        index.notes.append(f"There are {index.video_streams} video tracks; the default one, {size}, is read.")
    if index.times_s[0] > 0.5:
        index.notes.append(
            f"No picture is shown before {index.times_s[0]:.3f} s; the first stands in for that time."
        )
    if index.is_cut_short:
        index.notes.append(
            f"The file is cut short: its header promises {index.header_end_s:.2f} s, {index.end_s:.2f} s"
            " are there."
        )
    elif index.truncated:
        index.notes.append(
            f"The file is cut short: it ends in the middle of its data; {index.end_s:.2f} s are there."
        )
    if index.recordings > 1:
        index.notes.append(
            f"{index.recordings} recordings stand in the file one behind the other; players show the first, and it is "
            "the one that is read. Join them with a video program to have all."
        )
