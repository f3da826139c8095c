import { API, ApiError, call, CONSOLE } from "../api.js";
import { duration, number } from "../format.js";
import { html, useState } from "../html.js";
import { useCommands, useLoad, usePages, useReloadSoon, useStream, useTitle } from "../hooks.js";
import { isGap, isWebhook, streamOf } from "../live.js";
import { link, replace } from "../router.js";
import { Badge, Button, Card, Confirm, Dialog, Empty, Id, Loaded, More, PageHead, Problem, Segments, Table, Time } from "../ui.js";
import { reasonText, TONES } from "../words.js";
import { AppSelect } from "./rooms.js";

const STATES = [["", "All"], ["recording", "Recording"], ["available", "Available"], ["uploading", "Uploading"], ["failed", "Failed"]];
const GOES_ON = ["recording", "paused"];
const RUNNING = { starting: "about to be recorded", recording: "recorded", paused: "recording paused", stopping: "recording ends" };
const FAILED = { file_lost: "the media node has no file of it.", upload_failed: "it could not be put to its URL.", write_failed: "the disk of the media node is full." };

const megabytes = (bytes) => `${number(bytes / 1e6)} MB`;
const hasFile = (one) => one.expires_at !== null || one.state === "uploading";
const isOfRecording = (event, id) => event.data?.data?.recording_id === id;

// Of what can be done to a recording that goes on: how it is called, its icon, and the webhook that confirms it.
const STEPS = { pause: ["Pause", "pause", "paused"], resume: ["Resume", "play", "resumed"], stop: ["Stop", "stop", "stopped"] };

/** Pauses, resumes and ends a recording that goes on. */
function Controls({ app, recording: { recording_id: id, state }, commands, what = "", small }) {
  const button = (step) => {
    const [name, icon, done] = STEPS[step];
    const run = () => commands.run({
      key: `${id} ${step}`, what: step, app, path: `${API}/recordings/${id}/commands/${step}`,
      confirmedBy: (event) => event.type.endsWith(`.recording.${done}`) && isOfRecording(event, id),
      failedBy: (event) => event.type.endsWith(".command.failed") && isOfRecording(event, id),
    });
    return html`<${Button} small=${small} icon=${icon} busy=${Boolean(commands.pending[`${id} ${step}`])} disabled=${!GOES_ON.includes(state)} onClick=${run}>${name}${what}<//>`;
  };
  return html`${button(state === "paused" ? "resume" : "pause")}${button("stop")}`;
}

/** That a room or session is recorded, as a badge; null if it is not. */
export const recordedBadge = (recording) => recording && html`<${Badge} tone=${TONES[recording.state]} dot>${RUNNING[recording.state] || recording.state}<//>`;

/** Begins to record a room or session, or is about the `recording` that goes on of it. `of`: `{room_id}` or `{uuid}`. */
export function RecordButtons({ app, of, path, recording, commands, disabled }) {
  const kind = of.room_id ? "conference" : "session";
  const record = () => commands.run({
    key: "record", what: "Record", app, path: `${API}${path}/commands/record`, settled: "It is being recorded.",
    confirmedBy: (event) => isWebhook(event, `${kind}.recording.started`, of),
    failedBy: (event) => isWebhook(event, `${kind}.recording.failed`, of),
  });
  if (recording) return html`<${Controls} app=${app} recording=${recording} commands=${commands} what=" recording" />`;
  return html`<${Button} icon="record" busy=${Boolean(commands.pending.record)} disabled=${disabled} onClick=${record}>Record<//>`;
}

