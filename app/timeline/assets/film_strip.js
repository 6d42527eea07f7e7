/** The sprite picture: which tile shows a time, and drawing tiles onto a canvas. */

export class FilmStrip {
  #url = null;
  #image = null;
  #spec = null;
  #onLoad;

  constructor(onLoad) {
    this.#onLoad = onLoad;
  }

  load(spec) {
    this.#spec = spec;
    if ((spec?.url ?? null) === this.#url) return;
    this.#url = spec?.url ?? null;
    this.#image = null;
    if (!spec) return;
    const image = new Image();
    image.decoding = "async";
    image.onload = () => {
      if (this.#url !== spec.url) return;
      this.#image = image;
      this.#onLoad();
    };
    image.src = spec.url;
  }

  get ready() {
    return Boolean(this.#image && this.#spec?.times_s.length);
  }

  get times_s() {
    return this.#spec?.times_s ?? [];
  }

  get aspect() {
    return this.#spec ? this.#spec.tile_width / this.#spec.tile_height : 16 / 9;
  }

  /** The last tile at or before a time (the first one, before any). */
  tileAt(time_s) {
    const times = this.times_s;
    let low = 0;
    let high = times.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (times[middle] <= time_s + 1e-6) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  draw(context, idx, x, y, width, height) {
    const { tile_width, tile_height, columns } = this.#spec;
    const left = (idx % columns) * tile_width;
    const top = Math.floor(idx / columns) * tile_height;
    context.drawImage(this.#image, left, top, tile_width, tile_height, x, y, width, height);
  }
}
