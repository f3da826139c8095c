// What the service's own words mean, for people.

// Why a command or a URL came to nothing (docs/webhooks.md).
const REASONS = {
  left: "it left by a command.",
  kicked: "it was kicked.",
  hangup: "the call has ended.",
  room_destroyed: "the room was deleted.",
  node_lost: "the media node has restarted, and its calls are gone.",
  not_confirmed: "the media node did not confirm it within 10 s.",
  refused: "the media node refused it.",
  no_answer: "the media node did not answer, or the connection to it was lost.",
  node_unreachable: "it could not be sent to the media node in time.",
  max_digits: "as many digits were pressed as were wanted.",
  terminator: "one of the terminators was pressed.",
  cancelled: "digits began to be collected anew.",
  bridge_failed: "no connection between the two media nodes came about.",
  room_not_found: "the room was deleted.",
  room_locked: "the room is locked.",
  room_full: "the room is full.",
  no_member: "the member was out of the room already.",
  no_members: "nobody is in the room.",
  not_playing: "nothing was playing.",
  not_found: "its server has no such file.",
  not_audio: "it cannot be decoded as audio.",
  too_large: "it has more bytes than are allowed.",
  too_long: "it plays for longer than is allowed.",
  timeout: "it did not come in time.",
  forbidden_address: "it leads to an address that is not public.",
  unreachable: "its server could not be reached.",
  relay_failed: "Switchroom could not store it. Try again later.",
  unplayable: "the media node could not play it.",
  interrupted: "it was cut short.",
};

/** Why something came to nothing, as a sentence where there is one. */
export const reasonText = (reason) => REASONS[reason] || (reason ? reason.replaceAll("_", " ") : "it failed.");

/** How a kind of entry in the event log looks, and what it is. */
export const KINDS = {
  command: ["accent", "A command that was accepted"],
  refused: ["bad", "A command that was refused"],
  sent: ["", "A command that was sent to a media node"],
  answer: ["", "What a command to a media node came to"],
  event: ["good", "An event of a media node"],
  state: ["violet", "A change of state"],
  webhook: ["pink", "A webhook that was stored"],
  delivery: ["warn", "An attempt to deliver a webhook"],
  audio: ["", "The audio relay"],
};

export const WEBHOOK_TYPES = [
  "conference.created", "conference.updated", "conference.destroyed", "conference.member.joined", "conference.member.left",
  "conference.member.muted", "conference.member.unmuted", "conference.member.deafened", "conference.member.undeafened",
  "conference.member.updated", "conference.member.held", "conference.member.unheld", "conference.member.volume_changed",
  "conference.member.join_failed", "conference.speaker.changed", "conference.command.failed", "conference.command.finished",
  "conference.play.started", "conference.play.finished",
  "conference.play.paused", "conference.play.stopped", "conference.play.volume_changed", "session.started",
  "session.dialing", "session.ringing", "session.answered", "session.failed", "session.ended",
  "session.command.failed", "session.dtmf", "session.dtmf.sent",
  "session.digits.collected",
];

/** The tone of a state's badge. */
export const TONES = {
  up: "good", down: "bad", drained: "warn",
  source: "accent", connected: "good", dialing: "warn",
  parked: "", joining: "warn", joined: "good", leaving: "warn",
  playing: "good", paused: "warn", stopped: "",
  locked: "warn",
  pending: "", retrying: "warn", held: "warn", aside: "warn", delivered: "good", failed: "bad",
  active: "good", failing: "bad", disabled: "bad", unset: "",
};

// Why a room ends by itself.
const ENDED = { empty: "nobody was in it", max_duration: "it has lasted long enough", end_on_exit: "who kept it has left" };

