import { API, call } from "../api.js";
import { milliseconds, plural } from "../format.js";
import { html, useState } from "../html.js";
import { useCommands, useLoad, usePages, useTitle } from "../hooks.js";
import { link, replace } from "../router.js";
import { Badge, Button, Card, Confirm, CopyButton, Dialog, Empty, Facts, Field, Id, Loaded, More, PageHead, Segments, Select, Table, Time } from "../ui.js";
import { Icon } from "../icons.js";
import { tell } from "../toasts.js";
import { TONES, WEBHOOK_TYPES } from "../words.js";
import { PortalLink } from "./portal.js";

const STATUSES = [["", "All"], ["retrying", "Retrying"], ["delivered", "Delivered"], ["failed", "Failed"]];

/** The endpoint of an app, and what was sent there. */
export function Webhooks({ me, parts: [app], route }) {
  const operator = me.kind === "operator";
  useTitle(operator ? `Webhooks of ${app}` : "Webhooks");
  const may = me.role === "operate";
  const { status = "", type = "" } = route.query;
  const [dialog, setDialog] = useState("");
  const commands = useCommands();
  const endpoint = useLoad((signal) => call("GET", `${API}/webhooks/endpoint`, { app, signal }), [app], 5);
  const pages = usePages(async (cursor, signal) => {
    const page = await call("GET", `${API}/webhooks/deliveries`, { app, query: { status, type, cursor, limit: 50 }, signal });
    return { rows: page.deliveries, cursor: page.cursor };
  }, [app, status, type], 5);
  const redeliver = async (id) => {
    await commands.run({ key: id, what: "Redeliver", app, path: `${API}/webhooks/deliveries/${id}/redeliver`, settled: "It is on its way again." });
    pages.reload();
  };
  const change = (changed) => replace("webhooks", app, { status, type, ...changed });
  const close = () => {
    setDialog("");
    endpoint.reload();
    pages.reload();
  };

  return html`<${PageHead} title="Webhooks" trail=${operator ? [["All apps", "#/webhooks"]] : []} below=${operator && html`<span>App ${app}</span>`}>
      ${operator && may && html`<${Button} icon="key" onClick=${() => setDialog("portal")}>Portal link<//>`}
      ${may && html`<${Button} icon="refresh" onClick=${() => setDialog("range")}>Redeliver failed<//>`}
    <//>
    <${Card} title="Endpoint" icon="webhooks" actions=${may && html`
        <${Button} small icon="send" onClick=${() => setDialog("test")}>Send a test<//>
        <${Button} small icon="key" onClick=${() => setDialog("secret")}>New secret<//>
        <${Button} small onClick=${() => setDialog("endpoint")}>Change<//>`}>
      <${Loaded} of=${endpoint} rows=${2}>${(one) => html`
        ${one.status === "failing" && html`<p class="notice bad"><${Icon} name="warning" /><span>Nothing has been delivered for <${Time} at=${one.since} as="for" />: ${one.reason}</span></p>`}
        ${one.status === "disabled" && html`<p class="notice bad"><${Icon} name="warning" /><span>Disabled <${Time} at=${one.since} />: ${one.reason}. What happens meanwhile is kept as failed. Set the endpoint to enable it.</span></p>`}
        <${Facts} facts=${[
          ["URL", one.url ? html`<${Id} value=${one.url} full />` : "none yet"],
          ["State", html`<${Badge} tone=${TONES[one.status]} dot>${one.status}<//>`],
          ["Types", html`<span class="mono">${one.types.join(", ")}</span>`],
          one.old_secret_until && ["Old secret", html`signs too until <${Time} at=${one.old_secret_until} />`],
        ]} />`}<//>
    <//>
    <h2 class="section">Deliveries</h2>
    <div class="filters">
      <${Segments} label="Status" value=${status} options=${STATUSES} onChange=${(chosen) => change({ status: chosen })} />
      <${Select} label="Type" value=${type} options=${[["", "All types"], ...WEBHOOK_TYPES.map((name) => [name, name])]} onChange=${(chosen) => change({ type: chosen })} />
    </div>
    <${Card} flush><${Loaded} of=${pages} rows=${6}>${() => html`
      <${Table} label="Deliveries" columns=${columnsOf(app, may, commands, redeliver)} rows=${pages.rows} keyOf=${(one) => one.webhook_id}
        to=${(one) => link("webhooks", app, one.webhook_id)}
        empty=${html`<${Empty} icon="webhooks" title="No deliveries">${status || type ? "None is like that." : "A webhook appears here once it was attempted."}<//>`} />
      <${More} pages=${pages} />`}<//>
    <//>
    ${dialog === "portal" && html`<${PortalLink} me=${me} app=${app} onClose=${() => setDialog("")} />`}
    ${dialog === "range" && html`<${Range} app=${app} onClose=${close} />`}
    ${dialog === "test" && html`<${Test} app=${app} onClose=${close} />`}
    ${dialog === "secret" && html`<${Secret} app=${app} onClose=${close} />`}
    ${dialog === "endpoint" && html`<${Endpoint} app=${app} endpoint=${endpoint.data} onClose=${close} />`}`;
}

