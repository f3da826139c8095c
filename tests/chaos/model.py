"""What must be true: the history of each room and session by the tenants' webhooks.

A history is that of a room, or of a session outside rooms. Its webhooks are replayed in the order of their `sequence`.
One that cannot follow the webhooks before it is a violation at once.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from controller.media.reasons import REASONS
from controller.sessions.flags import CHANGES, FLAGS
from controller.sessions.levels import LEVELS, WEBHOOK
from tests.chaos.parts import Hook, Request

OF_LEVELS = {level.name for level in LEVELS}
# Those of a volume.
OF_VOLUME = {WEBHOOK, "conference.command.failed"}
# How the names of rooms begin that ask who speaks.
VOICES = "voices"
# The webhooks that end a command, by the first word of its `command_uid`.
OUTCOMES = {
    "join": {"conference.member.joined", "conference.member.join_failed"},
    "retag": {"conference.member.updated"},
    "dial": {"session.answered", "session.failed"},
    "transfer": {"session.transferred", "session.transfer_failed"},
    "hang_up": {"session.ended", "session.failed", "session.command.failed"},
    "dtmf": {"session.dtmf.sent", "session.command.failed"},
    "collect": {"session.digits.collected"},
    # Which is told at once; how it ends, `History.plays` follows.
    "play_to": {"session.play.started"},
    "stop_play_to": {"session.play.stopped"},
    "leave": {"conference.member.left", "conference.command.failed"},
    "kick": {"conference.member.left", "conference.command.failed"},
    **{flag.change(on).command: {flag.change(on).webhook, "conference.command.failed"} for flag, on in CHANGES},
    **{level.name: OF_VOLUME for level in LEVELS},
    "coach": {"conference.member.coaching", "conference.command.failed"},
    "uncoach": {"conference.member.uncoached", "conference.command.failed"},
}

# What else bears it, before or after.
BESIDES = {
    "dial": {
        *("session.dialing", "session.ringing", "conference.member.joined", "conference.member.join_failed"),
        *("session.command.failed",),
    },
    "hang_up": {"conference.member.left"},
}

# The `command_uid` of what a command to all members leads to.
OPERATION_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# What may follow a room's `conference.destroyed`: its playbacks end, its last members leave.
AFTER_DESTROYED = {
    "conference.play.finished",
    "conference.member.left",
    "conference.member.join_failed",
    *(flag.change(on).webhook for flag, on in CHANGES),
    WEBHOOK,
    "conference.member.coaching",
    "conference.member.uncoached",
    "conference.member.updated",
    "conference.command.failed",
    "conference.command.finished",
}


def flags_of(member: dict[str, Any]) -> frozenset[str]:
    """Those that are on, and the levels that are not 0, as the API and webhooks show a member."""
    flags = (flag.name for flag in FLAGS if member[flag.name])
    levels = (f"{level.name} {member[level.name]}" for level in LEVELS if member.get(level.name))
    return frozenset((*flags, *levels))


def as_listed(flags: frozenset[str]) -> frozenset[str]:
    """As a node's list shows them: a member on hold can neither speak nor hear."""
    return flags | {"muted", "deaf"} if "hold" in flags else flags


@dataclass
class History:
    """`early`: webhooks that have come before their predecessors. `members`: session -> its flags. `plays`: operation ->
    how it ended, "" while it has not. `pressed`: how long the last key was, which grows from each to the next. `floor`: who has
    it."""

    tenant: str
    last: int = 0
    early: dict[int, Hook] = field(default_factory=dict)
    hooks: list[Hook] = field(default_factory=list)
    alive: bool = False
    ended: bool = False
    answered: bool = False
    transferred: bool = False
    name: str = ""
    caller_id: str = ""
    members: dict[str, frozenset[str]] = field(default_factory=dict)
    plays: dict[str, str] = field(default_factory=dict)
    joins: Counter[str] = field(default_factory=Counter)
    pressed: int = 0
    floor: str = ""
    # Of a recording: the steps that it has taken.
    steps: list[str] = field(default_factory=list)

    @property
    def open_plays(self) -> set[str]:
        return {operation for operation, end in self.plays.items() if not end}


