import { callerOf, clock, json } from "../format.js";
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { useDelayed, useFeed, useFurther, useLoad, useStream, useTitle } from "../hooks.js";
import { entryOf, isGap, pastLog, streamOf } from "../live.js";
import { link, replace } from "../router.js";
import { Badge, Button, Card, CopyButton, Dialog, Empty, Id, isOnControl, Loaded, PageHead, Segments, Select, Time } from "../ui.js";
import { KINDS, reasonText, sentence } from "../words.js";
import { AppSelect } from "./rooms.js";

const MAX_ENTRIES = 500;
const PAGE = 100;
// What has a column or a place of its own; the other fields of an entry are its details.
const PLACED = new Set(["id", "at", "kind", "type", "app", "room", "session", "actor"]);

/** The log and what is added to it, the newest first, and none left out. `feed`: of a stream that has the entries, from
 * `useFeed`. */
function useLog(query, limit, feed) {
  const [added, setAdded] = useState([]);
  const key = JSON.stringify(query);
  const found = useLoad((signal) => pastLog({ ...query, limit }, "", signal), [key]);
  const older = useFurther((before, signal) => pastLog({ ...query, limit: PAGE }, before, signal), [key]);
  const shown = useRef([]);
  useEffect(() => {
    setAdded([]);
    let held = [];
    let timer = 0;
    let count = 0;
    // What there was before events were missed, or became too many, until the log is loaded anew. Then it is forgotten: the new
    // page may not go back to it, and what is older is loaded from that page on.
    let known = null;
    const loadAnew = async () => {
      known ||= new Set([...held, ...shown.current].map(identity));
      if (!(await found.reload())) return;
      const old = known;
      const isNew = (entry) => !old.has(identity(entry));
      held = held.filter(isNew);
      setAdded((now) => now.filter(isNew));
      older.forget();
      known = null;
    };
    // Entries that come in quick succession are shown together.
    const flush = () => {
      const fresh = held.reverse();
      held = [];
      timer = 0;
      setAdded((now) => [...fresh, ...now]);
      count += fresh.length;
      if (count <= MAX_ENTRIES) return;
      count = 0;
      loadAnew();
    };
    const stop = feed.subscribe((event) => {
      if (isGap(event)) loadAnew();
      const entry = entryOf(event);
      if (!entry || !passes(entry, query)) return;
      held.push(entry);
      timer ||= setTimeout(flush, 150);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [key]);

  const before = older.cursor ?? found.data?.cursor ?? "";
  const entries = useMemo(() => unique([...added, ...(found.data?.rows || []), ...older.rows]), [added, found.data, older.rows]);
  shown.current = entries;
  return { found, entries, before, more: () => older.more(before), busy: older.busy };
}

const keyOf = (entry) => entry.id || `${entry.at} ${entry.kind} ${entry.type} ${entry.session || ""} ${entry.sequence || ""} ${entry.webhook || ""}`;

/** The same of an entry from the log and from the stream. */
const identity = (entry) => [entry.at, entry.kind, entry.type, entry.app, entry.room, entry.session, entry.operation, entry.webhook, entry.attempt, entry.index].join(" ");

function unique(entries) {
  const seen = new Set();
  return entries.filter((entry) => {
    const key = identity(entry);
    return !seen.has(key) && seen.add(key);
  });
}

function passes(entry, query) {
  return ["app", "room", "session", "kind"].every((name) => !query[name] || entry[name] === query[name]) && (!query.type || isOfType(entry.type, query.type));
}

/** `pattern`: a type, or a beginning with `.*`. */
const isOfType = (type, pattern) => type === pattern || (pattern.endsWith(".*") && type.startsWith(pattern.slice(0, -1)));

// What people ask of a story; the rest is how it came about, and what was made of it.
const TOLD = new Set(["command", "refused", "event", "state"]);
// Other webhooks repeat what events say, which operators see and tenants do not.
const NO_EVENT_SAYS = new Set(["conference.member.join_failed", "conference.command.failed", "session.command.failed", "session.digits.collected", "session.play.started", "session.play.finished"]);

function isTold(entry, me) {
  const { kind, type } = entry;
  if (kind === "webhook") return me.kind === "operator" ? NO_EVENT_SAYS.has(type) : sentence(entry) !== null;
  return TOLD.has(kind) && (type === "url.failed" || !type.startsWith("url."));
}

/** The log of one thing as a card, live by `feed`, in sentences. `names`: members by whose ids callers are named, or `name` of
 * the only one. `more`: where the whole is. */
export function Story({ me, title, icon, feed, query, names, name, more }) {
  const [all, setAll] = useState("");
  const log = useLog(query, PAGE, feed);
  const known = useRef(new Map());
  for (const member of names || []) known.current.set(member.uuid, callerOf(member, ""));
  const whoOf = (entry) => (entry.session ? known.current.get(entry.session) || name || `Session ${entry.session.slice(6, 14)}` : "");
  const who = (entry) => (entry.leg ? `The bridge of ${entry.leg}` : whoOf(entry));
  const shown = all ? log.entries : log.entries.filter((entry) => isTold(entry, me));
  return html`<${Card} title=${title} icon=${icon} flush actions=${html`
      <${Segments} label="What to show" value=${all} onChange=${setAll} options=${[["", "What happened"], ["all", "Everything"]]} />
      <a href=${more}>Open in the event log</a>`}>
    <${Loaded} of=${log.found} rows=${5}>${() => html`
      ${shown.length > 0 && html`<ol class="timeline" tabindex="0" aria-label=${title}>${shown.map((entry) => html`<${Moment} key=${keyOf(entry)} entry=${entry} who=${who(entry)} />`)}</ol>`}
      ${shown.length === 0 && html`<${Empty} icon="clock" title="Nothing has happened yet" />`}
      ${log.before && html`<div class="more"><${Button} small busy=${log.busy} onClick=${log.more}>Load older<//></div>`}`}<//>
  <//>`;
}

function Moment({ entry, who }) {
  const [tone] = KINDS[entry.kind] || [""];
  const [open, setOpen] = useState(false);
  const why = entry.kind === "refused" || entry.type === "url.failed" ? entry.reason : "";
  return html`<li class="moment">
    <span class="marker ${tone}" aria-hidden="true"></span>
    <span class="when mono"><${Time} at=${entry.at} as="clock" /></span>
    <button type="button" class="what plain" onClick=${() => setOpen(true)} aria-haspopup="dialog">
      <span>${sentence(entry, who) || html`<span class="mono">${entry.type}</span>`}</span>
      ${why && html`<span class="bad-text">${reasonText(why)}</span>`}
      ${entry.cause && html`<span class="note">${entry.cause}</span>`}
      ${entry.outcome && html`<span class="note">${entry.outcome}${entry.status ? ` · ${entry.status}` : ""}${entry.error ? ` · ${entry.error}` : ""}</span>`}
    </button>
    ${entry.actor && html`<span class="actor">${entry.actor}</span>`}
    <${Badge} tone=${tone}>${entry.kind}<//>
    ${open && html`<${EntryDialog} entry=${entry} onClose=${() => setOpen(false)} />`}
  </li>`;
}

function EntryDialog({ entry, onClose }) {
  const text = json(entry);
  return html`<${Dialog} title=${`${entry.kind} · ${entry.type}`} onClose=${onClose} footer=${html`<${CopyButton} text=${text}>Copy as JSON<//>`}>
    <p class="note">${KINDS[entry.kind]?.[1]}, ${clock(entry.at)}</p><pre class="code" tabindex="0">${text}</pre><//>`;
}

export function EventLog({ me, route }) {
  useTitle("Event log");
  const operator = me.kind === "operator";
  const { app = "", kind = "" } = route.query;
  const [typed, setTyped] = useState({ room: route.query.room || "", session: route.query.session || "", type: route.query.type || "" });
  const text = useDelayed(JSON.stringify(typed));
  const [live, setLive] = useState(true);
  const [shown, setShown] = useState(null);
  const query = useMemo(() => {
    const all = { app: operator ? app : me.app_id, kind, ...JSON.parse(text) };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value));
  }, [app, kind, text]);
  useEffect(() => replace("log", { ...(operator ? { app } : {}), kind, ...JSON.parse(text) }), [text]);
  const feed = useFeed();
  const log = useLog(query, PAGE, feed);
  const { type, ...narrow } = query;
  useStream(live ? streamOf(me, narrow) : null, feed.emit);
  const change = (changed) => replace("log", { app, kind, ...typed, ...changed });
  const input = (name, label, placeholder) => html`<input type="search" aria-label=${label} placeholder=${placeholder} value=${typed[name]} spellcheck=${false}
    onInput=${(event) => setTyped({ ...typed, [name]: event.target.value.trim() })} />`;
  const kinds = [["", "All kinds"], ...Object.keys(KINDS).map((name) => [name, name])];
  const filtered = Object.keys(query).some((name) => name !== "app" || operator);

  return html`<${PageHead} title="Event log">
      <${Button} icon=${live ? "pause" : "play"} onClick=${() => setLive(!live)}>${live ? "Pause" : "Go on live"}<//>
    <//>
    <div class="filters">
      ${operator && html`<${AppSelect} me=${me} value=${app} onChange=${(chosen) => change({ app: chosen })} />`}
      <${Select} label="Kind" value=${kind} options=${kinds} onChange=${(chosen) => change({ kind: chosen })} />
      ${input("type", "Type", "Type, such as session.*")}
      ${input("room", "Id of the room", "Room id")}
      ${input("session", "Id of the session", "Session id")}
    </div>
    <${Card} flush>
      <${Loaded} of=${log.found} rows=${10}>${() => log.entries.length ? html`
        <div class="table-frame log" tabindex="0" role="group" aria-label="Event log"><table>
          <thead><tr><th scope="col">Time</th><th scope="col">Kind</th><th scope="col">Type</th>${operator && html`<th scope="col" class="hide-narrow">App</th>`}
            <th scope="col">About</th><th scope="col">Details</th></tr></thead>
          <tbody>${log.entries.map((entry) => html`<${Row} key=${keyOf(entry)} entry=${entry} operator=${operator} onOpen=${() => setShown(entry)} />`)}</tbody>
        </table></div>
        ${log.before && html`<div class="more"><${Button} busy=${log.busy} onClick=${log.more}>Load older<//></div>`}`
      : html`<${Empty} icon="log" title=${filtered ? "Nothing matches" : "Nothing has happened yet"}>${filtered && log.before
          ? html`Only so much of the log is looked at in one go. <${Button} busy=${log.busy} onClick=${log.more}>Look further back<//>`
          : "Entries appear here as they are written."}<//>`}<//>
    <//>
    ${shown && html`<${EntryDialog} entry=${shown} onClose=${() => setShown(null)} />`}`;
}

function Row({ entry, operator, onOpen }) {
  const [tone, meaning] = KINDS[entry.kind] || ["", ""];
  const details = Object.entries(entry).filter(([name, value]) => !PLACED.has(name) && value !== null && value !== "");
  const click = (event) => isOnControl(event) || String(getSelection()) || onOpen();
  return html`<tr class="linked" onClick=${click}>
    <td class="mono nowrap"><${Time} at=${entry.at} as="clock" /></td>
    <td><${Badge} tone=${tone} title=${meaning}>${entry.kind}<//></td>
    <td><button type="button" class="plain strong mono" aria-haspopup="dialog" onClick=${onOpen}>${entry.type}</button></td>
    ${operator && html`<td class="hide-narrow">${entry.app}</td>`}
    <td class="about">${entry.room && html`<${Id} value=${entry.room} icon="rooms" href=${link("rooms", entry.app, entry.room)} />`}
      ${entry.session && html`<${Id} value=${entry.session} icon="sessions" href=${link("sessions", entry.app, entry.session)} />`}</td>
    <td class="details">${entry.actor && html`<span class="actor">${entry.actor}</span> `}
      ${details.map(([name, value]) => html`<span class="detail"><span class="faint">${name}=</span>${shown(name, value)}</span> `)}</td>
  </tr>`;
}

const shown = (name, value) => (name.endsWith("_at") && typeof value === "number" ? clock(value) : typeof value === "string" ? value : JSON.stringify(value));
