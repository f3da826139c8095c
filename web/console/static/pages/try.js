import { API, call, exchange } from "../api.js";
import { callerOf, json, milliseconds } from "../format.js";
import { html, useMemo, useState } from "../html.js";
import { useLoad, useStream, useTitle } from "../hooks.js";
import { streamOf } from "../live.js";
import { Badge, Button, Card, CopyButton, Empty, Field, PageHead, Select } from "../ui.js";
import { Icon } from "../icons.js";
import { AppSelect } from "./rooms.js";

const MAX_SEEN = 30;
const session = "/sessions/{uuid}";
const member = `${session}/commands/conference`;
const room = "/conferences/{room_id}";
const recording = "/recordings/{recording_id}";

// What can be tried: method, path, what it does, and a body to begin with.
const CALLS = [
  ["GET", "/conferences", "List rooms"],
  ["POST", "/conferences", "Create a room", { name: "my-room" }],
  ["GET", room, "Show a room"],
  ["PATCH", room, "Change options of a room", { locked: false, tags: ["support"], end_on_exit: "moderator", wait_for_moderator: false, beep_enter: "tone", beep_exit: "tone", speaker_events: false }],
  ["GET", `${room}/members`, "List a room's members"],
  ["POST", `${room}/play`, "Play audio", { urls: ["https://cdn.example.com/hello.wav"] }],
  ["POST", `${room}/pause`, "Pause or resume"],
  ["POST", `${room}/stop`, "Stop all playback"],
  ["POST", `${room}/volume`, "Set the volume", { volume: 0 }],
  ["PATCH", `${room}/members/{uuid}`, "Change a member", { muted: false, volume_in: 0, role: "participant", tags: [] }],
  ["POST", `${room}/commands/mute-all`, "Mute all members", { exclude: [] }],
  ["POST", `${room}/commands/unmute-all`, "Unmute all members", { exclude: [] }],
  ["POST", `${room}/commands/deaf-all`, "Make all members deaf", { exclude: [] }],
  ["POST", `${room}/commands/undeaf-all`, "Let all members hear again", { exclude: [] }],
  ["POST", `${room}/commands/hold-all`, "Put all members on hold", { exclude: [] }],
  ["POST", `${room}/commands/unhold-all`, "Take all members off hold", { exclude: [] }],
  ["POST", `${room}/commands/kick-all`, "Kick all members", { exclude: [], reason: "The meeting is over" }],
  ["DELETE", room, "Delete a room"],
  ["GET", "/sessions", "List sessions"],
  ["GET", session, "Show a session"],
  ["POST", "/sessions", "Call a number", { to: "+493012345678", from: "+493098765432" }],
  ["DELETE", session, "Hang up"],
  ["POST", `${session}/commands/transfer`, "Transfer to a number", { to: "+493012345678", timeout: 60 }],
  ["POST", `${session}/commands/play`, "Play to one session", { urls: ["https://cdn.example.com/hello.wav"] }],
  ["POST", `${session}/commands/stop`, "Stop what is played to it"],
  ["POST", `${session}/commands/dtmf`, "Send digits", { digits: "12w3#", duration: 250 }],
  ["POST", `${session}/commands/collect-digits`, "Collect digits", { max_digits: 4, terminators: "#", timeout: 10, digit_timeout: 5 }],
  ["POST", `${member}/join`, "Join a room", { room_id: "{room_id}", muted: true, deaf: false, volume_in: 0, volume_out: 0, role: "participant", tags: [], end_on_exit: false }],
  ["POST", `${member}/leave`, "Leave the room"],
  ["POST", `${member}/kick`, "Kick the member", { reason: "Off topic" }],
  ["POST", `${member}/hold`, "Put on hold", { url: "https://cdn.example.com/music.mp3" }],
  ["POST", `${member}/unhold`, "Take off hold"],
  ["POST", `${member}/volume`, "Set the member's volume", { direction: "in", volume: 0 }],
  ["POST", `${member}/coach`, "Coach another member", { session_id: "{uuid}" }],
  ["POST", `${member}/uncoach`, "End coaching"],
  ["POST", `${member}/mute`, "Mute"],
  ["POST", `${member}/unmute`, "Unmute"],
  ["POST", `${member}/deaf`, "Make deaf"],
  ["POST", `${member}/undeaf`, "Let hear again"],
  ["POST", `${room}/commands/record`, "Record a room"],
  ["POST", `${session}/commands/record`, "Record a call", { channels: 2 }],
  ["POST", `${recording}/commands/pause`, "Pause a recording"],
  ["POST", `${recording}/commands/resume`, "Go on with a recording"],
  ["POST", `${recording}/commands/stop`, "End a recording"],
  ["GET", "/recordings", "List recordings"],
  ["GET", recording, "Show a recording"],
  ["DELETE", recording, "Delete a recording"],
  ["GET", "/webhooks/endpoint", "Show the webhook endpoint"],
  ["POST", "/webhooks/endpoint/test", "Send a test webhook"],
  ["GET", "/webhooks/deliveries", "List deliveries"],
].map(([method, path, what, body]) => ({ method, path, what, body, name: `${method} ${path}` }));

