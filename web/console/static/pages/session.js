import { API, call } from "../api.js";
import { callerOf } from "../format.js";
import { html, useState } from "../html.js";
import { useCommands, useFeed, useLoad, useReloadSoon, useStream, useTitle } from "../hooks.js";
import { failedCommand, isGap, isWebhook, streamOf } from "../live.js";
import { link } from "../router.js";
import { Badge, Button, Card, Confirm, Dialog, Empty, Facts, Field, Id, Loaded, PageHead, Select, Time } from "../ui.js";
import { TONES } from "../words.js";
import { Story } from "./log.js";
import { Joining, joiningIn, ROLES } from "./joining.js";
import { marks, memberCommand } from "./members.js";
import { Play, Playing } from "./play.js";
import { recordedBadge, RecordButtons } from "./recordings.js";
import { tagsIn, Tags } from "./tags.js";
import { Volume } from "./volume.js";

const VOLUMES = [["in", "Volume to the others"], ["out", "Volume of the room"]];

export function Session({ me, parts: [app, uuid] }) {
  const found = useLoad((signal) => call("GET", `${API}/sessions/${uuid}`, { app, signal }), [app, uuid]);
  const soon = useReloadSoon(found.reload);
  const commands = useCommands();
  const feed = useFeed();
  useStream(streamOf(me, { app }), (event) => {
    feed.emit(event);
    commands.seen(event);
    if (isGap(event) || event.data?.data?.uuid === uuid) soon();
  });
  const name = found.data ? callerOf(found.data, "Session") : "Session";
  useTitle(name);
  const ended = found.error?.status === 404;
  return html`<${PageHead} title=${name} trail=${[["Sessions", "#/sessions"]]} below=${html`<${Id} value=${uuid} /><span>App ${app}</span>`} />
    ${ended ? html`<${Card}><${Empty} icon="sessions" title="This session has ended">The event log below tells what it did.<//><//>`
      : html`<${Loaded} of=${found}>${(session) => html`<div class="two-columns">
        <${Card} title="Call" icon="sessions">
          <${Facts} facts=${[
            ["State", html`<${Badge} tone=${TONES[session.state]} dot>${session.state}<//>`],
            ["Direction", session.direction],
            ["Caller", html`<span class="caller">${callerOf(session)}</span>`],
            ["Called", html`<span class="mono">${session.did}</span>`],
            session.transferred_to && [session.state === "transferred" ? "Transferred to" : "Being transferred to", html`<span class="mono">${session.transferred_to}</span>`],
            ["Node", me.kind === "operator" ? html`<a href=${link("nodes", session.node)}>${session.node}</a>` : session.node],
            ["Since", html`<${Time} at=${session.started_at} />`],
            session.room_id && ["Room", html`<${Id} value=${session.room_id} href=${link("rooms", app, session.room_id)} />`],
            session.room_id && ["In the room", [session.muted ? "muted" : "not muted", session.deaf ? "deaf" : "hears", ...(session.hold ? ["on hold"] : []), ...(session.waiting ? ["waits for a moderator"] : [])].join(", ")],
            session.coaching && ["Heard by", html`<${Id} value=${session.coaching} href=${link("sessions", app, session.coaching)} /> alone`],
            session.recording && ["Recording", recordedBadge(session.recording)],
            session.joined_at && ["Joined", html`<${Time} at=${session.joined_at} />`],
            session.room_id && marks(session).length > 0 && ["As", marks(session)],
          ]} />
        <//>
        ${me.role === "operate" && html`<div class="tall"><${Actions} session=${session} app=${app} commands=${commands} /></div>`}
        ${me.role === "operate" && session.state !== "dialing" && html`<${Card} title="Heard by the caller alone" class="spaced"><${PlayTo} session=${session} app=${app} commands=${commands} /><//>`}
        ${me.role === "operate" && session.state !== "dialing" && html`<${Card} title="Keypad" class="spaced">
          <${Digits} session=${session} app=${app} commands=${commands} />
          <${Collect} session=${session} app=${app} commands=${commands} />
        <//>`}
      </div>`}<//>`}
    <${Story} me=${me} title="Timeline" icon="clock" feed=${feed} query=${{ app, session: uuid }} name=${name} more=${link("log", { app, session: uuid })} />`;
}

function Actions({ session, app, commands }) {
  const [ask, setAsk] = useState(null);
  const [holding, setHolding] = useState(false);
  const [transferring, setTransferring] = useState(false);
  const [coaching, setCoaching] = useState(false);
  const act = (verb) => commands.run(memberCommand(app, session, verb));
  const match = { uuid: session.uuid };
  const hangUp = () => setAsk({
    title: "Hang up?", verb: "Hang up", text: "The call ends at once, also for the room it is in.",
    act: () => commands.run({
      key: `${session.uuid} hang_up`, what: "Hang up", app, method: "DELETE", path: `${API}/sessions/${session.uuid}`,
      confirmedBy: (seen) => ["session.ended", "session.failed"].some((type) => isWebhook(seen, type, match)), failedBy: failedCommand("hang_up", match),
    }),
  });
  const leave = () => setAsk({
    title: "Take the caller out of the room?", verb: "Take out", act: () => act("leave"),
    text: "The call goes on: the caller waits and can be joined to a room again.",
  });
  const busy = (verb) => Boolean(commands.pending[`${session.uuid} ${verb}`]);
  const setVolume = (direction) => (volume) => commands.run({
    key: `${session.uuid} volume_${direction}`, what: "Volume", app, path: `${API}/sessions/${session.uuid}/commands/conference/volume`, body: { direction, volume },
    confirmedBy: (seen) => isWebhook(seen, "conference.member.volume_changed", match), failedBy: failedCommand(`volume_${direction}`, match),
  });
  const inRoom = session.state === "joined";
  const mute = session.muted ? "unmute" : "mute";
  const hold = session.hold ? "unhold" : "hold";
  const deaf = session.deaf ? "undeaf" : "deaf";
  const waits = session.state === "parked";
  const isOutside = !session.room_id || session.state === "dialing";
  return html`${waits && html`<${Join} session=${session} app=${app} commands=${commands} />`}<${Card} title="Actions" class="spaced">
    <div class="buttons">
      ${!isOutside && html`<${Button} icon=${session.muted ? "mic" : "micOff"} busy=${busy(mute)} disabled=${!inRoom} onClick=${() => act(mute)}>${session.muted ? "Unmute" : "Mute"}<//>
      <${Button} icon=${session.deaf ? "ear" : "earOff"} busy=${busy(deaf)} disabled=${!inRoom} onClick=${() => act(deaf)}>${session.deaf ? "Let hear" : "Make deaf"}<//>
      <${Button} icon=${session.hold ? "play" : "pause"} busy=${busy(hold)} disabled=${!inRoom} onClick=${() => (session.hold ? act("unhold") : setHolding(true))}>${session.hold ? "Take off hold" : "Put on hold"}<//>
      <${Button} icon="ear" busy=${busy("coach")} disabled=${!inRoom} onClick=${() => setCoaching(true)}>Coach a member<//>
      ${session.coaching && html`<${Button} icon="sessions" busy=${busy("uncoach")} disabled=${!inRoom} onClick=${() => act("uncoach")}>End coaching<//>`}
      <${Button} icon="leave" tone="danger-text" busy=${busy("leave")} disabled=${!inRoom} onClick=${leave}>Take out of the room<//>`}
      ${(waits || inRoom) && html`<${Button} icon="send" busy=${busy("transfer")} onClick=${() => setTransferring(true)}>Transfer<//>`}
      ${session.state !== "dialing" && html`<${RecordButtons} app=${app} of=${match} path=${`/sessions/${session.uuid}`} recording=${session.recording} commands=${commands} />`}
      <${Button} icon="hangUp" tone="danger-text" busy=${busy("hang_up")} onClick=${hangUp}>Hang up<//>
    </div>
    ${!isOutside && VOLUMES.map(([direction, label]) => html`<${Volume} key=${direction} label=${label} of=${session} stored=${session[`volume_${direction}`]} min=${-4} max=${4}
      busy=${busy(`volume_${direction}`)} disabled=${!inRoom} onChange=${setVolume(direction)} />`)}
    ${inRoom && html`<${As} key=${[session.role, ...session.tags].join()} session=${session} app=${app} commands=${commands} />`}
    ${holding && html`<${Hold} session=${session} app=${app} commands=${commands} onClose=${() => setHolding(false)} />`}
    ${coaching && html`<${Coach} session=${session} app=${app} commands=${commands} onClose=${() => setCoaching(false)} />`}
    ${transferring && html`<${Transfer} session=${session} app=${app} commands=${commands} onClose=${() => setTransferring(false)} />`}
    <${Confirm} ask=${ask} onClose=${() => setAsk(null)} />
  <//>`;
}

