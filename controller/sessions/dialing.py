"""Calls that apps make, or transfer: the forms of numbers, SIP URIs and patterns, and the words for why a call came to
nothing.

Whoever has an app's key must not be able to run up a bill (toll fraud). So nothing is allowed by default, a number is
digits and is compared as it was given, and a pattern is the beginning of numbers, in which nothing can go wrong. A URI
is compared as it was given, too: it has one spelling, and a pattern names its host and port letter by letter.
"""

from __future__ import annotations

import re

# A number as it is dialled: E.164 with its +, or as the gateway knows it.
NUMBER = re.compile(r"\+?[0-9]{2,15}")
_USER = r"[A-Za-z0-9.+_-]"
_LABEL = r"(?:[a-z0-9-]{0,61}[a-z0-9])?"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_PORT = r"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
# A name with a dot, whose end is no number, or an IPv4 address; with a port or without.
_AT_HOST = rf"@(?:(?:[a-z0-9]{_LABEL}\.)+[a-z]{_LABEL}|{_OCTET}(?:\.{_OCTET}){{3}})(?::{_PORT})?"
# Nothing in it means anything in a dial string, and there are no parameters, headers, passwords or escapes.
URI = re.compile(rf"sip:{_USER}{{1,64}}{_AT_HOST}")
DESTINATION = re.compile(f"(?:{NUMBER.pattern}|{URI.pattern})")
MAX_DESTINATION = 200
# Either a number, or with a * the beginning of numbers that go on; or a URI, or with a * that of users at a host.
PATTERN = re.compile(rf"(?:\+?[0-9]{{1,15}}\*?|sip:(?:{_USER}{{1,64}}\*?|\*){_AT_HOST})")

# Seconds for which a call may ring.
MIN_TIMEOUT, USUAL_TIMEOUT, MAX_TIMEOUT = 5, 60, 120

OTHER_CAUSE = "failed"
# The word of an app's webhook for each hangup cause of FreeSWITCH (27); OTHER_CAUSE for those that are not here.
CAUSES = {
    "USER_BUSY": "busy",
    "NO_ANSWER": "no_answer",
    "NO_USER_RESPONSE": "no_answer",
    "ALLOTTED_TIMEOUT": "no_answer",
    "PROGRESS_TIMEOUT": "no_answer",
    "CALL_REJECTED": "rejected",
    "OUTGOING_CALL_BARRED": "rejected",
    "BEARERCAPABILITY_NOTAUTH": "rejected",
    # The gateway sends the call elsewhere, where it may not go.
    "REQUESTED_CHAN_UNAVAIL": "rejected",
    "UNALLOCATED_NUMBER": "invalid_number",
    "NO_ROUTE_DESTINATION": "invalid_number",
    "INVALID_NUMBER_FORMAT": "invalid_number",
    "NUMBER_CHANGED": "invalid_number",
    "RECOVERY_ON_TIMER_EXPIRE": "unreachable",
    "NORMAL_TEMPORARY_FAILURE": "unreachable",
    "DESTINATION_OUT_OF_ORDER": "unreachable",
    "NETWORK_OUT_OF_ORDER": "unreachable",
    "SUBSCRIBER_ABSENT": "unreachable",
    "GATEWAY_DOWN": "unreachable",
    "ORIGINATOR_CANCEL": "cancelled",
}
# Every word that there is, and what it means.
FAILURES = {
    "busy": "It is busy.",
    "no_answer": "It was not answered within `timeout` seconds, whether it rang or the gateway said nothing; or nobody"
    " is there.",
    "rejected": "It was rejected: by whoever was called, or by the gateway, which may also have wanted to redirect it.",
    "invalid_number": "There is no such number, or nobody of that name.",
    "unreachable": "The gateway, or the host of a URI, did not answer, or could not get through.",
    "cancelled": "You hung up before it was answered, or, of a transfer, the caller did. `hangup_cause` is that of the"
    " hang-up; it is absent if the media node had not been told to dial.",
    "node_unreachable": "The media node could not be told in time. Nothing was dialled.",
    "node_lost": "The media node has restarted, and its calls are gone.",
    OTHER_CAUSE: "Another cause: `hangup_cause` has FreeSWITCH's name of it. `UNKNOWN`: a comparison has found that"
    " there is no such call; it may never have been dialled, such as when a worker was killed as it was about to tell"
    " the node.",
}


def matches(pattern: str, to: str) -> bool:
    """`pattern`: of the form of PATTERN, `to` of DESTINATION. A * stands for one more character at least."""
    start, star, end = pattern.partition("*")
    if not star:
        return to == pattern
    return to.startswith(start) and to.endswith(end) and len(to) > len(start) + len(end)


def parse_uri(to: str) -> tuple[str, str] | None:
    """The user and the host of a URI, with its port if it has one; nothing for a number."""
    user, at, host = to.removeprefix("sip:").partition("@")
    return (user, host) if at else None
