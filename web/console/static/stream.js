// Server-sent events, read with `fetch`: an EventSource cannot send the headers that a request must carry here.

import { headers, renewed, withQuery } from "./api.js";

const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 8000;
// Heartbeats come more often than this; a connection that is silent for longer is taken for lost.
const SILENCE_MS = 45000;

/** Follows a stream until the returned function is called. `onEvent({id, type, data})`; `onState("connecting" | "live" |
 * "lost", reason)`. After a lost connection it goes on behind the last event. */
export function follow(path, { app, query = {} }, onEvent, onState) {
  let last = "";
  let wait = FIRST_WAIT_MS;
  let timer = 0;
  let watchdog = 0;
  let attempt = null;

  // Once for each attempt: to abort it ends its reading with an error, too.
  const lost = (current, reason) => {
    if (current !== attempt) return;
    clearTimeout(watchdog);
    attempt = null;
    current.abort();
    onState("lost", reason);
    timer = setTimeout(open, wait);
    wait = Math.min(wait * 2, MAX_WAIT_MS);
  };

  const heard = (current) => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => lost(current, "The connection has fallen silent."), SILENCE_MS);
  };

  const open = async () => {
    const current = new AbortController();
    attempt = current;
    const sent = { ...headers(app), Accept: "text/event-stream" };
    if (last) sent["Last-Event-ID"] = last;
    try {
      heard(current);
      const response = await fetch(withQuery(path, query), { headers: sent, signal: current.signal, cache: "no-store" });
      if (!response.ok) {
        if (response.status === 401) await renewed(sent["X-CSRF-Token"]);
        const envelope = await response.json().catch(() => ({}));
        throw new Error(envelope.error || `The server responded with ${response.status}.`);
      }
      onState("live", "");
      wait = FIRST_WAIT_MS;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parse = parser((event) => {
        if (event.id !== null) last = event.id;
        if (event.type) onEvent(event);
      });
      for (;;) {
        const { value, done } = await reader.read();
        if (current !== attempt) return;
        if (done) throw new Error("The server has ended the connection.");
        heard(current);
        parse(value);
      }
    } catch (error) {
      lost(current, error instanceof TypeError ? "The server cannot be reached." : error.message);
    }
  };

  onState("connecting", "");
  open();
  return () => {
    clearTimeout(timer);
    clearTimeout(watchdog);
    const current = attempt;
    attempt = null;
    current?.abort();
  };
}

/** Takes text as it comes; calls `emit({id, type, data})` for each event, `data` parsed, `id` null where there is none. */
export function parser(emit) {
  let rest = "";
  let id = null;
  let type = "message";
  let data = [];
  const line = (text) => {
    if (text === "") {
      if (data.length || id !== null) emit({ id, type: data.length ? type : "", data: value(data.join("\n")) });
      id = null;
      type = "message";
      data = [];
      return;
    }
    const colon = text.indexOf(":");
    const name = colon < 0 ? text : text.slice(0, colon);
    const content = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (name === "id") id = content;
    else if (name === "event") type = content;
    else if (name === "data") data.push(content);
  };
  return (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
  };
}

function value(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
