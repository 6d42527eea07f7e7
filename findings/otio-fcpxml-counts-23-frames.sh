#!/usr/bin/env bash
# opentimelineio reads FCPXML at 23 frames a second where it says 24000/1001: a cut at frame 100 becomes frame 95.
#
# Version: opentimelineio 0.18.1 with otio-fcpx-xml-adapter 1.0.0.
# Guess: a format with frameDuration="1001/24000s" is 23.976 frames a second, and times that are whole frames of it stay so.
# Seen: the rate is truncated to a whole number (23, and 29 for 30000/1001), and times are counted in those: the clip that starts
# at 100 frames starts at frame 95, 4.130 s in place of 4.171 s. At 24, 25 and 30 every time is right. The CMX 3600 adapter keeps 23.976.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet opentimelineio==0.18.1 otio-fcpx-xml-adapter==1.0.0 otio-cmx3600-adapter==1.0.0
cd "$folder"
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import opentimelineio as otio


def start_of(rate):
    """Seconds at which a clip starts whose source begins at frame 100, as the adapter reads it."""
    second = lambda frames: f"{(frames / rate).numerator}/{(frames / rate).denominator}s"
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<fcpxml version="1.10"><resources>
<format id="r1" frameDuration="{second(1)}" width="640" height="360"/>
<asset id="r2" name="a" start="0s" duration="{second(1000)}" hasVideo="1" format="r1">
<media-rep kind="original-media" src="file:///a.mp4"/></asset></resources>
<library><event name="e"><project name="p"><sequence format="r1" duration="{second(50)}"><spine>
<asset-clip ref="r2" name="a" offset="0s" start="{second(100)}" duration="{second(50)}"/>
</spine></sequence></project></event></library></fcpxml>"""
    timeline = otio.adapters.read_from_string(text, "fcpx_xml")
    [clip] = timeline.find_clips()
    return clip.source_range.start_time


for rate in (Fraction(24), Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001)):
    start = start_of(rate)
    print(rate, start, round(start.to_seconds(), 3), "s in place of", round(float(100 / rate), 3), "s")
    if rate.denominator == 1:
        assert start.value == 100, start
assert start_of(Fraction(24000, 1001)) == otio.opentime.RationalTime(95, 23)
edl = "TITLE: t\n\n001  AX       V     C        00:00:04:04 00:00:06:06 00:00:00:00 00:00:02:02\n"
[clip] = otio.adapters.read_from_string(edl, "cmx_3600", rate=24000 / 1001).find_clips()
print(clip.source_range)
assert clip.source_range.start_time.value == 100, clip.source_range
PYTHON
