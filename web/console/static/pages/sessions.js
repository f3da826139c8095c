import { API, call, CONSOLE } from "../api.js";
import { callerOf } from "../format.js";
import { html, useState } from "../html.js";
import { useDelayed, usePages, useTitle } from "../hooks.js";
import { link, replace } from "../router.js";
import { Badge, Card, Empty, Id, Loaded, More, PageHead, Segments, Table, Time } from "../ui.js";
import { TONES } from "../words.js";
import { AppSelect } from "./rooms.js";

const STATES = [["", "All"], ["parked", "Parked"], ["joining", "Joining"], ["joined", "Joined"], ["leaving", "Leaving"]];

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
  const did = useDelayed(typed);
  const pages = usePages(async (cursor, signal) => {
    const query = { state, did, cursor, limit: 50 };
    const page = operator
      ? await call("GET", `${CONSOLE}/sessions`, { query: { ...query, app }, signal })
      : await call("GET", `${API}/sessions`, { app: me.app_id, query, signal });
    return { rows: page.sessions.map((one) => ({ app_id: me.app_id, ...one })), cursor: page.cursor };
  }, [app, state, did], 5);
  const change = (changed) => replace("sessions", { app, state, ...changed });
  return html`<${PageHead} title="Sessions" />
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
    <//>`;
}