/** Requests of the API on an app's own rooms and sessions, with the response and the webhooks that follow. */
export function Try({ me }) {
  useTitle("Try the API");
  const [app, setApp] = useState(me.app_id || me.apps[0] || "");
  const [name, setName] = useState(CALLS[0].name);
  const [chosen, setChosen] = useState({ room_id: "", uuid: "", recording_id: "" });
  const [text, setText] = useState(null);
  const [sent, setSent] = useState(null);
  const [busy, setBusy] = useState(false);
  const [seen, setSeen] = useState([]);
  const one = CALLS.find((other) => other.name === name);
  const things = useLoad(async (signal) => {
    const get = (path, query) => call("GET", `${API}${path}`, { app, query, signal });
    const [rooms, sessions, recordings] = await Promise.all([get("/conferences", { limit: 200 }), get("/sessions", { limit: 200 }), get("/recordings", { limit: 200 })]);
    return { rooms: rooms.conferences, sessions: sessions.sessions, recordings: recordings.recordings };
  }, [app]);
  useStream(app ? streamOf(me, { app }) : null, (event) => {
    if (/^(conference|session|webhook)\./.test(event.type)) setSeen((before) => [event, ...before].slice(0, MAX_SEEN));
  });

  const rooms = things.data?.rooms || [];
  const sessions = things.data?.sessions || [];
  const recordings = things.data?.recordings || [];
  const values = { room_id: chosen.room_id || rooms[0]?.room_id || "", uuid: chosen.uuid || sessions[0]?.uuid || "", recording_id: chosen.recording_id || recordings[0]?.recording_id || "" };
  const filled = (template) => template.replace(/\{(room_id|uuid|recording_id)\}/g, (_, key) => values[key] || `{${key}}`);
  const path = API + filled(one.path);
  const body = text ?? (one.body ? filled(json(one.body)) : "");
  const used = new Set(`${one.path} ${json(one.body ?? "")}`.match(/\{\w+\}/g));
  const lacking = path.includes("{");
  const curl = useMemo(() => asCurl(one.method, path, app, body), [one, path, app, body]);

  const pick = (next) => {
    setName(next);
    setText(null);
  };
  const send = async (event) => {
    event.preventDefault();
    setBusy(true);
    setSeen([]);
    try {
      setSent({ of: `${one.method} ${path}`, ...(await exchange(one.method, path, { app, body: body.trim() || undefined })) });
    } catch (error) {
      setSent({ of: `${one.method} ${path}`, status: 0, body: error.message, ms: null });
    }
    setBusy(false);
    things.reload();
  };

  const view = me.role !== "operate";
  return html`<${PageHead} title="Try the API" below=${html`<span>Requests go to the app’s own rooms and sessions, as its programs send them. <a href="/docs" target="_blank" rel="noreferrer">The API described</a></span>`} />
    <div class="two-columns try">
      <${Card} title="Request" icon="send">
        <form onSubmit=${send}>
          ${me.kind === "operator" && html`<${Field} label="App">${(id) => html`<${AppSelect} id=${id} me=${me} value=${app} onChange=${setApp} all="" />`}<//>`}
          <${Field} label="What to do">${(id) => html`<${Select} id=${id} value=${name} onChange=${pick}
            options=${CALLS.filter((other) => !view || other.method === "GET").map((other) => [other.name, other.what])} />`}<//>
          ${used.has("{room_id}") && html`<${Field} label="Room" hint=${rooms.length ? null : "The app has no room yet."}>${(id) => html`<${Select} id=${id} value=${values.room_id}
            onChange=${(value) => setChosen({ ...chosen, room_id: value })} options=${rooms.map((other) => [other.room_id, other.name])} />`}<//>`}
          ${used.has("{uuid}") && html`<${Field} label="Session" hint=${sessions.length ? null : "Nobody has called the app yet."}>${(id) => html`<${Select} id=${id} value=${values.uuid}
            onChange=${(value) => setChosen({ ...chosen, uuid: value })} options=${sessions.map((other) => [other.uuid, `${callerOf(other)} (${other.state})`])} />`}<//>`}
          ${used.has("{recording_id}") && html`<${Field} label="Recording" hint=${recordings.length ? null : "The app has no recording yet."}>${(id) => html`<${Select} id=${id} value=${values.recording_id}
            onChange=${(value) => setChosen({ ...chosen, recording_id: value })} options=${recordings.map((other) => [other.recording_id, `${other.recording_id.slice(0, 8)} (${other.state})`])} />`}<//>`}
          ${one.method !== "GET" && (one.body || text !== null) && html`<${Field} label="Body">${(id) => html`<textarea id=${id} class="mono" rows="5" spellcheck=${false} value=${body}
            onInput=${(event) => setText(event.target.value)}></textarea>`}<//>`}
          <div class="request-line mono"><${Badge} tone=${one.method === "GET" ? "" : one.method === "DELETE" ? "bad" : "accent"}>${one.method}<//><span class="url" title=${path}>${path}</span></div>
          <div class="buttons"><${Button} type="submit" tone=${one.method === "DELETE" ? "danger" : "primary"} icon="send" busy=${busy} disabled=${lacking || !app}>Send<//><${CopyButton} text=${curl}>Copy as curl<//></div>
        </form>
      <//>
      <div>
        <${Card} title="Response" icon="arrow" note=${sent && sent.ms !== null ? milliseconds(sent.ms) : null}>
          ${sent ? html`<div role="status"><p class="request-line"><${Badge} tone=${sent.status >= 200 && sent.status < 300 ? "good" : "bad"} dot>${sent.status || "no response"}<//>
            <span class="url mono note" title=${sent.of}>${sent.of}</span></p></div>
            <pre class="code" tabindex="0">${typeof sent.body === "string" ? sent.body : json(sent.body)}</pre>`
            : html`<${Empty} icon="try" title="Nothing sent yet">The response appears here.<//>`}
        <//>
        <${Card} title="Webhooks that followed" icon="webhooks" note="live" flush>
          ${seen.length ? html`<ol class="attempts">${seen.map((event) => html`<li key=${event.id || json(event.data)}><details><summary class="mono"><${Icon} name="chevron" size=${12} />${event.type}</summary>
            <pre class="code" tabindex="0">${json(event.data)}</pre></details></li>`)}</ol>` : html`<${Empty} icon="webhooks" title="None so far">A 202 says that a command is stored. What came of it appears here.<//>`}
        <//>
      </div>
    </div>`;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function asCurl(method, path, app, body) {
  const parts = ["curl", ...(method === "GET" || (method === "POST" && body) ? [] : ["-X", method]), `-H ${quoted(`X-App-ID: ${app}`)}`, "-H \"X-API-Key: $API_KEY\""];
  if (body.trim()) parts.push("-H 'Content-Type: application/json'", `-d ${quoted(body)}`);
  return [...parts, quoted(location.origin + path)].join(" ");
}
