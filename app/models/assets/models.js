const root = element.querySelector(".tempo-models");
root.previous?.abort();
const controller = (root.previous = new AbortController());
const BUSY_MS = 1000;
const CALM_MS = 5000;

const make = (tag, text = "", attributes = {}, ...children) => {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const gigabytes = (bytes) =>
  bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
const weights = (count) => (count >= 1e9 ? `${(count / 1e9).toFixed(1)} B weights` : `${(count / 1e6).toFixed(1)} M weights`);
/** Text that changes only when it differs, so that a screen reader hears what is new. */
const say = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

const line = make("p", "", { class: "tempo-line", role: "status" });
const notice = (text, isError = false) => {
  say(line, text);
  line.classList.toggle("error", isError);
  line.setAttribute("role", isError ? "alert" : "status");
};

async function request(path, body) {
  const options = body
    ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }
    : {};
  let response;
  try {
    response = await fetch(addressOf(`/models/api${path}`), { ...options, signal: controller.signal });
  } catch (error) {
    if (controller.signal.aborted) throw error;
    throw new Error("The server cannot be reached. This page goes on when it answers again.");
  }
  const values = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(values.error ?? `The server answered ${response.status}.`);
  return values;
}

async function act(path, body, done = "") {
  try {
    await request(path, body);
    notice(done);
  } catch (error) {
    if (!controller.signal.aborted) notice(error.message, true);
    return false;
  }
  await refresh();
  return true;
}

const machineLine = make("p", "", { class: "tempo-models-machine" });
const servedLine = make("p", "", { class: "tempo-models-served", role: "status" });
const list = make("div", "", { class: "tempo-models-list" });
const here = section("On this machine", list);
const knownList = make("div", "", { class: "tempo-models-list" });
const known = section("Published grounders that run here", knownList);

function section(title, ...children) {
  return make("section", "", { "aria-label": title }, make("h2", title), ...children);
}

/** A form of one field and one button. */
function form(label, placeholder, button, send) {
  const field = make("input", "", { type: "text", placeholder, "aria-label": label, spellcheck: "false" });
  const node = make("form", "", { class: "tempo-models-form" }, make("label", label), field, make("button", button));
  node.querySelector("label").append(field);
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (field.value.trim() && (await send(field.value.trim()))) field.value = "";
  });
  return node;
}
const nameForm = form("Another checkpoint of the hub", "owner/name or owner/name@revision", "Download", (name) =>
  act("/downloads", { name }, `${name} is asked for.`),
);
const folderForm = form("A folder on the server", "/srv/models/my-grounder", "Add", (path) =>
  act("/folders", { path }, "The folder was added."),
);
const datasets = section("Who proposes for which dataset");
const datasetsList = make("div");
datasets.append(
  make("p", "A model opens an annotator’s row with its own moments only where it is named.", { class: "tempo-faint" }),
  datasetsList,
);

root.replaceChildren(
  machineLine,
  servedLine,
  line,
  here,
  make("section", "", { "aria-label": "Add a model", class: "tempo-models-add" }, nameForm, folderForm),
  known,
  datasets,
);

const STATES = {
  served: "Served",
  loading: "Loading",
  downloading: "Downloading",
  here: "Here",
  partial: "Partly here",
  absent: "Not here",
};
const STAGES = { waiting: "Waits for another download", asking: "Asking the hub", verifying: "Verifying" };
const rows = new Map();

