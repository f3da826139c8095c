import { API, call, CONSOLE } from "../api.js";
import { number } from "../format.js";
import { html, useState } from "../html.js";
import { useDelayed, usePages, useTitle } from "../hooks.js";
import { go, link, replace } from "../router.js";
import { Button, Card, Choice, Dialog, Empty, Field, Id, Loaded, More, PageHead, Select, Table, Time } from "../ui.js";
import { tagsIn, tagsOf, Tags } from "./tags.js";

const ENDS_WITH = [["", "nobody"], ["moderator", "moderators"], ["participant", "participants"]];
const BEEPS = [["beep_enter", "Beep when a member comes"], ["beep_exit", "Beep when a member goes"]];
const MOST_SECONDS = 2592000;
const NUMBERS = [
  ["max_members", "Members at most", 100000], ["end_when_empty", "Ends when empty for so many seconds", MOST_SECONDS],
  ["max_duration", "Ends so many seconds after the first joined", MOST_SECONDS],
];
const WAITS = [["", "no"], ["waits", "yes, on hold"]];
const TELLS = [["", "no"], ["speakers", "yes, by webhooks"]];

export const columnsOf = (withApp) => [
  { title: "Room", cell: (room) => html`<a class="strong" href=${link("rooms", room.app_id, room.room_id)}>${room.name}</a>${tagsOf(room)}` },
  ...(withApp ? [{ title: "App", cell: (room) => room.app_id }] : []),
  { title: "Members", align: "right", cell: (room) => number(room.members) },
  { title: "Created", cell: (room) => html`<${Time} at=${room.created_at} />` },
  { title: "Id", hide: "narrow", cell: (room) => html`<${Id} value=${room.room_id} />` },
];

