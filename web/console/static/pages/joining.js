import { html } from "../html.js";
import { Icon } from "../icons.js";
import { Choice, Field } from "../ui.js";
import { tagsIn, Tags } from "./tags.js";

export const ROLES = [["participant", "Participant"], ["moderator", "Moderator"]];
const HEARD = [["", "no, until it is unmuted"], ["heard", "yes"]];
const HEARS = [["", "yes"], ["deaf", "no"]];
const KEEPS = [["", "no"], ["keeps", "yes: it ends with the last of these"]];
const VOLUMES = [["volume_in", "Volume to the others"], ["volume_out", "Volume of the room"]];

/** A form's fields for what a session joins as, for `joiningIn`. They are there once somebody asks for them. */
export function Joining() {
  return html`<details class="as-what"><summary><${Icon} name="chevron" size=${12} />As what it joins</summary>
    <div class="fields">
      <${Choice} label="Is heard" name="heard" options=${HEARD} />
      <${Choice} label="Hears the room" name="hears" options=${HEARS} />
      <${Choice} label="Role" name="role" options=${ROLES} />
      <${Choice} label="Keeps the room" name="keeps" options=${KEEPS} />
      ${VOLUMES.map(([name, label]) => html`<${Field} key=${name} label=${label} hint="-4 to 4">
        ${(id) => html`<input id=${id} name=${name} type="number" required min="-4" max="4" defaultValue="0" aria-describedby="${id}-hint" />`}<//>`)}
    </div>
    <${Tags} />
  </details>`;
}

export const joiningIn = (form) => ({
  muted: form.elements.heard.value === "", deaf: form.elements.hears.value !== "", role: form.elements.role.value, end_on_exit: form.elements.keeps.value !== "",
  ...Object.fromEntries(VOLUMES.map(([name]) => [name, Number(form.elements[name].value)])), tags: tagsIn(form),
});
