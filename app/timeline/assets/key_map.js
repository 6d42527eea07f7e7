/**
 * From a key press to an action's name. Places on the keyboard (brackets, digits, comma) are matched by `event.code`,
 * letters and signs by `event.key`, so that AZERTY and QWERTZ work, and so do boards without Latin letters. A chord is text such as "Ctrl+key:z", "key:i",
 * "code:BracketLeft". What a person changed is kept in this browser.
 */

const KEY = "tempo.keys";
const SIGNS = new Set(["?", "+", "-", "=", "*", "/"]); // typed with Shift on some layouts and without on others
const MODIFIERS = new Set(["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock", "Dead"]);
const PLACES = new Set(["BracketLeft", "BracketRight"]); // ü and + in German, a dead ^ and $ in French: the place counts

/** The chord of a key press, or null for a modifier alone. */
export function chordOf(event) {
  const placed = PLACES.has(event.code);
  if (MODIFIERS.has(event.key) && !placed) return null;
  const command = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  const alt = event.altKey ? "Alt+" : "";
  const shift = event.shiftKey && (placed || !SIGNS.has(event.key)) ? "Shift+" : "";
  return `${command}${alt}${shift}${nameOf(event)}`;
}

function nameOf({ key, code }) {
  if (/^(Digit|Numpad)[0-9]$/.test(code)) return `code:Digit${code.at(-1)}`;
  if (PLACES.has(code)) return `code:${code}`;
  if (key.length > 1) return `key:${key}`;
  // Cyrillic, Greek and others type no such letters: there the place of the letter on a Latin board counts.
  if (/^\p{L}$/u.test(key) && !/^[a-z]$/i.test(key) && /^Key[A-Z]$/.test(code)) return `key:${code.at(-1).toLowerCase()}`;
  if (/^\p{L}$/u.test(key)) return `key:${key.toLowerCase()}`;
  if (SIGNS.has(key)) return `key:${key}`;
  return code ? `code:${code}` : `key:${key}`;
}

const NAMES = {
  "code:Space": "Space",
  "code:BracketLeft": "[",
  "code:BracketRight": "]",
  "code:Comma": ",",
  "code:Period": ".",
  "key:ArrowLeft": "←",
  "key:ArrowRight": "→",
  "key:ArrowUp": "↑",
  "key:ArrowDown": "↓",
  "key:PageUp": "PgUp",
  "key:PageDown": "PgDn",
  "key:Escape": "Esc",
};

/** A chord as people write it: "Shift + →", "Ctrl + Z", "[". */
export function chordText(chord) {
  const parts = chord.split(/(?<=Ctrl|Alt|Shift)\+/);
  const last = parts.pop();
  const name = NAMES[last] ?? last.replace(/^code:Digit/, "").replace(/^(key|code):/, "");
  return [...parts, name.length === 1 ? name.toUpperCase() : name].join(" + ");
}

/** A single key types text elsewhere: those can be switched off (WCAG 2.1.4). */
function isSingle(chord) {
  return (
    !/^(Ctrl|Alt)\+/.test(chord) &&
    /key:.$|key:\p{L}$|code:(Digit|Bracket|Comma|Period|Semicolon|Quote)/u.test(chord)
  );
}

export class KeyMap {
  #kept;

  /** `bindings`: [{ id, chords, says, when? }]; `when` names the mode that the binding belongs to. */
  constructor(bindings, storage = localStorage) {
    this.bindings = bindings;
    this.storage = storage;
    this.#kept = { chords: {}, singles: true, ...read(storage) };
  }

  chords(id) {
    return this.#kept.chords[id] ?? this.bindings.find((binding) => binding.id === id).chords;
  }

  /** A binding's keys as people write them, "" for none; `usable` leaves out those that are switched off. */
  text(id, { usable = false } = {}) {
    const off = (chord) => usable && !this.singles && isSingle(chord);
    return this.chords(id)
      .filter((chord) => !off(chord))
      .map(chordText)
      .join(" or ");
  }

  get singles() {
    return this.#kept.singles;
  }

  set singles(on) {
    this.#kept.singles = Boolean(on);
    this.#write();
  }

  get changed() {
    return Object.keys(this.#kept.chords).length > 0;
  }

  /** The binding of a chord in a mode; those of the mode come before those of every mode. */
  find(chord, mode) {
    if (!chord || (!this.singles && isSingle(chord))) return null;
    const fits = (binding) => this.chords(binding.id).includes(chord);
    return (
      this.bindings.find((binding) => binding.when === mode && fits(binding)) ??
      this.bindings.find((binding) => !binding.when && fits(binding)) ??
      null
    );
  }

  /** Give `chord` to `id`. Whatever had it in the same mode loses it; that binding is returned, or null. */
  rebind(id, chord) {
    const { when } = this.bindings.find((binding) => binding.id === id);
    const other = this.bindings.find(
      (binding) => binding.id !== id && binding.when === when && this.chords(binding.id).includes(chord),
    );
    if (other) this.#kept.chords[other.id] = this.chords(other.id).filter((entry) => entry !== chord);
    this.#kept.chords[id] = [chord];
    this.#write();
    return other ?? null;
  }

  reset() {
    this.#kept.chords = {};
    this.#write();
  }

  #write() {
    this.storage.setItem(KEY, JSON.stringify(this.#kept));
  }
}

function read(storage) {
  try {
    const { chords = {}, singles = true } = JSON.parse(storage.getItem(KEY) ?? "{}");
    return { chords, singles };
  } catch {
    return {}; // unreadable: the keys as they come
  }
}