function Hold({ session, app, commands, onClose }) {
  const submit = (event) => {
    event.preventDefault();
    const url = event.target.elements.url.value.trim();
    commands.run(memberCommand(app, session, "hold", url ? { url } : undefined));
    onClose();
  };
  const footer = html`<${Button} onClick=${onClose}>Cancel<//><${Button} tone="primary" type="submit" form="hold">Put on hold<//>`;
  return html`<${Dialog} title="Put the caller on hold" onClose=${onClose} footer=${footer}>
    <form id="hold" onSubmit=${submit}><${Field} label="Music" hint="Its URL. Without one: that of the media node, or nothing.">
      ${(id) => html`<input id=${id} name="url" type="url" autofocus autocomplete="off" spellcheck=${false} placeholder="https://cdn.example.com/music.mp3" aria-describedby="${id}-hint" />`}
    <//></form>
  <//>`;
}

/** Whom a member is heard by alone: others of its room on its node. */
function Coach({ session, app, commands, onClose }) {
  const found = useLoad((signal) => call("GET", `${API}/conferences/${session.room_id}/members`, { app, query: { limit: 1000 }, signal }), [app, session.room_id]);
  const [chosen, setChosen] = useState("");
  return html`<${Dialog} title="Coach a member" onClose=${onClose} footer=${html`<${Button} onClick=${onClose}>Cancel<//><${Button} tone="primary" type="submit" form="coach">Coach<//>`}>
    <${Loaded} of=${found} rows=${2}>${({ members }) => {
      const others = members.filter((one) => one.uuid !== session.uuid && one.node === session.node);
      if (!others.length) return html`<${Empty} title="There is nobody to coach">Only another member on the same node can be coached.<//>`;
      const submit = (event) => {
        event.preventDefault();
        commands.run(memberCommand(app, session, "coach", { session_id: chosen || others[0].uuid }));
        onClose();
      };
      return html`<form id="coach" onSubmit=${submit}><${Field} label="Member" hint="It alone hears the caller, until you end that.">
        ${(id) => html`<${Select} id=${id} value=${chosen || others[0].uuid} onChange=${setChosen} options=${others.map((one) => [one.uuid, callerOf(one)])} />`}
      <//></form>`;
    }}<//>
  <//>`;
}

