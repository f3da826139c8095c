import { call, CONSOLE } from "../api.js";
import { number, plural } from "../format.js";
import { html, useState } from "../html.js";
import { useCommands, useLoad, useTitle } from "../hooks.js";
import { Badge, Button, Card, Confirm, Empty, Facts, Id, Loaded, PageHead, Table, Time } from "../ui.js";
import { TONES } from "../words.js";
import { Load } from "./nodes.js";

const when = { title: "When", cell: (row) => html`<${Time} at=${row.at} />` };
const LINKS = [
  when,
  { title: "Connection", cell: (row) => html`<${Badge} tone=${TONES[row.what]} dot>${row.what}<//>` },
  { title: "Reason", cell: (row) => row.reason || (row.restarted ? "the node has restarted" : html`<span class="faint">–</span>`) },
];
const DRIFT = [
  when,
  { title: "What differed", cell: (row) => html`<ul class="changes">${row.changes.map((change) => html`<li><code class="wrap">${change}</code></li>`)}</ul>` },
];

export function Node({ me, parts: [prefix] }) {
  useTitle(prefix);
  const [ask, setAsk] = useState(null);
  const commands = useCommands();
  const found = useLoad((signal) => call("GET", `${CONSOLE}/nodes/${prefix}`, { signal }), [prefix], 3);
  const change = (verb, what, settled) => async () => {
    await commands.run({ key: "drain", what, path: `${CONSOLE}/nodes/${prefix}/${verb}`, settled });
    found.reload();
  };
  const drained = found.data?.state === "drained" || found.data?.drained;
  const drain = {
    title: `Drain ${prefix}?`, verb: "Drain", tone: "primary", act: change("drain", "Drain", `${prefix} gets no new rooms.`),
    text: "The node gets no new rooms, and no new bridges lead to it or from it. What is on it goes on. It can be undone.",
  };
  return html`<${PageHead} title=${prefix} trail=${[["Nodes", "#/nodes"]]} below=${found.data && html`<${Badge} tone=${TONES[found.data.state]} dot>${found.data.state}<//>`}>
      ${me.role === "operate" && found.data && (drained
        ? html`<${Button} icon="play" busy=${Boolean(commands.pending.drain)} onClick=${change("undrain", "Undrain", `${prefix} gets rooms again.`)}>Give it rooms again<//>`
        : html`<${Button} icon="drain" busy=${Boolean(commands.pending.drain)} onClick=${() => setAsk(drain)}>Drain<//>`)}
    <//>
    <${Loaded} of=${found} rows=${5}>${(node) => html`
      ${drained && html`<p class="notice"><${Badge} tone="warn" dot>drained<//> It gets no new rooms. ${node.calls || node.rooms
        ? `It can be stopped when what is on it has ended: ${plural(node.rooms, "room")} and ${plural(node.calls, "call")}.` : "Neither rooms nor calls are on it: it can be stopped."}</p>`}
      <${Card} title="Now" icon="nodes"><${Facts} facts=${[
        ["Calls", html`<${Load} node=${node} />`],
        ["Rooms", number(node.rooms)],
        ["Region", node.region || "–"],
        ["Weight", number(node.weight)],
        ["Worker", html`<${Id} value=${node.worker} />`],
      ]} /><//>
      <div class="two-columns">
        <${Card} title="Connection" icon="webhooks" note="its history" flush>
          <${Table} label="History of the connection" columns=${LINKS} rows=${node.links} keyOf=${(row) => `${row.at} ${row.what}`}
            empty=${html`<${Empty} icon="clock" title="Nothing is known yet" />`} /><//>
        <${Card} title="Drift" icon="warning" note="differences that a comparison put right" flush>
          <${Table} label="Drift" columns=${DRIFT} rows=${node.drift} keyOf=${(row) => `${row.at} ${row.changes}`}
            empty=${html`<${Empty} icon="check" title="No differences">Node and store agreed whenever they were compared.<//>`} /><//>
      </div>`}
    <//>
    <${Confirm} ask=${ask} onClose=${() => setAsk(null)} />`;
}
