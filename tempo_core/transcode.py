"""Write the normal copy of a video. Runs in the sandbox's child; see `tempo_core.proxy`."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from tempo_core.colour import EXACT, is_beyond_709, matrix_of, on_white
from tempo_core.decoders import SHOWN_TOLERANCE_S, PyavReader, upright_rgb
from tempo_core.demux import Health, open_container, packets
from tempo_core.errors import VideoError
from tempo_core.picture_index import UPRIGHT, PictureIndex, VideoFile
from tempo_core.video_tasks import open_video

MAX_RATE = 60
MIN_RATE = 2  # so that half a second holds a key picture even of a slide show
SLOW_RATES = (Fraction(30), Fraction(25), Fraction(24), Fraction(30_000, 1001), Fraction(24_000, 1001))
FAST_RATES = (Fraction(60), Fraction(50), Fraction(60_000, 1001))
"""Rates for a clip of variable rate, the one for clips that fit none first."""
SOUND_RATE = 48_000
STRETCH_SLACK_S = 1.0
"""How far a stretch may go beyond the video's end: annotated ends are whole seconds."""


def normalise_task(job: dict[str, Any], on_progress: Callable[[float], None]) -> dict[str, Any]:
    """Write the copy to `job["out"]`, of the stretch `job["stretch_s"]` where it names one; the answer holds notes on
    what was lost.
    """
    video_file, index = open_video(job)
    reader, rate = PyavReader(video_file, index), copy_rate(index)
    start_s, end_s = job.get("stretch_s") or (0.0, index.end_s)
    if end_s > index.end_s + STRETCH_SLACK_S:
        raise VideoError(
            f"'{video_file.name}' ends at {index.end_s:.2f} s, and the stretch from {start_s:g} to {end_s:g} s goes "
            "beyond it. Give the whole video, or one that was not cut already."
        )
    end_s = min(end_s, index.end_s)
    # Even sides, the short one at most `short_side_px`.
    height, width = index.shown_size
    scale = min(1.0, job["short_side_px"] / min(height, width))
    size = max(2, round(height * scale / 2) * 2), max(2, round(width * scale / 2) * 2)
    try:
        with av.open(job["out"], "w", format="mp4", options={"movflags": "+faststart"}) as out:
            gop = max(1, int(rate / 2))
            stream: Any = out.add_stream("libx264", rate=rate)
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            stream.time_base = stream.codec_context.time_base = 1 / rate
            stream.codec_context.gop_size = gop
            # No B-frames: decoding and showing times are the same, so the copy needs no edit list of its own.
            params = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:threads=2"
            stream.options = {"preset": "superfast", "crf": "20", "x264-params": params}
            sound = _Sound(out, video_file, index, start_s)
            scaler = VideoReformatter()
            # Chromium guesses the matrix of unstated colours from the height, PyAV and Decord take BT.601. BT.601 is
            # stated, because Chromium without a GPU puts blue off by 7 of 255 where the matrix is BT.709.
            context = stream.codec_context
            context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
            context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
            scaled_frame: Any = None
            frames = (
                _frames_at_rate(reader, rate)
                if job.get("stretch_s") is None
                else _frames_of_stretch(reader, rate, start_s, end_s)
            )
            for number, frame in frames:
                # A picture that stays on screen is scaled once: a small file can hold half an hour of a large one.
                if frame is not scaled_frame:
                    scaled_frame, picture = frame, _upright(scaler, frame, index, size)
                picture.pts, picture.time_base = number, 1 / rate
                out.mux(stream.encode(picture))
                sound.write_until(float((number + 1) / rate))
                on_progress(float(number / rate) / (end_s - start_s))
            out.mux(stream.encode(None))
            sound.finish()
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        raise VideoError(
            f"The copy of '{video_file.name}' cannot be written ({error.strerror}). Free some disk space and"
            " try again."
        ) from error
    return {"notes": [*index.notes, *reader.notes, *sound.notes]}


