// The parts that pages are made of.

import { absolute, ago, clock, duration, moment, shortId, DASH } from "./format.js";
import { useNow } from "./hooks.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { tell } from "./toasts.js";

let ids = 0;

/** An id for an element that no other has. */
export function useId(prefix) {
  const id = useRef("");
  if (!id.current) id.current = `${prefix}-${(ids += 1)}`;
  return id.current;
}

/** While it is `busy` it does nothing. It is not `disabled` then, or the focus would be lost. */
export function Button({ icon, tone = "", busy = false, small = false, label, children, type = "button", onClick, ...rest }) {
  const kind = ["button", tone, small && "small", !children && "only-icon"].filter(Boolean).join(" ");
  const click = busy ? (event) => event.preventDefault() : onClick;
  return html`<button class=${kind} type=${type} aria-busy=${busy ? "true" : null} aria-disabled=${busy ? "true" : null}
    aria-label=${label} title=${label} onClick=${click} ...${rest}>
    ${busy ? html`<span class="spinner" aria-hidden="true"></span>` : icon && html`<${Icon} name=${icon} />`}
    ${children && html`<span>${children}</span>`}
  </button>`;
}

/** `tone`: "", `good`, `warn`, `bad` or `accent`. */
export function Badge({ tone = "", dot = false, children, ...rest }) {
  return html`<span class="badge ${tone}" ...${rest}>${dot && html`<span class="dot"></span>`}${children}</span>`;
}

/** A heading with what can be done about it, and what it is about. `flush`: content that goes to the edges. */
export function Card({ title, icon, note, actions, flush = false, children, class: extra = "" }) {
  const id = useId("card");
  return html`<section class="card ${flush ? "flush" : ""} ${extra}" aria-labelledby=${title ? id : null}>
    ${title && html`<header>
      <h2 id=${id}>${icon && html`<${Icon} name=${icon} />`}${title}</h2>
      ${note !== undefined && note !== null && html`<span class="note">${note}</span>`}
      ${actions && html`<div class="actions">${actions}</div>`}
    </header>`}
    <div class="content">${children}</div>
  </section>`;
}

/** The head of a page. `trail`: the pages above it, each `[text, address]`. */
export function PageHead({ title, trail = [], children, below }) {
  return html`<header class="page-head">
    ${trail.length > 0 && html`<nav class="trail" aria-label="Above this page">
      ${trail.map(([text, address]) => html`<a href=${address}>${text}</a><${Icon} name="chevron" size=${12} />`)}
    </nav>`}
    <div class="title-row">
      <h1 tabindex="-1">${title}</h1>
      ${children && html`<div class="actions">${children}</div>`}
    </div>
    ${below && html`<div class="below">${below}</div>`}
  </header>`;
}

/** `as`: `ago`, `clock`, or `for`, how long it has been. */
export function Time({ at, as = "ago" }) {
  const now = useNow();
  const when = moment(at);
  if (when === null) return html`<span class="faint">${DASH}</span>`;
  const text = { ago: () => ago(when, now), clock: () => clock(when), for: () => duration((now - when) / 1000) }[as]();
  return html`<time datetime=${new Date(when).toISOString()} title=${absolute(when)}>${text}</time>`;
}

/** An id, shortened, with a button that copies the whole of it. With an `icon` that says of what it is, the shortest. */
export function Id({ value, href, icon, full = false }) {
  const [copied, setCopied] = useState(false);
  if (!value) return html`<span class="faint">${DASH}</span>`;
  const text = full ? value : icon ? shortId(value).replace(/^.*-(?=[0-9a-f]{8}…$)/, "") : shortId(value);
  const copy = async () => {
    if (!(await copyText(value))) return;
    setCopied(true);
    setTimeout(() => setCopied(false), 1200);
  };
  return html`<span class="id">
    ${icon && html`<${Icon} name=${icon} size=${13} />`}
    ${href ? html`<a href=${href} title=${value}>${text}</a>` : html`<span title=${value}>${text}</span>`}
    <button class="plain copy" type="button" onClick=${copy} aria-label=${copied ? "Copied" : `Copy ${text}`}>
      <${Icon} name=${copied ? "check" : "copy"} size=${13} /></button>
  </span>`;
}

/** Whether it could be copied: browsers allow it on secure pages only. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    tell("bad", "The browser did not let it be copied.");
    return false;
  }
}

export function CopyButton({ text, children = "Copy" }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    if (!(await copyText(text))) return;
    setCopied(true);
    setTimeout(() => setCopied(false), 1200);
  };
  return html`<${Button} icon=${copied ? "check" : "copy"} small onClick=${copy}>${copied ? "Copied" : children}<//>`;
}

export function Empty({ icon, title, children }) {
  return html`<div class="empty">
    ${icon && html`<span class="empty-icon"><${Icon} name=${icon} size=${22} /></span>`}
    <p class="empty-title">${title}</p>
    ${children && html`<div class="empty-text">${children}</div>`}
  </div>`;
}

export function Skeleton({ rows = 4 }) {
  return html`<div class="skeleton" role="status" aria-label="Loading">
    ${Array.from({ length: rows }, (_, index) => html`<div class="bar w${index % 4}"></div>`)}
  </div>`;
}

export function Problem({ error, retry }) {
  return html`<div class="problem" role="alert">
    <${Icon} name="warning" size=${18} />
    <span>${error.message}</span>
    ${retry && html`<${Button} small icon="refresh" onClick=${retry}>Try again<//>`}
  </div>`;
}

/** What a load has come to: a skeleton at first, the problem, or `children(data)`. What was loaded before stays. */
export function Loaded({ of, rows = 4, children }) {
  if (of.data === null) {
    return of.error ? html`<${Problem} error=${of.error} retry=${of.reload} />` : html`<${Skeleton} rows=${rows} />`;
  }
  return html`${of.error && html`<${Problem} error=${of.error} retry=${of.reload} />`}${children(of.data)}`;
}

