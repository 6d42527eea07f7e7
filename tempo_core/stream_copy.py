"""Copy a stretch of a video without encoding it anew. Runs in the sandbox's child; see `tempo_core.library.cutting`."""

from collections.abc import Callable
from typing import Any

import av
import numpy as np

from tempo_core.decoders import SHOWN_TOLERANCE_S
from tempo_core.demux import open_container, packets
from tempo_core.errors import VideoError
from tempo_core.video_tasks import open_video


def copy_task(job: dict[str, Any], on_progress: Callable[[float], None]) -> dict[str, Any]:
    """Write the packets of `job["stretch_s"]` to `job["out"]`; the answer holds `start_s`, where the copy begins.

    That is the last key picture at or before the start: decoding cannot begin anywhere else.
    """
    video_file, index = open_video(job)
    if index.joints:
        raise VideoError(
            f"'{video_file.name}' is several recordings in one file, which cannot be copied in part. Cut it exactly."
        )
    start_s, end_s = job["stretch_s"]
    times_s = index.seconds(index.pts)
    keys = np.flatnonzero(index.key & index.shown & (times_s <= start_s + SHOWN_TOLERANCE_S))
    first = int(keys[-1]) if len(keys) else int(np.flatnonzero(index.key & index.shown)[0])
    # In file order a picture may stand before others that are shown earlier.
    last = int(np.flatnonzero(index.shown & (times_s < end_s - SHOWN_TOLERANCE_S))[-1])
    zero = int(index.pts[first])
    try:
        with open_container(video_file) as container, av.open(job["out"], "w", format=job["format"]) as out:
            video = container.streams[index.stream]
            sounds = [stream for stream in container.streams.audio if stream.codec_context is not None][:1]
            targets = {stream.index: out.add_stream_from_template(stream) for stream in (video, *sounds)}
            number = -1
            for packet in packets(container, video, *sounds):
                origin = round(zero * index.time_base / packet.time_base)
                if packet.stream_index == video.index:
                    number += 1
                    # pictures that need what stood before the key picture are shown before it
                    if not first <= number <= last or packet.pts is None or packet.pts < zero:
                        continue
                    on_progress((number - first) / max(1, last - first))
                else:
                    time_s = float((packet.pts or 0) * packet.time_base) - index.zero_s
                    if packet.pts is None or packet.pts < origin or time_s >= end_s:
                        continue
                packet.pts -= origin
                packet.dts = None if packet.dts is None else packet.dts - origin
                packet.stream = targets[packet.stream_index]
                out.mux(packet)
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        raise VideoError(
            f"The pictures of '{video_file.name}' cannot be copied as they are ({error.strerror}). Cut it exactly."
        ) from error
    return {"start_s": float(times_s[first])}
