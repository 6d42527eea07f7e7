/** First run: a sample project that one click makes and one click removes. */

import { el } from "./dom.js";
import { pause, read, write } from "./server.js";

const ASK_MS = 500;
const WHAT =
  "A dozen short made clips with questions about them. Some rows are right, some are wrong on purpose: a hole in a moment, " +
  "a late end, a dropped moment. Correct them, review them, export them.";

export class SampleCard {
  #statusCard;
  #signal;
  #done;
  #mayMake = false;

  /** `done` is called when there are rows, and when there are none any more. */
  constructor(statusCard, signal, done) {
    this.#statusCard = statusCard;
    this.#signal = signal;
    this.#done = done;
    this.link = el("button", { className: "fl-link", text: "Remove the sample project", attrs: { type: "button", hidden: true }, on: { click: () => this.remove() } });
  }

  async begin(mayMake) {
    this.#mayMake = mayMake;
    if (!mayMake) return;
    const { state } = await this.#ask(() => read("/sample", this.#signal));
    this.link.hidden = state !== "present";
  }

  get present() {
    return !this.link.hidden;
  }

  /** The store is empty. */
  async offer() {
    if (!this.#mayMake) {
      this.#statusCard.show("There is nothing to annotate yet", "A researcher or an administrator imports rows on the Data page, or makes the sample project here.", [["Look again", () => this.#done(), true]]);
      return;
    }
    const standing = await this.#ask(() => read("/sample", this.#signal));
    if (standing.state === "making") return void this.#follow(standing);
    const failed = standing.message ? ` ${standing.message}` : "";
    this.#statusCard.show("Start with a sample project", `${WHAT}${failed}`, [
      ["Make the sample project", () => this.#make(), true],
      ["Import rows", () => location.assign("/data"), false],
    ]);
  }

  async #make() {
    const standing = await this.#ask(() => write("/sample", {}, this.#signal));
    await this.#follow(standing);
  }

  async #follow(standing) {
    const card = this.#statusCard.show("Making the sample project", "Drawing the clips.");
    let now = standing;
    while (now.state === "making" && !this.#signal.aborted) {
      card.progress(now.fraction);
      await pause(ASK_MS, this.#signal);
      now = await this.#ask(() => read("/sample", this.#signal));
    }
    this.link.hidden = now.state !== "present";
    if (now.state === "present") this.#done();
    else if (now.state === "absent") this.offer();
  }

  /** Its rows leave the queue and its clips go; what was said of them stays in the store. */
  async remove() {
    const standing = await this.#ask(() => write("/sample/remove", {}, this.#signal));
    if (standing.state === "failed") return;
    this.link.hidden = standing.state === "present";
    location.hash = "";
    location.reload();
  }

  async #ask(work) {
    try {
      return await work();
    } catch (failure) {
      if (!failure.kind) throw failure;
      return { state: "failed", message: failure.message, fraction: 0 };
    }
  }
}
