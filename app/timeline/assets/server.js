/** Talking to the app's own JSON routes. A Failure says what kind of trouble it was, so that callers can choose. */

import { addressOf } from "./address.js";

const TIMEOUT_MS = 20_000;

/**
 * `kind`: "away" (no answer: try again), "busy" (it answered that it cannot now: try again), "full" (the server has no
 * room: try again), "fault" (the server failed at this: trying for ever helps nobody), "person" (sign in), "role" (may
 * not), "conflict", "refused".
 */
export class Failure extends Error {
  constructor(kind, message, body = null, status = 0) {
    super(message);
    Object.assign(this, { kind, body, status });
  }
}

/** `read(path, signal)` and `write(path, body, signal)` below one prefix, such as "/annotate/api"; both give the JSON. */
function routes(prefix) {
  const headers = { "content-type": "application/json" };
  return {
    read: (path, signal) => request(prefix + path, { method: "GET" }, signal),
    write: (path, body, signal) =>
      request(prefix + path, { method: "POST", headers, body: JSON.stringify(body) }, signal),
  };
}

export const annotateApi = routes("/annotate/api");
export const reviewApi = routes("/review/api");

async function request(path, options, signal) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response;
  let body = null;
  try {
    response = await fetch(addressOf(path), {
      ...options,
      credentials: "same-origin",
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    body = await response.json();
  } catch {
    if (signal?.aborted) throw new Failure("stopped", "The page was left.");
    if (!response) throw new Failure("away", "The server cannot be reached.");
    if (response.ok) throw new Failure("away", "The server’s answer could not be read.");
  }
  if (response.ok) return body;
  const message = String(body?.error ?? `The server answered ${response.status}.`);
  throw new Failure(kindOf(response.status), message, body, response.status);
}

function kindOf(status) {
  if (status === 409) return "conflict";
  if (status === 401) return "person";
  if (status === 403) return "role";
  if (status === 507) return "full";
  if (status === 429 || (status >= 502 && status <= 504)) return "busy"; // also a proxy's word for it
  return status >= 500 ? "fault" : "refused";
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
