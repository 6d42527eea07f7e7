/**
 * The film strip: one sprite picture of the whole clip, and finer levels whose pictures are fetched when they come into
 * view. Which tile shows a time, and drawing tiles onto a canvas. The sizes are those of app/media/library.py.
 */

const LEVEL_FACTOR = 4;
const SHEET_TILES = 16;
const SHEET_COLUMNS = 8;
const MOST_SHEETS = 64;
const AT_ONCE = 2;

export class FilmStrip {
  #url = null;
  #image = null;
  #spec = null;
  #duration_s = 0;
  #sheets = new Map(); // the pictures of finer levels by "level/number"; null where there is none
  #wanted = [];
  #loading = 0;
  #onLoad;
  #ahead = null; // the picture of the clip that comes next

  constructor(onLoad) {
    this.#onLoad = onLoad;
  }

  load(spec, duration_s = 0) {
    this.#spec = spec;
    this.#duration_s = duration_s;
    if ((spec?.url ?? null) === this.#url) return;
    this.#url = spec?.url ?? null;
    this.#image = null;
    this.#sheets.clear();
    this.#wanted = [];
    if (!spec) return;
    const ahead = this.#ahead?.getAttribute("src") === spec.url ? this.#ahead : null;
    const image = ahead ?? new Image();
    this.#ahead = null;
    if (ahead?.complete && ahead.naturalWidth > 0) {
      this.#image = image;
      return;
    }
    image.decoding = "async";
    image.onload = () => {
      if (this.#url !== spec.url) return;
      this.#image = image;
      this.#onLoad();
    };
    if (!ahead) image.src = spec.url;
  }

  /** Fetch the picture of the clip that comes next; null gives it up. */
  preload(spec) {
    this.#ahead = spec ? Object.assign(new Image(), { src: spec.url }) : null;
    this.#ahead?.decode().catch(() => {}); // where it cannot be, drawing it does nothing
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

  /** Seconds from one tile to the next on a level. */
  spacing_s(level) {
    return this.#duration_s / (this.times_s.length * LEVEL_FACTOR ** level);
  }

  /** The coarsest level with a tile of its own for every `slot_s` seconds, or the finest that there is. */
  levelFor(slot_s) {
    const most = this.#duration_s ? (this.#spec?.levels ?? 0) : 0;
    let level = 0;
    while (level < most && this.spacing_s(level) > slot_s) level += 1;
    return level;
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
    const { columns } = this.#spec;
    this.#drawTile(this.#image, columns, idx, context, x, y, width, height);
  }

  /** The tile of a level for a time; until its picture is there, the nearest one that is. */
  drawAt(context, level, time_s, x, y, width, height) {
    for (let k = level; k > 0; k -= 1) {
      const count = this.times_s.length * LEVEL_FACTOR ** k;
      const idx = Math.min(count - 1, Math.max(0, Math.floor(time_s / this.spacing_s(k))));
      const key = `${k}/${Math.floor(idx / SHEET_TILES)}`;
      const sheet = this.#sheets.get(key);
      if (sheet) return this.#drawTile(sheet, SHEET_COLUMNS, idx % SHEET_TILES, context, x, y, width, height);
      if (k === level && sheet === undefined && !this.#wanted.includes(key)) this.#wanted.push(key);
    }
    return this.draw(context, this.tileAt(time_s), x, y, width, height);
  }

  /** What is in view is fetched; what was wanted for an earlier view, and has not been begun, is not. */
  beginView() {
    this.#wanted = [];
  }

  endView() {
    while (this.#loading < AT_ONCE && this.#wanted.length > 0) this.#fetch(this.#wanted.shift());
  }

  #fetch(key) {
    const url = this.#url;
    const image = new Image();
    const end = (picture) => {
      this.#loading -= 1;
      if (this.#url === url) {
        this.#sheets.delete(key);
        this.#sheets.set(key, picture);
        if (this.#sheets.size > MOST_SHEETS) this.#sheets.delete(this.#sheets.keys().next().value);
        this.#onLoad();
      }
      this.endView();
    };
    this.#loading += 1;
    this.#sheets.set(key, null); // on its way
    image.onload = () => end(image);
    image.onerror = () => end(null);
    image.src = `${url}/${key}`;
  }

  #drawTile(image, columns, idx, context, x, y, width, height) {
    const { tile_width, tile_height } = this.#spec;
    const left = (idx % columns) * tile_width;
    const top = Math.floor(idx / columns) * tile_height;
    context.drawImage(image, left, top, tile_width, tile_height, x, y, width, height);
  }
}
