import { API, call, command } from "../api.js";
import { callerOf, plural } from "../format.js";
import { html, useState } from "../html.js";
import { useCommands, useFeed, useLoad, useReloadSoon, useStream, useTitle } from "../hooks.js";
import { failedCommand, isWebhook, streamOf } from "../live.js";
import { go, link } from "../router.js";
import { Badge, Button, Card, Confirm, Dialog, Empty, Id, Loaded, PageHead, Problem, Time } from "../ui.js";
import { reasonText, TONES } from "../words.js";
import { Story } from "./log.js";
import { memberCommand, Members } from "./members.js";
import { Play, Playing, Url } from "./play.js";
import { Options, optionsIn } from "./rooms.js";
import { tagsOf } from "./tags.js";
import { recordedBadge, RecordButtons } from "./recordings.js";
import { Volume } from "./volume.js";

const MAX_MEMBERS = 1000;
const ALL = [["mute", "Mute all"], ["unmute", "Unmute all"], ["deaf", "Make all deaf"], ["undeaf", "Let all hear"], ["hold", "Hold all"], ["unhold", "Take all off hold"], ["kick", "Take all out"]];

export function Room({ me, parts: [app, id] }) {
  const may = me.role === "operate";
  const [ask, setAsk] = useState(null);
  const [changing, setChanging] = useState(false);
  const [speaking, setSpeaking] = useState(new Set());
  const [failures, setFailures] = useState([]);
  const commands = useCommands();
  const found = useLoad(async (signal) => {
    const get = (path, query) => call("GET", `${API}${path}`, { app, query, signal });
    const [room, { members }, { sessions }] = await Promise.all([
      get(`/conferences/${id}`), get(`/conferences/${id}/members`, { limit: MAX_MEMBERS }), get("/sessions", { state: "parked", limit: 50 }),
    ]);
    return { room, members, waiting: sessions };
  }, [app, id]);
  const soon = useReloadSoon(found.reload);
  const feed = useFeed();
  useStream(streamOf(me, { app, room: id }), (event) => {
    if (event.type === "speaking") {
      setSpeaking((before) => spokenBy(event.data.data, before));
      return;
    }
    if (isWebhook(event, "conference.play.started")) setFailures([]);
    if (isWebhook(event, "conference.play.finished")) setFailures(event.data.data.results.filter(isFault));
    feed.emit(event);
    commands.seen(event);
    soon();
  });
  useTitle(found.data?.room.name || "Room");

  const gone = found.error?.status === 404;
  const room = found.data?.room;
  const callers = found.data && [...found.data.members, ...found.data.waiting];
  const removal = {
    title: `Delete ${room?.name}?`, verb: "Delete the room",
    text: `${plural(found.data?.members.length ?? 0, "member")} will be taken out; their calls go on. This cannot be undone.`,
    act: async () => {
      if (await commands.run({ key: "delete", what: "Delete", method: "DELETE", app, path: `${API}/conferences/${id}`, settled: `${room.name} is deleted.` })) go("rooms");
    },
  };
  const lock = () => commands.run({
    key: "lock", what: room.locked ? "Unlock" : "Lock", method: "PATCH", app, path: `${API}/conferences/${id}`, body: { locked: !room.locked },
    confirmedBy: (event) => isWebhook(event, "conference.updated", { room_id: id }),
    settled: room.locked ? `${room.name} is open.` : `${room.name} is locked.`,
  });
  const changeAll = (verb, what) => commands.run({
    key: `${verb}-all`, what, app, path: `${API}/conferences/${id}/commands/${verb}-all`, body: { exclude: [] },
    confirmedBy: (event) => isWebhook(event, "conference.command.finished", { room_id: id, command: verb }),
  });
  const askAll = (verb, what) => {
    if (verb !== "kick") return changeAll(verb, what);
    return setAsk({
      title: "Take all members out?", verb: what,
      text: "The calls go on: the callers wait outside and can be joined to a room again.",
      act: () => changeAll(verb, what),
    });
  };
  const act = (member, verb) => {
    if (verb !== "leave") return commands.run(memberCommand(app, member, verb));
    return setAsk({
      title: `Take ${callerOf(member, "the caller")} out?`, verb: "Take out",
      text: "The call goes on: the caller waits outside and can be joined to a room again.",
      act: () => commands.run(memberCommand(app, member, "leave")),
    });
  };

  return html`<${PageHead} title=${room?.name || "Room"} trail=${[["Rooms", "#/rooms"]]} below=${html`
        <${Id} value=${id} /><span>App ${app}</span>${room && html`<span>Created <${Time} at=${room.created_at} /></span>`}
        ${room?.locked && html`<${Badge} tone=${TONES.locked} dot>locked<//>`}${room?.end_on_exit && html`<${Badge}>ends with its last ${room.end_on_exit}<//>`}
        ${room && !room.begun && html`<${Badge} tone="warn" dot>waits for a moderator<//>`}
        ${room && recordedBadge(room.recording)}
        ${room?.speaker_events && html`<${Badge}>tells who speaks<//>`}${room && tagsOf(room)}`}>
      ${may && room && !gone && html`<${Button} icon=${room.locked ? "unlock" : "lock"} busy=${Boolean(commands.pending.lock)} onClick=${lock}>${room.locked ? "Unlock" : "Lock"}<//>`}
      ${may && room && !gone && html`<${RecordButtons} app=${app} of=${{ room_id: id }} path=${`/conferences/${id}`} recording=${room.recording} commands=${commands} disabled=${!found.data.members.length} />`}
      ${may && room && !gone && html`<${Button} onClick=${() => setChanging(true)}>Options<//>`}
      ${may && room && !gone && html`<${Button} icon="trash" tone="danger-text" onClick=${() => setAsk(removal)}>Delete<//>`}
    <//>
    ${gone ? html`<${Card}><${Empty} icon="rooms" title="This room is gone">It was deleted, or never was. <a href="#/rooms">See all rooms</a><//><//>`
      : html`<${Loaded} of=${found} rows=${6}>${({ members, waiting }) => html`<div class="room-columns">
        <div>
          <${Card} title="Members" icon="rooms" note=${filled(room)} flush>
            ${may && members.length > 0 && html`<div class="buttons">${ALL.map(([verb, what]) => html`<${Button} key=${verb} small
              busy=${Boolean(commands.pending[`${verb}-all`])} onClick=${() => askAll(verb, what)}>${what}<//>`)}</div>`}
            <${Members} me=${me} app=${app} nodes=${room.nodes} members=${members} speaking=${speaking} pending=${commands.pending} act=${may ? act : null} />
          <//>
          ${may && waiting.length > 0 && html`<${Waiting} app=${app} room=${id} waiting=${waiting} commands=${commands} />`}
        </div>
        <${Playback} app=${app} id=${id} room=${room} may=${may} commands=${commands} failures=${failures} />
      </div>`}<//>`}
    <${Story} me=${me} title="Timeline" icon="clock" feed=${feed} query=${{ app, room: id }} names=${callers} more=${link("log", { app, room: id })} />
    ${changing && room && html`<${Change} app=${app} room=${room} onClose=${() => setChanging(false)} />`}
    <${Confirm} ask=${ask} onClose=${() => setAsk(null)} />`;
}

function Change({ app, room, onClose }) {
  const [state, setState] = useState({ busy: false, error: null });
  const submit = async (event) => {
    event.preventDefault();
    setState({ busy: true, error: null });
    try {
      await command("PATCH", `${API}/conferences/${room.room_id}`, { app, body: optionsIn(event.target) });
      onClose();
    } catch (error) {
      setState({ busy: false, error });
    }
  };
  const footer = html`<${Button} onClick=${onClose}>Cancel<//><${Button} tone="primary" type="submit" form="options" busy=${state.busy}>Change<//>`;
  return html`<${Dialog} title="Options of the room" onClose=${onClose} footer=${footer}>
    <form id="options" onSubmit=${submit}>${state.error && html`<${Problem} error=${state.error} />`}<${Options} of=${room} /></form>
  <//>`;
}

const filled = ({ members, max_members: most }) => (most === null ? plural(members, "member") : `${members} of at most ${plural(most, "member")}`);

/** Who speaks after an event that says so: either all who do, or one who began or ended. */
function spokenBy(data, before) {
  if (Array.isArray(data.sessions)) return new Set(data.sessions);
  const after = new Set(before);
  if (data.speaking) after.add(data.uuid);
  else after.delete(data.uuid);
  return after;
}

function Waiting({ app, room, waiting, commands }) {
  const join = (session) => commands.run({
    key: `${session.uuid} join`, what: `Join ${callerOf(session, "the caller")}`, app, path: `${API}/sessions/${session.uuid}/commands/conference/join`, body: { room_id: room },
    confirmedBy: (event) => isWebhook(event, "conference.member.joined", { uuid: session.uuid }),
    failedBy: failedCommand("join", { uuid: session.uuid }),
  });
  return html`<${Card} title="Waiting callers" icon="sessions" note="in no room" flush>
    <ul class="waiting">${waiting.map((session) => html`<li key=${session.uuid}>
      <a class="caller strong" href=${link("sessions", app, session.uuid)}>${callerOf(session)}</a>
      <span class="note mono">on ${session.node}</span><span class="note"><${Time} at=${session.started_at} /></span>
      <${Button} small icon="join" busy=${Boolean(commands.pending[`${session.uuid} join`])} onClick=${() => join(session)}>Join<//>
    </li>`)}</ul>
  <//>`;
}

// That a file did not play to its end since it was stopped is no fault.
const isFault = ({ status, reason }) => status === "failed" && reason !== "interrupted";

function Playback({ app, id, room, may, commands, failures }) {
  const status = room.playback_status;
  const playing = status !== "stopped";
  const room_id = id;
  const ask = (verb, what, type, body) => commands.run({
    key: verb, what, app, path: `${API}/conferences/${id}/${verb}`, body,
    confirmedBy: (event) => isWebhook(event, type, { room_id }),
    failedBy: failedCommand(verb, { room_id }),
  });
  const busy = (verb) => Boolean(commands.pending[verb]);
  return html`<${Card} title="Playback" icon="music" class="spaced" note=${html`<${Badge} tone=${TONES[status]} dot>${status}<//>`}>
    ${playing
      ? html`<${Playing} urls=${room.playback_urls} />`
      : html`<p class="note">Nothing plays.</p>`}
    ${failures.length > 0 && html`<ul class="failures" role="alert">${failures.map((one) => html`<li><${Url} url=${one.url} />
      <span>${plainReason(one)}</span></li>`)}</ul>`}
    ${room.playback_queue.length > 0 && html`<h3>${plural(room.playback_queue.length, "playback")} waiting</h3>
      <ol class="queue">${room.playback_queue.map((one) => html`<li key=${one.operation_id}>${one.urls.map((url) => html`<${Url} url=${url} />`)}</li>`)}</ol>`}
    ${may && html`
      <div class="buttons">
        <${Button} small icon=${status === "paused" ? "play" : "pause"} disabled=${!playing} busy=${busy("pause")}
          onClick=${() => ask("pause", status === "paused" ? "Resume" : "Pause", "conference.play.paused")}>${status === "paused" ? "Resume" : "Pause"}<//>
        <${Button} small icon="stop" disabled=${!playing} busy=${busy("stop")} onClick=${() => ask("stop", "Stop", "conference.play.stopped")}>Stop<//>
      </div>
      <${Volume} label="Volume" of=${room} stored=${room.playback_volume} min=${-50} max=${7} busy=${busy("volume")} onChange=${(volume) => ask("volume", "Volume", "conference.play.volume_changed", { volume })} />
      <${Play} busy=${busy("play")} onPlay=${(urls) => ask("play", "Play", "conference.play.started", { urls })} />`}
  <//>`;
}

const plainReason = ({ reason, http_status: status }) => `Not played${status ? ` (HTTP ${status})` : ""}: ${reasonText(reason)}`;
