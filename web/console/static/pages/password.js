import { CONSOLE, replaceSession } from "../api.js";
import { html, useState } from "../html.js";
import { tell } from "../toasts.js";
import { Button, Dialog, Field } from "../ui.js";

const MIN_LENGTH = 12;

/** Changes the operator's own password. `onEnter(me)`: the session goes on under another token. */
export function Password({ onEnter, onClose }) {
  const [state, setState] = useState({ busy: false, error: "" });
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    if (form.get("new") !== form.get("again")) return setState({ busy: false, error: "The two new passwords differ." });
    setState({ busy: true, error: "" });
    try {
      const body = { password: form.get("password"), new_password: form.get("new") };
      onEnter(await replaceSession(`${CONSOLE}/password`, body));
      tell("good", "Your password is changed. Your other sessions have ended.");
      onClose();
    } catch (error) {
      setState({ busy: false, error: error.message });
    }
    return null;
  };
  const input = (name, rest) => (id) => html`<input id=${id} name=${name} type="password" required ...${rest} />`;
  const chosen = { autocomplete: "new-password", minlength: MIN_LENGTH };
  const footer = html`<${Button} onClick=${onClose}>Cancel<//><${Button} tone="primary" type="submit" form="password" busy=${state.busy}>Change the password<//>`;
  return html`<${Dialog} title="Change your password" onClose=${onClose} footer=${footer}>
    <form id="password" onSubmit=${submit}>
      <${Field} label="Your password">${input("password", { autocomplete: "current-password", autofocus: true })}<//>
      <${Field} label="New password" hint=${`${MIN_LENGTH} characters at least.`}>${input("new", chosen)}<//>
      <${Field} label="New password again">${input("again", chosen)}<//>
      ${state.error && html`<p class="notice bad" role="alert">${state.error}</p>`}
    </form>
  <//>`;
}