export function Recordings({ me, route }) {
  useTitle("Recordings");
  const operator = me.kind === "operator";
  const { app = operator ? me.apps[0] || "" : me.app_id, state = "", room = "", session = "" } = route.query;
  const [ask, setAsk] = useState(null);
  const [heard, setHeard] = useState(null);
  const commands = useCommands();
  const pages = usePages(async (cursor, signal) => {
    if (!app) return { rows: [], cursor: "" };
    const page = await call("GET", `${API}/recordings`, { app, query: { state, room_id: room, uuid: session, cursor, limit: 50 }, signal });
    return { rows: page.recordings, cursor: page.cursor };
  }, [app, state, room, session]);
  const soon = useReloadSoon(pages.reload);
  useStream(app ? streamOf(me, { app }) : null, (event) => {
    commands.seen(event);
    if (isGap(event) || event.type.includes(".recording.")) soon();
  });
  const change = (changed) => replace("recordings", { app, state, room, session, ...changed });
  const remove = (one) => setAsk({
    title: "Delete the recording?", verb: "Delete", text: "Its file goes with it. This cannot be undone.",
    act: async () => {
      const path = `${API}/recordings/${one.recording_id}`;
      if (await commands.run({ key: `${one.recording_id} delete`, what: "Delete", method: "DELETE", app, path, settled: "The recording is deleted." })) pages.reload();
    },
  });
  const actions = (one) => {
    const busy = (step) => Boolean(commands.pending[`${one.recording_id} ${step}`]);
    return html`<div class="buttons">
      ${hasFile(one) && html`<${Button} small icon="play" onClick=${() => setHeard(one)}>Listen<//>`}
      ${me.role === "operate" && GOES_ON.includes(one.state) && html`<${Controls} app=${app} recording=${one} commands=${commands} small />`}
      ${me.role === "operate" && html`<${Button} small icon="trash" tone="danger-text" label="Delete the recording" busy=${busy("delete")} onClick=${() => remove(one)} />`}
    </div>`;
  };
  const columns = [
    { title: "Of", cell: (one) => (one.room_id ? html`<${Id} value=${one.room_id} href=${link("rooms", app, one.room_id)} />` : html`<${Id} value=${one.uuid} href=${link("sessions", app, one.uuid)} />`) },
    { title: "State", cell: (one) => html`<${Badge} tone=${TONES[one.state]} dot title=${one.state === "failed" ? FAILED[one.reason] || reasonText(one.reason) : null}>${one.state}<//>` },
    { title: "Began", cell: (one) => html`<${Time} at=${one.started_at || one.created_at} />` },
    { title: "Length", cell: (one) => (one.duration === null ? "" : duration(one.duration)) },
    { title: "Size", hide: "narrow", cell: (one) => (one.size === null ? "" : megabytes(one.size)) },
    { title: "Kept until", hide: "narrow", cell: (one) => (one.uploaded ? "at its URL" : one.upload_host ? html`goes to <span class="mono">${one.upload_host}</span>` : one.expires_at && html`<${Time} at=${one.expires_at} />`) },
    { title: "Actions", cell: actions },
  ];
  return html`<${PageHead} title="Recordings" />
    <div class="filters">
      <${Segments} label="State" value=${state} options=${STATES} onChange=${(chosen) => change({ state: chosen })} />
      ${operator && html`<${AppSelect} me=${me} value=${app} all="" onChange=${(chosen) => change({ app: chosen, room: "", session: "" })} />`}
      ${(room || session) && html`<${Button} small icon="close" onClick=${() => change({ room: "", session: "" })}>All of the app<//>`}
    </div>
    <${Card} flush>
      <${Loaded} of=${pages} rows=${6}>${() => html`
        <${Table} label="Recordings" columns=${columns} rows=${pages.rows} keyOf=${(one) => one.recording_id}
          empty=${html`<${Empty} icon="record" title="No recordings">${state || room || session ? "None is like that now." : "Record a room or a call from its page."}<//>`} />
        <${More} pages=${pages} />`}
      <//>
    <//>
    ${heard && html`<${Player} app=${app} recording=${heard} onClose=${() => setHeard(null)} />`}
    <${Confirm} ask=${ask} onClose=${() => setAsk(null)} />`;
}

/** The browser asks for the file in parts, as it plays. Its requests have no header with the session's token: they go by a link that stands in for it. */
function Player({ app, recording, onClose }) {
  const [broken, setBroken] = useState(null);
  const found = useLoad((signal) => call("GET", `${CONSOLE}/recordings/${app}/${recording.recording_id}/link`, { signal }), [app, recording.recording_id]);
  const again = () => {
    setBroken(null);
    found.reload();
  };
  const footer = found.data && html`<a class="button" href=${found.data.url} download="${recording.recording_id}.wav">Download</a>`;
  return html`<${Dialog} title="Recording" onClose=${onClose} footer=${footer}>
    <p class="note"><${Id} value=${recording.recording_id} /> ${recording.duration !== null && duration(recording.duration)}${recording.size !== null && html`, ${megabytes(recording.size)}`}</p>
    ${broken ? html`<${Problem} error=${broken} retry=${again} />` : html`<${Loaded} of=${found} rows=${1}>${({ url }) => html`
      <audio controls autoplay src=${url} aria-label="The recording" onError=${() => setBroken(new ApiError(0, "The recording cannot be played now."))}></audio>`}<//>`}
  <//>`;
}
