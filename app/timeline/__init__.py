"""The timeline: one component that shows a clip, the answer, and where the model looked, on one time axis."""

from app.timeline.component import Timeline, mount_assets
from app.timeline.parts import check_value
from app.timeline.value import empty_value, error_value, lane_part, loading_value, timeline_value

__all__ = [
    "Timeline",
    "check_value",
    "empty_value",
    "error_value",
    "lane_part",
    "loading_value",
    "mount_assets",
    "timeline_value",
]
