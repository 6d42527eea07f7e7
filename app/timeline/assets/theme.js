/** Light or dark, as the page says; canvases read the stylesheet's own colours. */

const NAMES = ["surface", "sunken", "line", "ink", "soft", "accent", "bar", "hatch", "ghost"];

export function readColours(root) {
  const style = getComputedStyle(root);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--tl-${name}`).trim()]));
}

function isDark(root) {
  if (root.closest(".dark")) return true;
  if (root.closest(".gradio-container, gradio-app")) return false;
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Keep `root[data-theme]` true to the page, and call back when it changes. */
export function followTheme(root, changed, signal) {
  const update = () => {
    const theme = isDark(root) ? "dark" : "light";
    if (root.dataset.theme === theme) return;
    root.dataset.theme = theme;
    changed();
  };
  const observer = new MutationObserver(update);
  for (const node of [document.documentElement, document.body]) {
    observer.observe(node, { attributes: true, attributeFilter: ["class"] });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update, { signal });
  signal.addEventListener("abort", () => observer.disconnect());
  update();
}
