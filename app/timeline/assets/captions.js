/** One's own moments as a captions track of the video, so that cue boundaries can be heard with a screen reader. */

/** Keep the track in step with the moments; `show(moments)` replaces its cues. */
export function captionsOf(video) {
  const track = video.addTextTrack("captions", "Your moments", document.documentElement.lang || "en");
  track.mode = "hidden"; // cues fire, nothing is drawn over the picture
  let key = null;
  return (moments) => {
    const now = JSON.stringify(moments.map(({ start_ms, end_ms }) => [start_ms, end_ms]));
    if (now === key) return;
    key = now;
    for (const cue of [...(track.cues ?? [])]) track.removeCue(cue);
    moments.forEach(({ start_ms, end_ms }, idx) =>
      track.addCue(new VTTCue(start_ms / 1000, end_ms / 1000, `Moment ${idx + 1} of ${moments.length}`)),
    );
  };
}
