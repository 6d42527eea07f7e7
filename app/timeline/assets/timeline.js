/** Mounting and taking down. Gradio gives no unmount hook, so leaving the document is watched for. */

import { loadStylesheet } from "./dom.js";
import { TimelineView } from "./timeline_view.js";

const mounted = new WeakMap();

/**
 * Build the timeline inside Gradio's element and keep it in step with `props.value`. Mounting again replaces it.
 * `mode` is "ground" (read-only), "annotate" or "review"; `workspace` names a module of the same folder whose
 * `start(root, { assets, version, mode, signal })` runs once `root.timeline` is there.
 */
export async function mount(element, { props, watch, assets, version, mode = "ground", workspace = null }) {
  const root = element.querySelector(".tl-root");
  mounted.get(element)?.abort();
  const controller = new AbortController();
  mounted.set(element, controller);
  await loadStylesheet(`${assets}/timeline.css?v=${version}`);
  const ViewClass = mode === "ground" ? TimelineView : (await import("./editor_view.js")).EditorView;
  if (controller.signal.aborted) return;
  const timeline = new ViewClass(root, controller.signal, mode);
  timeline.start();
  root.timeline = timeline;
  if (mode === "ground") {
    const update = () => timeline.state.accept(props.value);
    watch("value", () => controller.signal.aborted || update());
    update();
  }
  const observer = new MutationObserver(() => element.isConnected || controller.abort());
  observer.observe(document, { childList: true, subtree: true });
  controller.signal.addEventListener("abort", () => {
    observer.disconnect();
    delete root.timeline;
  });
  if (workspace) {
    const { start } = await import(`./${workspace}`);
    if (!controller.signal.aborted) await start(root, { assets, version, mode, signal: controller.signal });
  }
}