class Ledger:
    """All requests and webhooks of a run. `violations` only grows.

    `stepped_aside` says whether a tenant has webhooks in the retry queue, which come out of their order. `came_whole`
    and `may_fail` say of a URL whether its server has sent all of the file, and whether that server was at fault.
    `is_leg` says whether an id of a session would be that of a leg.
    """

    def __init__(self) -> None:
        self.stepped_aside: Callable[[str], bool] = lambda _: False
        self.came_whole: Callable[[str], bool] = lambda _: True
        self.may_fail: Callable[[str], bool] = lambda _: True
        self.is_leg: Callable[[str], bool] = lambda _: False
        self.violations: list[str] = []
        self.histories: dict[str, History] = {}
        self.requests: list[Request] = []
        self.hooks = 0
        self.slowest_503 = 0.0
        # command_uid -> the types of the webhooks that bear it.
        self.outcomes: defaultdict[str, list[str]] = defaultdict(list)
        # command_uid -> what was accepted and has not had all its outcomes.
        self.accepted: dict[str, Request] = {}
        # Operation of a command to all members -> for each that had its outcome, whether it followed; and those that are
        # finished.
        self.to_all: defaultdict[str, list[bool]] = defaultdict(list)
        self.finished: set[str] = set()
        # Recordings that were to be deleted: nothing is told of them any more.
        self.deleted: set[str] = set()
        # command_uids of what was refused every time.
        self._refused: set[str] = set()
        self.rooms_by_name: dict[str, str] = {}
        self.sessions_by_caller: dict[str, str] = {}

    # Webhooks

    def take(self, hook: Hook) -> None:
        """A webhook has come for the first time."""
        self.hooks += 1
        if hook.data.get("app_id") != hook.tenant:
            self._wrong(f"sent to {hook.tenant}", hook)
            return
        of_recording = hook.data["recording_id"] if ".recording." in hook.type else ""
        identifier = of_recording or hook.data.get("room_id") or hook.data["uuid"]
        history = self.histories.setdefault(identifier, History(hook.tenant))
        sequence = hook.data["sequence"]
        if history.tenant != hook.tenant:
            self._wrong(f"about what is {history.tenant}'s", hook)
        if self.is_leg(hook.data.get("uuid", "")):
            self._wrong("about a leg", hook)
        if sequence <= history.last or sequence in history.early:
            self._wrong(f"sequence {sequence} already exists (at {history.last})", hook)
            return
        history.early[sequence] = hook
        if sequence != history.last + 1 and not self.stepped_aside(history.tenant):
            self._wrong(f"out of order: after {history.last}", hook)
        while (due := history.early.pop(history.last + 1, None)) is not None:
            history.last += 1
            history.hooks.append(due)
            self._outcome(due)
            if history.ended and due.type not in AFTER_DESTROYED:
                self._wrong("after the end", due)
            problem = APPLY.get(due.type, _unknown)(self, history, due.data)
            if problem:
                self._wrong(problem, due)

    def _outcome(self, hook: Hook) -> None:
        if hook.type == "session.play.finished" or hook.data.get("command") == "play":
            return
        # A hang-up may be what ends a call that is being dialled: then that has two outcomes.
        for name in ("command_uid", "cancelled_by"):
            if uid := hook.data.get(name):
                self._outcome_of(uid, hook)

    def _outcome_of(self, uid: str, hook: Hook) -> None:
        if OPERATION_ID.fullmatch(uid):
            if uid not in self.finished:
                self.to_all[uid].append(hook.type != "conference.command.failed")
            return
        if hook.type in BESIDES.get(uid.partition("-")[0], ()):
            return
        # A join may ask for volumes, which are set then.
        more = len(LEVELS) if "conference.member.joined" in self.outcomes[uid] else 0
        self.outcomes[uid].append(hook.type)
        if uid in self._refused:
            self._wrong("the outcome of what was refused", hook)
        if len(self.outcomes[uid]) > 1 + more:
            self._wrong(f"one command, outcomes {self.outcomes[uid]}", hook)
        if hook.type not in (OF_VOLUME if more else OUTCOMES[uid.partition("-")[0]]):
            self._wrong("not an outcome of that command", hook)

    def _wrong(self, what: str, hook: Hook) -> None:
        self.violations.append(f"{what}: {hook}")

    # Requests

    def asked(self, request: Request) -> None:
        """A request is over, answered or not."""
        self.requests.append(request)
        if request.method == "DELETE" and "/recordings/" in request.path:
            self.deleted.add(request.path.rpartition("/")[2])
        status = request.status
        if status is not None and (status >= 500 or status in (400, 401, 405, 413)) and status != 503:
            self.violations.append(f"an answer that must not be: {request}")
        uid = (request.body or {}).get("command_uid")
        if status == 503 and not request.stalled:
            self.slowest_503 = max(self.slowest_503, request.took)
        if not uid:
            return
        if status == 202:
            self.accepted[uid] = request
        if status in (404, 409, 429) and not any(
            (one.body or {}).get("command_uid") == uid for one in self.requests[:-1]
        ):
            self._refused.add(uid)

    def waiting(self, session: str, kinds: tuple[str, ...]) -> bool:
        """Whether a command of those kinds to that session has no outcome yet, as far as its tenant knows."""
        return any(
            not self.outcomes.get(uid) and uid.partition("-")[0] in kinds and session in request.path
            for uid, request in self.accepted.items()
        )

    def missing(self) -> list[str]:
        """Accepted commands that have no outcome yet, and webhooks that are known to be missing."""
        found = []
        for uid, request in list(self.accepted.items()):
            if self._has_ended(uid, request) or self._joined_by_another(uid, request):
                del self.accepted[uid]
            else:
                found.append(f"no outcome yet: {request}")
        found += [f"not finished yet: the command to all members {operation}" for operation in self.to_all]
        for identifier, history in self.histories.items():
            if history.steps and history.steps[-1] == "stopped" and identifier not in self.deleted:
                found.append(f"not available yet: the recording {identifier}")
            if history.early:
                found.append(f"{identifier}: a gap after {history.last}")
        return found

    def _has_ended(self, uid: str, request: Request) -> bool:
        outcomes = self.outcomes.get(uid, [])
        volumes = (request.body or {}).keys() & OF_LEVELS if "conference.member.joined" in outcomes else ()
        return len(outcomes) > len([name for name in volumes if request.body and request.body[name]])

    def _joined_by_another(self, uid: str, request: Request) -> bool:
        """A join that repeats one under way has the outcome of the first, with that `command_uid` (docs/api.md)."""
        if self.outcomes.get(uid):
            return False
        history = self.histories.get((request.body or {}).get("room_id", ""))
        return history is not None and any(
            hook.type in OUTCOMES["join"] and hook.data["uuid"] in request.path and hook.at >= request.at
            for hook in history.hooks
        )

    def of(self, tenant: str) -> dict[str, History]:
        return {identifier: history for identifier, history in self.histories.items() if history.tenant == tenant}

    def excerpt(self, text: str, count: int = 25) -> list[str]:
        """The webhooks and requests about the ids that a problem names."""
        about = [identifier for identifier in self.histories if identifier in text]
        hooks = [str(hook) for identifier in about for hook in self.histories[identifier].hooks[-count:]]
        asked = [str(request) for request in self.requests if any(identifier in str(request) for identifier in about)]
        return sorted(hooks + asked[-count:])