def copy_rate(index: PictureIndex) -> Fraction:
    """The constant rate of the copy: the video's own where it has one, else a usual one at which every picture begins a
    frame, else the one of 30 and 60 that loses least.

    Rates over MAX_RATE are divided, rates under MIN_RATE multiplied, so that the pictures' times stay exact.
    """
    rate = index.frame_rate
    if rate is None:
        return Fraction(25)
    if index.variable_rate:
        median = float(np.median(np.diff(index.times_s)))
        rates = SLOW_RATES if median > 1 / 40 else FAST_RATES
        late = [
            np.abs(index.times_s - np.round(index.times_s * float(rate)) / float(rate)).max()
            for rate in rates
        ]
        return next(
            (rate for rate, late_s in zip(rates, late, strict=True) if late_s < SHOWN_TOLERANCE_S), rates[0]
        )
    if rate > MAX_RATE:
        return rate / -(-rate // MAX_RATE)
    return rate * -(-MIN_RATE // rate) if rate < MIN_RATE else rate


def _frames_at_rate(reader: PyavReader, rate: Fraction) -> Iterator[tuple[int, Any]]:
    """(k, frame shown at k / rate) for the whole length; the first frame stands in for the time before it."""
    current, number, health = None, 0, Health()
    total = max(1, round(reader.index.end_s * rate))
    for time_s, frame in reader.all_frames(health):
        while current is not None and number < total and time_s > float(number / rate) + SHOWN_TOLERANCE_S:
            yield number, current
            number += 1
        current = frame
    reader.judge(health)
    if current is None:
        raise VideoError(f"Not one picture of '{reader.video_file.name}' can be decoded. Give another copy.")
    for last_number in range(number, total):
        yield last_number, current


def _frames_of_stretch(
    reader: PyavReader, rate: Fraction, start_s: float, end_s: float
) -> Iterator[tuple[int, Any]]:
    """(k, frame shown at start_s + k / rate) up to `end_s`; only the groups of pictures that hold them are decoded."""
    times_s = [start_s + float(number / rate) for number in range(max(1, round((end_s - start_s) * rate)))]
    current, number = None, 0
    for frame in reader.frames_at(times_s, lambda share: None):
        while current is not None and reader.index.seconds(frame.pts) > times_s[number] + SHOWN_TOLERANCE_S:
            yield number, current
            number += 1
        current = frame
    if current is None:
        raise VideoError(f"Not one picture of '{reader.video_file.name}' can be decoded. Give another copy.")
    for last_number in range(number, len(times_s)):
        yield last_number, current


def _upright(scaler: VideoReformatter, frame: Any, index: PictureIndex, size: tuple[int, int]) -> Any:
    """The frame scaled, turned, and in the copy's pixel format and colours."""
    frame = on_white(frame)
    is_601 = matrix_of(frame) == Colorspace.ITU601 and not frame.format.is_rgb and not is_beyond_709(frame)
    if index.matrix == UPRIGHT and is_601:
        return scaler.reformat(
            frame,
            size[1],
            size[0],
            "yuv420p",
            src_colorspace=Colorspace.ITU601,
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation=EXACT,
        )
    rgb = np.ascontiguousarray(upright_rgb(scaler, frame, index, size))
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        interpolation=EXACT,
    )


class _Sound:
    """The sound as AAC beside the pictures, from a second pass over the same file, a little at a time."""

    def __init__(self, out: Any, video_file: VideoFile, index: PictureIndex, zero_s: float) -> None:
        """`zero_s` is where the copy begins on the player's clock."""
        self.notes: list[str] = []
        self._zero_s = index.zero_s + zero_s
        self._out, self._index, self._reached_s = out, index, 0.0
        self._frames = iter(()) if index.audio_codec is None else self._sound_frames(video_file)
        self._next = self._advance()
        if self._next is None and index.audio_codec is not None:
            self.notes.append("The sound cannot be decoded and is left out.")
        self._stream: Any = (
            None if self._next is None else out.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        )

    def write_until(self, time_s: float) -> None:
        """Encode the sound up to a time on the player's clock."""
        while self._next is not None and self._reached_s < time_s:
            self._out.mux(self._stream.encode(self._next))
            self._next = self._advance()

    def finish(self) -> None:
        """Flush the encoder; sound after the last picture is cut."""
        if self._stream is not None:
            self._out.mux(self._stream.encode(None))

    def _advance(self) -> Any:
        try:
            return next(self._frames, None)
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            self._frames = iter(())
            self.notes.append(f"The sound is damaged after {self._reached_s:.1f} s and is cut there.")
            return None

    def _sound_frames(self, video_file: VideoFile) -> Iterator[Any]:
        """Resampled frames on the player's clock, none of it before zero."""
        end_s = 0.0
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=SOUND_RATE)
        with open_container(video_file) as container:
            stream = next(s for s in container.streams.audio if s.codec_context is not None)
            for packet in packets(container, stream, joints=self._index.joints):
                for frame in stream.decode(packet):
                    if frame.pts is None:
                        continue
                    start_s = float(frame.pts * frame.time_base) - self._zero_s
                    length_s = frame.samples / frame.sample_rate
                    # Before zero is an encoder's run-in; where recordings were joined, theirs overlaps what was before.
                    if start_s < 0 or start_s < end_s - length_s / 2:
                        continue
                    end_s = start_s + length_s
                    frame.pts, frame.time_base = round(start_s * SOUND_RATE), Fraction(1, SOUND_RATE)
                    self._reached_s = start_s
                    yield from resampler.resample(frame)
