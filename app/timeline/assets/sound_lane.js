/** How loud the clip is, as a lane of its own, and the peaks that it is drawn from (tempo_core/sound.py). */

const PEAKS_PER_S = 50;

export class SoundPeaks {
  peaks = null; // Uint8Array, one for each fiftieth of a second; null while there are none
  #url = null;
  #onLoad;
  #ahead = { url: null, peaks: null }; // of the clip that comes next; the peaks are a promise

  constructor(onLoad) {
    this.#onLoad = onLoad;
  }

  async load(url) {
    if (url === this.#url) return;
    this.#url = url;
    this.peaks = null;
    if (!url) return;
    const peaks = await (this.#ahead.url === url ? this.#ahead.peaks : fetchPeaks(url));
    if (this.#url !== url) return;
    this.peaks = peaks;
    this.#onLoad();
  }

  /** Fetch those of the clip that comes next; null gives them up. */
  preload(url) {
    if (url !== this.#ahead.url) this.#ahead = { url, peaks: url && fetchPeaks(url) };
  }

  /** The greatest peak between two times, 0 to 1. */
  between(start_s, end_s) {
    const first = Math.max(0, Math.floor(start_s * PEAKS_PER_S));
    const last = Math.min(this.peaks.length - 1, Math.max(first, Math.ceil(end_s * PEAKS_PER_S) - 1));
    let most = 0;
    for (let idx = first; idx <= last; idx += 1) most = Math.max(most, this.peaks[idx]);
    return most / 255;
  }
}

/** Null where there are none: without them the lane stays empty. */
async function fetchPeaks(url) {
  const response = await fetch(url).catch(() => null);
  return response?.ok ? new Uint8Array(await response.arrayBuffer()) : null;
}

/** It keeps its place where a clip has no sound, so that nothing moves from row to row. */
export const SOUND = {
  id: "sound",
  label: "Sound",
  note: ({ value: { video }, view }) => (!video?.sound_url ? "none" : view.player?.video.muted ? "muted" : "on"),
  height: 24,
  present: (state) => state.view.mode === "annotate" || Boolean(state.value.video?.sound_url),
  isWaiting: () => false,
  draw: drawSound,
  hover: () => null,
};

function drawSound({ context, width, height }, { viewport, view }, colours) {
  if (!view.sound.peaks) return;
  context.fillStyle = colours.bar;
  for (let x = 0; x < width; x += 1) {
    const tall = Math.max(0.5, view.sound.between(viewport.time(x), viewport.time(x + 1)) * (height - 2));
    context.fillRect(x, (height - tall) / 2, 1, tall);
  }
}
