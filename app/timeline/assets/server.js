/** Talking to the app's own JSON routes. A Failure says what kind of trouble it was, so that callers can choose. */

const PREFIX = "/annotate/api";
const PATIENCE_MS = 20_000;

/** `kind`: "away" (no answer, or the server is in trouble: try again), "person" (sign in), "conflict", "refused". */
class Failure extends Error {
  constructor(kind, message, body = null, status = 0) {
    super(message);
    Object.assign(this, { kind, body, status });
  }
}

export const read = (path, signal) => ask(path, { method: "GET" }, signal);

export const write = (path, body, signal) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }, signal);

async function ask(path, options, signal) {
  const late = AbortSignal.timeout(PATIENCE_MS);
  let response;
  let body = null;
  try {
    response = await fetch(`${PREFIX}${path}`, {
      ...options,
      credentials: "same-origin",
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    body = await response.json();
  } catch {
    if (signal?.aborted) throw new Failure("stopped", "The page was left.");
    if (!response?.ok) throw new Failure("away", "The server does not answer.");
    throw new Failure("away", "The server’s answer could not be read.");
  }
  if (response.ok) return body;
  throw new Failure(kindOf(response.status), String(body?.error ?? `The server said ${response.status}.`), body, response.status);
}

function kindOf(status) {
  if (status === 409) return "conflict";
  if (status === 401 || status === 403) return "person";
  if (status === 429 || status >= 500) return "away";
  return "refused";
}

export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Resolves after `ms`, or at once when the signal ends. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