# How a webhook continues a history: each function changes it, and returns what is wrong, if anything.

Data = dict[str, Any]


def _created(ledger: Ledger, history: History, data: Data) -> str | None:
    if history.last != 1:
        return "created anew"
    history.alive, history.name = True, data["name"]
    ledger.rooms_by_name[history.name] = data["room_id"]
    return None


def _destroyed(_ledger: Ledger, history: History, _data: Data) -> str | None:
    history.alive, history.ended = False, True
    return None


def _joined(_ledger: Ledger, history: History, data: Data) -> str | None:
    again = data["uuid"] in history.members
    history.members[data["uuid"]] = flags_of(data)
    history.joins[data["uuid"]] += 1
    return "joined, and is in already" if again else None


def _left(_ledger: Ledger, history: History, data: Data) -> str | None:
    if history.floor == data["uuid"]:
        history.floor = ""
    return None if history.members.pop(data["uuid"], None) is not None else "left, and was not in"


def _join_failed(_ledger: Ledger, history: History, data: Data) -> str | None:
    return "cannot join, and is in" if data["uuid"] in history.members else None


def _flag_changed(_ledger: Ledger, history: History, data: Data) -> str | None:
    before = history.members.get(data["uuid"])
    history.members[data["uuid"]] = flags_of(data)
    if before is None:
        return "changed, and not in"
    return "the same twice" if before == flags_of(data) and "command_uid" not in data else None


