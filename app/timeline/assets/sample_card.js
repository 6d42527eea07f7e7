/** First run: a sample project that one click makes and one click removes. */

import { addressOf } from "./address.js";
import { button } from "./dom.js";
import { annotateApi, Failure, pause } from "./server.js";

const POLL_MS = 500;
const DESCRIPTION =
  "A dozen short made clips with questions about them. Some rows are right, some are wrong on purpose: a hole in a moment, " +
  "a late end, a dropped moment. Correct them, review them, export them. A made-up colleague has answered more rows, about " +
  "coins and tents, which the model does not know: train it on them.";
const FOR_OTHERS = "A researcher or an administrator imports rows on the Data page, or makes the sample project here.";

export class SampleCard {
  #card;
  #signal;
  #onChange;
  #mayMake = false;

  /** `onChange` is called when there are rows, and when there are none any more. */
  constructor(card, signal, onChange) {
    this.#card = card;
    this.#signal = signal;
    this.#onChange = onChange;
    this.link = button("fl-link", "Remove the sample project", () => this.remove(), { hidden: true });
  }

  async start(mayMake) {
    this.#mayMake = mayMake;
    if (!mayMake) return;
    const { state } = await this.#read();
    this.link.hidden = state !== "present";
  }

  get present() {
    return !this.link.hidden;
  }

  /** The store is empty. */
  async offer() {
    if (!this.#mayMake) {
      const again = ["Look again", () => this.#onChange(), true];
      this.#card.show("There is nothing to annotate yet", FOR_OTHERS, [again]);
      return;
    }
    const project = await this.#read();
    if (project.state === "making") return void this.#follow(project);
    const failure = project.message ? ` ${project.message}` : "";
    this.#card.show("Start with a sample project", `${DESCRIPTION}${failure}`, [
      ["Make the sample project", async () => this.#follow(await this.#write("/sample")), true],
      ["Import rows", () => location.assign(addressOf("/data")), false],
    ]);
  }

  async #follow(project) {
    const card = this.#card.show("Making the sample project", "Drawing the clips.");
    let { state, fraction } = project;
    while (state === "making" && !this.#signal.aborted) {
      card.progress(fraction);
      await pause(POLL_MS, this.#signal);
      ({ state, fraction } = await this.#read());
    }
    this.link.hidden = state !== "present";
    if (state === "present") this.#onChange();
    else if (state === "absent") this.offer();
  }

  /** Its rows leave the queue and its clips go; what was said of them stays in the store. */
  async remove() {
    const { state } = await this.#write("/sample/remove");
    if (state === "failed") return;
    this.link.hidden = state === "present";
    location.hash = "";
    location.reload();
  }

  #read() {
    return annotateApi.read("/sample", this.#signal).catch(failedProject);
  }

  #write(path) {
    return annotateApi.write(path, {}, this.#signal).catch(failedProject);
  }
}

/** What a project looks like that the server did not answer about. */
function failedProject(failure) {
  if (!(failure instanceof Failure)) throw failure;
  return { state: "failed", message: failure.message, fraction: 0 };
}
