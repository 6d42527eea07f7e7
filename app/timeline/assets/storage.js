/**
 * What this browser remembers of a person's choices: keys, layout, sound, units. Where it has no room for one, or refuses,
 * the choice holds until the tab closes, and nothing else stops working.
 */

const memory = new Map();

export const storage = {
  getItem(key) {
    if (memory.has(key)) return memory.get(key);
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // the browser is set to store nothing
    }
  },

  setItem(key, value) {
    try {
      localStorage.setItem(key, value);
      memory.delete(key);
    } catch {
      memory.set(key, value);
    }
  },
};
