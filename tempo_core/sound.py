"""How loud a video's sound is over time, for drawing it: peaks, from a child process as everything that is decoded."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

from tempo_core.demux import open_container, packets
from tempo_core.video import DEFAULT_LIMITS, VideoLimits, read_file
from tempo_core.video_tasks import open_video

PEAKS_PER_S = 50
_RATE = 8000


def sound_peaks(
    video_path: str | os.PathLike[str],
    *,
    limits: VideoLimits = DEFAULT_LIMITS,
    cancel: threading.Event | None = None,
) -> bytes | None:
    """The greatest amplitude of each fiftieth of a second, 0 to 255, on the player's clock; None without sound.

    A track that cannot be decoded ends where it breaks. Raises VideoError, Cancelled.
    """
    answer, _ = read_file(
        "peaks_task",
        Path(video_path),
        {"force": "pyav"},
        module="tempo_core.sound",
        limits=limits,
        cancel=cancel,
    )
    os.close(answer.output)
    peaks = answer.result["peaks"]
    return None if peaks is None else bytes.fromhex(peaks)


def peaks_task(job: dict[str, Any], on_progress: Callable[[float], None]) -> dict[str, Any]:
    """`sound_peaks` in the child: hexadecimal digits."""
    video_file, index = open_video(job)
    if index.audio_codec is None:
        return {"peaks": None}
    peaks = np.zeros(int(np.ceil(index.end_s * PEAKS_PER_S)) + 1, dtype=np.float32)
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=_RATE)
    try:
        with open_container(video_file) as container:
            stream: Any = next(s for s in container.streams.audio if s.codec_context is not None)
            for packet in packets(container, stream, joints=index.joints):
                for frame in stream.decode(packet):
                    if frame.pts is None:
                        continue
                    start_s = float(frame.pts * frame.time_base) - index.zero_s
                    for part in resampler.resample(frame):
                        amplitudes = np.abs(part.to_ndarray()[0])  # float32[samples]
                        times_s = start_s + np.arange(len(amplitudes)) / _RATE
                        places = np.floor(times_s * PEAKS_PER_S).astype(np.int64)
                        inside = (places >= 0) & (places < len(peaks))
                        np.maximum.at(peaks, places[inside], amplitudes[inside])
                        start_s += len(amplitudes) / _RATE
                    on_progress(min(1.0, max(0.0, start_s) / max(index.end_s, 1e-6)))
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
    return {"peaks": np.clip(np.round(peaks * 255), 0, 255).astype(np.uint8).tobytes().hex()}