def _updated(_ledger: Ledger, history: History, data: Data) -> str | None:
    return None if history.members.get(data["uuid"]) == flags_of(data) else "updated, and not in, or otherwise changed"


def _floor_changed(_ledger: Ledger, history: History, data: Data) -> str | None:
    before, history.floor = history.floor, data["uuid"]
    if not history.name.startswith(VOICES):
        return "who speaks, of a room that has not asked"
    if history.members.get(data["uuid"]) != flags_of(data):
        return "speaks, and is not in, or is otherwise"
    return "has the floor, and had it before" if before == data["uuid"] else None


def _play_started(_ledger: Ledger, history: History, data: Data) -> str | None:
    again = data["operation_id"] in history.plays
    history.plays[data["operation_id"]] = ""
    return "started again" if again else None


def _play_finished(ledger: Ledger, history: History, data: Data) -> str | None:
    before = history.plays.get(data["operation_id"])
    history.plays[data["operation_id"]] = "finished"
    if before != "":
        return f"finished, and was {before or 'not started'}"
    return next((problem for result in data["results"] if (problem := _result(ledger, result))), None)


def _result(ledger: Ledger, result: Data) -> str | None:
    """What is wrong with what became of a URL."""
    reason = result.get("reason", result["status"])
    # Of what the node took or may have taken: it is sent only what is there.
    if reason in ("played", "no_answer") and not ledger.came_whole(result["url"]):
        return f"{reason}, and its server has not sent it"
    if reason in REASONS and not ledger.may_fail(result["url"]):
        return f"{reason}, and its server has sent it whole"
    return "a file of a relay that the node did not get" if reason == "unplayable" else None


def _play_stopped(_ledger: Ledger, history: History, data: Data) -> str | None:
    operation = data["operation_id"]
    if not operation:
        return f"nothing stopped while {history.open_plays} play" if history.open_plays else None
    before = history.plays.get(operation)
    history.plays[operation] = "stopped"
    return None if before == "" else f"stopped, and was {before or 'not started'}"


def _session_started(ledger: Ledger, history: History, data: Data) -> str | None:
    if history.last != 1:
        return "started anew"
    history.alive, history.caller_id = True, data["caller_id"]
    ledger.sessions_by_caller[history.caller_id] = data["uuid"]
    return None


def _session_dialing(ledger: Ledger, history: History, data: Data) -> str | None:
    if history.last != 1:
        return "dialled anew"
    history.alive = True
    ledger.sessions_by_caller[data["did"]] = data["uuid"]
    return None


