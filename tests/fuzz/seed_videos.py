"""A small valid video in every container that is read, as the encoders at hand make them."""

from functools import partial
from pathlib import Path
from typing import Any

from tests.videos import constant, write_clip, write_webp

PAL: dict[str, Any] = {"size": (576, 720), "options": {}}
SOUND: dict[str, Any] = {"audio_s": 0.3}
KINDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {**SOUND},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "mpeg4.mov": {"codec": "mpeg4", **SOUND},
    "prores.mov": {"codec": "prores_ks", "pixels": "yuv422p10le"},
    "h264.mkv": {**SOUND},
    "ffv1.mkv": {"codec": "ffv1"},
    "vp8.webm": {"codec": "libvpx", "audio_codec": "libopus", **SOUND},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "mpeg4.avi": {"codec": "mpeg4", "audio_codec": "mp2", "ticks": 25, **SOUND},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p", "ticks": 25},
    "h264.ts": {**SOUND},
    "mpeg2.ts": {"codec": "mpeg2video", "ticks": 25},
    "h264.m2ts": {"container": "mpegts", "container_options": {"mpegts_m2ts_mode": "1"}},
    "flv1.flv": {"codec": "flv", "ticks": 1000},
    "h264.flv": {"ticks": 1000},
    "wmv2.wmv": {"codec": "wmv2", "ticks": 1000},
    "mpeg2.mxf": {"codec": "mpeg2video", "ticks": 25},
    "pal.dv": {"codec": "dvvideo", "ticks": 25, **PAL},
    "loop.gif": {"codec": "gif", "pixels": "rgb8", "ticks": 100},
    "loop.apng": {"codec": "apng", "pixels": "rgb24", "container": "apng"},
    "mpeg1.mpg": {"codec": "mpeg1video", "ticks": 25},
    "mpeg2.vob": {"codec": "mpeg2video", "container": "vob", "ticks": 25},
    "vp8.ogv": {"codec": "libvpx", "container": "ogg"},
    "h263.3gp": {"codec": "h263", "size": (96, 128), "ticks": 25},
}


def write_seeds(folder: Path, pictures: int = 8) -> dict[str, bytes]:
    """Name → content of one clip of each kind. Files are written to the folder on the way."""
    writers = {
        name: partial(write_clip, times_s=constant(pictures), gop=4, **kind) for name, kind in KINDS.items()
    }
    writers["loop.webp"] = partial(write_webp, stays_ms=[40] * pictures)
    return {name: writer(folder / name).read_bytes() for name, writer in writers.items()}
