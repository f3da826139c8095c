import { call, CONSOLE } from "../api.js";
import { html, useState } from "../html.js";
import { useTitle } from "../hooks.js";
import { Button, Field } from "../ui.js";
import { Icon } from "../icons.js";

/** `note`: why nobody is logged in; `calm` when nothing is wrong. */
export function Login({ note, calm, onEnter }) {
  useTitle("Log in");
  const [state, setState] = useState({ busy: false, error: "" });

  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    setState({ busy: true, error: "" });
    try {
      onEnter(await call("POST", `${CONSOLE}/login`, { body: { name: form.get("name"), password: form.get("password") } }));
    } catch (error) {
      setState({ busy: false, error: error.message });
    }
  };

  return html`<main class="login">
    <form onSubmit=${submit}>
      <svg class="logo" viewBox="0 0 32 32" width="44" height="44" aria-hidden="true"><rect width="32" height="32" rx="8" />
        <path d="M9 10.5h4.5c5 0 0 11 5 11H23M9 21.5h4.5c5 0 0-11 5-11H23" /></svg>
      <h1>Switchroom</h1>
      <p class="lead">Log in to the console</p>
      ${state.error
        ? html`<p class="notice bad" role="alert"><${Icon} name="warning" />${state.error}</p>`
        : note && html`<p class="notice ${calm ? "" : "bad"}" role="status">${!calm && html`<${Icon} name="warning" />`}${note}</p>`}
      <${Field} label="Name">${(id) => html`<input id=${id} name="name" required autocomplete="username" autofocus spellcheck=${false} autocapitalize="none" />`}<//>
      <${Field} label="Password">${(id) => html`<input id=${id} name="password" type="password" required autocomplete="current-password" />`}<//>
      <${Button} type="submit" tone="primary" busy=${state.busy}>Log in<//>
      <p class="aside">Operators are added with <code>switchroom operator add</code>. A tenant gets a link by <code>switchroom app portal-link</code>.</p>
    </form>
  </main>`;
}