function Transfer({ session, app, commands, onClose }) {
  const match = { uuid: session.uuid };
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const from = form.get("from").trim();
    commands.run({
      key: `${session.uuid} transfer`, what: "Transfer", app, path: `${API}/sessions/${session.uuid}/commands/transfer`,
      body: { to: form.get("to").trim(), ...(from ? { from } : {}) },
      confirmedBy: (seen) => isWebhook(seen, "session.transferred", match),
      failedBy: (seen) => isWebhook(seen, "session.transfer_failed", match),
    });
    onClose();
  };
  const footer = html`<${Button} onClick=${onClose}>Cancel<//><${Button} tone="primary" type="submit" form="transfer">Transfer<//>`;
  return html`<${Dialog} title="Transfer the call" onClose=${onClose} footer=${footer}>
    <form id="transfer" onSubmit=${submit}>
      <${Field} label="Number or SIP URI to call" hint="As the app’s entry has it, such as +493012345678 or sip:anna@pbx.example.com. The call leaves its room.">
        ${(id) => html`<input id=${id} name="to" type="text" inputmode="email" spellcheck=${false} required maxlength="200" pattern="\\+?[0-9]{2,15}|sip:[A-Za-z0-9.+_\\-]+@[a-z0-9.:\\-]+" autofocus autocomplete="off" aria-describedby="${id}-hint" />`}
      <//>
      <${Field} label="Number that is shown" hint="One of those that the app’s entry allows; without one, the first of them.">
        ${(id) => html`<input id=${id} name="from" type="tel" maxlength="16" pattern="\\+?[0-9]{2,15}" autocomplete="off" aria-describedby="${id}-hint" />`}
      <//>
    </form>
  <//>`;
}

/** What the caller alone hears. */
function PlayTo({ session, app, commands }) {
  const match = { uuid: session.uuid };
  const ask = (verb, what, webhook, body) => commands.run({
    key: `${session.uuid} ${verb}`, what, app, path: `${API}/sessions/${session.uuid}/commands/${verb}`, body,
    confirmedBy: (seen) => isWebhook(seen, webhook, match),
  });
  const busy = (verb) => Boolean(commands.pending[`${session.uuid} ${verb}`]);
  return html`${session.playing && html`<${Playing} urls=${session.playing.urls} />`}
  <${Play} busy=${busy("play")} onPlay=${(urls) => ask("play", "Play", "session.play.started", { urls })}>
    <${Button} icon="stop" busy=${busy("stop")} onClick=${() => ask("stop", "Stop", "session.play.stopped")}>Stop<//>
  <//>`;
}

