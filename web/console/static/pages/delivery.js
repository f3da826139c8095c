import { API, call } from "../api.js";
import { json, milliseconds } from "../format.js";
import { html } from "../html.js";
import { useCommands, useLoad, useTitle } from "../hooks.js";
import { link } from "../router.js";
import { Badge, Button, Card, CopyButton, Empty, Facts, Id, Loaded, PageHead, Time } from "../ui.js";
import { TONES } from "../words.js";

/** One webhook with every attempt to deliver it. */
export function Delivery({ me, parts: [app, id] }) {
  const commands = useCommands();
  const found = useLoad((signal) => call("GET", `${API}/webhooks/deliveries/${id}`, { app, signal }), [app, id], 3);
  useTitle(found.data?.type || "Webhook");
  const redeliver = async () => {
    await commands.run({ key: "redeliver", what: "Redeliver", app, path: `${API}/webhooks/deliveries/${id}/redeliver`, settled: "It is on its way again." });
    found.reload();
  };
  const again = ["delivered", "failed"].includes(found.data?.status);
  const gone = found.error?.status === 404;
  return html`<${PageHead} title=${found.data?.type || "Webhook"} trail=${[["Webhooks", link("webhooks", app)]]} below=${html`<${Id} value=${id} /><span>App ${app}</span>`}>
      ${me.role === "operate" && again && html`<${Button} icon="refresh" tone="primary" busy=${Boolean(commands.pending.redeliver)} onClick=${redeliver}>Redeliver<//>`}
    <//>
    ${gone ? html`<${Card}><${Empty} icon="webhooks" title="This webhook is gone">Delivered ones are kept for 3 days, failed ones for 30.<//><//>`
      : html`<${Loaded} of=${found} rows=${6}>${(one) => html`<div class="two-columns">
      <div>
        <${Card} title="Delivery" icon="webhooks"><${Facts} facts=${[
          ["Status", html`<${Badge} tone=${TONES[one.status]} dot>${one.status}<//>`],
          ["Happened", html`<${Time} at=${one.created_at} />`],
          ["Attempts", one.attempts],
          one.next_attempt_at && ["Next attempt", html`<${Time} at=${one.next_attempt_at} />`],
          one.room_id && ["Room", html`<${Id} value=${one.room_id} href=${link("rooms", app, one.room_id)} />`],
          one.uuid && ["Session", html`<${Id} value=${one.uuid} href=${link("sessions", app, one.uuid)} />`],
        ]} /><//>
        <${Card} title="Attempts" icon="clock" note=${one.attempts > one.tried.length ? `the last ${one.tried.length}` : null} flush>
          ${one.tried.length ? html`<ol class="attempts">${[...one.tried].reverse().map((attempt) => html`<${Attempt} key=${attempt.number} attempt=${attempt} />`)}</ol>`
            : html`<${Empty} icon="clock" title="Not attempted yet" />`}<//>
      </div>
      <${Card} title="Data" icon="log" actions=${html`<${CopyButton} text=${json(one.data)} />`}><pre class="code" tabindex="0">${json(one.data)}</pre><//>
    </div>`}<//>`}`;
}

function Attempt({ attempt }) {
  const well = attempt.status >= 200 && attempt.status < 300;
  return html`<li>
    <div class="attempt"><span class="note">#${attempt.number}</span>
      <${Badge} tone=${well ? "good" : "bad"} dot>${attempt.status ?? "no answer"}<//>
      <span class="note">${milliseconds(attempt.latency_ms)}</span><span class="note"><${Time} at=${attempt.at} /></span></div>
    ${attempt.error && html`<p class="bad-text">${attempt.error}</p>`}
    ${attempt.answer && html`<pre class="code" tabindex="0">${attempt.answer}</pre>`}
  </li>`;
}