const columnsOf = (app, may, commands, redeliver) => [
  { title: "Status", cell: (one) => html`<${Badge} tone=${TONES[one.status]} dot>${one.status}<//>` },
  { title: "Type", cell: (one) => html`<a class="strong mono" href=${link("webhooks", app, one.webhook_id)}>${one.type}</a>` },
  { title: "When", cell: (one) => html`<${Time} at=${one.created_at} />` },
  { title: "Attempts", align: "right", cell: (one) => one.attempts },
  { title: "Next attempt", hide: "narrow", cell: (one) => html`<${Time} at=${one.next_attempt_at} />` },
  { title: "About", hide: "narrow", cell: (one) => html`<${Id} value=${one.room_id || one.uuid} href=${one.room_id ? link("rooms", app, one.room_id) : link("sessions", app, one.uuid)} />` },
  ...(may ? [{ title: html`<span class="unseen">Actions</span>`, align: "right", cell: (one) => ["delivered", "failed"].includes(one.status)
    && html`<${Button} small tone="quiet" icon="refresh" label=${`Redeliver ${one.type}`} busy=${Boolean(commands.pending[one.webhook_id])} onClick=${() => redeliver(one.webhook_id)} />` }] : []),
];

const local = (at) => new Date(at - new Date(at).getTimezoneOffset() * 60000).toISOString().slice(0, 16);
const utc = (text) => new Date(text).toISOString();

function Range({ app, onClose }) {
  const [range, setRange] = useState({ since: local(Date.now() - 24 * 3600e3), until: local(Date.now() + 60e3) });
  const [ask, setAsk] = useState(null);
  const [error, setError] = useState("");
  const submit = (event) => {
    event.preventDefault();
    setAsk({
      title: "Send all of them again?", verb: "Redeliver", tone: "primary", act: send,
      text: "Every webhook of that time that failed is sent again, the oldest first. The endpoint may get many in a short time.",
    });
  };
  const send = async () => {
    try {
      const { webhooks } = await call("POST", `${API}/webhooks/redeliver`, { app, body: { since: utc(range.since), until: utc(range.until) } });
      tell("good", webhooks ? `${plural(webhooks, "webhook")} will be sent again.` : "None of that time has failed.");
      onClose();
    } catch (problem) {
      setError(problem.message);
    }
  };
  const input = (name) => (id) => html`<input id=${id} type="datetime-local" required value=${range[name]} onInput=${(event) => setRange({ ...range, [name]: event.target.value })} />`;
  const footer = html`<${Button} onClick=${onClose}>Cancel<//><${Button} tone="primary" type="submit" form="range">Redeliver…<//>`;
  return html`<${Dialog} title="Redeliver what failed" onClose=${onClose} footer=${footer}>
    <form id="range" onSubmit=${submit}>
      <p class="note">All that failed of those that happened in this time, in your local time.</p>
      <${Field} label="From">${input("since")}<//>
      <${Field} label="Until" error=${error}>${input("until")}<//>
    </form>
    <${Confirm} ask=${ask} onClose=${() => setAsk(null)} />
  <//>`;
}

