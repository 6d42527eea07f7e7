#!/usr/bin/env bash
# Captions in MP4 (mov_text): a moment ends where the next one begins, and one of two that begin together has no length.
#
# Version: FFmpeg 9.0.2 as imageio-ffmpeg 0.8.1 brings it; SRT to MP4 to SRT, and the same by way of Matroska.
# Guess: a container that takes a subtitle track keeps the beginnings and ends of its cues, as Matroska does.
# Seen: "a dog" from 1 to 6 s comes out as 1 to 2 s, because "a cat" begins at 2; "a cat" from 2 to 4 s comes out as 2 to 2,
# because "a bird" begins at 2 as well. No warning. Samples of an MP4 track follow each other, so overlap cannot be
# written; moments that overlap need Matroska, WebVTT beside the clip, or a track each.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet imageio-ffmpeg==0.8.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import re
import subprocess
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe

CUES = ["01,000 --> 00:00:06,000\na dog", "02,000 --> 00:00:04,000\na cat", "02,000 --> 00:00:03,500\na bird"]
Path("moments.srt").write_text("".join(f"{n}\n00:00:{cue}\n\n" for n, cue in enumerate(CUES, 1)))


def moments_through(path, codec):
    for source, target in (("moments.srt", path), (path, "back.srt")):
        options = ["-c:s", codec] if target == path else []
        command = [get_ffmpeg_exe(), "-v", "warning", "-y", "-i", source, *options, target]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        assert not run.stderr, run.stderr
    cue = r"00:00:(\S+) --> 00:00:(\S+)\n(.+)"
    return [
        (float(start.replace(",", ".")), float(end.replace(",", ".")), text)
        for start, end, text in re.findall(cue, Path("back.srt").read_text())
    ]


matroska, mp4 = moments_through("moments.mkv", "srt"), moments_through("moments.mp4", "mov_text")
print("Matroska:", matroska)
print("MP4:", mp4)
assert matroska == [(1.0, 6.0, "a dog"), (2.0, 4.0, "a cat"), (2.0, 3.5, "a bird")], matroska
assert mp4 == [(1.0, 2.0, "a dog"), (2.0, 2.0, "a cat"), (2.0, 3.5, "a bird")], mp4
PYTHON