function newRow(name) {
  const parts = {
    title: make("h3", name),
    facts: make("p", "", { class: "facts" }),
    abilities: make("p", "", { class: "abilities" }),
    memory: make("p", "", { class: "memory" }),
    state: make("span", "", { class: "state" }),
    progress: make("progress", "", { class: "tempo-bar", max: "100", "aria-label": `Download of ${name}` }),
    detail: make("p", "", { class: "detail", "aria-live": "polite" }),
    download: make("button", "Download", { type: "button" }),
    cancel: make("button", "Cancel", { type: "button" }),
    precision: make("select", "", { "aria-label": `How ${name} is held` }),
    serve: make("button", "Serve", { type: "button" }),
    remove: make("button", "Remove", { type: "button" }),
    offered: make("input", "", { type: "checkbox" }),
    source: make("a", "source", { target: "_blank", rel: "noopener noreferrer" }),
  };
  for (const key of ["download", "cancel", "serve", "remove"]) {
    parts[key].setAttribute("aria-label", `${parts[key].textContent} ${name}`);
  }
  parts.precision.append(make("option", "NF4", { value: "nf4" }), make("option", "whole", { value: "whole" }));
  parts.offer = make("label", "", {}, parts.offered, " Visitors may choose it");
  const actions = make(
    "div",
    "",
    { class: "actions" },
    ...[parts.download, parts.cancel, parts.precision, parts.serve, parts.remove],
  );
  parts.node = make(
    "article",
    "",
    { "aria-label": name },
    make("div", "", {}, parts.title, parts.facts),
    make("div", "", {}, parts.abilities, parts.memory),
    make("div", "", { class: "side" }, parts.state, parts.progress, parts.detail, actions, parts.offer),
  );
  parts.download.addEventListener("click", () => act("/downloads", { name }));
  parts.cancel.addEventListener("click", () => act("/downloads/cancel", { name }));
  parts.serve.addEventListener("click", () =>
    act("/serve", { name, four_bit: parts.precision.value === "nf4" }),
  );
  parts.remove.addEventListener("click", () => act("/removals", { name }, `${name} is off the list; its files stay.`));
  parts.offered.addEventListener("change", () => act("/offered", { name, is_offered: parts.offered.checked }));
  return parts;
}

function drawRow(row, overview) {
  const name = row.name;
  if (!rows.has(name)) rows.set(name, newRow(name));
  const parts = rows.get(name);
  const { machine, may_administer: mayAdminister } = overview;
  const whole = machine.device === "cuda" ? "bfloat16" : "float32";
  const isHere = ["served", "loading", "here"].includes(row.state);
  const facts = [row.family, row.parameters && weights(row.parameters)];
  facts.push(`licence: ${row.licence ?? "as its owner says"}`, row.base && `adapter of ${row.base}`);
  facts.push(row.is_gated && "given out on request", row.place === "folder" && "a folder of your own");
  say(parts.facts, facts.filter(Boolean).join(" · "));
  if (row.source) {
    parts.source.href = row.source;
    parts.facts.append(" · ", parts.source);
  }
  const abilities = [];
  if (row.protocol) {
    const refuses = row.refuses ? "taught to refuse" : "never taught to refuse, asked yes or no in a second turn";
    if (row.is_plain) abilities.push("not trained to ground, asked as its family’s plain model");
    else abilities.push(row.names_sets ? "several moments" : "one moment", refuses, `asked as ${row.protocol}`);
    abilities.push("a confidence for each moment", `P(relevant) ${row.is_calibrated ? "" : "not "}calibrated`);
  }
  say(parts.abilities, abilities.join(" · "));
  const holds = (bytes) => `${gigabytes(bytes)}${bytes > machine.total_bytes ? " (more than there is)" : ""}`;
  say(parts.memory, row.nf4_bytes ? `In memory: NF4 ${holds(row.nf4_bytes)}, ${whole} ${holds(row.whole_bytes)}` : "");
  say(parts.precision.options[1], whole);
  parts.node.dataset.state = row.state;
  say(parts.state, STATES[row.state] ?? row.state);
  const download = row.download;
  const isRunning = Boolean(download?.is_running);
  parts.progress.hidden = !isRunning || !download.total_bytes;
  let detail = row.problem;
  if (isRunning) {
    const share = download.total_bytes ? (100 * download.done_bytes) / download.total_bytes : 0;
    parts.progress.value = share;
    const amount = `${gigabytes(download.done_bytes)} of ${gigabytes(download.total_bytes)} (${Math.floor(share)} %)`;
    const part = download.repository && download.repository !== name ? `${download.repository}: ` : "";
    detail = part + (STAGES[download.stage] ?? amount);
  } else if (download && download.stage !== "done") {
    detail = download.message;
  } else if (row.state === "partial") {
    detail = `${gigabytes(row.partial_bytes)} are here; a download goes on from them.`;
  } else if (row.state === "absent" && row.stored_bytes) {
    detail = `A download takes about ${gigabytes(row.stored_bytes)}.`;
  }
  if (overview.served.problem && row.name === lastServed) detail = overview.served.problem;
  say(parts.detail, detail ?? "");
  parts.node.classList.toggle("error", Boolean(row.problem) || download?.stage === "failed");
  parts.download.hidden = isHere || isRunning || row.is_folder || !name.includes("/");
  parts.download.disabled = overview.hub.is_offline;
  say(parts.download, row.state === "partial" ? "Go on" : "Download");
  parts.cancel.hidden = !isRunning;
  parts.serve.hidden = row.state !== "here" || !mayAdminister;
  parts.precision.hidden = parts.serve.hidden || !row.nf4_bytes;
  parts.serve.disabled = Boolean(overview.served.loading);
  parts.remove.hidden = !mayAdminister || !row.can_remove || ["served", "loading"].includes(row.state);
  parts.offer.hidden = !isHere || !mayAdminister;
  if (document.activeElement !== parts.offered) parts.offered.checked = row.is_offered;
  return parts.node;
}

