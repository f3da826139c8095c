import { call, CONSOLE } from "../api.js";
import { number } from "../format.js";
import { html } from "../html.js";
import { useLoad, useTitle } from "../hooks.js";
import { link } from "../router.js";
import { Badge, Card, Empty, Id, Loaded, PageHead, Table } from "../ui.js";
import { TONES } from "../words.js";

export const columnsOf = () => [
  { title: "Node", cell: (node) => html`<a class="strong mono" href=${link("nodes", node.prefix)}>${node.prefix}</a>` },
  { title: "State", cell: (node) => html`<${Badge} tone=${TONES[node.state]} dot>${node.state}<//>` },
  { title: "Calls", cell: (node) => html`<${Load} node=${node} />` },
  { title: "Rooms", align: "right", cell: (node) => number(node.rooms) },
  { title: "Region", hide: "narrow", cell: (node) => node.region || html`<span class="faint">–</span>` },
  { title: "Weight", align: "right", hide: "narrow", cell: (node) => number(node.weight) },
  { title: "Worker", hide: "narrow", cell: (node) => html`<${Id} value=${node.worker} />` },
];

/** How many calls a node has, and how much of its capacity that is. */
export function Load({ node }) {
  if (!node.capacity) return html`<span class="load"><span class="load-count">${number(node.calls)}</span></span>`;
  return html`<span class="load"><span class="load-count">${number(node.calls)}<span class="faint"> / ${number(node.capacity)}</span></span>
    <meter min="0" max=${node.capacity} high=${node.capacity * 0.9} value=${node.calls} aria-label="Calls, of the node's capacity"></meter></span>`;
}

export function Nodes() {
  useTitle("Nodes");
  const found = useLoad((signal) => call("GET", `${CONSOLE}/nodes`, { signal }), [], 3);
  return html`<${PageHead} title="Nodes" />
    <${Card} flush><${Loaded} of=${found} rows=${3}>${({ nodes }) => html`
      <${Table} label="Nodes" columns=${columnsOf()} rows=${nodes} keyOf=${(node) => node.prefix} to=${(node) => link("nodes", node.prefix)}
        empty=${html`<${Empty} icon="nodes" title="No media nodes yet">Add one with <code>switchroom node add</code>.<//>`} />`}<//>
    <//>`;
}
