// Which stream and which log a user may read: operators those of all apps, a portal that of its own.

import { API, CONSOLE, call } from "./api.js";

/** The stream for `useStream`, narrowed by `{app, room, session, kind, type}`. */
export function streamOf(me, query = {}) {
  if (me.kind === "operator") return { path: `${CONSOLE}/events`, query };
  return { path: `${API}/events`, app: me.app_id, query: query.room ? { room: query.room } : {} };
}

/** A page of the event log, the newest first: `{rows, cursor}`. */
export async function pastLog(query, before, signal) {
  const { entries, before: cursor } = await call("GET", `${CONSOLE}/log`, { query: { ...query, before }, signal });
  return { rows: entries, cursor: cursor || "" };
}

// What the stream names as the API does, and the log as it is stored.
const STORED = { app_id: "app", room_id: "room", uuid: "session", operation_id: "operation", webhook_id: "webhook" };
const LOGGED_OF_WEBHOOK = ["app_id", "room_id", "uuid", "operation_id", "sequence"];

/** An event of the stream as the entry that the event log has of it, or null if it has none. */
export function entryOf({ type, data: envelope }) {
  const log = type.startsWith("log.");
  if (!envelope?.data || !(log || envelope.webhook_id)) return null;
  const { data } = envelope;
  const fields = log ? Object.entries(data) : LOGGED_OF_WEBHOOK.filter((name) => name in data).map((name) => [name, data[name]]);
  const entry = Object.fromEntries(fields.map(([name, value]) => [STORED[name] || name, value]));
  const at = Date.parse(envelope.timestamp);
  return log ? { ...entry, at, kind: type.slice(4) } : { ...entry, at, kind: "webhook", type, webhook: envelope.webhook_id };
}

/** Whether what is shown is to be loaded anew, since events may have been missed. */
export const isGap = (event) => event.type === "live" || event.type === "stream.gap";

/** Whether a webhook on the stream is of this type, and its data holds all of `match`. */
export function isWebhook(event, type, match = {}) {
  const data = event.data?.data;
  return event.type === type && Boolean(data) && Object.entries(match).every(([name, value]) => data[name] === value);
}

/** Whether it says that a command of a session came to nothing. */
export const failedCommand = (command, match) => (event) =>
  (["conference.command.failed", "session.command.failed"].some((type) => isWebhook(event, type, match)) && event.data.data.command === command) ||
  (command === "join" && isWebhook(event, "conference.member.join_failed", match));
