import { html } from "../html.js";
import { Field } from "../ui.js";

/** The tags of a room or member, as badges. */
export const tagsOf = ({ tags }) => tags.map((tag) => html` <span class="badge tag">${tag}</span>`);

/** A form's field for them. `of`: as they are. */
export function Tags({ of = [] }) {
  return html`<${Field} label="Tags" hint="One a line. May be left out.">${(id) => html`<textarea id=${id} name="tags" rows="2" spellcheck=${false} defaultValue=${of.join("\n")}
    aria-describedby="${id}-hint"></textarea>`}<//>`;
}

/** What a form says of tags; undefined, which a request leaves out, if they are as they were. */
export function tagsIn(form) {
  const { value, defaultValue } = form.elements.tags;
  return value === defaultValue ? undefined : [...new Set(value.split("\n").map((tag) => tag.trim()).filter(Boolean))];
}
