// How values are written for people. What is not known is a dash.

export const DASH = "–";

export const isKnown = (value) => value !== null && value !== undefined;

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const ABSOLUTE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const CLOCK = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});

/** Epoch milliseconds of an ISO 8601 time, of seconds (as text or number) or of milliseconds; null of anything else. */
export function moment(value) {
  if (!isKnown(value) || value === "") return null;
  if (typeof value === "string" && !/^\d+(\.\d+)?$/.test(value)) {
    const parsed = Date.parse(value);
    return Number.isNaN(parsed) ? null : parsed;
  }
  const number = Number(value);
  return number < 1e11 ? number * 1000 : number;
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

/** A time span in its two largest units: `2 h 5 min`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const first = UNITS.findIndex(([, size]) => whole >= size);
  if (first < 0) return "0 s";
  const [unit, size] = UNITS[first];
  const parts = [`${Math.floor(whole / size)} ${unit}`];
  const next = UNITS[first + 1];
  const rest = next && Math.floor((whole % size) / next[1]);
  if (rest && size > 60) parts.push(`${rest} ${next[0]}`);
  return parts.join(" ");
}

export function ago(at, now) {
  const seconds = (now - at) / 1000;
  if (Math.abs(seconds) < 2) return "now";
  const coarse = Math.abs(seconds) < 3600 ? Math.abs(seconds) : Math.floor(Math.abs(seconds) / 3600) * 3600;
  const [text] = duration(coarse).split(/ (?=\d)/);
  return seconds < 0 ? `in ${text}` : `${text} ago`;
}

export const absolute = (at) => ABSOLUTE.format(at);

export function clock(at) {
  const text = CLOCK.format(at);
  return new Date(at).toDateString() === new Date().toDateString() ? text : `${DAY.format(at)} ${text}`;
}

export const number = (value) => (isKnown(value) ? NUMBER.format(value) : DASH);

export function rate(value) {
  if (!isKnown(value)) return DASH;
  return NUMBER.format(value >= 100 ? Math.round(value) : value);
}

export function milliseconds(value) {
  if (!isKnown(value)) return DASH;
  return value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`;
}

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** An id with the beginning of its UUID only, which tells one from another. */
export const shortId = (id) => String(id).replace(/([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/, "$1…");

// Control characters, but line feeds, and what is not seen or turns the direction of text around.
const UNSEEN = /[\x00-\x09\x0b-\x1f\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu;
const code = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
const escaped = (text) => text.replace(UNSEEN, (found) => found.split("").map(code).join(""));

/** The caller's id; what is invisible or reverses text is shown as escapes. */
export const callerOf = ({ caller_id: id }, unknown = "unknown") => (id.trim() ? escaped(id) : unknown);

export const json = (value) => escaped(JSON.stringify(value, null, 2));
