// Requests to the console's API and to the public one. A session is a cookie, which scripts cannot read, and a token that
// each request carries in a header, so that no other site can use the cookie.

export const API = "/api/v1";
export const CONSOLE = "/console/api";

const MAX_WAIT_MS = 3000;

let csrf = "";
let onEnd = () => {};
let replaced = Promise.resolve();

/** `ended` is called when the server no longer knows the session. */
export function begin(me, ended) {
  csrf = me ? me.csrf : "";
  onEnd = ended;
}

/** Who is logged in, or null. Throws ApiError. */
export async function whoAmI() {
  const found = await once("GET", `${CONSOLE}/me`, {});
  if (found.status === 401) return null;
  if (found.status !== 200) throw failure(found);
  return found.body;
}

/** What the server refused, in the words of its envelope; `status` is 0 when it could not be reached. */
export class ApiError extends Error {
  constructor(status, message, detail = {}) {
    super(message);
    this.status = status;
    this.detail = detail;
  }
}

export const headers = (app) => ({ "X-CSRF-Token": csrf, ...(app ? { "X-App-ID": app } : {}) });

/** `path` with those of the parameters that are not empty. */
export function withQuery(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return text ? `${path}?${text}` : path;
}

/** One request. Returns `{status, code, body, ms}` whatever the status is. Throws ApiError when there is no response. */
export async function exchange(method, path, options = {}) {
  const sent = csrf;
  const found = await once(method, path, options);
  return found.status === 401 && sent && (await renewed(sent)) ? once(method, path, options) : found;
}

/** Sends a POST that replaces the session. Until its response has come, no 401 ends the session here. */
export async function replaceSession(path, body) {
  const sent = csrf;
  const request = once("POST", path, { body });
  replaced = request.catch(() => {});
  const found = await request;
  if (found.status === 200) return found.body;
  if (found.status === 401) await renewed(sent);
  throw failure(found);
}

/** Whether the session goes on with another token than `sent`, which got a 401: it was replaced here or in another window.
 * Of several requests that get a 401 the first finds the new token, for all of them. */
export async function renewed(sent) {
  await replaced;
  const me = csrf === sent && (await whoAmI());
  if (csrf === sent) {
    if (me) csrf = me.csrf;
    else onEnd();
  }
  return csrf !== sent && csrf !== "";
}

async function once(method, path, { app, body, signal }) {
  const sent = { method, headers: headers(app), signal, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) {
    sent.headers["Content-Type"] = "application/json";
    sent.body = typeof body === "string" ? body : JSON.stringify(body);
  }
  const began = performance.now();
  let response;
  let text;
  try {
    response = await fetch(path, sent);
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached.");
  }
  return { status: response.status, code: response.headers.get("X-Error-Code"), body: parsed(text), ms: Math.round(performance.now() - began) };
}

/** One request. Returns the response's body. Throws ApiError for anything but success. */
export async function call(method, path, { app, body, query, signal } = {}) {
  const found = await exchange(method, withQuery(path, query), { app, body, signal });
  if (found.status >= 200 && found.status < 300) return found.body;
  throw failure(found);
}

/** A command. A cooldown that is soon over is waited for: people press the next button sooner than it ends. */
export async function command(method, path, options) {
  for (;;) {
    try {
      return await call(method, path, options);
    } catch (error) {
      const wait = error.status === 429 && error.detail.group && error.detail.retry_after_ms;
      if (!wait || wait > MAX_WAIT_MS) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait + 20));
    }
  }
}

function failure({ status, code, body }) {
  const envelope = body && typeof body === "object" ? body : {};
  const detail = envelope.detail || {};
  let message = envelope.error || `The server responded with ${status}.`;
  if (code === "rate_limited") message = "That was too often.";
  if (detail.retry_after_ms) message += ` Try again in ${Math.ceil(detail.retry_after_ms / 1000)} s.`;
  return new ApiError(status, message, detail);
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return text;
  }
}
