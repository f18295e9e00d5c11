// Asks the collector. One place knows of the key, of errors and of numbers too large for
// JavaScript; views only see data or an ApiError whose message says what to do.

import { askForKey, currentKey, isSendable } from "./key.js";
import { query } from "./paths.js";

const API = "/api/v1";

/** An answer that was not the data asked for. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The headers every request carries: no key that cannot be one, which is then refused. */
export function headers() {
  const key = currentKey();
  return isSendable(key) ? { "X-API-Key": key } : {};
}

/** GET *path* with *params* and return the data; ask for the key where it is wanted. */
export async function get(path, params, signal) {
  return (await answer(path + query(params), signal)).json();
}

/** The same, for whole events: numbers that a double cannot hold stay exact. */
export async function getExact(path, signal) {
  return JSON.parse(await (await answer(path, signal)).text(), exact);
}

/** Fetch an answer that is fine, whatever it takes; also used by the live stream. */
export async function answer(address, signal, extra = {}) {
  for (;;) {
    const sent = currentKey();
    const response = await fetched(address, signal, extra);
    if (response.ok) return response;
    if (response.status !== 401) throw new ApiError(response.status, await reason(response));
    // Another view may have asked meanwhile: only a key that was sent is a refused one.
    if (sent !== currentKey() && currentKey()) continue;
    if (!(await askForKey(sent))) throw new ApiError(401, "This collector wants its key.");
  }
}

async function fetched(address, signal, extra) {
  try {
    return await fetch(API + address, { headers: { ...headers(), ...extra }, signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted || error.name === "AbortError") throw error;
    throw new ApiError(0, "The collector does not answer. Is it still running?");
  }
}

async function reason(response) {
  try {
    const { error } = await response.json();
    return typeof error === "string" ? error : (error?.message ?? response.statusText);
  } catch {
    return response.statusText || `HTTP ${response.status}`;
  }
}

function exact(name, value, context) {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source && /^-?\d{16,400}$/.test(source) ? BigInt(source) : value;
}