function place(container, nodes) {
  if (nodes.length !== container.children.length || nodes.some((node, idx) => container.children[idx] !== node)) {
    container.replaceChildren(...nodes);
  }
}

let lastServed = null;
let lastDatasets = "";
function draw(overview) {
  const { machine, hub, served, models, may_administer: mayAdminister } = overview;
  const device = machine.device === "cuda" ? "GPU" : "CPU";
  const offline = hub.is_offline ? " · HF_HUB_OFFLINE is set: nothing is downloaded" : "";
  const token = hub.has_token ? " · a token is set" : "";
  say(
    machineLine,
    `${device} with ${gigabytes(machine.total_bytes)} of memory, ${gigabytes(machine.free_bytes)} of it free · hub: ${hub.host}${token}${offline}`,
  );
  if (served.loading) lastServed = served.loading;
  say(servedLine, served.loading ? `${served.message} ${served.loading} is being loaded.` : served.message);
  const isHere = (row) => ["served", "loading", "here"].includes(row.state) || row.is_folder;
  place(list, models.filter(isHere).map((row) => drawRow(row, overview)));
  const others = models.filter((row) => !isHere(row));
  place(knownList, others.map((row) => drawRow(row, overview)));
  known.hidden = others.length === 0;
  folderForm.hidden = !mayAdminister;
  drawDatasets(overview);
}

function drawDatasets(overview) {
  const state = JSON.stringify([overview.datasets, overview.may_administer, overview.models.map((row) => row.state)]);
  if (state === lastDatasets) return;
  lastDatasets = state;
  datasets.hidden = overview.datasets.length === 0;
  const present = overview.models.filter((row) => ["served", "loading", "here"].includes(row.state));
  const names = [...new Set(present.map((row) => row.name.split("/").at(-1)))];
  const set = (dataset, model, isNamed) =>
    act("/proposers", { dataset, model, is_named: isNamed, op_id: crypto.randomUUID?.() ?? String(Math.random()) });
  datasetsList.replaceChildren(
    ...overview.datasets.map((dataset) => {
      const every = [...new Set([...dataset.proposers, ...names, "*"])];
      const boxes = every.map((model) => {
        const box = make("input", "", { type: "checkbox" });
        box.checked = dataset.proposers.includes(model);
        box.disabled = !overview.may_administer;
        box.addEventListener("change", () => set(dataset.name, model, box.checked));
        return make("label", "", {}, box, ` ${model === "*" ? "any model" : model}`);
      });
      return make("fieldset", "", {}, make("legend", dataset.name), ...boxes);
    }),
  );
}

let timer = 0;
async function refresh() {
  clearTimeout(timer);
  let pause = CALM_MS;
  try {
    const overview = await request("/models");
    draw(overview);
    if (line.dataset.away) notice("");
    delete line.dataset.away;
    const isBusy = overview.models.some((row) => row.download?.is_running) || overview.served.loading;
    if (isBusy || overview.served.state === "loading") pause = BUSY_MS;
  } catch (error) {
    if (controller.signal.aborted) return;
    notice(error.message, true);
    line.dataset.away = "yes";
  }
  if (!element.isConnected) return controller.abort();
  clearTimeout(timer);
  timer = setTimeout(refresh, pause);
}
notice("Looking.");
refresh().then(() => line.textContent === "Looking." && notice(""));
