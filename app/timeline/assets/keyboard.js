/**
 * The keyboard: from a key press to the binding that it runs. A chord is text such as "Ctrl+key:z", "key:i",
 * "code:BracketLeft": places on the keyboard (brackets, digits, comma) are matched by `event.code`, letters and signs
 * by `event.key`, so that AZERTY and QWERTZ work, and so do boards without Latin letters.
 */

export const TYPING = "input, textarea, select, dialog, [contenteditable]:not([contenteditable=false])";

const STORAGE_KEY = "tempo.keys";
const SIGNS = new Set(["?", "+", "-", "=", "*", "/"]); // typed with Shift on some layouts and without on others
const MODIFIERS = new Set(["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock", "Dead"]);
const PLACES = new Set(["BracketLeft", "BracketRight"]); // ü and + in German, a dead ^ and $ in French: the place counts
// The two keys to the right of 0 count by their place where they carry no sign: ß and a dead accent in German.
const SIGN_PLACES = new Set(["Minus", "Equal"]);

/**
 * Run the bindings of `view.keys` for presses on `target`. The view says whether a press is for it (`acceptsKey`), sees
 * it first (`interceptKey`), names the mode that it is in (`keyMode`), and hears when a key comes up (`releaseKey`).
 */
export function handleKeys(view, target) {
  const press = (event) => {
    if (event.defaultPrevented || event.isComposing || !view.acceptsKey(event)) return;
    const chord = chordOf(event);
    const field = event.target.closest(TYPING);
    if (field && !/^Ctrl\+(Shift\+)?key:Enter$/.test(chord ?? "")) return;
    if (view.interceptKey(event, chord) || pressesButton(event, chord)) return;
    const binding = view.keys.find(chord, view.keyMode);
    if (!binding) return;
    field?.blur(); // what was typed counts before it is submitted
    event.preventDefault();
    event.stopPropagation();
    view.countKey(event);
    binding.run(view, { repeat: event.repeat });
  };
  target.addEventListener("keydown", press, { signal: view.signal });
  target.addEventListener("keyup", (event) => view.releaseKey(chordOf(event)), { signal: view.signal });
}

/** Space and Enter belong to a button that has the focus, except to a ghost, which Enter takes. */
function pressesButton(event, chord) {
  const control = event.target.closest("button, a, summary, label");
  if (!control || !["code:Space", "key:Enter", "Shift+key:Enter"].includes(chord)) return false;
  return !control.classList.contains("tl-ghost");
}

/** The chord of a key press, or null for a modifier alone. */
export function chordOf(event) {
  const isPlace = hasPlace(event);
  if (MODIFIERS.has(event.key) && !isPlace) return null;
  const command = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  const alt = event.altKey ? "Alt+" : "";
  const shift = event.shiftKey && (isPlace || !SIGNS.has(event.key)) ? "Shift+" : "";
  return `${command}${alt}${shift}${keyName(event)}`;
}

function hasPlace({ key, code, shiftKey }) {
  return PLACES.has(code) || (SIGN_PLACES.has(code) && !SIGNS.has(key) && !shiftKey);
}

function keyName(event) {
  const { key, code } = event;
  if (/^(Digit|Numpad)[0-9]$/.test(code)) return `code:Digit${code.at(-1)}`;
  if (hasPlace(event)) return `code:${code}`;
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
  "code:Minus": "first right of 0",
  "code:Equal": "second right of 0",
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
  if (/^(Ctrl|Alt)\+/.test(chord)) return false;
  return /key:.$|key:\p{L}$|code:(Digit|Bracket|Comma|Period|Semicolon|Quote|Minus|Equal)/u.test(chord);
}

/** Which chord runs which binding. What a person changed is stored in this browser; without a storage nothing can be. */
export class KeyMap {
  #custom = { chords: {}, singles: true };

  /** `bindings`: [{ id, chords, words, run, when }]; `when` names the mode that the binding belongs to, or is null. */
  constructor(bindings, storage = null) {
    this.bindings = bindings;
    this.storage = storage;
    try {
      Object.assign(this.#custom, JSON.parse(storage?.getItem(STORAGE_KEY) ?? "{}"));
    } catch {
      // unreadable: the keys as they came
    }
  }

  chords(id) {
    return this.#custom.chords[id] ?? this.bindings.find((binding) => binding.id === id).chords;
  }

  /** A binding's keys as people write them, "" for none; `usable` leaves out those that are switched off. */
  text(id, { usable = false } = {}) {
    const chords = this.chords(id).filter((chord) => !usable || this.singles || !isSingle(chord));
    return chords.map(chordText).join(" or ");
  }

  get singles() {
    return this.#custom.singles;
  }

  set singles(on) {
    this.#custom.singles = Boolean(on);
    this.#write();
  }

  /** The binding of a chord in a mode; those of the mode come before those of every mode. */
  find(chord, mode) {
    if (!chord || (!this.singles && isSingle(chord))) return null;
    const bound = this.bindings.filter(({ id }) => this.chords(id).includes(chord));
    return bound.find(({ when }) => when === mode) ?? bound.find(({ when }) => !when) ?? null;
  }

  /** Give `chord` to `id`. Whatever had it in the same mode loses it; that binding is returned, or null. */
  rebind(id, chord) {
    const { when } = this.bindings.find((binding) => binding.id === id);
    const rival = this.bindings.find(
      (binding) => binding.id !== id && binding.when === when && this.chords(binding.id).includes(chord),
    );
    if (rival) this.#custom.chords[rival.id] = this.chords(rival.id).filter((other) => other !== chord);
    this.#custom.chords[id] = [chord];
    this.#write();
    return rival ?? null;
  }

  reset() {
    this.#custom.chords = {};
    this.#write();
  }

  #write() {
    this.storage.setItem(STORAGE_KEY, JSON.stringify(this.#custom));
  }
}
