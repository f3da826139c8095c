"""Calls that apps make, or transfer: the forms of numbers and patterns, and the words for why a call came to nothing.

Whoever has an app's key must not be able to run up a bill (toll fraud). So nothing is allowed by default, a number is
digits and is compared as it was given, and a pattern is the beginning of numbers, in which nothing can go wrong.
"""

from __future__ import annotations

import re

# A number as it is dialled: E.164 with its +, or as the gateway knows it.
NUMBER = re.compile(r"\+?[0-9]{2,15}")
# Either a number, or with a * the beginning of numbers that go on.
PATTERN = re.compile(r"\+?[0-9]{1,15}\*?")

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
    "no_answer": "It rang for `timeout` seconds, or nobody is there to be called.",
    "rejected": "It was rejected: by whoever was called, or by the gateway, which may also have wanted to redirect it.",
    "invalid_number": "There is no such number.",
    "unreachable": "The gateway did not answer, or could not get through.",
    "cancelled": "You hung up before it was answered, or, of a transfer, the caller did.",
    "node_unreachable": "The media node could not be told in time. Nothing was dialled.",
    "node_lost": "The media node has restarted, and its calls are gone.",
    OTHER_CAUSE: "Another cause, or one that is not known: `hangup_cause` has FreeSWITCH's name of it.",
}


def matches(pattern: str, number: str) -> bool:
    """`pattern`: of the form of PATTERN. A * stands for one more digit at least."""
    start = pattern.removesuffix("*")
    return number == start if start == pattern else number.startswith(start) and len(number) > len(start)