/** `columns`: each `{title, cell(row), align, hide}`; `hide` leaves it out on narrow screens. `to(row)`: the row's page. */
export function Table({ label, columns, rows, keyOf, to, empty }) {
  if (!rows.length) return empty;
  return html`<div class="table-frame" tabindex="0" role="group" aria-label=${label}><table>
    <thead><tr>${columns.map((column) => html`<th scope="col" class=${classOf(column)}>${column.title}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${keyOf(row)} class=${to ? "linked" : ""} onClick=${to && opened(to(row))}>
      ${columns.map((column) => html`<td class=${classOf(column)}>${column.cell(row)}</td>`)}
    </tr>`)}</tbody>
  </table></div>`;
}

const classOf = ({ align, hide }) => [align, hide && `hide-${hide}`].filter(Boolean).join(" ");

// The row is a wide target for a pointer; the link in it is what a keyboard reaches.
const opened = (address) => (event) => {
  if (!isOnControl(event) && !String(getSelection())) location.hash = address;
};

/** Whether a click was on something in a row that does something by itself. That may be out of the page by now: its own
 * handler came first, and may have changed it. */
export const isOnControl = (event) => event.composedPath().some((element) => element.matches?.("a, button, input, label"));

export function More({ pages }) {
  if (!pages.cursor) return null;
  return html`<div class="more"><${Button} busy=${pages.busy} onClick=${pages.more}>Load more<//></div>`;
}

export function Field({ label, hint, error, children }) {
  const id = useId("field");
  return html`<div class="field ${error ? "wrong" : ""}">
    <label for=${id}>${label}</label>
    ${children(id)}
    ${error ? html`<p class="hint error" id="${id}-hint">${error}</p>` : hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
  </div>`;
}

export function Select({ label, value, options, onChange, id, name }) {
  return html`<select id=${id} name=${name} aria-label=${label} value=${value} onChange=${(event) => onChange(event.target.value)}>
    ${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}
  </select>`;
}

/** A form's field that is one of a few, the first unless `of` names another. */
export function Choice({ label, name, options, of = options[0][0] }) {
  const [value, setValue] = useState(of);
  return html`<${Field} label=${label}>${(id) => html`<${Select} id=${id} name=${name} value=${value} onChange=${setValue} options=${options} />`}<//>`;
}

/** One of a few, as buttons side by side. */
export function Segments({ label, value, options, onChange }) {
  return html`<div class="segments" role="group" aria-label=${label}>
    ${options.map(([key, text]) => html`<button type="button" aria-pressed=${key === value ? "true" : "false"}
      onClick=${() => onChange(key)}>${text}</button>`)}
  </div>`;
}

/** A dialog over the page. The browser keeps the focus in it; afterwards it is where it was. */
export function Dialog({ title, onClose, children, footer }) {
  const element = useRef(null);
  const id = useId("dialog");
  useEffect(() => {
    const before = document.activeElement;
    const open = element.current;
    open.showModal();
    return () => {
      open.close();
      // The element leaves the page after this, and the focus with it.
      queueMicrotask(() => document.activeElement === document.body && before.isConnected && before.focus());
    };
  }, []);
  const outside = (event) => event.target === element.current && onClose();
  const cancel = (event) => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${element} aria-labelledby=${id} onCancel=${cancel} onClick=${outside}>
    <div class="dialog">
      <header><h2 id=${id}>${title}</h2>
        <button class="plain" type="button" aria-label="Close" onClick=${onClose}><${Icon} name="close" /></button></header>
      <div class="content">${children}</div>
      ${footer && html`<footer>${footer}</footer>`}
    </div>
  </dialog>`;
}

/** Asks before what cannot be undone. `ask`: null, or `{title, text, verb, tone, act}`. */
export function Confirm({ ask, onClose }) {
  const [busy, setBusy] = useState(false);
  if (!ask) return null;
  const act = async () => {
    setBusy(true);
    await ask.act();
    setBusy(false);
    onClose();
  };
  const footer = html`<${Button} onClick=${onClose}>Cancel<//><${Button} tone=${ask.tone || "danger"} busy=${busy} onClick=${act}>${ask.verb}<//>`;
  return html`<${Dialog} title=${ask.title} onClose=${onClose} footer=${footer}><p>${ask.text}</p><//>`;
}

/** Names and values, side by side. */
export function Facts({ facts }) {
  return html`<dl class="facts">${facts.filter(Boolean).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function Stat({ label, value, note, tone = "", href }) {
  const inside = html`<span class="stat-label">${label}</span><span class="stat-value">${value}</span>
    <span class="stat-note">${note || "\u00a0"}</span>`;
  return href ? html`<a class="stat ${tone}" href=${href}>${inside}</a>` : html`<div class="stat ${tone}">${inside}</div>`;
}