export function Rooms({ me, route }) {
  useTitle("Rooms");
  const operator = me.kind === "operator";
  const { app = "", name = "" } = route.query;
  const [typed, setTyped] = useState(name);
  const [tagged, setTagged] = useState("");
  const wanted = useDelayed(typed);
  const tag = useDelayed(tagged);
  const [creating, setCreating] = useState(false);
  const pages = usePages(async (cursor, signal) => {
    const query = { name: wanted, tag, cursor, limit: 50 };
    if (operator) {
      const page = await call("GET", `${CONSOLE}/rooms`, { query: { ...query, app }, signal });
      return { rows: page.rooms, cursor: page.cursor };
    }
    const page = await call("GET", `${API}/conferences`, { app: me.app_id, query, signal });
    return { rows: page.conferences.map((room) => ({ ...room, app_id: me.app_id })), cursor: page.cursor };
  }, [app, wanted, tag], 5);

  const nothing = wanted || tag || app
    ? html`<${Empty} icon="rooms" title="No such room">A name or tag is found as a whole: <code>weekly</code> does not find <code>weekly-standup</code>.<//>`
    : html`<${Empty} icon="rooms" title="No rooms yet">A room is created by an app, with <code>POST ${API}/conferences</code>, or here.<//>`;
  return html`<${PageHead} title="Rooms">
      ${me.role === "operate" && html`<${Button} tone="primary" icon="plus" onClick=${() => setCreating(true)}>New room<//>`}
    <//>
    <div class="filters">
      <input type="search" aria-label="Name of the room" placeholder="Exact name" value=${typed} onInput=${(event) => setTyped(event.target.value.trim())} />
      <input type="search" aria-label="Tag of the room" placeholder="Exact tag" maxlength="64" value=${tagged} onInput=${(event) => setTagged(event.target.value.trim())} />
      ${operator && html`<${AppSelect} me=${me} value=${app} onChange=${(chosen) => replace("rooms", { app: chosen })} />`}
    </div>
    <${Card} flush>
      <${Loaded} of=${pages} rows=${6}>${() => html`
        <${Table} label="Rooms" columns=${columnsOf(operator)} rows=${pages.rows} keyOf=${(room) => room.room_id}
          to=${(room) => link("rooms", room.app_id, room.room_id)} empty=${nothing} />
        <${More} pages=${pages} />`}
      <//>
    <//>
    ${creating && html`<${NewRoom} me=${me} app=${app} onClose=${() => setCreating(false)} />`}`;
}

export function AppSelect({ me, value, onChange, id, all = "All apps" }) {
  const options = [...(all ? [["", all]] : []), ...me.apps.map((app) => [app, app])];
  return html`<${Select} id=${id} label="App" value=${value} options=${options} onChange=${onChange} />`;
}

/** A form's fields for options of a room, for `optionsIn`. `of`: the room, if there is one. */
export function Options({ of = {} }) {
  return html`<${Tags} of=${of.tags} />
    <${Choice} label="Ends when the last of these leaves" name="end_on_exit" options=${ENDS_WITH} of=${of.end_on_exit || ""} />
    <${Choice} label="Waits for a moderator" name="wait_for_moderator" options=${WAITS} of=${of.wait_for_moderator ? "waits" : ""} />
    <${Field} label="Music meanwhile" hint="Its URL. Without one: that of the media node, or nothing.">
      ${(id) => html`<input id=${id} name="hold_music" type="url" defaultValue=${of.hold_music || ""} autocomplete="off" spellcheck=${false} placeholder="https://cdn.example.com/music.mp3" aria-describedby="${id}-hint" />`}
    <//>
    ${BEEPS.map(([name, label]) => html`<${Field} key=${name} label=${label} hint="The word tone, or the URL of a sound of up to 10 seconds. Without one there is none.">
      ${(id) => html`<input id=${id} name=${name} defaultValue=${of[name] || ""} autocomplete="off" spellcheck=${false} placeholder="tone" aria-describedby="${id}-hint" />`}<//>`)}
    <${Choice} label="Tells who speaks" name="speaker_events" options=${TELLS} of=${of.speaker_events ? "speakers" : ""} />
    ${NUMBERS.map(([name, label, max]) => html`<${Field} key=${name} label=${label} hint="May be left out.">
      ${(id) => html`<input id=${id} name=${name} type="number" min="1" max=${max} defaultValue=${of[name] ?? ""} aria-describedby="${id}-hint" />`}<//>`)}`;
}

export const optionsIn = (form) => ({
  tags: tagsIn(form), end_on_exit: form.elements.end_on_exit.value || null,
  wait_for_moderator: form.elements.wait_for_moderator.value !== "", hold_music: form.elements.hold_music.value || null,
  ...Object.fromEntries(BEEPS.map(([name]) => [name, form.elements[name].value.trim() || null])),
  speaker_events: form.elements.speaker_events.value !== "",
  ...Object.fromEntries(NUMBERS.map(([name]) => [name, Number(form.elements[name].value) || null])),
});

function NewRoom({ me, app: given, onClose }) {
  const [app, setApp] = useState(given || me.app_id || me.apps[0] || "");
  const [state, setState] = useState({ busy: false, error: "" });
  const submit = async (event) => {
    event.preventDefault();
    setState({ busy: true, error: "" });
    const form = event.target;
    try {
      const { room_id: room } = await call("POST", `${API}/conferences`, { app, body: { name: form.elements.name.value, ...optionsIn(form) } });
      onClose();
      go("rooms", app, room);
    } catch (error) {
      setState({ busy: false, error: error.message });
    }
  };
  const footer = html`<${Button} onClick=${onClose}>Cancel<//><${Button} tone="primary" type="submit" form="new-room" busy=${state.busy}>Create<//>`;
  return html`<${Dialog} title="New room" onClose=${onClose} footer=${footer}>
    <form id="new-room" onSubmit=${submit}>
      ${me.kind === "operator" && html`<${Field} label="App">${(id) => html`<${AppSelect} id=${id} me=${me} value=${app} onChange=${setApp} all="" />`}<//>`}
      <${Field} label="Name" hint="Letters, digits, hyphens and underscores." error=${state.error}>
        ${(id) => html`<input id=${id} name="name" required maxlength="64" pattern="[A-Za-z0-9][A-Za-z0-9_\\-]*" autofocus autocomplete="off" aria-describedby="${id}-hint" />`}
      <//>
      <${Options} />
    </form>
  <//>`;
}