// What an entry of the event log says in a sentence, by its kind and type. `who` is the member or session.
const SENTENCES = {
  "command create": "Room created",
  "command delete": "Room deleted",
  "command update": "The room's options were set",
  "command dial": "{who} is to be called",
  "command hang_up": "{who} is to be hung up",
  "command dtmf": "{who} is to be sent digits",
  "command collect_digits": "Digits of {who} are collected",
  "command join": "{who} is to join",
  "command leave": "{who} is to leave",
  "command kick": "{who} is to be kicked",
  "command kick-all": "All members are to be kicked",
  "command mute-all": "All members are to be muted",
  "command unmute-all": "All members are to be unmuted",
  "command deaf-all": "All members are to be deafened",
  "command undeaf-all": "All members are to hear again",
  "command hold-all": "All members are to be put on hold",
  "command unhold-all": "All members are to be taken off hold",
  "command mute": "{who} is to be muted",
  "command unmute": "{who} is to be unmuted",
  "command deaf": "{who} is to be deafened",
  "command undeaf": "{who} is to hear again",
  "command hold": "{who} is to be put on hold",
  "command unhold": "{who} is to be taken off hold",
  "command change_member": "{who} is to be changed",
  "command volume_in": "{who} is to be heard at another volume",
  "command volume_out": "{who} is to hear the room at another volume",
  "command play": "Playback asked for",
  "command pause": "Pause or resume asked for",
  "command stop": "Playback stopped",
  "command volume": "Volume set to {volume}",
  "event parked": "{who} has called",
  "event ringing": "It rings",
  "event answered": "It was answered",
  "event hangup": "{who} has hung up",
  "event dtmf": "{who} has pressed a key",
  "event add-member": "{who} is in the conference",
  "event del-member": "{who} is out of the conference",
  "event mute-member": "{who} is muted",
  "event unmute-member": "{who} is unmuted",
  "event deaf-member": "{who} is deaf",
  "event undeaf-member": "{who} hears again",
  "event hold-member": "{who} is on hold",
  "event unhold-member": "{who} is off hold",
  "event volume-in-member": "{who} is heard at another volume",
  "event volume-out-member": "{who} hears the room at another volume",
  "event play-file-done": "A file has ended",
  "state session.joining": "{who} is joining",
  "state session.joined": "{who} has joined",
  "state session.leaving": "{who} is leaving",
  "state session.parked": "{who} waits outside",
  "state session.ended": "{who} has gone",
  "state playback.playing": "Playing",
  "state playback.paused": "Paused",
  "state playback.stopped": "Playback is over",
  "state leg.dialing": "{node} dials {source}",
  "state leg.connected": "{node} is connected to {source}",
  "state leg.down": "{node} has lost {source}",
  "state leg.ended": "{node} no longer needs {source}",
  "state room.ended": "The room has ended by itself: {ended}",
  "state room.moved": "The room has moved from {source} to {node}",
  "state url.sent": "A file was sent to the node",
  "state url.queued": "A file is with the node",
  "state url.played": "A file was played",
  "state url.failed": "A file could not be played",
  "webhook session.started": "{who} has called",
  "webhook session.dialing": "A call is made",
  "webhook session.ringing": "It rings",
  "webhook session.answered": "It was answered",
  "webhook session.failed": "The call was not answered",
  "webhook session.ended": "{who} has hung up",
  "webhook session.command.failed": "A command came to nothing",
  "webhook session.dtmf": "{who} has pressed a key",
  "webhook session.digits.collected": "The digits of {who} were collected",
  "webhook session.dtmf.sent": "{who} is sent digits",
  "webhook conference.member.left": "{who} is out of the room",
  "webhook conference.member.muted": "{who} is muted",
  "webhook conference.member.unmuted": "{who} is unmuted",
  "webhook conference.member.deafened": "{who} is deaf",
  "webhook conference.member.undeafened": "{who} hears again",
  "webhook conference.member.updated": "{who} has another role or other tags",
  "webhook conference.member.held": "{who} is on hold",
  "webhook conference.member.unheld": "{who} is off hold",
  "webhook conference.member.volume_changed": "{who} has another volume",
  "webhook conference.member.join_failed": "{who} did not get into the room",
  "webhook conference.speaker.changed": "{who} has the floor",
  "webhook conference.command.failed": "A command came to nothing",
  "webhook conference.command.finished": "A command to all members is done",
  "command webhook.test": "A test webhook was sent",
  "command console.login": "Logged in to the console",
  "command console.password": "The password was changed",
  "command console.link": "A link to the console was made",
  "command console.open": "The console was opened by a link",
  "command node.drain": "{node} is drained",
  "command node.undrain": "{node} gets rooms again",
};

// What entries of a kind say whose type has no sentence of its own.
const OF_KIND = { sent: "Sent to the node: {type}", answer: "The node's result of {type}", refused: "Refused: {type}", audio: "Audio: {type}" };

/** An entry as a sentence, or null where its kind and type say more. */
export function sentence(entry, who) {
  const found = SENTENCES[`${entry.kind} ${entry.type}`] || OF_KIND[entry.kind];
  if (!found) return null;
  const values = { ...entry, who: who || "A session", ended: ENDED[entry.reason] };
  return found.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? "?"));
}
