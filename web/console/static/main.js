// The console: who is logged in, the frame around the pages, and which page is shown.

import { begin, call, CONSOLE, whoAmI } from "./api.js";
import { useRoute, go, link } from "./router.js";
import { html, render, useEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { useTitle } from "./hooks.js";
import { tell, Toasts } from "./toasts.js";
import { Badge, Button, Dialog, Empty, Problem, Segments, Skeleton } from "./ui.js";
import { Login } from "./pages/login.js";
import { Password } from "./pages/password.js";
import { Overview } from "./pages/overview.js";
import { Rooms } from "./pages/rooms.js";
import { Room } from "./pages/room.js";
import { Sessions } from "./pages/sessions.js";
import { Session } from "./pages/session.js";
import { Recordings } from "./pages/recordings.js";
import { Nodes } from "./pages/nodes.js";
import { Node } from "./pages/node.js";
import { Endpoints } from "./pages/endpoints.js";
import { Webhooks } from "./pages/webhooks.js";
import { Delivery } from "./pages/delivery.js";
import { EventLog } from "./pages/log.js";
import { Try } from "./pages/try.js";

const operator = (me) => me.kind === "operator";

// What leads to a page: the first part of its address, how many parts follow, and whom it is for.
const PAGES = [
  { name: "", parts: 0, page: Overview },
  { name: "rooms", parts: 0, page: Rooms },
  { name: "rooms", parts: 2, page: Room, ofApp: true },
  { name: "sessions", parts: 0, page: Sessions },
  { name: "sessions", parts: 2, page: Session, ofApp: true },
  { name: "recordings", parts: 0, page: Recordings },
  { name: "nodes", parts: 0, page: Nodes, only: operator },
  { name: "nodes", parts: 1, page: Node, only: operator },
  { name: "webhooks", parts: 0, page: Endpoints, only: operator },
  { name: "webhooks", parts: 1, page: Webhooks, ofApp: true },
  { name: "webhooks", parts: 2, page: Delivery, ofApp: true },
  { name: "log", parts: 0, page: EventLog },
  { name: "try", parts: 0, page: Try },
];

const MENU = [
  { name: "", text: "Overview", icon: "overview" },
  { name: "rooms", text: "Rooms", icon: "rooms" },
  { name: "sessions", text: "Sessions", icon: "sessions" },
  { name: "recordings", text: "Recordings", icon: "record" },
  { name: "nodes", text: "Nodes", icon: "nodes", only: operator },
  { name: "webhooks", text: "Webhooks", icon: "webhooks" },
  { name: "log", text: "Event log", icon: "log" },
  { name: "try", text: "Try the API", icon: "try" },
];

const THEMES = [
  ["light", html`<${Icon} name="sun" size=${14} /><span class="unseen">Light</span>`],
  ["dark", html`<${Icon} name="moon" size=${14} /><span class="unseen">Dark</span>`],
  ["system", html`<${Icon} name="system" size=${14} /><span class="unseen">As the system has it</span>`],
];

function pageOf(me, { path }) {
  const [name = "", ...rest] = path;
  const found = PAGES.find((one) => one.name === name && one.parts === rest.length);
  if (!found || (found.only && !found.only(me))) return null;
  if (found.ofApp && !operator(me) && rest[0] !== me.app_id) return null;
  return found.page;
}

function Console() {
  const [state, setState] = useState({ name: "loading" });

  const enter = (me) => {
    begin(me, () => setState({ name: "login", note: "Your session has ended. Log in again." }));
    setState({ name: "in", me });
  };

  const open = async (link) => {
    try {
      enter(await call("POST", `${CONSOLE}/open`, { body: { token: decodeURIComponent(link) } }));
    } catch (error) {
      setState({ name: "login", note: `The link did not open the console: ${error.message}` });
    }
  };

  const start = async () => {
    const opening = /^#link=(.+)$/.exec(location.hash);
    // The token is good once: it does not stay in the address.
    if (opening) history.replaceState(null, "", "#/");
    try {
      const me = await whoAmI();
      if (me && opening) setState({ name: "asking", me, link: opening[1] });
      else if (opening) await open(opening[1]);
      else if (me) enter(me);
      else setState({ name: "login" });
    } catch (error) {
      setState({ name: "failed", error });
    }
  };

  useEffect(() => {
    start();
    // A link that is pasted into a window that is open already.
    const pasted = () => location.hash.startsWith("#link=") && start();
    window.addEventListener("hashchange", pasted);
    return () => window.removeEventListener("hashchange", pasted);
  }, []);

  const leave = async () => {
    try {
      await call("POST", `${CONSOLE}/logout`);
    } catch (error) {
      if (error.status !== 401) return tell("bad", error.message);
    }
    begin(null, () => {});
    setState({ name: "login", note: "You are logged out.", calm: true });
    return null;
  };

  const views = {
    loading: () => html`<main class="alone"><${Skeleton} rows=${3} /></main>`,
    failed: () => html`<main class="alone"><${Problem} error=${state.error} retry=${start} /></main>`,
    login: () => html`<${Login} note=${state.note} calm=${state.calm} onEnter=${enter} />`,
    asking: () => html`<${Asking} me=${state.me} onOpen=${() => open(state.link)} onStay=${() => enter(state.me)} />`,
    in: () => html`<${Frame} me=${state.me} onEnter=${enter} onLeave=${leave} />`,
  };
  return html`${views[state.name]()}<${Toasts} />`;
}

/** Anybody can send a link, so ask before it replaces a session. */
function Asking({ me, onOpen, onStay }) {
  useTitle("Open the link?");
  const footer = html`<${Button} onClick=${onStay}>Stay<//><${Button} tone="primary" onClick=${onOpen}>Open the link<//>`;
  return html`<main class="alone"></main><${Dialog} title="Open the link?" onClose=${onStay} footer=${footer}>
    <p>You are logged in ${operator(me) ? `as ${me.name}` : `to the portal of ${me.app_id}`}. The link ends that session and begins another.</p><//>`;
}

function Frame({ me, onEnter, onLeave }) {
  const route = useRoute();
  const [open, setOpen] = useState(false);
  const [changing, setChanging] = useState(false);
  const main = useRef(null);
  const first = useRef(true);
  const Page = pageOf(me, route);
  const place = route.path.join("/");

  // A new page begins at its top, and with its heading for those who do not see it.
  useEffect(() => {
    setOpen(false);
    if (first.current) {
      first.current = false;
      return;
    }
    scrollTo(0, 0);
    main.current?.querySelector("h1")?.focus({ preventScroll: true });
  }, [place]);

  const [section = ""] = route.path;
  const skip = (event) => {
    event.preventDefault();
    main.current.focus();
  };
  return html`<div class="frame ${open ? "menu-open" : ""}">
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="top">
      <button class="plain" type="button" aria-label="Menu" aria-expanded=${open ? "true" : "false"} aria-controls="side"
        onClick=${() => setOpen(!open)}><${Icon} name=${open ? "close" : "menu"} size=${20} /></button>
      <${Brand} /><${Connection} />
    </header>
    <aside class="side" id="side">
      <${Brand} />
      <nav aria-label="Pages"><ul>
        ${MENU.filter((one) => !one.only || one.only(me)).map((one) => html`<li>
          <a href=${addressOf(me, one.name)} aria-current=${one.name === section ? "page" : null}><${Icon} name=${one.icon} size=${17} />${one.text}</a>
        </li>`)}
      </ul></nav>
      <div class="side-end">
        <${Connection} />
        <${Theme} />
        <div class="who">
          <div class="who-text"><span class="who-name" title=${me.name}>${me.name || me.app_id}</span>
            <span class="who-role">${operator(me) ? "Operator" : `App ${me.app_id}`}${me.role === "view" && html` · <${Badge}>view only<//>`}</span></div>
          ${operator(me) && html`<${Button} icon="key" tone="quiet" label="Change your password" onClick=${() => setChanging(true)} />`}
          <${Button} icon="logout" tone="quiet" label="Log out" onClick=${onLeave} />
        </div>
      </div>
    </aside>
    <div class="shade" onClick=${() => setOpen(false)}></div>
    <main ref=${main} id="main" tabindex="-1">
      ${Page ? html`<${Page} key=${place} me=${me} route=${route} parts=${route.path.slice(1)} />` : html`<${Missing} />`}
    </main>
    ${changing && html`<${Password} onEnter=${onEnter} onClose=${() => setChanging(false)} />`}
  </div>`;
}

// A portal has one app only: its webhooks need no list of apps before them.
const addressOf = (me, name) => (name === "webhooks" && !operator(me) ? link("webhooks", me.app_id) : link(...(name ? [name] : [])));

const Brand = () => html`<a class="brand" href="#/"><svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true"><rect width="32" height="32" rx="8" />
  <path d="M9 10.5h4.5c5 0 0 11 5 11H23M9 21.5h4.5c5 0 0-11 5-11H23" /></svg>Switchroom</a>`;

/** Whether what is seen is live, if the page follows a stream. */
function Connection() {
  const [stream, setStream] = useState(null);
  useEffect(() => {
    const changed = (event) => setStream(event.detail);
    window.addEventListener("streamstate", changed);
    return () => window.removeEventListener("streamstate", changed);
  }, []);
  if (!stream) return null;
  const text = { connecting: "Connecting", live: "Live", lost: "Reconnecting" }[stream.state];
  return html`<div class="connection ${stream.state}" title=${stream.reason || null} data-state=${stream.state}><span class="pulse"></span>${text}</div>`;
}

function Theme() {
  const [theme, setTheme] = useState(window.switchroomTheme.get());
  const choose = (next) => {
    window.switchroomTheme.set(next);
    setTheme(next);
  };
  return html`<${Segments} label="Colours" value=${theme} options=${THEMES} onChange=${choose} />`;
}

function Missing() {
  useTitle("No such page");
  return html`<h1 class="unseen" tabindex="-1">No such page</h1>
    <${Empty} icon="warning" title="There is no such page"><${Button} onClick=${() => go()}>Go to the overview<//><//>`;
}

render(html`<${Console} />`, document.getElementById("app"));
