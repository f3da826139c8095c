import { API, call, CONSOLE } from "../api.js";
import { callerOf } from "../format.js";
import { html, useState } from "../html.js";
import { useDelayed, useLoad, usePages, useTitle } from "../hooks.js";
import { go, link, replace } from "../router.js";
import { Badge, Button, Card, Dialog, Empty, Field, Id, Loaded, More, PageHead, Segments, Select, Table, Time } from "../ui.js";
import { TONES } from "../words.js";
import { Joining, joiningIn } from "./joining.js";
import { AppSelect } from "./rooms.js";

const STATES = [["", "All"], ["dialing", "Dialing"], ["parked", "Parked"], ["joining", "Joining"], ["joined", "Joined"], ["leaving", "Leaving"], ["transferring", "Transferring"], ["transferred", "Transferred"]];

export const columnsOf = (withApp) => [
  { title: "Caller", cell: (one) => html`<a class="strong caller" href=${link("sessions", one.app_id, one.uuid)}>${callerOf(one)}</a>` },
  { title: "Called", hide: "narrow", cell: (one) => html`<span class="mono">${one.did}</span>` },
  ...(withApp ? [{ title: "App", cell: (one) => one.app_id }] : []),
  { title: "State", cell: (one) => html`<${Badge} tone=${TONES[one.state]} dot>${one.state}<//>` },
  { title: "Room", cell: (one) => html`<${Id} value=${one.room_id} href=${one.room_id && link("rooms", one.app_id, one.room_id)} />` },
  { title: "Node", hide: "narrow", cell: (one) => html`<span class="mono">${one.node}</span>` },
  { title: "Since", cell: (one) => html`<${Time} at=${one.started_at} />` },
];

export function Sessions({ me, route }) {
  useTitle("Sessions");
  const operator = me.kind === "operator";
  const { app = "", state = "" } = route.query;
  const [typed, setTyped] = useState("");
  const [calling, setCalling] = useState(false);
  const did = useDelayed(typed);
  const pages = usePages(async (cursor, signal) => {
    const query = { state, did, cursor, limit: 50 };
    const page = operator
      ? await call("GET", `${CONSOLE}/sessions`, { query: { ...query, app }, signal })
      : await call("GET", `${API}/sessions`, { app: me.app_id, query, signal });
    return { rows: page.sessions.map((one) => ({ app_id: me.app_id, ...one })), cursor: page.cursor };
  }, [app, state, did], 5);
  const change = (changed) => replace("sessions", { app, state, ...changed });
  return html`<${PageHead} title="Sessions">
      ${me.role === "operate" && html`<${Button} tone="primary" icon="plus" onClick=${() => setCalling(true)}>New call<//>`}
    <//>
    <div class="filters">
      <${Segments} label="State" value=${state} options=${STATES} onChange=${(chosen) => change({ state: chosen })} />
      ${operator && html`<${AppSelect} me=${me} value=${app} onChange=${(chosen) => change({ app: chosen })} />`}
      ${!operator && html`<input type="search" aria-label="Number that was called" placeholder="Number called" value=${typed} onInput=${(event) => setTyped(event.target.value.trim())} />`}
    </div>
    <${Card} flush>
      <${Loaded} of=${pages} rows=${6}>${() => html`
        <${Table} label="Sessions" columns=${columnsOf(operator)} rows=${pages.rows} keyOf=${(one) => one.uuid}
          to=${(one) => link("sessions", one.app_id, one.uuid)}
          empty=${html`<${Empty} icon="sessions" title="No sessions">${state || app || did ? "None is like that now." : "A session begins when somebody calls a number of an app."}<//>`} />
        <${More} pages=${pages} />`}
      <//>
    <//>
    ${calling && html`<${NewCall} me=${me} app=${app} onClose=${() => setCalling(false)} />`}`;
}

function NewCall({ me, app: given, onClose }) {
  const [app, setApp] = useState(given || me.app_id || me.apps[0] || "");
  const [room, setRoom] = useState("");
  const [state, setState] = useState({ busy: false, error: "" });
  const rooms = useLoad((signal) => call("GET", `${API}/conferences`, { app, query: { limit: 200 }, signal }), [app]);
  const submit = async (event) => {
    event.preventDefault();
    setState({ busy: true, error: "" });
    const form = new FormData(event.target);
    const body = { to: form.get("to").trim(), from: form.get("from").trim(), ...(room ? { room_id: room, ...joiningIn(event.target) } : {}) };
    try {
      const { uuid } = await call("POST", `${API}/sessions`, { app, body });
      onClose();
      go("sessions", app, uuid);
    } catch (error) {
      setState({ busy: false, error: error.message });
    }
  };
  const choose = (chosen) => {
    setApp(chosen);
    setRoom("");
  };
  const options = [["", "No room"], ...(rooms.data?.conferences || []).map((one) => [one.room_id, one.name])];
  const footer = html`<${Button} onClick=${onClose}>Cancel<//><${Button} tone="primary" type="submit" form="new-call" busy=${state.busy}>Call<//>`;
  return html`<${Dialog} title="New call" onClose=${onClose} footer=${footer}>
    <form id="new-call" onSubmit=${submit}>
      ${me.kind === "operator" && html`<${Field} label="App">${(id) => html`<${AppSelect} id=${id} me=${me} value=${app} onChange=${choose} all="" />`}<//>`}
      <${Field} label="Number or SIP URI to call" hint="As the app’s entry has it, such as +493012345678 or sip:anna@pbx.example.com." error=${state.error}>
        ${(id) => html`<input id=${id} name="to" type="text" inputmode="email" spellcheck=${false} required maxlength="200" pattern="\\+?[0-9]{2,15}|sip:[A-Za-z0-9.+_\\-]+@[a-z0-9.:\\-]+" autofocus autocomplete="off" aria-describedby="${id}-hint" />`}
      <//>
      <${Field} label="Number that is shown" hint="One of those that the app’s entry allows.">
        ${(id) => html`<input id=${id} name="from" type="tel" required maxlength="16" pattern="\\+?[0-9]{2,15}" autocomplete="off" aria-describedby="${id}-hint" />`}
      <//>
      <${Field} label="Joins, once it is answered">${(id) => html`<${Select} id=${id} value=${room} onChange=${setRoom} options=${options} />`}<//>
      ${room && html`<${Joining} />`}
    </form>
  <//>`;
}
