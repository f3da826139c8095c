// The members of a room, by node: who is muted, who is deaf, who speaks.

import { API } from "../api.js";
import { callerOf, plural } from "../format.js";
import { html } from "../html.js";
import { failedCommand, isWebhook } from "../live.js";
import { link } from "../router.js";
import { Badge, Button, Empty } from "../ui.js";
import { Icon } from "../icons.js";
import { TONES } from "../words.js";
import { tagsOf } from "./tags.js";

// What each command of a member is called, and the webhook that confirms it.
const VERBS = {
  mute: ["Mute", "conference.member.muted"],
  unmute: ["Unmute", "conference.member.unmuted"],
  deaf: ["Make deaf", "conference.member.deafened"],
  undeaf: ["Let hear", "conference.member.undeafened"],
  hold: ["Put on hold", "conference.member.held"],
  unhold: ["Take off hold", "conference.member.unheld"],
  coach: ["Coach", "conference.member.coaching"],
  uncoach: ["End coaching", "conference.member.uncoached"],
  leave: ["Take out", "conference.member.left"],
};

/** What else a member is, as badges: its role if it is not the usual one, whether the room ends when it leaves, and its tags. */
export const marks = (member) => [
  ...(member.role === "moderator" ? [html`<${Badge} tone="accent">moderator<//>`] : []),
  ...(member.coaching ? [html`<${Badge} tone="accent">coaches<//>`] : []),
  ...(member.end_on_exit ? [html`<${Badge}>keeps the room<//>`] : []),
  ...tagsOf(member),
];

/** A command of a member, for `useCommands`. */
export function memberCommand(app, member, verb, body) {
  const [what, type] = VERBS[verb];
  const match = { uuid: member.uuid };
  return {
    key: `${member.uuid} ${verb}`,
    what: `${what} ${callerOf(member, "")}`.trim(),
    app,
    path: `${API}/sessions/${member.uuid}/commands/conference/${verb}`,
    body,
    confirmedBy: (event) => isWebhook(event, type, match),
    failedBy: failedCommand(verb, match),
  };
}

/** `nodes`: as the room has them; `speaking`: the ids of those who speak. `act(member, verb)` is null for those who may only look. */
export function Members({ me, app, nodes, members, speaking, pending, act }) {
  if (!members.length) return html`<${Empty} icon="rooms" title="Nobody is in the room">Callers who wait can be joined to it.<//>`;
  const known = nodes.map((node) => node.prefix);
  const others = [...new Set(members.map((member) => member.node))].filter((prefix) => !known.includes(prefix));
  const groups = [...nodes, ...others.map((prefix) => ({ prefix, bridge: "" }))];
  return html`<div class="node-groups">${groups.map((node) => {
    const here = members.filter((member) => member.node === node.prefix);
    return html`<section class="node-group" key=${node.prefix} aria-label=${`Node ${node.prefix}`}>
      <header>
        <${Icon} name="nodes" />
        ${me.kind === "operator" ? html`<a class="mono strong" href=${link("nodes", node.prefix)}>${node.prefix}</a>` : html`<span class="mono strong">${node.prefix}</span>`}
        ${node.bridge && html`<${Badge} tone=${TONES[node.bridge]} dot>${node.bridge === "source" ? "mixes the room" : `bridge ${node.bridge}`}<//>`}
        <span class="note">${plural(here.length, "member")}</span>
      </header>
      <ul>${here.map((member) => html`<${Member} key=${member.uuid} app=${app} member=${member} speaking=${speaking.has(member.uuid)} pending=${pending} act=${act} />`)}</ul>
    </section>`;
  })}</div>`;
}

function Member({ app, member, speaking, pending, act }) {
  const name = callerOf(member);
  const busy = (verb) => Boolean(pending[`${member.uuid} ${verb}`]);
  const toggle = (on, [off, offIcon], [back, backIcon]) => {
    const verb = on ? back : off;
    const [what] = VERBS[verb];
    return html`<${Button} small tone="quiet" icon=${on ? backIcon : offIcon} label=${`${what}: ${name}`} busy=${busy(verb)} onClick=${() => act(member, verb)} />`;
  };
  return html`<li class="member ${speaking ? "speaking" : ""}" data-session=${member.uuid}>
    <span class="avatar" aria-hidden="true"><${Icon} name=${member.muted ? "micOff" : "mic"} size=${15} /></span>
    <span class="member-name"><a class="caller strong" href=${link("sessions", app, member.uuid)}>${name}</a>
      <span class="note mono">to ${member.did}</span></span>
    <span class="member-flags">
      ${speaking && html`<${Badge} tone="good" dot>speaking<//>`}
      ${member.muted && html`<${Badge} tone="warn">muted<//>`}
      ${member.deaf && html`<${Badge} tone="warn">deaf<//>`}
      ${member.hold && html`<${Badge} tone="warn">${member.waiting ? "waits for a moderator" : "on hold"}<//>`}
      ${marks(member)}
    </span>
    ${act && html`<span class="member-actions">
      ${toggle(member.muted, ["mute", "micOff"], ["unmute", "mic"])}
      ${toggle(member.deaf, ["deaf", "earOff"], ["undeaf", "ear"])}
      ${toggle(member.hold, ["hold", "pause"], ["unhold", "play"])}
      <${Button} small tone="quiet danger-text" icon="leave" label=${`Take out: ${name}`} busy=${busy("leave")} onClick=${() => act(member, "leave")} />
    </span>`}
  </li>`;
}
