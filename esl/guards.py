"""What keeps others from taking over a call on a FreeSWITCH: global variables, set in its `vars.xml`.

FreeSWITCH takes an INVITE with a Replaces header to another call, past the dialplan, and no setting turns that off
(`sofia_handle_sip_i_invite_replaces` in `sofia.c`). But it reads a channel variable that a call does not have from the
global ones.
"""

GUARDS = {
    # With Call-Info besides, it runs `sofia_sla`, which listens in. This is executed before it does.
    "execute_on_sip_barge": "hangup CALL_REJECTED",
    # With `;a-leg=true` it runs `intercept`, which shall take only calls that are not answered. Ours are, at once.
    "intercept_unanswered_only": "true",
    # Else it ends the call that is asked for. So one that does not say `;a-leg=no` is taken to say `;a-leg=true`.
    "sip_replaces_a-leg": "true",
    # Audio that comes from elsewhere than the caller's SDP says does not take the call's audio over (switch_rtp.c).
    "disable_rtp_auto_adjust": "true",
}
