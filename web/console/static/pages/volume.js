import { html, useEffect, useState } from "../html.js";
import { Icon } from "../icons.js";
import { Field } from "../ui.js";

const SETTLES_MS = 400;

/** It is sent once it has been left alone for a moment: keys move it step by step. `of`: what `stored` was loaded with. */
export function Volume({ label, of, stored, min, max, busy, disabled, onChange }) {
  const [moved, setMoved] = useState(null); // or `{value, isSent}`, another object each time that it is moved
  const value = moved ? moved.value : stored;
  // What was sent stands until what is loaded anew says what came of it.
  useEffect(() => {
    if (!busy) setMoved((now) => (now?.isSent ? null : now));
  }, [of]);
  useEffect(() => {
    if (!moved || moved.isSent || busy) return undefined;
    const send = async () => {
      const sent = { ...moved, isSent: true };
      setMoved(sent);
      // It may have been moved on by the time that this one is refused.
      if (!(await onChange(sent.value))) setMoved((now) => (now === sent ? null : now));
    };
    const timer = setTimeout(send, SETTLES_MS);
    return () => clearTimeout(timer);
  }, [moved, busy]);
  const move = (event) => setMoved({ value: Number(event.target.value), isSent: false });
  return html`<${Field} label=${label}>${(field) => html`<div class="volume">
    <${Icon} name="volume" />
    <input id=${field} type="range" min=${min} max=${max} step="1" value=${value} disabled=${disabled} onInput=${move} />
    <output for=${field} class="mono">${value > 0 ? `+${value}` : value}</output>
    ${busy && html`<span class="spinner" role="status" aria-label="Pending"></span>`}
  </div>`}<//>`;
}