function Test({ app, onClose }) {
  const result = useLoad(() => call("POST", `${API}/webhooks/endpoint/test`, { app }), [app]);
  return html`<${Dialog} title="Test of the endpoint" onClose=${onClose} footer=${html`<${Button} tone="primary" onClick=${onClose}>Close<//>`}>
    <${Loaded} of=${{ ...result, reload: null }} rows=${2}>${(sent) => html`<${Facts} facts=${[
      ["Outcome", html`<${Badge} tone=${sent.delivered ? "good" : "bad"} dot>${sent.delivered ? "delivered" : "not delivered"}<//>`],
      ["Status", sent.status ?? "no answer"],
      sent.error && ["Error", sent.error],
      ["Took", milliseconds(sent.latency_ms)],
      sent.answer && ["Answer", html`<pre class="code" tabindex="0">${sent.answer}</pre>`],
    ]} />`}<//>
  <//>`;
}

function Secret({ app, onClose }) {
  const [state, setState] = useState({ busy: false, error: "", secret: "" });
  const rotate = async () => {
    setState({ busy: true, error: "", secret: "" });
    try {
      const { secret } = await call("POST", `${API}/webhooks/endpoint/rotate-secret`, { app });
      setState({ busy: false, error: "", secret });
    } catch (problem) {
      setState({ busy: false, error: problem.message, secret: "" });
    }
  };
  const footer = state.secret ? html`<${Button} tone="primary" onClick=${onClose}>Done<//>`
    : html`<${Button} onClick=${onClose}>Cancel<//><${Button} tone="danger" busy=${state.busy} onClick=${rotate}>Make a new secret<//>`;
  return html`<${Dialog} title="New secret" onClose=${onClose} footer=${footer}>
    ${state.secret ? html`<p>This is the new secret. It is not shown again.</p><div class="secret"><code>${state.secret}</code><${CopyButton} text=${state.secret} /></div>`
      : html`<p>Webhooks are signed with the new secret from now on, and with the old one too for 24 hours. After that receivers need the new one.</p>`}
    ${state.error && html`<p class="notice bad" role="alert">${state.error}</p>`}
  <//>`;
}

function Endpoint({ app, endpoint, onClose }) {
  const [state, setState] = useState({ busy: false, error: "" });
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const types = form.get("types").split(/[\s,]+/).filter(Boolean);
    setState({ busy: true, error: "" });
    try {
      await call("PUT", `${API}/webhooks/endpoint`, { app, body: { url: form.get("url").trim(), types: types.length ? types : ["*"] } });
      tell("good", "The endpoint is set. It holds from the next second on.");
      onClose();
    } catch (problem) {
      setState({ busy: false, error: problem.message });
    }
  };
  const footer = html`<${Button} onClick=${onClose}>Cancel<//><${Button} tone="primary" type="submit" form="endpoint" busy=${state.busy}>Set and enable<//>`;
  return html`<${Dialog} title="Webhook endpoint" onClose=${onClose} footer=${footer}>
    <form id="endpoint" onSubmit=${submit}>
      <${Field} label="URL">${(id) => html`<input id=${id} name="url" type="url" required value=${endpoint?.url || ""} spellcheck=${false} />`}<//>
      <${Field} label="Types" hint="One a line: a type, a beginning such as conference.play.*, or * for all." error=${state.error}>
        ${(id) => html`<textarea id=${id} name="types" rows="3" spellcheck=${false} aria-describedby="${id}-hint">${(endpoint?.types || ["*"]).join("\n")}</textarea>`}<//>
    </form>
  <//>`;
}
