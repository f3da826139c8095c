"""Where in FreeSWITCH's source every kind of event is fired: file, function, line, as the events of 1.11.1 say."""

_STATE_MACHINE = "switch_core_state_machine.c"
_API = "conference_api.c"
_FLOOR = ("conference_member.c", "conference_member_set_floor_holder", "1158")
_RECORD = "conference_record_thread_run"

# By the event's name, for conference events by their Action. No trace holds a `stop-talking`: its line is not known.
FIRED_AT: dict[str, tuple[str, str, str]] = {
    "BACKGROUND_JOB": ("mod_event_socket.c", "api_exec", "1569"),
    "CHANNEL_CREATE": (_STATE_MACHINE, "switch_core_session_run", "626"),
    "CHANNEL_ANSWER": ("switch_channel.c", "switch_channel_perform_mark_answered", "3848"),
    "CHANNEL_PROGRESS": ("switch_channel.c", "switch_channel_perform_mark_ring_ready_value", "3507"),
    "CHANNEL_BRIDGE": ("switch_ivr_bridge.c", "switch_ivr_multi_threaded_bridge", "1689"),
    "CHANNEL_PARK": ("switch_ivr.c", "switch_ivr_park", "1002"),
    "CHANNEL_UNPARK": ("switch_ivr.c", "switch_ivr_park", "1213"),
    "CHANNEL_HANGUP_COMPLETE": (_STATE_MACHINE, "switch_core_session_reporting_state", "943"),
    "CHANNEL_DESTROY": ("switch_core_session.c", "switch_core_session_perform_destroy", "1588"),
    "CHANNEL_EXECUTE_COMPLETE": ("switch_core_session.c", "switch_core_session_exec", "2972"),
    "DTMF": ("switch_channel.c", "switch_channel_dequeue_dtmf", "678"),
    "conference-create": ("mod_conference.c", "conference_new", "3848"),
    "conference-destroy": ("mod_conference.c", "conference_thread_run", "863"),
    "add-member": ("conference_member.c", "conference_member_add", "962"),
    "del-member": ("conference_member.c", "conference_member_del", "1355"),
    "floor-change": _FLOOR,
    "mute-member": (_API, "conference_api_sub_mute", "339"),
    "unmute-member": (_API, "conference_api_sub_unmute", "492"),
    "deaf-member": (_API, "conference_api_sub_deaf", "797"),
    "undeaf-member": (_API, "conference_api_sub_undeaf", "839"),
    "hold-member": (_API, "conference_api_sub_hold", "440"),
    "unhold-member": (_API, "conference_api_sub_unhold", "389"),
    "kick-member": (_API, "conference_api_sub_kick", "902"),
    "hup-member": (_API, "conference_api_sub_hup", "871"),
    "volume-in-member": (_API, "conference_api_sub_volume_in", "1574"),
    "volume-out-member": (_API, "conference_api_sub_volume_out", "1609"),
    "lock": (_API, "conference_api_sub_lock", "3474"),
    "unlock": (_API, "conference_api_sub_unlock", "3496"),
    "start-talking": ("conference_loop.c", "conference_loop_input", "1154"),
    "stop-talking": ("conference_loop.c", "conference_loop_input", "0"),
    "play-file": (_API, "conference_api_sub_play", "2817"),
    "play-file error": ("conference_file.c", "conference_file_play", "268"),
    "play-file-done": ("conference_file.c", "conference_file_close", "52"),
    "filestring::open": ("mod_dptools.c", "next_file", "5033"),
    "filestring::close": ("mod_dptools.c", "next_file", "4974"),
    "filestring::fail": ("mod_dptools.c", "next_file", "5021"),
    "play-file-member": (_API, "conference_api_sub_play", "2846"),
    "play-file-member-done": ("conference_file.c", "conference_file_close", "52"),
    "start-recording": ("conference_record.c", _RECORD, "319"),
    "stop-recording": ("conference_record.c", _RECORD, "427"),
    "pause-recording": (_API, "conference_api_sub_pauserec", "3860"),
    "resume-recording": (_API, "conference_api_sub_pauserec", "3860"),
    "bgdial-result": ("mod_conference.c", "conference_outcall_run", "1708"),
}
