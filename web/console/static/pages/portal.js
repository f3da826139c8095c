import { call, CONSOLE } from "../api.js";
import { absolute } from "../format.js";
import { html, useState } from "../html.js";
import { Button, CopyButton, Dialog, Field, Segments, Select } from "../ui.js";
import { AppSelect } from "./rooms.js";

const ROLES = [["operate", "Acts"], ["view", "Only looks"]];
const TIMES = [["600", "10 minutes"], ["3600", "An hour"], ["86400", "A day"], ["604800", "A week"]];

/** A link to the portal of an app: of `app`, or of one that is chosen. */
export function PortalLink({ me, app: given, onClose }) {
  const [app, setApp] = useState(given || me.apps[0] || "");
  const [role, setRole] = useState("operate");
  const [seconds, setSeconds] = useState("3600");
  const [state, setState] = useState({ busy: false, error: "", link: null });
  const submit = async (event) => {
    event.preventDefault();
    setState({ busy: true, error: "", link: null });
    try {
      const link = await call("POST", `${CONSOLE}/portal-links`, { body: { app, role, expires_in: Number(seconds) } });
      setState({ busy: false, error: "", link });
    } catch (error) {
      setState({ busy: false, error: error.message, link: null });
    }
  };
  const footer = state.link ? html`<${Button} tone="primary" onClick=${onClose}>Done<//>`
    : html`<${Button} onClick=${onClose}>Cancel<//><${Button} tone="primary" type="submit" form="portal" busy=${state.busy} disabled=${!app}>Make the link<//>`;
  return html`<${Dialog} title="Link to a portal" onClose=${onClose} footer=${footer}>
    ${state.link ? html`<p>The first person who opens it gets into the portal of ${app}. It works once, until ${absolute(Date.parse(state.link.expires_at))}. It is not shown again.</p>
        <div class="secret"><code>${state.link.url}</code><${CopyButton} text=${state.link.url} /></div>`
      : html`<form id="portal" onSubmit=${submit}>
        <p class="note">The console, limited to one app, for its tenant. The link works once.</p>
        ${!given && html`<${Field} label="App">${(id) => html`<${AppSelect} id=${id} me=${me} value=${app} onChange=${setApp} all="" />`}<//>`}
        <div class="field"><span class="label">Whoever opens it</span><${Segments} label="Whoever opens it" value=${role} options=${ROLES} onChange=${setRole} /></div>
        <${Field} label="Can be opened for" error=${state.error}>${(id) => html`<${Select} id=${id} value=${seconds} options=${TIMES} onChange=${setSeconds} />`}<//>
      </form>`}
  <//>`;
}
