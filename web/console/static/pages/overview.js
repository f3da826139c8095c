import { API, call, CONSOLE } from "../api.js";
import { Chart } from "../chart.js";
import { milliseconds, number, plural, rate } from "../format.js";
import { html } from "../html.js";
import { useFeed, useLoad, useReloadSoon, useStream, useTitle } from "../hooks.js";
import { streamOf } from "../live.js";
import { link } from "../router.js";
import { Badge, Card, Empty, Facts, Id, Loaded, PageHead, Skeleton, Stat, Table, Time } from "../ui.js";
import { TONES } from "../words.js";
import { Story } from "./log.js";
import { columnsOf as nodeColumns } from "./nodes.js";
import { columnsOf as roomColumns } from "./rooms.js";

export function Overview({ me }) {
  useTitle("Overview");
  return me.kind === "operator" ? html`<${OfAll} />` : html`<${OfApp} me=${me} />`;
}

function OfAll() {
  const now = useLoad((signal) => call("GET", `${CONSOLE}/overview`, { signal }), [], 3);
  const history = useLoad((signal) => call("GET", `${CONSOLE}/history`, { query: { minutes: 60 }, signal }), [], 10);
  return html`<${PageHead} title="Overview" />
    <${Loaded} of=${now} rows=${3}>${({ totals, rates, latency, webhooks, nodes }) => html`
      <div class="stats">
        <${Stat} label="Rooms" value=${number(totals.rooms)} note=${plural(totals.apps, "app")} href="#/rooms" />
        <${Stat} label="In rooms" value=${number(totals.members)} note=${`of ${plural(totals.sessions, "session")}`} href="#/sessions" />
        <${Stat} label="Events a second" value=${rate(rates.events)} note=${`${rate(rates.commands)} commands`} />
        <${Stat} label="Event to webhook" value=${milliseconds(latency.p50_ms)} note=${`p99 ${milliseconds(latency.p99_ms)}`} />
        <${Stat} label="Webhooks waiting" value=${number(webhooks.pending)} href="#/webhooks"
          note=${webhooks.failing_endpoints ? `${plural(webhooks.failing_endpoints, "endpoint")} failing, ${number(webhooks.retrying)} retrying` : "all endpoints well"}
          tone=${webhooks.failing_endpoints ? "bad" : ""} />
      </div>
      <${Card} title="Nodes" icon="nodes" note=${upOf(nodes)} flush>
        <${Table} label="Nodes" columns=${nodeColumns()} rows=${nodes} keyOf=${(node) => node.prefix} to=${(node) => link("nodes", node.prefix)}
          empty=${html`<${Empty} icon="nodes" title="No media nodes yet">Add one with <code>switchroom node add</code>.<//>`} />
      <//>`}
    <//>
    <h2 class="section">The last hour</h2>
    ${history.data === null && !history.error ? html`<div class="charts"><${Skeleton} rows=${4} /><${Skeleton} rows=${4} /></div>`
      : html`<${Loaded} of=${history}>${(past) => html`<${Charts} past=${past} />`}<//>`}`;
}

const upOf = (nodes) => `${number(nodes.filter((node) => node.state !== "down").length)} of ${number(nodes.length)} up`;

function Charts({ past }) {
  const { at } = past;
  if (!at.length) return html`<${Card}><${Empty} icon="clock" title="Nothing is known yet">Figures appear after a minute or so.<//><//>`;
  return html`<div class="charts">
    <${Card} title="Activity" note="a second">
      <${Chart} label="Activity a second" at=${at} format=${rate} series=${[
        { label: "Events", values: past.events, color: "chart-1", fill: true },
        { label: "Commands", values: past.commands, color: "chart-2" },
        { label: "Webhooks", values: past.webhooks, color: "chart-3" },
      ]} />
    <//>
    <${Card} title="From event to webhook" note="milliseconds">
      <${Chart} label="From event to webhook" at=${at} format=${milliseconds} series=${[
        { label: "p99", values: past.latency_p99_ms, color: "chart-4", fill: true },
        { label: "p50", values: past.latency_p50_ms, color: "chart-1" },
      ]} />
    <//>
    <${Card} title="Webhooks waiting" note="at that time">
      <${Chart} label="Webhooks waiting" at=${at} format=${number} series=${[{ label: "Waiting", values: past.pending, color: "chart-3", fill: true }]} />
    <//>
  </div>`;
}

/** The same for one app, from what its API key shows. */
function OfApp({ me }) {
  const app = me.app_id;
  const found = useLoad(async (signal) => {
    const get = (path, query) => call("GET", `${API}${path}`, { app, query, signal });
    const [rooms, parked, joined, endpoint, failed] = await Promise.all([
      get("/conferences", { limit: 200 }), get("/sessions", { state: "parked", limit: 1000 }), get("/sessions", { state: "joined", limit: 1000 }),
      get("/webhooks/endpoint"), get("/webhooks/deliveries", { status: "failed", limit: 200 }),
    ]);
    return { rooms, parked, joined, endpoint, failed };
  }, [app]);
  const soon = useReloadSoon(found.reload);
  const feed = useFeed();
  useStream(streamOf(me), (event) => {
    feed.emit(event);
    soon();
  });
  const callers = found.data && [...found.data.parked.sessions, ...found.data.joined.sessions];
  return html`<${PageHead} title="Overview" />
    <${Loaded} of=${found} rows=${3}>${({ rooms, parked, joined, endpoint, failed }) => html`
      <div class="stats">
        <${Stat} label="Rooms" value=${counted(rooms, rooms.conferences)} href="#/rooms" />
        <${Stat} label="In rooms" value=${counted(joined, joined.sessions)} href=${link("sessions", { state: "joined" })} />
        <${Stat} label="Waiting callers" value=${counted(parked, parked.sessions)} href=${link("sessions", { state: "parked" })} />
        <${Stat} label="Failed webhooks" value=${counted(failed, failed.deliveries)} tone=${failed.deliveries.length ? "bad" : ""}
          href=${link("webhooks", app, { status: "failed" })} />
      </div>
      <div class="two-columns">
        <${Card} title="Rooms" icon="rooms" flush>
          <${Table} label="Rooms" columns=${roomColumns(false)} rows=${rooms.conferences.slice(0, 8).map((room) => ({ ...room, app_id: app }))}
            keyOf=${(room) => room.room_id} to=${(room) => link("rooms", app, room.room_id)}
            empty=${html`<${Empty} icon="rooms" title="No rooms yet">Create one under <a href="#/rooms">Rooms</a>, or <a href="#/try">try the API</a>.<//>`} />
        <//>
        <${Card} title="Webhook endpoint" icon="webhooks" actions=${html`<a href=${link("webhooks", app)}>Open</a>`}>
          <${Facts} facts=${[
            ["URL", endpoint.url ? html`<${Id} value=${endpoint.url} full />` : "none yet"],
            ["State", html`<${Badge} tone=${TONES[endpoint.status]} dot>${endpoint.status}<//>`],
            endpoint.since && ["Since", html`<${Time} at=${endpoint.since} />`],
            endpoint.reason && ["Reason", endpoint.reason],
            ["Types", endpoint.types.join(", ")],
          ]} />
        <//>
      </div>`}
    <//>
    <${Story} me=${me} title="What happens" icon="log" feed=${feed} query=${{ app }} names=${callers} more="#/log" />`;
}

const counted = (page, rows) => `${number(rows.length)}${page.cursor ? "+" : ""}`;
