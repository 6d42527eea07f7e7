"""Peaks of a video's sound: in time with the pictures, and none where there is no track."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tempo_core.sound import PEAKS_PER_S, sound_peaks

RATE = 16_000


def write_sounding(path: Path, amplitudes: list[float]) -> Path:
    """A grey clip, one second for each amplitude of its tone."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=RATE, layout="mono")
        for second, amplitude in enumerate(amplitudes):
            for _ in range(10):
                grey = np.full((48, 64, 3), 90, dtype=np.uint8)
                container.mux(pictures.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            tone = amplitude * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
            frame = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, second * RATE, Fraction(1, RATE)
            container.mux(sound.encode(frame))
        container.mux(pictures.encode())
        container.mux(sound.encode())
    return path


def test_peaks_follow_the_sound_in_time(tmp_path: Path) -> None:
    peaks = sound_peaks(write_sounding(tmp_path / "tone.mp4", [0.0, 0.8, 0.0, 0.4]))
    assert peaks is not None
    values = np.frombuffer(peaks, dtype=np.uint8).astype(float) / 255
    assert abs(len(values) - 4 * PEAKS_PER_S) <= 8
    # The middle half of each second, away from what an encoder smears over its borders.
    middles = [values[int((k + 0.25) * PEAKS_PER_S) : int((k + 0.75) * PEAKS_PER_S)] for k in range(4)]
    assert middles[0].max() < 0.02
    assert middles[2].max() < 0.02
    assert np.allclose(middles[1], 0.8, atol=0.1)
    assert np.allclose(middles[3], 0.4, atol=0.1)


def test_a_clip_without_a_track_has_none(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "silent.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            grey = np.full((48, 64, 3), 90, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    assert sound_peaks(tmp_path / "silent.mp4") is None