def _session_answered(_ledger: Ledger, history: History, _data: Data) -> str | None:
    again = history.answered
    history.answered = True
    return "answered, and was before" if again else None


def _session_failed(_ledger: Ledger, history: History, _data: Data) -> str | None:
    problem = None if history.alive and not history.answered else "failed, and was answered or not there"
    history.alive, history.ended = False, True
    return problem


def _transferred(_ledger: Ledger, history: History, _data: Data) -> str | None:
    again = history.transferred
    history.transferred = True
    return "transferred, and was before" if again else None


def _transfer_failed(_ledger: Ledger, history: History, _data: Data) -> str | None:
    again = history.transferred
    return "not transferred, and was before" if again else None


def _session_ended(_ledger: Ledger, history: History, _data: Data) -> str | None:
    again = not history.alive
    history.alive, history.ended = False, True
    if history.open_plays:
        return f"ended, while {history.open_plays} are played to it"
    return "ended, and was not there" if again else None


def _pressed(_ledger: Ledger, history: History, data: Data) -> str | None:
    before, history.pressed = history.pressed, data["duration_ms"]
    return "pressed before the last key, or told twice" if history.pressed <= before else None


def _finished(ledger: Ledger, _history: History, data: Data) -> str | None:
    operation = data["operation_id"]
    followed = ledger.to_all.pop(operation, [])
    again = operation in ledger.finished
    ledger.finished.add(operation)
    counts = data["changed"], data["failed"]
    if again or counts != (followed.count(True), followed.count(False)):
        return f"finished {'twice' if again else ''}, and the members had {followed}"
    return None


# The steps of a recording. Whether a pause is told twice or not at all depends on what gets lost.
RECORDED = re.compile(r"(started( paused| resumed)*)?( stopped)?( ?(available|failed))?")


def _recorded(step: str) -> Callable[[Ledger, History, Data], str | None]:
    def apply(_ledger: Ledger, history: History, _data: Data) -> str | None:
        history.steps.append(step)
        return None if RECORDED.fullmatch(" ".join(history.steps)) else f"a recording that was {history.steps}"

    return apply


def _nothing(_ledger: Ledger, _history: History, _data: Data) -> str | None:
    return None


def _unknown(_ledger: Ledger, _history: History, _data: Data) -> str | None:
    return "a type that is not documented"


APPLY: dict[str, Callable[[Ledger, History, Data], str | None]] = {
    "conference.created": _created,
    "conference.destroyed": _destroyed,
    "conference.member.joined": _joined,
    "conference.member.left": _left,
    "conference.member.join_failed": _join_failed,
    **{flag.change(on).webhook: _flag_changed for flag, on in CHANGES},
    WEBHOOK: _flag_changed,
    "conference.member.updated": _updated,
    "conference.member.coaching": _updated,
    "conference.member.uncoached": _updated,
    "conference.play.started": _play_started,
    "conference.play.finished": _play_finished,
    "conference.play.stopped": _play_stopped,
    "conference.play.paused": _nothing,
    "conference.play.volume_changed": _nothing,
    "conference.command.failed": _nothing,
    "conference.command.finished": _finished,
    "conference.speaker.changed": _floor_changed,
    "session.started": _session_started,
    "session.dialing": _session_dialing,
    "session.ringing": _nothing,
    "session.answered": _session_answered,
    "session.failed": _session_failed,
    "session.transferred": _transferred,
    "session.transfer_failed": _transfer_failed,
    "session.ended": _session_ended,
    "session.command.failed": _nothing,
    "session.play.started": _play_started,
    "session.play.finished": _play_finished,
    "session.play.stopped": _play_stopped,
    "session.dtmf": _pressed,
    "session.dtmf.sent": _nothing,
    "session.digits.collected": _nothing,
    **{
        f"{what}.recording.{step}": _recorded(step)
        for what in ("conference", "session")
        for step in ("started", "paused", "resumed", "stopped", "available", "failed")
    },
}