function Digits({ session, app, commands }) {
  const [digits, setDigits] = useState("");
  const key = `${session.uuid} dtmf`;
  const match = { uuid: session.uuid };
  const send = async (event) => {
    event.preventDefault();
    const sent = await commands.run({
      key, what: "Digits", app, path: `${API}/sessions/${session.uuid}/commands/dtmf`, body: { digits },
      confirmedBy: (seen) => isWebhook(seen, "session.dtmf.sent", match), failedBy: failedCommand("dtmf", match), settled: "Digits are sent.",
    });
    if (sent) setDigits("");
  };
  return html`<form class="inline" onSubmit=${send}>
    <${Field} label="Digits" hint="0-9, A-D, * and #; w and W are pauses">${(id) => html`<input id=${id} class="mono" required maxlength="32" pattern="[wW]*[0-9A-D*#][0-9A-D*#wW]*"
      autocomplete="off" value=${digits} onInput=${(event) => setDigits(event.target.value)} />`}<//>
    <${Button} type="submit" icon="send" busy=${Boolean(commands.pending[key])}>Send digits<//>
  </form>`;
}

/** What was pressed is in the app's webhook, and is shown to nobody else. */
function Collect({ session, app, commands }) {
  const key = `${session.uuid} collect_digits`;
  const collect = (event) => {
    event.preventDefault();
    const { elements } = event.target;
    const numbers = Object.fromEntries(["max_digits", "timeout", "digit_timeout"].map((name) => [name, Number(elements[name].value)]));
    commands.run({
      key, what: "Collect", app, path: `${API}/sessions/${session.uuid}/commands/collect-digits`, body: { ...numbers, terminators: elements.terminators.value },
      settled: "Digits are being collected.",
    });
  };
  return html`<form class="fields" onSubmit=${collect}>
    <${Field} label="How many at most">${(id) => html`<input id=${id} name="max_digits" type="number" required min="1" max="32" defaultValue="4" />`}<//>
    <${Field} label="Or until one of these">${(id) => html`<input id=${id} name="terminators" class="mono" maxlength="16" pattern="[0-9A-D*#]*" autocomplete="off" defaultValue="#" />`}<//>
    <${Field} label="Seconds for the first">${(id) => html`<input id=${id} name="timeout" type="number" required min="1" max="600" defaultValue="10" />`}<//>
    <${Field} label="Seconds for each other">${(id) => html`<input id=${id} name="digit_timeout" type="number" required min="1" max="60" defaultValue="5" />`}<//>
    <${Button} type="submit" busy=${Boolean(commands.pending[key])}>Collect digits<//>
  </form>`;
}

/** What a member is for its app. */
function As({ session, app, commands }) {
  const [role, setRole] = useState(session.role);
  const change = (event) => {
    event.preventDefault();
    const tags = tagsIn(event.target);
    if (role === session.role && !tags) return; // No webhook would follow.
    commands.run({
      key: `${session.uuid} change_member`, what: "Change", app, method: "PATCH", path: `${API}/conferences/${session.room_id}/members/${session.uuid}`, body: { role, tags },
      confirmedBy: (seen) => isWebhook(seen, "conference.member.updated", { uuid: session.uuid }),
    });
  };
  return html`<form class="stacked" onSubmit=${change}>
    <${Field} label="Role">${(id) => html`<${Select} id=${id} value=${role} onChange=${setRole} options=${ROLES} />`}<//>
    <${Tags} of=${session.tags} />
    <${Button} type="submit" busy=${Boolean(commands.pending[`${session.uuid} change_member`])}>Change<//>
  </form>`;
}

function Join({ session, app, commands }) {
  const rooms = useLoad((signal) => call("GET", `${API}/conferences`, { app, query: { limit: 200 }, signal }), [app]);
  const [chosen, setChosen] = useState("");
  return html`<${Card} title="Join a room" icon="join"><${Loaded} of=${rooms} rows=${2}>${({ conferences }) => {
    if (!conferences.length) return html`<${Empty} title="The app has no room">Create one under <a href="#/rooms">Rooms</a>.<//>`;
    const room = chosen || conferences[0].room_id;
    const join = (event) => {
      event.preventDefault();
      commands.run({
        key: `${session.uuid} join`, what: "Join", app, path: `${API}/sessions/${session.uuid}/commands/conference/join`, body: { room_id: room, ...joiningIn(event.target) },
        confirmedBy: (seen) => isWebhook(seen, "conference.member.joined", { uuid: session.uuid }),
        failedBy: failedCommand("join", { uuid: session.uuid }),
      });
    };
    return html`<form onSubmit=${join}>
      <div class="inline">
        <${Field} label="Room">${(id) => html`<${Select} id=${id} value=${room} onChange=${setChosen} options=${conferences.map((one) => [one.room_id, one.name])} />`}<//>
        <${Button} type="submit" tone="primary" icon="join" busy=${Boolean(commands.pending[`${session.uuid} join`])}>Join<//>
      </div>
      <${Joining} />
    </form>`;
  }}<//><//>`;
}
