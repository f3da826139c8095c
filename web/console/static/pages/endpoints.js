import { call, CONSOLE } from "../api.js";
import { number } from "../format.js";
import { html, useState } from "../html.js";
import { useLoad, useTitle } from "../hooks.js";
import { link } from "../router.js";
import { Badge, Button, Card, Empty, Loaded, PageHead, Segments, Table, Time } from "../ui.js";
import { TONES } from "../words.js";
import { PortalLink } from "./portal.js";

const UNWELL = new Set(["failing", "disabled"]);

const bytes = (count) => {
  if (count === null || count === undefined) return "–";
  return count < 1024 ? `${number(count)} B` : count < 1048576 ? `${number(Math.round(count / 1024))} kB` : `${number(Math.round(count / 1048576))} MB`;
};

const COLUMNS = [
  { title: "App", cell: (row) => html`<a class="strong" href=${link("webhooks", row.app_id)}>${row.app_id}</a>` },
  { title: "State", cell: (row) => html`<${Badge} tone=${TONES[row.state]} dot>${row.state}<//>` },
  { title: "Waiting", align: "right", cell: (row) => bytes(row.pending_bytes) },
  { title: "Retrying", align: "right", cell: (row) => number(row.retrying) },
  { title: "Failed", align: "right", cell: (row) => html`<span class=${row.failed ? "bad-text" : ""}>${number(row.failed)}</span>` },
  { title: "Since", cell: (row) => html`<${Time} at=${row.since} />` },
  { title: "Reason", hide: "narrow", cell: (row) => row.reason || html`<span class="faint">–</span>` },
  { title: "URL", cell: (row) => (row.url ? html`<span class="url mono" title=${row.url}>${row.url}</span>` : html`<span class="faint">none</span>`) },
];

/** The webhook endpoints of all apps, those that fail first. */
export function Endpoints({ me }) {
  useTitle("Webhooks");
  const [only, setOnly] = useState("");
  const [linking, setLinking] = useState(false);
  const found = useLoad((signal) => call("GET", `${CONSOLE}/endpoints`, { signal }), [], 5);
  return html`<${PageHead} title="Webhooks">
      ${me.role === "operate" && html`<${Button} icon="key" onClick=${() => setLinking(true)}>Portal link<//>`}
    <//>
    <${Loaded} of=${found} rows=${5}>${({ endpoints }) => {
      const unwell = endpoints.filter((row) => UNWELL.has(row.state));
      const rows = only ? unwell : [...unwell, ...endpoints.filter((row) => !UNWELL.has(row.state))];
      return html`<div class="filters"><${Segments} label="Which endpoints" value=${only} onChange=${setOnly}
          options=${[["", `All ${endpoints.length}`], ["unwell", `Failing ${unwell.length}`]]} /></div>
        <${Card} flush><${Table} label="Webhook endpoints" columns=${COLUMNS} rows=${rows} keyOf=${(row) => row.app_id} to=${(row) => link("webhooks", row.app_id)}
          empty=${html`<${Empty} icon="check" title=${only ? "No endpoint fails" : "No apps yet"}>${only ? "Every webhook gets through." : html`Add one with <code>switchroom app add</code>.`}<//>`} /><//>`;
    }}<//>
    ${linking && html`<${PortalLink} me=${me} onClose=${() => setLinking(false)} />`}`;
}
