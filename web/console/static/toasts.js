// Short messages about what was just done, in a corner; a screen reader says them.

import { html, useEffect, useState } from "./html.js";
import { Icon } from "./icons.js";

const SHOWN_MS = { good: 4000, bad: 10000 };
const MAX_SHOWN = 4;

let toasts = [];
let number = 0;
let changed = () => {};

/** `tone`: `good` or `bad`. */
export function tell(tone, text) {
  const toast = { id: (number += 1), tone, text };
  toasts = [...toasts.filter((other) => other.text !== text), toast].slice(-MAX_SHOWN);
  changed(toasts);
  setTimeout(() => dismiss(toast), SHOWN_MS[tone]);
}

function dismiss(toast) {
  toasts = toasts.filter((other) => other !== toast);
  changed(toasts);
}

export function Toasts() {
  const [shown, setShown] = useState(toasts);
  useEffect(() => {
    changed = setShown;
    return () => { changed = () => {}; };
  }, []);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map((toast) => html`<div class="toast ${toast.tone}" key=${toast.id}>
      <${Icon} name=${toast.tone === "good" ? "check" : "warning"} />
      <span>${toast.text}</span>
      <button class="plain" type="button" aria-label="Dismiss" onClick=${() => dismiss(toast)}><${Icon} name="close" size=${14} /></button>
    </div>`)}
  </div>`;
}
